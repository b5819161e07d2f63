#!/bin/sh
# train.sh -- from pictures to answers: compile, train, predict, evaluate, info, and what each leaves behind
. tests/e2e/setup
pictures across down
small_model >small.yaml

exits 0 "$cnnc" check small.yaml
exits 0 "$cnnc" small.yaml -o small
says 'small.yaml: 7 layers'
says 'wrote small .*small-train'
there small small-train

exits 6 ./small data/test
says 'weights'
exits 0 ./small info

exits 0 ./small-train epochs=25
says 'Found 80 files belonging to 2 classes'
says 'Found 24 files belonging to 2 classes'
says 'val_accuracy'
run=runs/small/1
there $run/args.yaml $run/results.csv $run/labels.txt $run/weights/best.safetensors $run/weights/last.safetensors
[ "$(cat $run/labels.txt)" = "across
down" ] || fail "labels.txt: $(cat $run/labels.txt)"
[ "$(wc -l <$run/results.csv)" = 26 ] || fail "results.csv has $(wc -l <$run/results.csv) lines"
head -n 1 $run/results.csv | grep -q '^epoch,step,time_s,loss,accuracy,val_loss,val_accuracy,learning_rate$' ||
	fail "header of results.csv: $(head -n 1 $run/results.csv)"
tail -n 1 $run/results.csv | awk -F , '{ exit !($5 > 0.9 && $7 > 0.9) }' || fail "it does not learn: $(tail -n 1 $run/results.csv)"

# The predictor holds the best weights, in one file that can be copied anywhere.
mkdir elsewhere
cp small elsewhere/
exits 0 elsewhere/small data/test/down
[ "$(wc -l <out)" = 12 ] || fail "12 pictures, $(wc -l <out) lines"
[ "$(grep -c 'down' out)" -ge 10 ] || fail "pictures of down: $(cat out)"
sort out >text
exits 0 ./small --json data/test/down
[ "$(wc -l <out)" = 12 ] || fail "--json: 12 pictures, $(wc -l <out) lines"
grep -vqE '^\{"path": ?".*", ?"label": ?"(across|down)", ?"index": ?[01], ?"probability": ?[0-9.e+-]+, ?"probabilities": ?\{.*\}\}$' out &&
	fail "--json: $(head -n 2 out)"
exits 0 ./small data/test/down data/test/across/000.jpg
[ "$(wc -l <out)" = 13 ] || fail "folder and file: $(wc -l <out) lines"
exits 0 ./small --threads 1 data/test/down
sort out | cmp -s - text || fail "one thread predicts other numbers"
exits 0 ./small --weights $run/weights/last.safetensors data/test/down
exits 0 ./small evaluate data/test
says 'accuracy'
says 'precision'
says 'recall'
says 'macro'
exits 0 ./small info
says 'conv2d_1'
exits 0 ./small info --json
says '"layers"'
exits 0 ./small info --config
says 'augment'

# A second run gets its own folder; the same seed gives the same weights.
exits 0 ./small-train epochs=3
exits 0 ./small-train epochs=3
same runs/small/2/weights/last.safetensors runs/small/3/weights/last.safetensors
exits 0 ./small-train epochs=3 seed=4
cmp -s runs/small/2/weights/last.safetensors runs/small/4/weights/last.safetensors && fail "another seed, the same weights"

# Every kernel of every step, as a table and as a trace.
exits 0 ./small-train epochs=1 --profile
says "kernel +calls +total ms"
says '[0-9]+ steps of .* in kernels'
there runs/small/5/profile.json
grep -q '"name":"train_step","ph":"X"' runs/small/5/profile.json || fail "the trace has no step"

# The weights of a run go into the predictor on demand, and start another run.
exits 0 ./small-train --bundle $run
exits 0 ./small-train epochs=1 train.initial_weights=$run/weights/best.safetensors
exit $failed
