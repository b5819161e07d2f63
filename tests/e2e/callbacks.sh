#!/bin/sh
# callbacks.sh -- EarlyStopping, ReduceLROnPlateau, ModelCheckpoint, CSVLogger; steps, splits and partial batches
. tests/e2e/setup
pictures across down
small_model >small.yaml
cat >>small.yaml <<-END
	  callbacks:
	    - EarlyStopping: {monitor: val_loss, patience: 2, restore_best_weights: true}
	    - ReduceLROnPlateau: {monitor: val_loss, factor: 0.5, patience: 1}
	    - ModelCheckpoint: {filepath: "epoch-{epoch:02d}.safetensors"}
	    - CSVLogger: {filename: log.csv}
END
exits 0 "$cnnc" small.yaml -o small

# A learning rate of zero never gets better: stopped after 1 + 2 epochs, the rate halved on the way.
exits 0 ./small-train epochs=20 learning_rate=1e-30
run=runs/small/1
lines=$(wc -l <$run/results.csv)
[ "$lines" -le 8 ] || fail "EarlyStopping: $lines lines of results"
there $run/epoch-01.safetensors $run/log.csv
awk -F , 'NR == 2 { first = $NF } END { exit !($NF < first) }' $run/results.csv || fail "the learning rate was not reduced"

# Interrupted and resumed, callbacks go on where they were.
exits 0 ./small-train epochs=10
rm -rf whole && mv runs/small/2 whole && rm -r runs
./small-train epochs=10 >log 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null; do
	[ -e runs/small/1/results.csv ] && [ "$(wc -l <runs/small/1/results.csv)" -ge 3 ] && break
	sleep 0.01
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
exits 0 ./small-train epochs=10 --resume
same whole/weights/last.safetensors runs/small/1/weights/last.safetensors
rows whole >want.csv
rows runs/small/1 | diff want.csv - || fail "results.csv"

# Steps an epoch, steps of validation, a batch that does not divide the pictures.
exits 0 ./small-train epochs=2 steps_per_epoch=3 validation_steps=1 batch_size=7
[ "$(cut -d , -f 2 runs/small/2/results.csv | tail -n 1)" = 6 ] || fail "6 steps expected: $(cat runs/small/2/results.csv)"

# A part of one folder for validation.
sed -e 's|train: {directory: data/train}|directory: data/train|' -e 's|validation: {directory: .*|validation_split: 0.2|' \
	small.yaml >split.yaml
exits 0 "$cnnc" split.yaml -o split
exits 0 ./split-train epochs=1
says '64 for training and 16 for validation'
exit $failed
