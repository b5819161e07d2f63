#!/bin/sh
# convs.sh -- single convolutions beside oneDNN: forward, data gradient, weight gradient, one core
#
# usage: tests/bench/convs.sh [REGEX]         times the shapes whose line below matches; one line each, to the end of $OUT too
#        tests/bench/convs.sh --table FILE…   Markdown table and geometric means of such lines; of equal ones the last counts
# BATCH=4 (samples), OPS="conv2d conv2d_dx conv2d_dw", BUILD=build, CORE=0. DNNL: folders that hold libdnnl, separated by
# blanks; against each the shape is timed again, and the better library counts. Speed: oneDNN's median time over cnnc's.
set -eu
cd "$(dirname "$0")/../.."
batch=${BATCH:-4}
out=${OUT:-/dev/null}

# net, H W C K R S stride pad groups
shapes() {
	cat <<-'END'
		VGG 224 224 3 64 3 3 1 1 1
		VGG 224 224 64 64 3 3 1 1 1
		VGG 112 112 64 128 3 3 1 1 1
		VGG 112 112 128 128 3 3 1 1 1
		VGG 56 56 128 256 3 3 1 1 1
		VGG 56 56 256 256 3 3 1 1 1
		VGG 28 28 256 512 3 3 1 1 1
		VGG 28 28 512 512 3 3 1 1 1
		VGG 14 14 512 512 3 3 1 1 1
		R50 224 224 3 64 7 7 2 3 1
		R50 56 56 64 64 1 1 1 0 1
		R50 56 56 64 64 3 3 1 1 1
		R50 56 56 64 256 1 1 1 0 1
		R50 56 56 256 64 1 1 1 0 1
		R50 56 56 128 128 3 3 2 1 1
		R50 28 28 128 128 3 3 1 1 1
		R50 56 56 256 512 1 1 2 0 1
		R50 14 14 256 256 3 3 1 1 1
		R50 14 14 256 1024 1 1 1 0 1
		R50 7 7 512 512 3 3 1 1 1
		R50 7 7 2048 512 1 1 1 0 1
		MN2 112 112 32 32 3 3 1 1 32
		MN2 112 112 96 96 3 3 2 1 96
		MN2 56 56 144 144 3 3 1 1 144
		MN2 14 14 576 576 3 3 1 1 576
		MN2 112 112 16 96 1 1 1 0 1
		MN2 56 56 144 24 1 1 1 0 1
		MN2 7 7 160 960 1 1 1 0 1
		demo 64 64 3 32 3 3 1 0 1
		demo 31 31 32 64 3 3 1 0 1
		demo 14 14 64 128 3 3 1 0 1
		odd 29 29 32 48 3 3 2 1 1
		odd 27 27 64 192 5 5 1 2 1
		odd 35 35 96 96 3 3 1 1 4
		LeNet 32 32 1 6 5 5 1 0 1
		LeNet 14 14 6 16 5 5 1 0 1
	END
}

words() { # OP H W C K R S stride pad groups
	oh=$((($2 + 2 * $9 - $6) / $8 + 1))
	ow=$((($3 + 2 * $9 - $7) / $8 + 1))
	x=${batch}x$2x$3x$4
	y=${batch}x${oh}x${ow}x$5
	w=$6x$7x$(($4 / ${10}))x$5
	case $1 in
	conv2d) echo "x=$x w=$w" ;;
	conv2d_dx) echo "dy=$y w=$w out=$x" ;;
	conv2d_dw) echo "x=$x dy=$y out=$w" ;;
	esac
	echo "stride=$8 pad=$9 groups=${10}"
}

# "cnnc_ms cnnc_gflops peak_share oneDNN_ms version difference" of the bench's JSON
from_json() {
	tr -d '\n' | tr '{}' '\n\n' | awk -F '"' '
	function value(key,    s) {
		s = $0
		if (!sub(".*\"" key "\": *\"?", "", s))
			return ""
		sub("[\", ].*", "", s)
		return s
	}
	/"name": "cnnc"/ { ours = value("median_ms") " " value("gflops") " " value("peak_share") }
	/"name": "oneDNN/ { peer = value("median_ms"); version = value("name"); off = value("difference"); sub(/.* /, "", version) }
	END { print ours, peer ? peer : 0, version ? version : "-", off ? off : 0 }'
}

