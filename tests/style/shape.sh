#!/bin/sh
# shape.sh -- sizes and names: files <= 900 lines, functions <= 120 lines and one in ten above 60,
# file names unique, no names that say nothing
set -u
files=$(ls ./*.[ch] ir/*.[ch] frontend/*.[ch] passes/*.[ch] codegen/*.[ch] runtime/*.[ch] tests/*/*.[ch] 2>/dev/null)
found=$(
	for f in $files; do
		lines=$(wc -l <"$f")
		[ "$lines" -le 900 ] || echo "$f: $lines lines, 900 allowed"
		head -n 1 "$f" | grep -qE "^/\* $(basename "$f") -- " || echo "$f: the first line is not /* $(basename "$f") -- purpose"
	done
	# A test may have the name of what it tests.
	for f in $files; do echo "$f"; done | grep -v '^tests/' | sed 's|.*/||' | sort | uniq -d | sed 's/^/two files are called /'
	for f in $files; do echo "$f"; done | grep '^tests/' | sed 's|.*/||' | sort | uniq -d | sed 's/^/two tests are called /'
	for f in $files; do echo "$f"; done | grep -E '/(utils?|common|misc|helpers?)\.[ch]$' | sed 's/$/: a name that says nothing/'
	if command -v ctags >/dev/null && ctags --version | grep -q Universal; then
		ctags -f - --languages=C --kinds-C=f --fields=+ne $files | awk -F '\t' '
			{
				start = end = 0
				for (i = 4; i <= NF; i++) {
					if ($i ~ /^line:/) start = substr($i, 6)
					if ($i ~ /^end:/) end = substr($i, 5)
				}
				lines = end - start + 1
				if (lines > 120) print $2 ": function " $1 " has " lines " lines, 120 allowed"
				count++
				long += lines > 60
			}
			END { if (long * 10 > count) print long " of " count " functions have more than 60 lines, one in ten allowed" }'
	else
		echo "shape.sh: universal-ctags is not installed: function lengths are not checked" >&2
	fi
)
[ -z "$found" ] || printf '%s\n' "$found"
[ -z "$found" ]
