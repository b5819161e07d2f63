#!/bin/sh
# mixing.sh -- MixUp and CutMix: labels of every kind are mixed, the same bits whatever the threads, exact resumes
. tests/e2e/setup
pictures across down
model() { # NAME MIXING LABEL_MODE UNITS ACTIVATION LOSS
	cat <<-END
		cnnc: 1
		name: $1
		data:
		  train: {directory: data/train}
		  validation: {directory: data/test}
		  image_size: [16, 16]
		  label_mode: $3
		  batch_size: 12
		  preprocess: {rescale: 1/255}
		  augment: [RandomFlip, RandomColorJitter: {brightness_factor: 0.1, hue_factor: 0.1}, $2]
		model:
		  layers:
		    - Conv2D: {filters: 8, kernel_size: 3, strides: 2, activation: relu}
		    - Flatten
		    - Dense: {units: $4, activation: $5}
		train: {seed: 2, optimizer: {adam: {learning_rate: 0.005}}, loss: $6, metrics: [accuracy], epochs: 3}
	END
}
model up 'MixUp: {alpha: 0.4}' int 2 softmax sparse_categorical_crossentropy >up.yaml
model cut CutMix binary 1 sigmoid binary_crossentropy >cut.yaml
model hot MixUp categorical 2 softmax '{categorical_crossentropy: {label_smoothing: 0.1}}' >hot.yaml
for name in up cut hot; do
	exits 0 "$cnnc" $name.yaml -o $name
	exits 0 ./$name-train threads=1
	exits 0 ./$name-train threads=3
	same runs/$name/1/weights/last.safetensors runs/$name/2/weights/last.safetensors
	exits 0 ./$name-train epochs=1
	exits 0 ./$name-train epochs=3 resume=must
	same runs/$name/1/weights/last.safetensors runs/$name/3/weights/last.safetensors
	awk -F , 'NR == 2 { first = $4 } END { exit !($4 < first) }' runs/$name/1/results.csv || fail "the loss of $name does not fall"
done
refused() { # SED REGEX
	sed "$1" up.yaml >bad.yaml
	exits 2 "$cnnc" check bad.yaml
	says "$2"
}
refused 's/\[RandomFlip, /[MixUp, RandomFlip, /' 'MixUp is the last of the list'
refused 's/alpha: 0.4/alpha: 0/' 'MixUp.alpha is out of range'
exit $failed
