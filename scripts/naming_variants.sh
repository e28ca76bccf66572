#!/bin/sh
# Builds htrace's own sources, and a C++ program, in many ways that differ in how the debug
# information is written, and prints the files: food for naming_differential.py.
#
#   naming_variants.sh FOLDER [JOBS]
set -eu
folder=$(realpath -m "$1")
jobs=${2:-2}
cd "$(dirname "$0")/.."
mkdir -p "$folder"

# name, compiler, flags
variants='gcc4 gcc -gdwarf-4
gcc5 gcc -gdwarf-5
gcc1 gcc -g1
gccO0 gcc -gdwarf-5 -O0
gccO3 gcc -gdwarf-5 -O3
gccz gcc -g -gz
gcczgnu gcc -g -gz=zlib-gnu
gcclto gcc -g -flto
gccsplit gcc -gdwarf-5 -gsplit-dwarf
gccsplit4 gcc -gdwarf-4 -gsplit-dwarf
gcctypes gcc -gdwarf-4 -fdebug-types-section
gccsections gcc -g -ffunction-sections -Wl,--gc-sections
gcc64 gcc -gdwarf64 -gdwarf-5
clang4 clang -gdwarf-4
clang5 clang -gdwarf-5
clang1 clang -g1
clangO0 clang -g -O0
clangz clang -g -gz
clangsplit clang -gdwarf-5 -gsplit-dwarf
clangaranges clang -g -gdwarf-aranges'

sources=$(ls src/base/*.c src/event/*.c src/stack/*.c src/os/*.c src/model/*.c src/unwind/*.c \
	src/trace/*.c src/symbol/*.c)

build() { # NAME COMPILER FLAGS...
	name=$1 compiler=$2
	shift 2
	out=$folder/$name
	command -v "$compiler" >/dev/null 2>&1 || return 0
	mkdir -p "$out"
	echo "$sources" | xargs -P "$jobs" -I{} sh -c '
		object=$1/$(echo "$2" | tr / _).o; source=$2; compiler=$3; shift 3
		exec $compiler -c -std=gnu17 -D_GNU_SOURCE -fPIC -Isrc -O2 "$@" -o "$object" "$source"' \
		- "$out" {} "$compiler" "$@"
	$compiler -shared -O2 "$@" -o "$folder/$name.so" "$out"/*.o
	echo "$folder/$name.so"
	compiler=$(echo "$compiler" | sed 's/gcc/g++/; s/clang/clang++/')
	"$compiler" -std=gnu++17 -O2 "$@" -o "$folder/$name.cpp" tests/unit/symbols/sym_cpp.cpp
	echo "$folder/$name.cpp"
}

echo "$variants" | while read -r line; do
	build $line </dev/null
done

# Parts that files have in common are moved to a third one.
if command -v dwz >/dev/null 2>&1; then
	for version in 4 5; do
		cp "$folder/gcc$version.cpp" "$folder/dwz$version.cpp"
		cp "$folder/gcc$version.cpp" "$folder/dwz$version-copy.cpp"
		(cd "$folder" && dwz -m "dwz$version.debug" "dwz$version.cpp" "dwz$version-copy.cpp") >&2
		echo "$folder/dwz$version.cpp"
	done
fi
