#!/bin/sh
# run.sh -- fuzzes the ONNX importer with libFuzzer: ir/ and frontend/ built by clang under ASan and UBSan, seeded with node tests
#
# usage: tests/fuzz/run.sh [SECONDS]     default 60; needs clang and libonnx-testdata; findings are left in build/fuzz
set -eu
cd "$(dirname "$0")/../.."
out=build/fuzz
mkdir -p $out/corpus $out/onnx
protoc-c -I/usr/include/onnx --c_out=$out/onnx /usr/include/onnx/onnx.proto
[ -n "$(ls $out/corpus)" ] || for model in /usr/share/libonnx-testdata/data/node/*/model.onnx; do
	cp "$model" "$out/corpus/$(basename "$(dirname "$model")")"
done
clang=$(command -v clang-19 || command -v clang)
# The runtime's safetensors parser and what it needs come along.
$clang -g -O1 -std=gnu11 -w -DCNNC_FUZZ -DCNNC_VERSION='"fuzz"' -D_GNU_SOURCE -I. -I$out/onnx -fsanitize=fuzzer,address,undefined \
	tests/unit/onnx_bytes.c ir/*.c frontend/*.c $out/onnx/onnx.pb-c.c runtime/safetensors.c runtime/status.c runtime/sys.c \
	-o $out/onnx_fuzz -lyaml -ljansson -lprotobuf-c -lm
exec $out/onnx_fuzz -max_total_time="${1:-60}" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -artifact_prefix=$out/ $out/corpus
