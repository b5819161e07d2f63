#!/bin/sh
# weights.sh -- files of weights by Keras and NumPy: listed, compiled in, converted; agreement with Keras; files that are refused
. tests/e2e/setup
npy=$tools/npy
files=$source/tests/weights

network() { # NAME-OF-THE-LAST-LAYER UNITS
	cat <<-END
		cnnc: 1
		name: net
		data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 4}
		model:
		  input_shape: [6, 6, 2]
		  layers:
		    - Conv2D: {filters: 3, kernel_size: 3, name: stem}
		    - BatchNormalization
		    - ReLU
		    - Dropout: {rate: 0.1}
		    - SeparableConv2D: {filters: 2, kernel_size: 3}
		    - Flatten
		    - Dense: {units: $2, activation: softmax, name: $1}
		train: {optimizer: sgd, loss: sparse_categorical_crossentropy, epochs: 1}
	END
}
network dense 3 >net.yaml
cp "$files/x.npy" .
"$npy" classes y.npy 3 3 5
"$npy" print "$files/want.npy" >want

agrees() { # PROGRAM [OPTION…]
	exits 0 "$@" run --input x.npy --output got.npy
	"$npy" print got.npy >got
	paste want got | awk 'NR > 1 && ($1 - $2 > 1e-5 || $2 - $1 > 1e-5) { bad = 1 } END { exit bad || NR < 15 }' ||
		fail "$* predicts something else than Keras"
}
for file in net.weights.h5 net.keras net.h5 keras2.h5 net.npz packed.npz; do
	exits 0 "$cnnc" weights "$files/$file"
	says '11 tensors'
	exits 0 "$cnnc" net.yaml -o net -D model.weights="$files/$file"
	agrees ./net
done

# The trainer and the predictor read safetensors alone, and say what converts.
exits 0 "$cnnc" net.yaml -o bare
exits 6 ./bare-train initial_weights="$files/net.keras"
says 'cnnc weights MODEL.yaml'
exits 0 "$cnnc" weights net.yaml "$files/net.keras" -o net.safetensors
exits 0 "$cnnc" weights net.safetensors
says 'stem.kernel'
exits 0 ./bare-train initial_weights=net.safetensors
exits 0 "$cnnc" net.yaml -o net -D model.weights=net.safetensors
agrees ./net
exits 2 "$cnnc" weights net.yaml "$files/net.keras"
exits 2 "$cnnc" weights

# What does not fit is listed; a new head may be skipped, and then only the trainer has weights.
network head 3 >head.yaml
exits 2 "$cnnc" check head.yaml -D model.weights="$files/net.h5"
says 'missing.*head.kernel'
says 'unexpected.*dense'
network dense 4 >wide.yaml
exits 2 "$cnnc" check wide.yaml -D model.weights="$files/net.h5"
says 'misshapen.*dense.bias \(3,\) instead of \(4,\)'
exits 0 "$cnnc" head.yaml -o head -D model.weights="$files/net.h5" -D model.skip_mismatch=true
says 'skipped'
exits 6 ./head run --input x.npy --output got.npy
exits 0 ./head-train

# Nothing outside the file is read, nothing expands without end, and every file gets its sentence.
refused() { # FILE REGEX
	exits 2 "$cnnc" weights "$files/bad/$1"
	says "error: .*$1: .*$2"
}
refused external_link.h5 'an external link'
refused soft_link.h5 'a soft link'
refused external_storage.h5 'another file'
refused virtual.h5 'virtual dataset'
refused bomb.h5 '1000 times'
refused never_written.h5 '1000 times'
refused circle.h5 'inside each other'
refused strings.h5 'no numbers'
refused compound.h5 'no numbers'
refused filter.h5 'filter'
refused empty.h5 'no weights'
refused escape.npz 'leaves the archive'
refused absolute.npz 'leaves the archive'
refused twice.npz '(two members|already exists)'
refused bomb.npz '100 times'
refused objects.npz 'type'
refused large.npz 'not what its shape says'
refused overflow.npz 'too large'
refused other.npz 'no array'
refused torch.pt 'torch.save'
refused nothing.keras 'no model.weights.h5'
refused rubbish.keras 'HDF5'
refused link.keras 'external link'
for file in net.h5 net.keras net.npz; do
	for bytes in 0 7 100 900 2500; do
		head -c $bytes "$files/$file" >cut
		exits 2 "$cnnc" weights cut
		says 'error: '
	done
done
exits 2 "$cnnc" weights missing.h5
exits 2 "$cnnc" weights .
exit $failed
