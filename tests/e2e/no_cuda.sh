#!/bin/sh
# no_cuda.sh -- nothing of NVIDIA's is needed to build or to use cnnc: what works without, and what says why it does not
. tests/e2e/setup
export CNNC_NVRTC=/nowhere
pictures across down
small_model >small.yaml

ldd "$cnnc" | grep -E 'lib(cuda|cudart|nv|cudnn|cublas)[-.0-9a-z]*\.so' && fail "the compiler is linked with a library of CUDA"
grep -rlE '#include <(cuda|nvrtc|cudnn|cublas|mma)' --include='*.[ch]' "$source"/ir "$source"/passes "$source"/codegen "$source"/frontend \
	"$source"/runtime "$source"/*.[ch] "$source"/tests | grep -v '/tests/unit/cuda_abi.c$' && fail "a header of CUDA is included"

# The default is the CPU, and programs for it know of no other device.
exits 0 "$cnnc" small.yaml -o small
grep -qi cuda out && fail "code for GPUs without being asked for"
exits 0 ./small-train epochs=1 steps_per_epoch=2
exits 8 ./small-train --device=cuda:0
says 'compiled for the CPU only'
exits 0 ./small info
grep -q 'GPU memory' out && fail "memory of a GPU in a program that has no code for one"

# The text needs no compiler of NVIDIA's; code does, and says so.
exits 0 "$cnnc" small.yaml --emit=cuda -o -
says '^CNNC_KERNEL\('
exits 2 "$cnnc" small.yaml -o both --target=cpu,cuda
says 'CNNC_NVRTC'
[ ! -e both ] || fail "a program was written nevertheless"
exit $failed
