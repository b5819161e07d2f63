#!/bin/sh
# run.sh -- golden tests: the file name is the test
#
# tests/golden/FOLDER/NAME.STOP.want is what must come out for NAME.yaml (or NAME.ir) beside it. STOP is
#   a pass, or "import"   the IR after it: cnnc --stop-after=STOP
#   err                   must fail, and stderr is compared
#   fmt                   `cnnc fmt NAME.yaml -o -`: stdout is compared
#   check                 `cnnc check NAME.yaml`: stdout is compared
#   cuda                  cnnc --emit=cuda: the code for GPUs, which needs nothing of NVIDIA's
# BLESS=1 rewrites the expectations: review them as code. Paths are relative to the file's folder, so output has no machine in it.
set -u
cnnc=${1:-${BUILD:-build}/bin/cnnc}
case $cnnc in /*) ;; *) cnnc=$PWD/$cnnc ;; esac
[ -x "$cnnc" ] || { echo "no compiler at $cnnc"; exit 77; }
got=$(mktemp)
count=$(mktemp)
trap 'rm -f "$got" "$count"' EXIT
cd "$(dirname "$0")" || exit 1

for want in */*.want; do
	[ -e "$want" ] || continue
	base=${want%.want}
	stop=${base##*.}
	base=${base%.*}
	in=$base.yaml
	[ -f "$in" ] || in=$base.ir
	case $stop in
	err) (cd "$(dirname "$in")" && "$cnnc" "$(basename "$in")" -o /dev/null) 2>"$got" >/dev/null && echo "exit status 0" >>"$got" ;;
	fmt) (cd "$(dirname "$in")" && "$cnnc" fmt "$(basename "$in")" -o -) >"$got" 2>&1 || echo "exit status $?" >>"$got" ;;
	check) (cd "$(dirname "$in")" && "$cnnc" check "$(basename "$in")") >"$got" 2>&1 || echo "exit status $?" >>"$got" ;;
	cuda) (cd "$(dirname "$in")" && CNNC_NVRTC=/nowhere "$cnnc" --emit=cuda "$(basename "$in")" -o -) >"$got" 2>&1 ||
		echo "exit status $?" >>"$got" ;;
	*) (cd "$(dirname "$in")" && "$cnnc" --stop-after="$stop" --cpu=x86-64-v3 "$(basename "$in")" -o -) >"$got" 2>&1 ||
		echo "exit status $?" >>"$got" ;;
	esac
	echo . >>"$count"
	if [ -n "${BLESS:-}" ]; then
		cp "$got" "$want"
	elif ! diff -u "$want" "$got"; then
		echo "FAIL $want"
		echo FAIL >>"$count"
	fi
done
echo "$(grep -c '^\.' "$count") golden tests, $(grep -c FAIL "$count") failed"
! grep -q FAIL "$count"
