#!/bin/sh
# run.sh -- what needs a real GPU: sh tests/gpu/run.sh [PART…], with a driver, NVRTC and a built tree (BUILD, default build)
#
# Each PART takes less than ten minutes; without one all run, one after the other. Every result is a line of JSON, on stdout and at
# the end of $RESULTS (default build/gpu.jsonl); what cannot be done here is a line with "skipped" and the reason. Exit status: 1
# if something failed, 77 if there is no GPU.
#
#   device       the GPU, its driver and NVRTC
#   ops graphs layers models   agreement with the interpreter in double, each call three times with the same bits
#                FROM=0 TO=8 of the seeds (graphs, models: TO=500 takes minutes)
#   determinism  a training run 20 times and without a graph: the same weights
#   memcheck racecheck initcheck synccheck   a tool of compute-sanitizer over a short training run
#   faults       too little memory, another architecture: one sentence
#   launch       a model with next to nothing in it: from one launch of a graph to the next
#   step         the reference model, a training step of 32 and of 256, by node
#   resnet       ResNet-18 of 64x64, a training step of 128
#   gemm         products of 1024 to 8192 as a Dense layer
#   conv         the convolutions of ResNet-50, forward
#   busy         training from a folder of JPEG files: share of the time in which the GPU computes
#   torch-step torch-resnet torch-gemm torch-conv   the same work in PyTorch: eager, torch.compile, a CUDA graph by hand (cuBLAS, cuDNN)
#
# CUDA_ARCH: the architecture to compile for; default: that of the first GPU. PYTHON: one with PyTorch; default python3.
set -u
parts=${*:-device ops graphs layers models determinism memcheck racecheck initcheck synccheck faults launch step resnet gemm conv busy torch-step torch-resnet torch-gemm torch-conv}
. tests/e2e/setup
results=${RESULTS:-$build/gpu.jsonl}
python=${PYTHON:-python3}
limit=${LIMIT:-540}
case $results in /*) ;; *) results=$source/$results ;; esac

say() { # a line of JSON
	echo "$1"
	echo "$1" >>"$results"
}

skip() { # PART REASON
	say "{\"part\": \"$1\", \"skipped\": \"$2\"}"
}

verdict() { # PART OK|FAILED [MORE]
	say "{\"part\": \"$1\", \"result\": \"$2\"${3:+, $3}}"
	[ "$2" = ok ] || failed=1
}

capability() {
	nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .
}

arch=${CUDA_ARCH:-sm_$(capability)}
[ "$arch" != sm_ ] || arch=sm_$("$cnnc" doctor 2>/dev/null | sed -n 's/.*cuda:0.*sm_\([0-9a-z]*\).*/\1/p' | head -n 1)
if [ "$arch" = sm_ ]; then
	echo "SKIPPED: no GPU here (neither nvidia-smi nor cnnc doctor finds one), nothing of this was tested" >&2
	exit 77
fi
[ "$arch" != sm_90 ] || arch=sm_90a

