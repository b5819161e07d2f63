#!/bin/sh
# bench_op.sh -- `cnnc bench --op`: single operations timed, refused, and written out for a C program that checks them
. tests/e2e/setup

# The library beside us leaves threads of its own behind, on whose stacks the leak checker of a sanitized build stumbles.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export ASAN_OPTIONS

exits 0 "$cnnc" bench --op conv2d x=2x12x12x16 w=3x3x16x24 stride=1 pad=1 --threads 1
says '^conv2d x f32\[N,12,12,16\] w f32\[3,3,16,24\] -> f32\[N,12,12,24\] \{window 3 3, pad 1 1 1 1\}, N = 2'
says '^cnnc +[0-9.]+ ms +[0-9.]+ GFLOP/s +[0-9]+ % +[0-9.]+ GB/s'
grep -q 'results differ' out && fail "another library computes something else"
exits 0 "$cnnc" bench --op conv2d_dx --shape 2,9,9,8,16,3,3,2,1 --json
says '"op": "conv2d_dx dy f32\[N,5,5,16\] w f32\[3,3,8,16\] -> f32\[N,9,9,8\]'
says '"fma_gflops"'
says '"median_ms"'
grep '"difference"' out | grep -vE ': (0\.0|[0-9.]+e-)' && fail "another library computes something else"
exits 0 "$cnnc" bench --op conv2d --shape 4,16,16,16,32,3,3,1,1 --math=fast --threads 1
says '^  conv2d.products '
grep -q 'results differ' out && fail "fast computes something else"
exits 2 "$cnnc" bench --op relu x=3x4 --math=quick
says "math is exact or fast"
exits 0 "$cnnc" bench --op conv2d_dw x=2x9x9x8 dy=2x9x9x16 out=1x1x8x16 --threads 2
grep -q 'results differ' out && fail "another library computes something else"
exits 0 "$cnnc" bench --op softmax x=16x10 --threads 1
says '^cnnc +[0-9.]+ ms +[0-9.]+ GB/s'

refused() { # REGEX WORD…
	sentence=$1
	shift
	exits 2 "$cnnc" bench "$@"
	says "$sentence"
	grep -q 'internal error' err && fail "internal error: $*"
}
refused "did you mean 'conv2d'" --op conv2e x=1x2x3x4
refused '3 channels, kernel wants 4' --op conv2d x=4x4x4x3 w=3x3x4x8
refused 'pad takes 1 to 4 numbers' --op conv2d x=4x4x4x3 w=3x3x3x8 pad=1,2,3
refused 'pad takes' --op conv2d x=4x4x4x3 w=3x3x3x8 pad=99999999999
refused 'a shape is like' --op conv2d x=4x4x4x w=3x3x3x8
refused "no attribute 'z'" --op conv2d x=4x4x4x3 w=3x3x3x8 z=3
refused 'needs 2 operands' --op conv2d x=4x4x4x3
refused 'too large' --op relu x=99999x99999x99999
refused 'does not fit matmul' --op matmul --shape 1,2
refused 'shape needs --op' --shape 1,2,3
refused 'without a model file' model.yaml --op relu x=3x4
exits 2 "$cnnc" model.yaml --emit=header -o x
says 'bench --op'

# Written out: header, object, and a C program that computes the same by five loops.
exits 0 "$cnnc" bench --op conv2d x=3x7x6x5 w=3x3x5x4 stride=2 pad=1 --emit=llvm,asm,obj,header -o ./my-conv
there my-conv.ll my-conv.s my-conv.o my-conv.h
cat >main.c <<'END'
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "my-conv.h"

enum { N = 3, H = 7, W = 6, C = 5, K = 4, R = 3, OH = 4, OW = 3 };
static float x[N * H * W * C], w[R * R * C * K], y[N * OH * OW * K];

static float direct(int n, int i, int j, int k)
{
	float sum = 0;
	for (int r = 0; r < R; r++)
		for (int s = 0; s < R; s++)
			for (int c = 0; c < C; c++) {
				int p = 2 * i + r - 1, q = 2 * j + s - 1;
				if (p >= 0 && p < H && q >= 0 && q < W)
					sum += x[((n * H + p) * W + q) * C + c] * w[((r * R + s) * C + c) * K + k];
			}
	return sum;
}

int main(void)
{
	float worst = 0;
	for (int i = 0; i < N * H * W * C; i++)
		x[i] = (float)(i * 7 % 31) / 31 - 0.5f;
	for (int i = 0; i < R * R * C * K; i++)
		w[i] = (float)(i * 5 % 17) / 17 - 0.5f;
	my_conv(x, w, y, aligned_alloc(64, (my_conv_WORK_BYTES + 63) / 64 * 64));
	for (int n = 0; n < N; n++)
		for (int i = 0; i < OH; i++)
			for (int j = 0; j < OW; j++)
				for (int k = 0; k < K; k++)
					worst = fmaxf(worst, fabsf(direct(n, i, j, k) - y[((n * OH + i) * OW + j) * K + k]));
	printf("worst %g, flops %g\n", worst, my_conv_FLOPS);
	return worst > 1e-5f;
}
END
exits 0 cc -std=c11 -O1 main.c my-conv.o -lm -o main
exits 0 ./main
says 'worst .*e-0[5-9]|worst 0'
exits 0 "$cnnc" bench --op dense x=4x20 w=20x6 --emit=asm -o -
says '^dense:'
exit $failed
