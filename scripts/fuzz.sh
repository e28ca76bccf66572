#!/bin/sh
# Fuzzes every parser of foreign bytes with libFuzzer, ASan and UBSan, so long each.
#
#   fuzz.sh [SECONDS [TARGET...]]     60 seconds, all of tests/fuzz/fuzz_TARGET.c
#
# What is found lies in build-fuzz/found/ and fails the run; copied to tests/fuzz/corpus/TARGET/ it
# is a test for ever. The grown corpus stays in build-fuzz/corpus/ for the next run.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -gt 0 ] && shift
folder=build-fuzz
if [ ! -f $folder/build.ninja ]; then
	CC=clang meson setup $folder -Dfuzz=true -Dc_args=-fsanitize=fuzzer-no-link \
		-Db_sanitize=address,undefined -Db_lundef=false
fi
ninja -C $folder fuzzers

if [ $# -eq 0 ]; then
	for source in tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_}
		set -- "$@" "${name%.c}"
	done
fi
failed=
for name in "$@"; do
	mkdir -p $folder/found $folder/corpus/"$name"
	echo "== $name: $seconds s"
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$folder/tests/fuzz/fuzz_"$name" -max_total_time="$seconds" -print_final_stats=1 \
		-timeout=10 -artifact_prefix=$folder/found/"$name"- \
		$folder/corpus/"$name" tests/fuzz/corpus/"$name" >$folder/"$name".log 2>&1 || {
		failed="$failed $name"
		tail -n 40 $folder/"$name".log
	}
	grep -E '^(INFO: Seed|stat::number_of_executed_units)' $folder/"$name".log || true
done
[ -z "$failed" ] || {
	echo "found something:$failed (see $folder/found)" >&2
	exit 1
}
