#!/bin/sh
# run.sh -- what needs a real GPU: sh tests/gpu/run.sh, with a driver, NVRTC and a built tree (BUILD, default build)
#
# agreement    ops, graphs and models against the interpreter in double, each call three times with the same bits
# determinism  a training run 20 times: the same weights
# sanitizer    the four tools of compute-sanitizer over a short training run, where it is installed
# speed        time a step, from the program's own log
# CUDA_ARCH: the architecture to compile for; default: that of the first GPU.
. tests/e2e/setup
arch=${CUDA_ARCH:-sm_$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)}
[ "$arch" != sm_ ] || { echo "SKIPPED: no GPU here (nvidia-smi), nothing of this was tested"; exit 77; }
pictures across down
small_model >small.yaml

for name in ops compiled layers models random_models; do
	echo "== agreement: $name"
	(cd "$source" && TEST_CPU=cuda CUDA_ARCH=$arch CK_DEFAULT_TIMEOUT=600 "$tools/test_$name") || failed=1
done

echo "== determinism"
exits 0 "$cnnc" small.yaml -o small --target=cpu,cuda --cuda-arch="$arch"
run=1
while [ $run -le 20 ]; do
	exits 0 ./small-train --device=cuda:0 epochs=2
	same runs/small/1/weights/last.safetensors runs/small/$run/weights/last.safetensors
	run=$((run + 1))
done
exits 0 ./small-train --device=cuda:0 --no-graph epochs=2
same runs/small/1/weights/last.safetensors runs/small/21/weights/last.safetensors

echo "== sanitizer"
if command -v compute-sanitizer >/dev/null; then
	for tool in memcheck racecheck initcheck synccheck; do
		exits 0 compute-sanitizer --tool $tool --error-exitcode 9 ./small-train --device=cuda:0 epochs=1 steps_per_epoch=2
	done
else
	echo "SKIPPED: compute-sanitizer is not installed"
fi

echo "== speed"
exits 0 ./small-train --device=cuda:0 epochs=4
grep 'step - ' out
exit $failed
