#!/bin/sh
# phases.sh -- head first, then more: what is frozen stays, each phase has its own optimizer, and a killed run goes on in
# the phase that it was in, with the same bits; averages of weights, accumulation and schedules included
. tests/e2e/setup
pictures across down
cat >tune.yaml <<'END'
cnnc: 1
name: tune
data:
  train: {directory: data/train}
  validation: {directory: data/test}
  image_size: [16, 16]
  label_mode: int
  batch_size: 8
  preprocess: {rescale: 1/255}
  augment: {horizontal_flip: true}
model:
  layers:
    - Conv2D: {filters: 6, kernel_size: 3, activation: relu, name: base_conv}
    - BatchNormalization: {name: base_norm}
    - MaxPooling2D
    - Conv2D: {filters: 8, kernel_size: 3, activation: relu, name: top_conv}
    - GlobalAveragePooling2D
    - Dropout: {rate: 0.2}
    - Dense: {units: 2, activation: softmax, name: head}
train:
  loss: sparse_categorical_crossentropy
  metrics: [accuracy]
  class_weight: balanced
  steps_per_epoch: 20
  optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}
  phases:
    - {name: first, epochs: 8, trainable: head, optimizer: {adam: {learning_rate: 1e-2, use_ema: true}}}
    - name: second
      epochs: 8
      unfreeze: ["top_*"]
      optimizer: {nadam: {gradient_accumulation_steps: 3, learning_rate:
                    {CosineDecay: {initial_learning_rate: 0.01, decay_steps: $total_steps}}}}
    - {epochs: 6, unfreeze: "*", freeze: head, warmup_steps: 30,
       callbacks: [EarlyStopping: {patience: 2, restore_best_weights: true}]}
END
exits 0 "$cnnc" tune.yaml -o tune
exits 0 ./tune-train
says 'Phase 1 of 3, first: up to epoch 8'
says 'Phase 3 of 3: up to epoch 22'
mv runs/tune/1 whole
rm -r runs

# Rates: constant, a cosine over 160 steps, and 0.05 after its rise.
cut -d, -f1,8 whole/results.csv >rates
for row in 1,0.01 8,0.01 12,0.005 16,0 17,0.0333333 18,0.05; do
	grep -q "^$row" rates || fail "the learning rate of epoch ${row%,*} is $(grep "^${row%,*}," rates)"
done

rows() {
	cut -d, -f1,2,4- "$1/results.csv"
}

for lines in 1 4 9 12 17; do
	./tune-train >log 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		[ -e runs/tune/1/results.csv ] && [ "$(wc -l <runs/tune/1/results.csv)" -ge $lines ] && break
		sleep 0.01
	done
	kill -9 $pid
	wait $pid
	exits 0 ./tune-train --resume
	same whole/weights/last.safetensors runs/tune/1/weights/last.safetensors
	same whole/weights/best.safetensors runs/tune/1/weights/best.safetensors
	rows whole >want.csv
	rows runs/tune/1 >got.csv
	diff want.csv got.csv || fail "results.csv after kill -9 at $lines lines"
	rm -rf runs
done 2>/dev/null

exits 0 ./tune-train --resume threads=1
same whole/weights/last.safetensors runs/tune/1/weights/last.safetensors
exits 0 ./tune-train --resume
says 'is finished'

# Pictures that are not changed: what the frozen base makes of them is kept, and cannot be told from computing it again.
sed '/augment:/d' tune.yaml >plain.yaml
exits 0 "$cnnc" plain.yaml -o tune
rm -r runs
exits 0 ./tune-train
exits 0 ./tune-train cache=none threads=1
same runs/tune/1/weights/last.safetensors runs/tune/2/weights/last.safetensors
rows runs/tune/1 >want.csv
rows runs/tune/2 >got.csv
diff want.csv got.csv || fail "results.csv with kept features"

# What no phase trains has neither gradients nor optimizer state.
sed 's/unfreeze: "\*", freeze: head/unfreeze: head/' tune.yaml >frozen.yaml
exits 0 "$cnnc" frozen.yaml --stop-after=dce -o -
mv out graph
grep -q 'moment @"\?head.kernel/m' graph || fail "the head has no moments"
if grep -E 'update @"?base_|moment @"?base_' graph; then fail "the frozen base is updated"; fi
exit $failed
