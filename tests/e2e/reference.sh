#!/bin/sh
# reference.sh -- what is generated from the tables: manual pages, completions, the HTML page; and fmt on every model file here
set -u
cnnc=${BUILD:-build}/bin/cnnc
case $cnnc in /*) ;; *) cnnc=$PWD/$cnnc ;; esac
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
fail() {
	echo "FAIL $*"
	bad=1
}

for page in man man-model; do
	"$cnnc" help $page >"$work/page" || fail "cnnc help $page"
	if command -v groff >/dev/null; then
		warnings=$(groff -k -man -ww -z "$work/page" 2>&1)
		[ -z "$warnings" ] || fail "groff on $page: $warnings"
	fi
done
grep -q '^.SH OPTIONS' "$work/page" && fail "options stand in the wrong page"

"$cnnc" help html >"$work/page.html" || fail "cnnc help html"
grep -Eq 'src=|https?://[^<]*\.(js|css)' "$work/page.html" && fail "the page needs other files"
for place in 'id="Conv2D' 'id="E0201' 'href="#'; do
	grep -qF "$place" "$work/page.html" || fail "no $place in the page"
done

# A completion is asked as its shell would.
if command -v bash >/dev/null; then
	"$cnnc" help bash >"$work/bash"
	PATH=$(dirname "$cnnc"):$PATH bash -c 'cd "$2" && . "$1"
		ask() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cnnc; echo "${COMPREPLY[*]}"; }
		ask cnnc do; ask cnnc --emit = cu; ask cnnc --cpu = port; ask cnnc --dump = autod' - "$work/bash" / >"$work/answers"
	[ "$(cat "$work/answers")" = "doctor
cuda
portable
autodiff" ] || fail "bash: $(cat "$work/answers")"
fi
for shell in zsh fish; do
	"$cnnc" help $shell >"$work/$shell" || fail "cnnc help $shell"
	! command -v $shell >/dev/null || $shell -n "$work/$shell" || fail "$shell does not read its completion"
done

"$cnnc" explain e0201 | grep -q '^E0201: ' || fail "explain e0201"
"$cnnc" explain E9999 2>/dev/null && fail "explain E9999 is no error"

# Laying out what is laid out changes nothing; what cannot be parsed stays as it is.
for model in "$top"/examples/*/*.yaml "$top"/tests/golden/*/*.yaml; do
	"$cnnc" fmt "$model" -o "$work/once.yaml" 2>/dev/null || continue
	"$cnnc" fmt "$work/once.yaml" -o - >"$work/twice.yaml" && cmp -s "$work/once.yaml" "$work/twice.yaml" || fail "fmt twice: $model"
done
for model in "$top"/examples/*/*.yaml; do
	"$cnnc" fmt "$model" -o - | cmp -s - "$model" || fail "$model is not laid out: cnnc fmt"
done
printf 'cnnc: 1\nmodel: {input_shape: [4\n' >"$work/broken.yaml"
cp "$work/broken.yaml" "$work/before.yaml"
"$cnnc" fmt "$work/broken.yaml" 2>/dev/null && fail "fmt of a broken file"
cmp -s "$work/broken.yaml" "$work/before.yaml" || fail "fmt touched a broken file"
exit $bad
