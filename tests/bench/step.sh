#!/bin/sh
# step.sh -- the reference model's training step and prediction beside TensorFlow, in turns, on one core and two
#
# usage: tests/bench/step.sh [ROUNDS]     prints a Markdown table of min / median ms; ROUNDS (4) turns of cnnc, TensorFlow
# Needs a build in ./build (BUILD=… for another) and tests/peers (PYTHON=… for a Python with TensorFlow); pins with taskset.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
rounds=${1:-4}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# "min median" of a key of the bench's JSON.
from_json() { # KEY
	tr -d ' \n' | sed -n "s/.*\"$1\":{\([^}]*\)}.*/\1/p" | tr ',' '\n' |
		awk -F : '/"min_ms"/ { min = $2 } /"median_ms"/ { median = $2 } END { print min, median }'
}

for cores in 1 2; do
	list=0
	[ $cores = 1 ] || list=0,1
	i=0
	while [ $i -lt "$rounds" ]; do
		i=$((i + 1))
		json=$(taskset -c $list "$build/bin/cnnc" bench examples/classifier/classifier.yaml --threads $cores --json)
		for key in train_step predict_batch predict_1; do
			echo "$cores $key cnnc $(echo "$json" | from_json $key)" >>"$out"
		done
		taskset -c $list tests/peers/run.sh tf_step.py $cores 3 2>/dev/null |
			sed -n "s/^\(train_step\|predict_[a-z0-9]*\) /$cores \1 tensorflow /p" >>"$out"
	done
done
echo "| cores | what | cnnc min / median ms | TensorFlow min / median ms | ratio of minima |"
echo "|---|---|---|---|---|"
sort -s -k 1,2 "$out" | awk '
	{
		key = $1 " | " $2
		if (!(key in seen)) { seen[key] = 1; order[++n] = key }
		if (!((key, $3) in low) || $4 < low[key, $3]) low[key, $3] = $4
		if (!((key, $3) in mid) || $5 < mid[key, $3]) mid[key, $3] = $5
	}
	END {
		for (i = 1; i <= n; i++) {
			k = order[i]
			printf "| %s | %.2f / %.2f | %.2f / %.2f | %.2f |\n", k, low[k, "cnnc"], mid[k, "cnnc"],
				low[k, "tensorflow"], mid[k, "tensorflow"], low[k, "cnnc"] / low[k, "tensorflow"]
		}
	}'
