#!/bin/sh
# onnx.sh -- a model file to ONNX and back: the same predictions; import, check, compile; errors name what is wrong
. tests/e2e/setup
npy=$tools/npy

"$npy" rand x.npy 1 6 12 12 3
"$npy" classes y.npy 2 4 6
cat >net.yaml <<-END
	cnnc: 1
	name: net
	data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 8}
	model:
	  input_shape: [12, 12, 3]
	  layers:
	    - Conv2D: {filters: 8, kernel_size: 3, padding: same, strides: 2, name: stem}
	    - BatchNormalization
	    - ReLU: {name: start}
	    - Conv2D: {filters: 8, kernel_size: 3, padding: same, groups: 2, activation: elu, name: left}
	    - Add: {inputs: [left, start], name: sum}
	    - Concatenate: {inputs: [sum, start]}
	    - MaxPooling2D: {pool_size: 2}
	    - Flatten
	    - Dense: {units: 4, activation: softmax}
	train: {optimizer: sgd, loss: sparse_categorical_crossentropy, epochs: 1}
END
exits 0 "$cnnc" net.yaml -o net
exits 0 ./net-train
weights=$(ls "$PWD"/runs/net/1/weights/last.safetensors)
exits 2 "$cnnc" net.yaml --emit=onnx -o net.onnx
says 'model.weights'
exits 0 "$cnnc" net.yaml --emit=onnx -o net.onnx -D model.weights="$weights"
exits 0 ./net run --input x.npy --output want.npy --weights "$weights"
exits 0 "$cnnc" check net.onnx
exits 0 "$cnnc" net.onnx -o direct
exits 0 ./direct run --input x.npy --output direct.npy
exits 0 "$cnnc" import net.onnx -o again.yaml
grep -q 'Conv2D: {filters: 8' again.yaml || fail "no Conv2D in the imported file"
exits 0 "$cnnc" again.yaml -o again
exits 0 ./again run --input x.npy --output again.npy
"$npy" print want.npy >want
for file in direct again; do
	"$npy" print $file.npy >$file
	paste want $file | awk 'NR > 1 && ($1 - $2 > 1e-5 || $2 - $1 > 1e-5) { bad = 1 } END { exit bad || NR < 20 }' ||
		fail "$file predicts something else"
done

# An imported file is a model file: with data and a train section it goes on training from its weights.
awk '{ print } /^cnnc:/ { print "data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 8}"
	print "train: {optimizer: sgd, loss: sparse_categorical_crossentropy, epochs: 1}" }' again.yaml >more.yaml
exits 0 "$cnnc" more.yaml -o more
exits 0 ./more-train

# Mistakes
head -c 300 net.onnx >cut.onnx
exits 2 "$cnnc" check cut.onnx
says 'cut.onnx: error'
echo rubbish >rubbish.onnx
exits 2 "$cnnc" check rubbish.onnx
: >empty.onnx
exits 2 "$cnnc" check empty.onnx
exits 2 "$cnnc" check missing.onnx
exits 2 "$cnnc" import net.onnx
says '-o MODEL.yaml'
if [ -d /usr/share/libonnx-testdata/data/node ]; then
	exits 2 "$cnnc" check /usr/share/libonnx-testdata/data/node/test_loop11/model.onnx
	says 'Loop'
fi
