#!/bin/sh
# usage.sh -- the command lines: what is printed, what is refused, and how
. tests/e2e/setup
pictures across down
small_model >small.yaml

exits 0 "$cnnc" --version
says '[0-9]+\.[0-9]+\.[0-9]+'
exits 0 "$cnnc" --help
says 'MODEL.yaml'
exits 0 "$cnnc" help matmul
says 'matmul \(operation\).*2 inputs'
exits 0 "$cnnc" help
exits 0 "$cnnc" help Conv2D
says 'filters'
exits 0 "$cnnc" help train.epochs
says 'run-time'
exits 2 "$cnnc" help Conv2E
says 'Conv2D'
exits 0 "$cnnc" schema
says '"Conv2D"'
exits 0 "$cnnc" --list-passes
says '^ *fuse'
exits 2 "$cnnc"
exits 2 "$cnnc" no-such-file.yaml -o small
exits 2 "$cnnc" small.yaml --no-such-option
exits 2 "$cnnc" check small.yaml -D train.no_such_field=1
exits 0 "$cnnc" check small.yaml --json
says '"parameters"'
exits 0 "$cnnc" small.yaml -o small -D train.epochs=1 -D model.layers.0.Conv2D.filters=4
[ -z "$(ls ./*.o ./*.tmp* 2>/dev/null)" ] || fail "left behind: $(ls)"

sed 's/filters: 8/filter: 8/' small.yaml >bad.yaml
exits 2 "$cnnc" bad.yaml -o bad
says "bad.yaml:16:[0-9]+: error: .*'filter'.*'filters'"
[ ! -e bad ] || fail "a program from a bad model"
exits 2 "$cnnc" small.yaml -o no-such-folder/small
says 'no-such-folder'
exits 2 "$cnnc" small.yaml -o small --linker=no-such-linker
says 'no-such-linker'

for kind in graph kernels llvm asm; do
	exits 0 "$cnnc" small.yaml --emit=$kind -o -
	there out
done
exits 0 "$cnnc" small.yaml --emit=obj -o small.o
there small.o
exits 0 "$cnnc" small.yaml --dump=autodiff,fuse --time-passes -o small
for cpu in x86-64-v2 x86-64-v3 native; do
	exits 0 "$cnnc" small.yaml --cpu=$cpu -o small-$cpu
	exits 0 ./small-$cpu-train epochs=1
done

exits 0 ./small-train --help
exits 2 ./small-train no_such_field=1
exits 2 ./small-train epochs=many
exits 2 ./small-train image_size.0=64
says '-D'
exits 2 ./small --no-such-option
exits 2 ./small
exits 0 ./small --help
# the layers as a picture
exits 0 "$cnnc" small.yaml --emit=dot -o layers
if command -v dot >/dev/null; then
	exits 0 dot -Tsvg layers.dot -o layers.svg
	grep -q 'Conv2D' layers.svg || fail "no layer in the picture"
else
	echo "SKIPPED: Graphviz is not installed"
fi

# doctor: each thing that is needed, tried
exits 0 "$cnnc" doctor
says '^ok +linker'
says '^ok +speed, measured +[0-9]+ GFLOP/s on one core'
exits 2 env PATH=/nonexistent "$cnnc" doctor
says '^MISSING +linker'
says '-> apt install gcc'
exit $failed