measure() { # OP, folder of libdnnl, line of the list
	op=$1 lib=$2
	shift 2
	line=$*
	shift
	# shellcheck disable=SC2046
	figures=$(LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} taskset -c "${CORE:-0}" "${BUILD:-build}/bin/cnnc" bench \
		--op "$op" $(words "$op" "$@") --threads 1 --json | from_json)
	echo "$op $batch $line $figures" | tee -a "$out"
}

table() {
	cat "$@" | awk '
	{ # op batch net H W C K R S stride pad groups ms gflops share oneDNN version difference
		shape = $3
		for (i = 4; i <= 12; i++)
			shape = shape " " $i
		speed = $13 > 0 ? $16 / $13 : 0
		if (!(shape in known)) { known[shape] = 1; order[++n] = shape; kind[shape] = $12 > 1 && $12 == $6 ? "dw" : $6 <= 4 ? "stem" : "" }
		if (!((shape, $1, $17) in at)) versions[shape, $1] = versions[shape, $1] " " $17
		at[shape, $1, $17] = speed
		ms[shape, $1] = $13
		share[shape, $1] = $15
		if ($18 > 1e-3) { print "results differ: " $0; bad = 1 }
	}
	function cell(shape, op,    v, i, m, low) {
		m = split(versions[shape, op], v, " ")
		low = 0
		for (i = 1; i <= m; i++)
			if (!low || at[shape, op, v[i]] < low) low = at[shape, op, v[i]]
		if (!m || !low) return "| |"
		sum[op] += log(low); count[op]++
		if (low < .85) under[op]++
		if (kind[shape] != "") { ksum[op, kind[shape]] += log(low); kcount[op, kind[shape]]++ }
		return sprintf("| %.3f (%.0f %%) | %.2f ", ms[shape, op], 100 * share[shape, op], low)
	}
	END {
		print "| convolution | forward ms (peak) | speed | data gradient ms (peak) | speed | weight gradient ms (peak) | speed |"
		print "|---|---|---|---|---|---|---|"
		nops = split("conv2d conv2d_dx conv2d_dw", op, " ")
		for (i = 1; i <= n; i++) {
			split(order[i], f, " ")
			row = sprintf("| %s %d→%d, %dx%d, %dx%d%s%s ", f[1], f[4], f[5], f[2], f[3], f[6], f[7],
			              f[8] > 1 ? " stride " f[8] : "", f[10] > 1 ? ", " f[10] " groups" : "")
			for (j = 1; j <= nops; j++)
				row = row cell(order[i], op[j])
			print row "|"
		}
		split("all stem dw", which, " ")
		for (k = 1; k <= 3; k++) {
			row = "| geometric mean, " (k == 1 ? "all" : k == 2 ? "3 channels or fewer" : "depthwise") " "
			for (j = 1; j <= nops; j++) {
				s = k == 1 ? sum[op[j]] : ksum[op[j], which[k]]
				c = k == 1 ? count[op[j]] : kcount[op[j], which[k]]
				row = row (c ? sprintf("| %s | %.2f ", k == 1 ? (under[op[j]] + 0) " below 0.85" : "", exp(s / c)) : "| | ")
			}
			print row "|"
		}
		exit bad
	}'
}

if [ "${1:-}" = --table ]; then
	shift
	table "$@"
	exit
fi
shapes | grep -E "${1:-.}" | while read -r line; do
	for op in ${OPS:-conv2d conv2d_dx conv2d_dw}; do
		for lib in ${DNNL:-/nowhere}; do
			# shellcheck disable=SC2086
			measure "$op" "$lib" $line </dev/null
		done
	done
done
