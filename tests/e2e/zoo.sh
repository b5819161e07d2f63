#!/bin/sh
# zoo.sh -- every example with a network of the zoo: checked as it is, and a few steps of it on small generated data
. tests/e2e/setup

# Steps of an example's network on pictures of SIZE pixels; what follows are overrides of its file.
steps() { # NAME SIZE OVERRIDE…
	name=$1 size=$2
	shift 2
	exits 0 "$cnnc" "$source/examples/$name/$name.yaml" -D "data.image_size=[$size,$size]" -D data.batch_size=4 "$@" -o model
	exits 0 ./model-train epochs=1 steps_per_epoch=2 validation_steps=1
	says 'loss: [0-9]'
	exits 0 ./model data/test/down
	rm -rf runs
}

pictures across down
for folder in "$source"/examples/*/; do
	name=$(basename "$folder")
	grep -q 'application:' "$folder$name.yaml" 2>/dev/null || continue
	grep -q 'weights:' "$folder$name.yaml" && continue
	exits 0 "$cnnc" check "$folder$name.yaml"
done

for name in densenet-121 efficientnet-b0 mobilenet-v2 resnet-18; do
	steps $name 32
done
steps resnet-50 32 -D model.base.variant=keras
steps vgg19 32
exits 0 "$cnnc" check "$source/examples/vgg16/vgg16.yaml" -D model.base.weights=null
steps alexnet 63
steps inception-v3 75
steps mlp-mixer 32 -D 'model.base.application.MLPMixer.hidden_dim=64'

for part in train test; do
	"$tools/npy" rand $part-x.npy 1 8 32 32 3
	"$tools/npy" rand $part-y.npy 2 8 32 32 2
done
exits 0 "$cnnc" "$source/examples/u-net/u-net.yaml" -D 'model.base.input_shape=[32, 32, 3]' -D model.base.application.UNet.filters=4 -o model
exits 0 ./model-train epochs=1 steps_per_epoch=1
exits 0 ./model run --input test-x.npy --output y.npy

if [ -d /usr/share/datasets/fashion-mnist ]; then
	exits 0 "$cnnc" "$source/examples/lenet-5/lenet-5.yaml" -o model
	exits 0 ./model-train epochs=1 steps_per_epoch=3 validation_steps=1
fi

# Weights of a base: the trainer starts from them, the predictor has none yet; those of another network are refused.
"$tools/npy" rand train-x.npy 1 8 28 28 1
"$tools/npy" rand train-y.npy 2 8 16
cat >lower.yaml <<-END
	cnnc: 1
	data: {type: npy, train: {x: train-x.npy, y: train-y.npy}, batch_size: 4}
	model: {base: {application: LeNet5, include_top: false, pooling: avg}}
	train: {optimizer: sgd, loss: mean_squared_error, epochs: 1}
END
exits 0 "$cnnc" lower.yaml -o lower
exits 0 ./lower-train
weights=$PWD/runs/lower/1/weights/last.safetensors
"$tools/npy" classes train-y.npy 2 3 8
cat >upper.yaml <<-END
	cnnc: 1
	data: {type: npy, train: {x: train-x.npy, y: train-y.npy}, batch_size: 4, label_mode: int}
	model:
	  base: {application: LeNet5, include_top: false, pooling: avg, weights: $weights, trainable: false}
	  layers: [Dense: {units: 3, activation: softmax}]
	train: {optimizer: sgd, loss: sparse_categorical_crossentropy, epochs: 2}
END
exits 0 "$cnnc" upper.yaml -o upper
exits 6 ./upper run --input train-x.npy --output y.npy
exits 0 ./upper-train
exits 0 ./upper run --input train-x.npy --output y.npy
exits 2 "$cnnc" check upper.yaml -D model.base.application=VGG16 -D 'model.base.input_shape=[32, 32, 3]'
says 'does not fit VGG16'
says 'missing: block1_conv1.kernel'
says 'unexpected: c1'
exit $failed
