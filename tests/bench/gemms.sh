#!/bin/sh
# gemms.sh -- matrix products beside OpenBLAS and oneDNN, where installed: square, skinny, transposed
#
# usage: tests/bench/gemms.sh [THREADS [GROUP…]]     prints Markdown tables, one a GROUP: square skinny transposed; all
# Needs a build in ./build (BUILD=… for another); pins to as many cores as THREADS (1). Each shape is one `cnnc bench --op`: the
# contenders take turns on the same data, medians are compared. Speed: time of the other over ours.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
threads=${1:-1}
[ $# -eq 0 ] || shift
unset OPENBLAS_CORETYPE OPENBLAS_NUM_THREADS
list=0
[ "$threads" = 1 ] || list=0-$((threads - 1))

square() {
	for n in 256 384 512 768 1024 1536 2048; do echo "$n,$n,$n"; done
}

skinny() {
	for m in 1 8 32 128; do
		for nk in 1024,1024 1024,4096 2048,2048 4096,1024; do echo "$m,$nk"; done
	done
}

# Gradients of a dense layer of 2048 to 1024: dx = dy w', dw = x' dy; and square ones.
transposed() {
	for n in 32 256; do
		echo "a=${n}x1024 b=2048x1024 tb=1"
		echo "a=${n}x2048 b=${n}x1024 ta=1"
	done
	echo "a=768x768 b=768x768 tb=1"
	echo "a=768x768 b=768x768 ta=1"
}

# "WORDS|share of peak|ours|name|time|name|time…"
measure() { # WORDS
	case $1 in
	*=*) words=$1 ;;
	*) words="--shape $1" ;;
	esac
	# shellcheck disable=SC2086 # several words
	taskset -c "$list" "$build/bin/cnnc" bench --op matmul $words --threads "$threads" --json | tr -d ' \n' |
		sed 's/.*"times":\[//; s/},{/\n/g' |
		awk -v what="$1" '
			function field(key) {
				if (!match($0, "\"" key "\":\"?[^\",}]*")) return ""
				value = substr($0, RSTART, RLENGTH)
				sub(/^[^:]*:"?/, "", value)
				return value
			}
			NR == 1 { printf "%s|%.0f %%|%s", what, 100 * field("peak_share"), field("median_ms") }
			NR > 1 { printf "|%s|%s", field("name"), field("median_ms") }
			END { print "" }'
}

[ $# -gt 0 ] || set -- square skinny transposed
for group; do
	$group | while read -r words; do measure "$words"; done |
		awk -F '|' -v group="$group" '
			NR == 1 {
				printf "\n| %s | cnnc ms | of peak |", group; line = "|---|---|---|"
				for (i = 4; i < NF; i += 2) { printf " %s ms | speed |", $i; line = line "---|---|" }
				print "\n" line
			}
			{
				printf "| %s | %.4f | %s |", $1, $3, $2
				for (i = 4; i < NF; i += 2) { printf " %.4f | %.2f |", $(i + 1), $(i + 1) / $3; sum[i] += log($(i + 1) / $3) }
				print ""
				last = NF
			}
			END {
				printf "| geomean | | |"
				for (i = 4; i < last; i += 2) printf " | %.2f |", exp(sum[i] / NR)
				print ""
			}'
done
