#!/bin/sh
# Installs the Debian/Ubuntu packages that htrace's own targets need, naming them first. Does
# nothing, without network, when all are there. Knows nothing of how htrace is built.
#
#   setup.sh [--check] LIST...     LIST: build, check, bench, fuzz
#
# --check installs nothing: it names what is missing and fails. HTRACE_NO_SETUP=1 skips everything
# (other distributions: install the same things by hand).
set -eu

# One word a package. a|b: either will do, the first that exists is installed. a? : only where it
# exists.
packages_build='gcc libc6-dev linux-libc-dev clang meson ninja-build pkg-config python3
	libbpf-dev libelf-dev libdw-dev libiberty-dev libjansson-dev libedit-dev libcmocka-dev zlib1g-dev
	libdebuginfod1|libdebuginfod1t64 libdeflate-dev? libzstd-dev?'
packages_check='g++ binutils dwz clang-format gdb lldb? git nodejs redis-server redis-tools nginx apache2-utils strace
	tmux golang-go musl-tools libc6-dbg libcap2-bin util-linux util-linux-extra? lsof procps bash'
packages_bench='strace valgrind nginx apache2-utils binutils llvm-14|llvm openjdk-17-dbg? libunwind-dev gdb git
	nodejs'
packages_fuzz='clang libclang-rt-dev?'

fail() {
	echo "setup: $*" >&2
	exit 1
}

is_installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

exists() { # in the archive's lists; without lists nothing does
	apt-cache show --no-all-versions "$1" >/dev/null 2>&1
}

have_lists() {
	exists base-files && [ -n "$(apt-cache madison base-files 2>/dev/null)" ]
}

# Prints the words of "$@" that are not installed.
missing_of() {
	for word in "$@"; do
		optional=
		case $word in
		*\?) optional=1 word=${word%\?} ;;
		esac
		found=
		for name in $(echo "$word" | tr '|' ' '); do
			if is_installed "$name"; then
				found=1
				break
			fi
		done
		[ -n "$found" ] && continue
		[ -n "$optional" ] && have_lists && ! exists "$word" && continue
		echo "$word${optional:+?}"
	done
}

# Prints one installable name for each word.
choose_of() {
	for word in "$@"; do
		case $word in
		*\?)
			exists "${word%\?}" && echo "${word%\?}"
			continue
			;;
		esac
		chosen=
		for name in $(echo "$word" | tr '|' ' '); do
			if exists "$name"; then
				chosen=$name
				break
			fi
		done
		echo "${chosen:-${word%%|*}}" # unknown: apt-get says so by name
	done
}

# redis and nginx start servers when they are installed: not here.
policy=/usr/sbin/policy-rc.d
policy_made=
services_hold() {
	[ -e $policy ] && return
	$root_do sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
	policy_made=1
}
services_release() {
	if [ -n "$policy_made" ]; then
		$root_do rm -f $policy
		policy_made=
	fi
}

check_only=
words=
for argument in "$@"; do
	case $argument in
	--check) check_only=1 ;;
	build) words="$words $packages_build" ;;
	check) words="$words $packages_check" ;;
	bench) words="$words $packages_bench" ;;
	fuzz) words="$words $packages_fuzz" ;;
	*) fail "unknown list: $argument (known: build, check, bench, fuzz)" ;;
	esac
done
[ "${HTRACE_NO_SETUP:-}" = 1 ] && exit 0

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
	fail "this is neither Debian nor Ubuntu. Install what these packages hold, then set" \
		"HTRACE_NO_SETUP=1:" $words
fi

set -f # no word is a file pattern
missing=$(missing_of $(printf '%s\n' $words | sort -u))
[ -z "$missing" ] && exit 0
echo "setup: missing packages:" $missing
[ -n "$check_only" ] && fail "'make setup' installs them"

root_do=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 ||
		fail "not root, and there is no sudo. As root: apt-get install" $missing
	root_do=sudo
	echo "setup: installing them with sudo"
fi

# The lists are fetched at most once, and only now that something is missing.
$root_do apt-get update -q || fail "apt-get update failed: is there a network?"
chosen=$(choose_of $missing)
[ -z "$chosen" ] && exit 0
trap services_release EXIT
trap 'exit 130' INT TERM
services_hold
$root_do env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $chosen ||
	fail "apt-get could not install:" $chosen
