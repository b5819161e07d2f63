#!/bin/sh
# run.sh -- fuzzes what reads files with libFuzzer: ir/ and frontend/ built by clang under ASan and UBSan
#
# usage: tests/fuzz/run.sh [TARGET [SECONDS]]     TARGET: onnx (default) or a tests/fuzz/TARGET.c of weights; SECONDS: default 60
# needs clang, for onnx libonnx-testdata; findings are left in build/fuzz/TARGET
set -eu
cd "$(dirname "$0")/../.."
target=${1:-onnx}
base=build/fuzz
out=$base/$target
mkdir -p $out/corpus $base/proto
protoc-c -I/usr/include/onnx --c_out=$base/proto /usr/include/onnx/onnx.proto
if [ "$target" = onnx ]; then
	source=tests/unit/onnx_bytes.c
	[ -n "$(ls $out/corpus)" ] || for model in /usr/share/libonnx-testdata/data/node/*/model.onnx; do
		cp "$model" "$out/corpus/$(basename "$(dirname "$model")")"
	done
else
	source=tests/fuzz/$target.c
	cp -n "tests/fuzz/$target"/* $out/corpus
fi
clang=$(command -v clang-19 || command -v clang)
cmake -DIN="$(ls "$PWD"/frontend/zoo/*.yaml | paste -sd';')" -DOUT="$PWD/$base/zoo_files.c" -P cmake/embed.cmake
# The runtime's parsers of safetensors and .npy and what they need come along.
# shellcheck disable=SC2046 # flags are words
$clang -g -O1 -std=gnu11 -w -DCNNC_FUZZ -DCNNC_VERSION='"fuzz"' -D_GNU_SOURCE -I. -I$base/proto $(pkg-config --cflags hdf5 libzip) \
	-fsanitize=fuzzer,address,undefined $source ir/*.c frontend/*.c $base/zoo_files.c $base/proto/onnx.pb-c.c \
	runtime/safetensors.c runtime/npy_header.c runtime/status.c runtime/sys.c -o $out/fuzz $(pkg-config --libs hdf5 libzip) \
	-lyaml -ljansson -lprotobuf-c -lm
exec $out/fuzz -max_total_time="${2:-60}" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -artifact_prefix=$out/ $out/corpus