# The wheel of PyTorch, or of NVRTC alone, brings the compiler library.
if [ -z "${CNNC_NVRTC:-}" ]; then
	CNNC_NVRTC=$("$python" -c 'import glob, site, sys
for d in site.getsitepackages() + [site.getusersitepackages()]:
    for f in sorted(glob.glob(d + "/nvidia/*/lib/libnvrtc.so.1[23]"), reverse=True):
        print(f); sys.exit()' 2>/dev/null)
	if [ -n "$CNNC_NVRTC" ]; then export CNNC_NVRTC; else unset CNNC_NVRTC; fi
fi

# ---- agreement ----
agreement() { # PART TEST
	[ -x "$tools/test_$2" ] || { skip "$1" "$tools/test_$2 is not built"; return; }
	if (cd "$source" && TEST_CPU=cuda CUDA_ARCH=$arch CK_DEFAULT_TIMEOUT=$limit timeout "$limit" "$tools/test_$2") >log 2>&1; then
		verdict "$1" ok "\"checks\": \"$(grep -o '[0-9]*%: Checks: [0-9]*' log | head -n 1)\""
	else
		verdict "$1" failed "\"checks\": \"$(grep -o '[0-9]*%: Checks: [0-9]*, Failures: [0-9]*, Errors: [0-9]*' log | head -n 1)\""
		tail -n 20 log >&2
	fi
}

# ---- programs ----
programs() {
	[ -x small-train ] && return 0
	[ -x "$tools/pictures" ] || return 1
	pictures across down
	small_model >small.yaml
	timeout "$limit" "$cnnc" small.yaml -o small --target=cpu,cuda --cuda-arch="$arch" >log 2>&1 && return 0
	tail -n 5 log >&2
	return 1
}

determinism() {
	programs || { verdict determinism failed '"why": "the programs cannot be made"'; return; }
	rm -rf runs
	run=1
	while [ $run -le 21 ]; do
		graph=; [ $run -lt 21 ] || graph=--no-graph
		timeout 120 ./small-train --device=cuda:0 $graph epochs=2 >log 2>&1 || { tail -n 5 log >&2; break; }
		cmp -s runs/small/1/weights/last.safetensors runs/small/$run/weights/last.safetensors || break
		run=$((run + 1))
	done
	[ $run -eq 22 ] && verdict determinism ok '"runs": 21' || verdict determinism failed "\"differs_at_run\": $run"
}

sanitizer() { # TOOL
	command -v compute-sanitizer >/dev/null || { skip "$1" "compute-sanitizer is not installed"; return; }
	programs || { verdict "$1" failed '"why": "the programs cannot be made"'; return; }
	if timeout "$limit" compute-sanitizer --tool "$1" --error-exitcode 9 ./small-train --device=cuda:0 epochs=1 steps_per_epoch=2 >log 2>&1; then
		verdict "$1" ok
	else
		verdict "$1" failed
		tail -n 30 log >&2
	fi
}

faults() {
	programs || { verdict faults failed '"why": "the programs cannot be made"'; return; }
	ok=ok
	CUDA_VISIBLE_DEVICES= ./small data/test --device=cuda:0 >log 2>&1
	[ $? = 8 ] && [ "$(grep -c '^error' log)" = 1 ] || ok=failed
	CUDA_VISIBLE_DEVICES= ./small data/test >log 2>&1 || ok=failed
	grep -q 'computing on the CPU' log || ok=failed
	timeout "$limit" "$cnnc" small.yaml -o other --target=cpu,cuda --cuda-arch=sm_120 >log 2>&1 &&
		{ ./other data/test --device=cuda:0 >log 2>&1; [ $? = 8 ] || [ "$arch" = sm_120 ] || ok=failed; }
	verdict faults $ok
}

# ---- speed: cnnc bench, whose numbers are those of the whole call and of each node ----
bench() { # PART NAME MODEL [OPTION…]
	part=$1 name=$2 model=$3
	shift 3
	if timeout "$limit" "$cnnc" bench "$model" --target=cuda --cuda-arch="$arch" --json "$@" >log 2>err; then
		say "$(tr '\n' ' ' <log | sed "s/^{/{\"part\": \"$part\", \"name\": \"$name\", /")"
	else
		verdict "$part" failed "\"name\": \"$name\""
		tail -n 5 err >&2
	fi
}

dense() { # N PRECISION
	printf 'cnnc: 1\nname: gemm\ndata: {type: npy, batch_size: %s}\nmodel:\n  input_shape: [%s]\n  layers:\n' "$1" "$1"
	printf '    - Dense: {units: %s, use_bias: false}\nbuild: {precision: %s}\n' "$1" "$2"
}

convolution() { # H C K R STRIDE PRECISION
	printf 'cnnc: 1\nname: conv\ndata: {type: npy, batch_size: 64}\nmodel:\n  input_shape: [%s, %s, %s]\n  layers:\n' "$1" "$1" "$2"
	printf '    - Conv2D: {filters: %s, kernel_size: %s, strides: %s, padding: same, use_bias: false}\nbuild: {precision: %s}\n' "$3" "$4" "$5" "$6"
}

launch() {
	printf 'cnnc: 1\nname: nothing\ndata: {type: npy, batch_size: 1}\nmodel:\n  input_shape: [1]\n  layers:\n    - Dense: {units: 1}\n' >nothing.yaml
	bench launch nothing nothing.yaml
}

step() {
	for batch in 32 256; do
		for precision in float32 tf32 mixed_bfloat16; do
			bench step "batch $batch $precision" "$source/examples/classifier/classifier.yaml" -D data.batch_size=$batch \
				-D build.precision=$precision
		done
	done
}

gemm() {
	for n in 1024 2048 4096 8192; do
		dense $n mixed_bfloat16 >gemm.yaml
		bench gemm "bf16 $n" gemm.yaml
	done
}

# height, channels, filters, kernel, stride: each distinct convolution of ResNet-50
conv() {
	for shape in '56 64 64 1 1' '56 64 64 3 1' '56 64 256 1 1' '56 256 64 1 1' '56 256 128 1 1' '56 128 128 3 2' '28 128 512 1 1' \
		'28 512 128 1 1' '28 128 128 3 1' '28 512 256 1 1' '28 256 256 3 2' '14 256 1024 1 1' '14 1024 256 1 1' \
		'14 256 256 3 1' '14 1024 512 1 1' '14 512 512 3 2' '7 512 2048 1 1' '7 2048 512 1 1' '7 512 512 3 1'; do
		# shellcheck disable=SC2086
		convolution $shape mixed_bfloat16 >conv.yaml
		bench conv "bf16 $shape" conv.yaml
	done
}

# While it trains, nvidia-smi is asked ten times a second whether the GPU computes.
busy() {
	command -v nvidia-smi >/dev/null || { skip busy "nvidia-smi is not installed"; return; }
	[ -x "$tools/pictures" ] || { skip busy "$tools/pictures is not built"; return; }
	rm -rf data
	"$tools/pictures" data/train 2000 1 across down && "$tools/pictures" data/test 100 2 across down
	timeout "$limit" "$cnnc" "$source/examples/classifier/classifier.yaml" -o busy --target=cpu,cuda --cuda-arch="$arch" >log 2>&1 ||
		{ verdict busy failed '"why": "the programs cannot be made"'; tail -n 5 log >&2; return; }
	nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits -lms 100 >use 2>/dev/null &
	watcher=$!
	timeout 300 ./busy-train --device=cuda:0 epochs=10 steps_per_epoch=0 >log 2>&1
	code=$?
	kill $watcher 2>/dev/null
	wait $watcher 2>/dev/null
	[ $code = 0 ] || { verdict busy failed; tail -n 5 log >&2; return; }
	say "{\"part\": \"busy\", \"result\": \"ok\", \"cpus\": $(nproc), \"busy_percent\": $(awk '{s += $1; n++} END {print n ? s / n : 0}' use)}"
}

peer() { # PART
	"$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null ||
		{ skip "$1" "no PyTorch that sees the GPU ($python)"; return; }
	timeout "$limit" "$python" "$source/tests/gpu/torch_speed.py" "${1#torch-}" >log 2>err || { verdict "$1" failed; tail -n 5 err >&2; }
	while read -r line; do say "$line"; done <log
}

for part in $parts; do
	case $part in
	device) say "{\"part\": \"device\", \"arch\": \"$arch\", \"gpu\": \"$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1)\", \"nvrtc\": \"${CNNC_NVRTC:-found by itself}\", \"cpus\": $(nproc), \"date\": \"$(date -u +%F)\"}" ;;
	ops) agreement ops ops ;;
	graphs) agreement graphs compiled ;;
	layers) agreement layers layers ;;
	models) agreement models random_models ;;
	determinism) determinism ;;
	memcheck | racecheck | initcheck | synccheck) sanitizer "$part" ;;
	faults) faults ;;
	launch) launch ;;
	step) step ;;
	resnet) bench resnet "batch 128" "$source/tests/bench/models/resnet18.yaml" -D data.batch_size=128 -D build.precision=mixed_bfloat16 ;;
	gemm) gemm ;;
	conv) conv ;;
	busy) busy ;;
	torch-*) peer "$part" ;;
	*) echo "there is no part '$part'" >&2; failed=1 ;;
	esac
done
exit $failed
