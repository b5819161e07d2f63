#!/bin/sh
# portable.sh -- one program with code for x86-64-v4, v3 and v2: which one runs, and that v3 and v4 compute the same bits
. tests/e2e/setup
[ "$(uname -m)" = x86_64 ] || exit 77
pictures across down
small_model >small.yaml

exits 0 "$cnnc" small.yaml --cpu=portable -o small
says 'x86-64-v4 .*, x86-64-v3 .*, x86-64-v2 .*s$'
exits 0 ./small info
says 'for x86-64-v[234] \(carried: x86-64-v4 x86-64-v3 x86-64-v2\)'
exits 0 ./small info --json
says '"levels": "x86-64-v4 x86-64-v3 x86-64-v2"'
CNNC_CPU=x86-64-v2 exits 0 ./small-train --version
says 'for x86-64-v2 \(carried'
CNNC_CPU=x86-64-v1 exits 2 ./small-train --version
says "CNNC_CPU is 'x86-64-v1', and this program carries code for x86-64-v4"

# Trained by one level, resumed by another, predicted by a third: they are one model.
run=0
for level in x86-64-v2 x86-64-v3 x86-64-v4; do
	CNNC_CPU=$level ./small-train epochs=2 >out 2>err
	code=$?
	[ $code = 8 ] && continue # this machine lacks it
	[ $code = 0 ] || fail "$level: exit status $code"
	says "code for $level"
	run=$((run + 1))
	mv runs/small/$run/weights/last.safetensors $level
done
[ ! -e x86-64-v4 ] || same x86-64-v3 x86-64-v4
if [ -e x86-64-v3 ]; then
	CNNC_CPU=x86-64-v2 exits 0 ./small-train epochs=3 --resume
	says 'Resuming'
	CNNC_CPU=x86-64-v3 exits 0 ./small data/test/down
	CNNC_CPU=x86-64-v2 exits 0 ./small data/test/down
fi

# mixed_bfloat16 brings a level of its own, and the others compute the same function without its instructions.
exits 0 "$cnnc" small.yaml -D build.precision=mixed_bfloat16 --cpu=portable -o mixed
exits 0 ./mixed info
says 'carried: x86-64-v4\+bf16 x86-64-v4 x86-64-v3 x86-64-v2\)'
CNNC_CPU=x86-64-v2 exits 0 ./mixed-train epochs=1
exits 0 ./mixed data/test/down

exits 0 "$cnnc" small.yaml --cpu=portable --emit=asm -o text
there text.x86-64-v2.s text.x86-64-v3.s text.x86-64-v4.s
grep -q zmm text.x86-64-v3.s && fail "512-bit registers in code for v3"
exits 2 "$cnnc" small.yaml --cpu=portable --emit=asm -o -
says 'several files'
exits 2 "$cnnc" small.yaml --cpu=portable --triple=aarch64-linux-gnu --emit=asm -o text
says 'x86-64 only'
exit $failed
