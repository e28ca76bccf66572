#!/bin/bash
# Compares our unwinder with libdwfl on stacks of real programs, caught at random moments: frame for
# frame, and why each stack ends. Needs root or a ptrace that is not restricted, and an hour's patience
# for millions; 10,000 a program take about two minutes.
#
#   unwind_differential.sh [STACKS [PROGRAM...]]     STACKS: of each program (default 10000)
#
# Programs that are not installed are left out and named. Fails where a difference has no class
# (tests/differential/differences.c, docs/UNWINDING.md).
set -u
cd "$(dirname "$0")/.."

build=${BUILD:-build}
stacks=${1:-10000}
[ $# -gt 0 ] && shift
wanted=("$@")
PATH=$PATH:/usr/sbin:/sbin
ninja -C "$build" tests/differential/unwind_differential >/dev/null || exit 1
differential=$build/tests/differential/unwind_differential
scratch=$(mktemp -d)
pids=()
failed=
total=0

end() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	pids=()
}
trap 'end; rm -rf "$scratch"' EXIT

is_wanted() {
	[ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]
}

# compare NAME (-p PID | COMMAND...)
compare() {
	local name=$1 found
	timeout 600 "$differential" "$stacks" "$@" >"$scratch/out"
	local status=$?
	cat "$scratch/out"
	found=$(sed -n "s/^$name: \([0-9]*\) stacks.*/\1/p" "$scratch/out")
	total=$((total + ${found:-0}))
	[ $status -eq 0 ] || failed="$failed $name($status)"
}

# program NAME COMMAND...: where it is wanted and installed
program() {
	local name=$1 path
	is_wanted "$name" || return
	path=$(type -P "$2") || {
		echo "$name: left out: no $2"
		return
	}
	compare "$name" "$path" "${@:3}"
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_port() {
	for _ in $(seq 100); do
		(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
		sleep 0.1
	done
}

nginx_loaded() {
	is_wanted nginx || return
	if ! type -P nginx >/dev/null || ! type -P ab >/dev/null; then
		echo "nginx: left out: no nginx or no ab"
		return
	fi
	local port user=
	port=$(free_port)
	[ "$(id -u)" = 0 ] && user="user root;"
	mkdir "$scratch/html"
	seq 2000 >"$scratch/html/index.html"
	cat >"$scratch/nginx.conf" <<-END
		$user daemon off; master_process off; worker_processes 1; pid $scratch/pid; error_log stderr crit;
		events { worker_connections 512; }
		http { access_log off; gzip on; gzip_types *;
		client_body_temp_path $scratch/a; proxy_temp_path $scratch/b; fastcgi_temp_path $scratch/c;
		uwsgi_temp_path $scratch/d; scgi_temp_path $scratch/e;
		server { listen 127.0.0.1:$port; root $scratch/html; } }
	END
	nginx -p "$scratch" -c "$scratch/nginx.conf" &
	pids+=($!)
	wait_port "$port"
	(while ab -q -n 100000 -c 8 -H 'Accept-Encoding: gzip' "http://127.0.0.1:$port/index.html"; do :; done) \
		>/dev/null 2>&1 &
	pids+=($!)
	compare nginx -p "${pids[0]}"
	end
}

redis_loaded() {
	is_wanted redis || return
	if ! type -P redis-server >/dev/null || ! type -P redis-benchmark >/dev/null; then
		echo "redis: left out: no redis-server or no redis-benchmark"
		return
	fi
	local port
	port=$(free_port)
	redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$scratch" >/dev/null &
	pids+=($!)
	wait_port "$port"
	(while redis-benchmark -q -p "$port" -n 100000 -c 8; do :; done) >/dev/null 2>&1 &
	pids+=($!)
	compare redis -p "${pids[0]}"
	end
}

compiled="-O2 -D_GNU_SOURCE -Isrc -o /dev/null src/unwind/unwind.c"
program python /usr/bin/python3 -c 'import json, re, os
for i in range(9999):
  sorted(json.loads(json.dumps([{"a": [j]} for j in range(99)])), key=lambda d: os.path.realpath(str(d["a"])))'
program git git log --stat -p --all
program gdb gdb -nx -batch -ex 'info functions main' -ex 'info types a' "$(type -P gdb)"
program node node -e 'let m = {}; for (;;) for (let i = 0; i < 1e5; i++)
  m["k" + i % 999] = [i].map(x => JSON.stringify({x: x, m: Object.keys(m).length}).replace(/[0-9]+/g, "y"))'
program clang clang -c $compiled
program cc1 "$(gcc -print-prog-name=cc1)" -quiet $compiled
program java java -XX:+PreserveFramePointer tests/differential/Load.java
program perl perl -e 'for (;;) { $h{rand 997} .= join ",", sort map { s/7/x/r } 1..9; %h = () if keys %h > 900 }'
program bash bash -c 'for (( ; ; )); do x=${x//9/8}$((i++)); [[ $x =~ 8+7 ]] && x=; done'
program go go vet fmt
nginx_loaded
redis_loaded
echo "in all: $total stacks"
[ -z "$failed" ] || echo "failed:$failed"
[ -z "$failed" ]
