#!/bin/sh
# Fails where clang-format would change a C file. Versions of clang-format differ in detail: only
# the one that the tree is formatted with is asked; with any other it says `skipped` and exits 77.
set -eu
cd "$(dirname "$0")/.."

version_used=14
clang_format=$(command -v clang-format-$version_used || command -v clang-format || true)
version=$([ -n "$clang_format" ] && "$clang_format" --version |
	sed -n 's/.*version \([0-9]*\)\..*/\1/p')
if [ "${version:-none}" != $version_used ]; then
	echo "skipped: clang-format $version_used wanted, found ${version:-none}"
	exit 77
fi
folders=
for folder in src agent tests demo bench; do
	[ -d $folder ] && folders="$folders $folder"
done
if ! complaints=$(find $folders -name '*.[ch]' -print | sort |
	xargs "$clang_format" --dry-run -Werror 2>&1); then
	echo "$complaints" | grep ': error:' | cut -d: -f1 | sort | uniq -c
	echo "format: make format puts these files right"
	exit 1
fi
echo "format: as clang-format wants it"
