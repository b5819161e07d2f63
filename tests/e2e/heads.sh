#!/bin/sh
# heads.sh -- several inputs and outputs, each with a loss, a weight and metrics; arrays by name
. tests/e2e/setup
npy=$tools/npy
"$npy" rand a.npy 1 60 4
"$npy" rand b.npy 2 60 3
"$npy" classes kind.npy 3 3 60
"$npy" rand size.npy 4 60 2
cat >two.yaml <<-END
	cnnc: 1
	name: two
	data:
	  type: npy
	  train: {x: {a: a.npy, b: b.npy}, y: {kind: kind.npy, size: size.npy}}
	  validation: {x: {a: a.npy, b: b.npy}, y: {kind: kind.npy, size: size.npy}}
	  batch_size: 16
	model:
	  inputs: [{name: a, shape: [4]}, {name: b, shape: [3]}]
	  layers:
	    - Dense: {units: 16, activation: tanh, inputs: a, name: da}
	    - Dense: {units: 16, activation: tanh, inputs: b, name: db}
	    - Concatenate: {inputs: [da, db], name: both}
	    - Dense: {units: 3, activation: softmax, inputs: both, name: kind}
	    - Dense: {units: 2, inputs: both, name: size}
	  outputs: [kind, size]
	train:
	  optimizer: {adam: {learning_rate: 0.01}}
	  loss: {kind: sparse_categorical_crossentropy, size: mse}
	  loss_weights: {size: 0.5}
	  metrics: {kind: [accuracy], size: mae}
	  epochs: 12
END
exits 0 "$cnnc" two.yaml -o two
exits 0 ./two-train threads=1
head -n 1 runs/two/1/results.csv | grep -q 'loss,kind_loss,size_loss,kind_accuracy,size_mean_absolute_error,val_loss,val_kind_loss' ||
	fail "columns: $(head -n 1 runs/two/1/results.csv)"
awk -F , 'NR > 1 { d = $4 - $5 - 0.5 * $6; if (d > 1e-5 || d < -1e-5) bad = 1 } NR == 2 { first = $4 } END { exit bad || !($4 < first) }' \
	runs/two/1/results.csv || fail "loss is not the weighted sum, or does not fall"
exits 0 ./two-train threads=3
same runs/two/1/weights/last.safetensors runs/two/2/weights/last.safetensors
exits 0 ./two-train epochs=5
exits 0 ./two-train epochs=12 resume=must
same runs/two/1/weights/last.safetensors runs/two/3/weights/last.safetensors
exits 0 ./two evaluate --json
says '"kind_loss":.*"size_mean_absolute_error":'
exits 0 ./two-train epochs=1 data.train.x.a=a.npy
exits 5 ./two-train epochs=1 data.train.x.a=b.npy
says "b.npy has the shape"
exits 5 ./two-train epochs=1 data.train.y.size=a.npy
says "a.npy has the shape"

# The network alone, on several arrays; the second output goes beside the first.
exits 0 ./two run --input a=a.npy --input b=b.npy --output p.npy
"$npy" print p-size.npy >p
head -n 1 p | grep -qE '\(60, ?2\)' || fail "shape of the second output: $(head -n 1 p)"
exits 2 ./two run --input a=a.npy --output p.npy
says "there is no array for input 'b'"
"$npy" rand short.npy 1 7 3
exits 5 ./two run --input a=a.npy --input b=short.npy --output p.npy
says 'short.npy has 7 rows, the first array 60'

# Pictures: all outputs learn the class; the answers of both, in every form.
pictures across down
cat >aux.yaml <<-END
	cnnc: 1
	name: aux
	data: {train: {directory: data/train}, validation: {directory: data/test}, image_size: [12, 12], batch_size: 8, preprocess: {rescale: 1/255}}
	model:
	  layers:
	    - Conv2D: {filters: 8, kernel_size: 3, strides: 2, activation: relu, name: stem}
	    - GlobalAveragePooling2D
	    - Dense: {units: 2, activation: softmax, name: early}
	    - Flatten: {inputs: stem}
	    - Dense: {units: 2, name: main}
	  outputs: [main, early]
	train: {optimizer: adam, loss: {main: {scce: {from_logits: true}}, early: scce}, loss_weights: {early: 0.3}, epochs: 2}
END
exits 0 "$cnnc" aux.yaml -o aux
exits 0 ./aux-train
exits 0 ./aux data/test/down/000.jpg
says '^data/test/down/000.jpg  main:  (across|down)  0\.[0-9]+  early:  (across|down)  0\.'
exits 0 ./aux --json data/test/down/000.jpg
says '"outputs":\{"main":\{"label":"[a-z]+","index":[01],"probability":0\..*"early":'
exits 0 ./aux --csv data/test/down
says '^path,main.label,main.across,main.down,early.label,early.across,early.down$'
[ "$(grep -c '^data/test/down/' out)" = 12 ] || fail "rows of csv"

# What the compiler refuses.
refused() { # SED REGEX
	sed "$1" two.yaml >bad.yaml
	exits 2 "$cnnc" check bad.yaml
	says "$2"
}
refused 's/size: mse/sise: mse/' "no output is called 'sise'; did you mean 'size'"
refused 's/  loss: .*/  loss: [mse]/' '1 losses for 2 outputs'
refused 's/, size: mse//' "output 'size' has no loss"
refused 's/  metrics: .*/  metrics: [accuracy]/' 'metrics of 2 outputs are given by name'
refused 's/train: {x: {a: a.npy, b: b.npy}/train: {x: {a: a.npy}/' "there is no file for input 'b'"
refused 's/train: {x: {a: a.npy, b: b.npy}/train: {x: a.npy/' 'the model has 2 inputs'
refused '/^train:/a\  class_weight: balanced' 'class_weight is for models with one output'
exit $failed
