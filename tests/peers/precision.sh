#!/bin/sh
# precision.sh -- mixed_bfloat16 beside float32 on Fashion-MNIST: test accuracy after the same epochs, seed by seed
#
# usage: tests/peers/precision.sh [BUILD] [WORK] [EPOCHS] [SEEDS]; the Debian package dataset-fashion-mnist holds the pictures.
# Both train examples/fashion-mnist/fashion.yaml at one learning rate, without its callbacks, which would change the rate at other
# epochs. Printed are the means of the last epoch and the accuracy on the 10,000 test pictures after it, from results.csv.
# THREADS=N for another number of threads than one.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-build} work=${2:-build/precision} epochs=${3:-5} seeds=${4:-3}
cnnc=$(cd "$build" && pwd)/bin/cnnc
mkdir -p "$work"
cd "$work"
sed -e '/callbacks:/,$d' -e 's/optimizer: adam/optimizer: {adam: {learning_rate: 0.0005}}/' \
	"${MODEL:-$top/examples/fashion-mnist/fashion.yaml}" >model.yaml
for precision in float32 mixed_bfloat16; do
	"$cnnc" model.yaml -D build.precision=$precision -D name=$precision -o $precision >/dev/null
done
for seed in $(seq "$seeds"); do
	for precision in float32 mixed_bfloat16; do
		./$precision-train train.seed="$seed" epochs="$epochs" threads="${THREADS:-1}" >/dev/null 2>&1
		run=$(ls runs/$precision | sort -n | tail -n 1)
		awk -F, -v what="$precision seed $seed" '
			NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
			END { printf "%-24s %d epochs, %5.0f s, loss %.4f, test loss %.4f, test accuracy %.4f\n", what, NR - 1,
			      $column["time_s"], $column["loss"], $column["val_loss"], $column["val_accuracy"] }' \
			"runs/$precision/$run/results.csv"
	done
done
