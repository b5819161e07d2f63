#!/bin/sh
# threads.sh -- the number of threads changes no bit of what is compiled and trained
. tests/e2e/setup
pictures across down
small_model >small.yaml
exits 0 "$cnnc" small.yaml -o small
mkdir again
for threads in 1 2 3; do
	exits 0 "$cnnc" small.yaml --threads $threads -o again/small
	same small again/small
	same small-train again/small-train
done
run=0
for threads in 1 2 3 8; do
	run=$((run + 1))
	exits 0 ./small-train threads=$threads epochs=3
	same runs/small/1/weights/last.safetensors runs/small/$run/weights/last.safetensors
	rows runs/small/$run >rows.$run
	same rows.1 rows.$run
done
# Nor does the cache, nor the number of decoding threads.
exits 0 ./small-train cache=none epochs=3
same runs/small/1/weights/last.safetensors runs/small/5/weights/last.safetensors
exits 0 ./small-train cache=disk workers=3 epochs=3
same runs/small/1/weights/last.safetensors runs/small/6/weights/last.safetensors
exit $failed
