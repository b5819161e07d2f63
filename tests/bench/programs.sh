#!/bin/sh
# programs.sh -- the produced programs as a user meets them: compile time, sizes, first prediction, memory, folder training
#
# usage: tests/bench/programs.sh     after ./demo.sh, whose pictures it uses (DATA=… for others); prints a Markdown table
set -eu
cd "$(dirname "$0")/../.."
top=$PWD
build=${BUILD:-$top/build}
data=$(cd "${DATA:-build/demo/data}" && pwd)
measure=$build/tests/measure
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# 4,000 pictures of the demo, and the reference model without validation.
for class in t-shirt shirt; do
	mkdir -p "$work/data/train/$class"
	ls "$data/train/$class" | head -n 2000 | while read -r file; do
		ln -s "$data/train/$class/$file" "$work/data/train/$class/$file"
	done
done
cd "$work"
grep -vE '^  (validation|validation_steps):' "$top/examples/classifier/classifier.yaml" >classifier.yaml
row() { echo "| $1 | $2 | $3 |"; }
echo "| what | measured | bound |"
echo "|---|---|---|"
compile() { # CPUS
	taskset -c "$1" "$measure" 5 "$build/bin/cnnc" classifier.yaml -o classifier 2>/dev/null | awk '{ print $1 " / " $2 }'
}
row "compile on one core, min / median ms" "$(compile 0)" 700
row "compile on two cores, min / median ms" "$(compile 0,1)" 400
row "classifier without weights, bytes" "$(wc -c <classifier)" 2000000
row "classifier-train, bytes" "$(wc -c <classifier-train)" ""
row "trainer's peak memory, 4,000 pictures cached, MB" \
	"$("$measure" 1 ./classifier-train epochs=2 threads=2 2>/dev/null | awk '{ print $3 }')" 100
picture=$(ls "$data"/test/shirt/* | head -n 1)
row "exec to end of one prediction, min / median ms" "$("$measure" 30 ./classifier "$picture" | awk '{ print $1 " / " $2 }')" 15
row "predictor's peak memory, MB" "$("$measure" 1 ./classifier "$picture" | awk '{ print $3 }')" ""
for threads in 1 2; do
	list=0
	[ $threads = 1 ] || list=0,1
	rm -rf runs
	taskset -c $list ./classifier-train epochs=6 steps_per_epoch=125 threads=$threads >/dev/null 2>&1
	step=$(awk -F , 'NR > 2 { d = ($3 - t) / ($2 - s) * 1e3; if (!low || d < low) low = d } { t = $3; s = $2 } END { printf "%.2f", low }' \
		runs/classifier/1/results.csv)
	memory=$(taskset -c $list "$build/bin/cnnc" bench classifier.yaml --threads $threads --json | tr -d ' \n' |
		sed -n 's/.*"train_step":{\([^}]*\)}.*/\1/p' | tr ',' '\n' | sed -n 's/"min_ms"://p')
	row "folder training on $threads core(s), augmented, best epoch from the second on, ms a step (same step on data in memory)" \
		"$step ($memory)" "1.15 x"
done
