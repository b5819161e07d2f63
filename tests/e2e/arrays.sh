#!/bin/sh
# arrays.sh -- .npy and IDX data, `run` on raw tensors, and the forms that a model file can take
. tests/e2e/setup
npy=$tools/npy

# Float arrays in, two outputs' worth of regression out.
"$npy" rand x.npy 1 70 6
"$npy" rand y.npy 2 70 2
cat >regress.yaml <<-END
	cnnc: 1
	name: regress
	data: {type: npy, train: {x: x.npy, y: y.npy}, validation: {x: x.npy, y: y.npy}, batch_size: 16, shuffle: false}
	model:
	  input_shape: [6]
	  layers:
	    - Dense: {units: 24, activation: tanh}
	    - Dense: {units: 2}
	train: {optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true}}, loss: mean_squared_error, epochs: 30}
END
exits 0 "$cnnc" regress.yaml -o regress
exits 0 ./regress-train
awk -F , 'NR == 2 { first = $4 } END { exit !($4 < first) }' runs/regress/1/results.csv || fail "the loss does not fall"
exits 0 ./regress run --input x.npy --output p.npy
"$npy" print p.npy >p
[ "$(head -n 1 p)" = "(70,2)" ] || [ "$(head -n 1 p)" = "(70, 2)" ] || fail "shape of the output: $(head -n 1 p)"
[ "$(wc -l <p)" = 141 ] || fail "$(wc -l <p) numbers"
"$npy" print y.npy >y
paste p y | awk 'NR > 1 { e += ($1 - $2) ^ 2 } END { printf "%.7f\n", e / 140 }' >mse
grep -q . mse
exits 0 ./regress evaluate
"$npy" rand wrong.npy 1 5 7
exits 5 ./regress run --input wrong.npy --output p.npy
says '7'
exits 4 ./regress run --input x.npy --output no-such-folder/p.npy
exits 5 ./regress-train data.train.x=wrong.npy
exits 5 ./regress-train data.train.x=no-such.npy
head -c 200 x.npy >cut.npy
exits 5 ./regress-train data.train.x=cut.npy

# Pictures as floats with classes, in the graph form: two branches, added and joined.
"$npy" rand x.npy 1 50 9 9 3
"$npy" classes y.npy 2 4 50
cat >branches.yaml <<-END
	cnnc: 1
	name: branches
	data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 16}
	define: {width: 8, half: \$width // 2}
	model:
	  input_shape: [9, 9, 3]
	  layers:
	    - Conv2D: {filters: \$width, kernel_size: 3, padding: same, strides: 2, name: stem}
	    - BatchNormalization
	    - ReLU: {name: start}
	    - Conv2D: {filters: \$width, kernel_size: 3, padding: same, dilation_rate: 2, activation: elu, name: left}
	    - AveragePooling2D: {pool_size: 3, strides: 1, padding: same, inputs: start, name: right}
	    - Add: {inputs: [left, right], name: sum}
	    - Concatenate: {inputs: [sum, start]}
	    - MaxPooling2D: {pool_size: 2, padding: same}
	    - Flatten
	    - Dropout: {rate: 0.3}
	    - Dense: {units: \$half, activation: softmax, kernel_regularizer: {l2: 1e-3}}
	train:
	  optimizer: {adamw: {learning_rate: 0.01, weight_decay: 0.01}}
	  loss: sparse_categorical_crossentropy
	  metrics: [accuracy]
	  epochs: 5
END
exits 0 "$cnnc" branches.yaml -o branches
exits 0 ./branches-train
exits 0 ./branches run --input x.npy --output p.npy
"$npy" print p.npy | awk 'NR > 1 { s += $1 } END { exit !(s > 49.99 && s < 50.01) }' || fail "probabilities do not sum to 1"
for threads in 2 3; do
	exits 0 ./branches-train threads=$threads
	same runs/branches/1/weights/last.safetensors runs/branches/$threads/weights/last.safetensors
done
exits 0 ./branches-train --resume
says 'finished'

# Every loss with its kind of label.
for case in binary:binary_crossentropy:sigmoid:1 categorical:categorical_crossentropy:softmax:4 \
	int:sparse_categorical_crossentropy:softmax:4; do
	mode=${case%%:*} rest=${case#*:}
	loss=${rest%%:*} rest=${rest#*:}
	classes=4
	[ $mode != binary ] || classes=2
	"$npy" classes y.npy 3 $classes 50
	[ $mode != categorical ] || "$npy" onehot y.npy 3 50 4
	sed -e "s/label_mode: int/label_mode: $mode/" -e "s/loss: .*/loss: $loss/" \
		-e "s/units: .half, activation: softmax/units: ${rest#*:}, activation: ${rest%%:*}/" \
		-e "s/metrics: .*/metrics: [accuracy, precision, recall, auc]/" branches.yaml >loss.yaml
	exits 0 "$cnnc" loss.yaml -o loss
	exits 0 ./loss-train epochs=2
done

# IDX, plain and gzip: 60 pictures of 8x8, classes 0 1 2 0 1 2 …; grey is repeated and resized to the model's input.
{ printf '\000\000\010\003\000\000\000\074\000\000\000\010\000\000\000\010' && head -c 3840 "$cnnc"; } >images
printf '\000\000\010\001\000\000\000\074' >labels
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	printf '\000\001\002' >>labels
done
cat >digits.yaml <<-END
	cnnc: 1
	name: digits
	task: image_classification
	data:
	  type: idx
	  train: {images: images, labels: labels}
	  validation_split: 0.25
	  class_names: [zero, one, two]
	  image_size: [12, 12]
	  batch_size: 7
	model:
	  input_shape: [12, 12, 3]
	  layers:
	    - Rescaling: {scale: 1/255}
	    - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
	    - Flatten
	    - Dense: {units: 3, activation: softmax}
	train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy], epochs: 2}
END
exits 0 "$cnnc" digits.yaml -o digits
exits 0 ./digits-train
gzip -k images labels
exits 0 ./digits-train data.train.images=images.gz data.train.labels=labels.gz
same runs/digits/1/weights/last.safetensors runs/digits/2/weights/last.safetensors
head -c 3000 images >cut
exits 5 ./digits-train data.train.images=cut
says cut
exit $failed
