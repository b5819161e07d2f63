#!/bin/sh
# errors.sh -- each sentence of errors.def is one that the compiler says, and the frontend says none without a code
set -u
said=$(mktemp)
listed=$(mktemp)
trap 'rm -f "$said" "$listed"' EXIT
# Formats of diag_error, whose place may hold a name in quotes: val(loss, "axis")->loc.
formats() {
	grep -oE 'diag_error\(([^"]|"[a-z_]*"\))*"([^"\\]|\\.)*"' | sed -E 's/^.*[^\\]"([^"])/\1/; s/"$//'
}
# shellcheck disable=SC2046 # file names without blanks
cat $(ls ./*.c ir/*.c frontend/*.c passes/*.c codegen/*.c) | tr -d '\n' | sed 's/"[[:space:]]*"//g' |
	formats | sort -u >"$said"
tr -d '\n' <ir/errors.def | sed 's/"[[:space:]]*"//g' | grep -oE 'SAYS\("([^"\\]|\\.)*"' | sed -E 's/^SAYS\("//; s/"$//' | sort >"$listed"
found=$(
	uniq -d "$listed" | sed 's/^/listed twice: /'
	grep -vxFf "$said" "$listed" | sed 's/^/nothing says: /'
	cat frontend/*.c | tr -d '\n' | sed 's/"[[:space:]]*"//g' | formats | sort -u |
		grep -vE '^(%s|%s: %s|cannot write.*|out of memory)$' |
		grep -vxFf "$listed" | sed 's/^/without a code in ir\/errors.def: /'
)
[ -z "$found" ] || printf '%s\n' "$found"
[ -z "$found" ]
