#!/bin/sh
# cuda_mock.sh -- shipped programs on a GPU made of host memory (tests/cuda): same numbers as the CPU, every order of threads,
# every driver call failing once
. tests/e2e/setup
[ -e "$tools/mock/libcuda.so.1" ] || exit 77
mkdir cache
export MOCK_CUDA_SHIM="$source/tests/cuda" CNNC_NVRTC="$tools/mock/libnvrtc.so.1" XDG_CACHE_HOME="$work/cache"
pictures across down
small_model >small.yaml

mock() { # COMMAND…: with the mock driver in place
	LD_LIBRARY_PATH=$tools/mock exits 0 "$@"
}

exits 0 "$cnnc" small.yaml -o small --target=cpu,cuda --cuda-arch=sm_80,sm_90a
says 'cuda sm_80 sm_90a: [0-9]+ kernels'
exits 0 "$cnnc" small.yaml --emit=cuda -o -
grep -qE '#include|atomicAdd' out && fail "the CUDA text includes or adds atomically"

# The same numbers as on the CPU, but for rounding; the same bits in every order of threads, and without a graph.
exits 0 ./small-train --device=cpu epochs=2
rows runs/small/1 >cpu.csv

for order in forward random; do
	SHIM_ORDER=$order mock ./small-train --device=cuda:0 epochs=2
	says 'computing on cuda:0, Mock GPU 0'
done
SHIM_ORDER=reverse mock ./small-train --no-graph epochs=2
for run in 3 4; do
	same runs/small/2/weights/last.safetensors runs/small/$run/weights/last.safetensors
done
rows runs/small/2 >gpu.csv
awk -F , 'NR == FNR {for (i = 1; i <= NF; i++) a[FNR, i] = $i; next}
	FNR > 1 {for (i = 3; i <= NF; i++) {d = $i - a[FNR, i]; if (d < -0.002 || d > 0.002) {print FNR, i, $i, a[FNR, i]; exit 1}}}' \
	cpu.csv gpu.csv || fail "the GPU's numbers are not the CPU's"

# Activations of one run are nothing to the next: NaNs in their place change nothing.
MOCK_CUDA_POISON=1 mock ./small-train --device=cuda:0 epochs=2
same runs/small/2/weights/last.safetensors runs/small/5/weights/last.safetensors

# What each launch takes, by the device's clock; what the programs and the compiler say of memory and time.
mock ./small-train --device=cuda:0 --profile epochs=1 steps_per_epoch=3
says '3 steps of .* on cuda:0, Mock GPU 0'
says 'update.* and [0-9]+ more'
there runs/small/6/profile.json
exits 0 ./small info
says 'GPU memory: [0-9,]+ bytes to predict, [0-9,]+ to train'
mock "$cnnc" bench small.yaml --target=cuda --cuda-arch=sm_80
says '[0-9]+ launches of train_step'
rm -r runs/small/5 runs/small/6

# Resumed on the other device; predicted on both.
mock ./small-train --device=cuda:0 epochs=3 --resume
says 'Resuming'
exits 0 ./small-train --device=cpu epochs=4 --resume
says 'Resuming'
mock ./small data/test --json
cp out gpu.json
exits 0 ./small data/test --json --device=cpu
cut -d , -f 1-3 gpu.json >gpu.labels
cut -d , -f 1-3 out >cpu.labels
same gpu.labels cpu.labels

# Where there is nothing to run on: auto takes the CPU and says why, a named device is an error.
exits 0 ./small data/test/down
says 'computing on the CPU: there is no NVIDIA driver here'
exits 8 ./small-train --device=cuda:0
export LD_LIBRARY_PATH="$tools/mock"
exits 8 ./small-train --device=cuda:1
says 'there is no cuda:1, the last GPU here is cuda:0'
MOCK_CUDA_ARCH=75 exits 8 ./small-train --device=cuda:0
says 'sm_75, and the program has code for sm_80 sm_90a'
MOCK_CUDA_VERSION=11040 exits 8 ./small-train --device=cuda:0
says 'for CUDA 11.4; 12.0 or newer is needed'
MOCK_CUDA_MEMORY=100000 exits 3 ./small-train --device=cuda:0
says 'has 100000 bytes of memory free, and the model needs [0-9]+'
MOCK_CUDA_DEVICES=0 exits 0 ./small data/test/down
says 'computing on the CPU: the NVIDIA driver finds no GPU'

exits 2 "$cnnc" bench small.yaml --target=cuda --cuda-arch=sm_90a
says 'sm_80, and the program has code for sm_90a'

# Each driver call fails once: one sentence, and a run that can be gone on with. MOCK_CUDA_CALLS: how many there are.
MOCK_CUDA_CALLS=calls exits 0 ./small-train --device=cuda:0 epochs=1 steps_per_epoch=2 validation_steps=1
calls=$(cat calls)
[ "$calls" -gt 50 ] || fail "only $calls driver calls"
n=1
while [ $n -le "$calls" ]; do
	# what a failing call was to free stays: no look for leaks
	ASAN_OPTIONS=detect_leaks=0 MOCK_CUDA_FAIL=$n \
		./small-train --device=cuda:0 epochs=1 steps_per_epoch=2 validation_steps=1 >out 2>err
	code=$?
	case $code in
	8) [ "$(grep -c '^error: ' err)" = 1 ] || fail "call $n: not one sentence" ;;
	0) ;;
	*) fail "call $n failed: exit status $code" && tail -n 5 err ;;
	esac
	n=$((n + (n < 20 ? 1 : calls / 16)))
done
exits 0 ./small-train --device=cpu epochs=1 steps_per_epoch=2 validation_steps=1
exit $failed
