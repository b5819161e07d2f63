#!/bin/sh
# bad_files.sh -- wrong weights, a full disk, a loss that is not finite: own exit codes, and nothing good is lost
. tests/e2e/setup
pictures across down
small_model >small.yaml
exits 0 "$cnnc" small.yaml -o small
cp small bare
exits 0 ./small-train epochs=2
weights=runs/small/1/weights/best.safetensors

# Weights.
exits 6 ./bare data/test/down/000.jpg
exits 6 ./bare --weights no-such-file data/test/down/000.jpg
head -c 100 $weights >cut.safetensors
exits 6 ./bare --weights cut.safetensors data/test/down/000.jpg
says cut.safetensors
head -c 5000 /dev/urandom >random.safetensors
exits 6 ./bare --weights random.safetensors data/test/down/000.jpg
exits 6 ./small-train epochs=1 train.initial_weights=random.safetensors
sed 's/filters: 8/filters: 10/' small.yaml >wide.yaml
exits 0 "$cnnc" wide.yaml -o wide
exits 6 ./wide --weights $weights data/test/down/000.jpg
says 'conv2d.kernel'
exits 0 ./bare --weights $weights data/test/down/000.jpg

# A file that cannot grow stands for a full disk: exit 4, and the old predictor still answers.
cp $weights before
exits 4 sh -c 'trap "" XFSZ; ulimit -f 4; exec ./small-train epochs=2'
same before $weights
exits 0 ./small data/test/down/000.jpg
mkdir readonly
chmod a-w readonly
if [ "$(id -u)" != 0 ]; then
	cd readonly || exit 1
	exits 4 ../small-train epochs=1 data.train.directory=../data/train data.validation.directory=../data/test
	cd ..
fi

# A learning rate that blows up: exit 7, the tensor is named, the best weights of before are kept.
exits 7 ./small-train epochs=8 learning_rate=1e30
says '(nan|NaN|not finite|non-finite)'
exits 0 ./small data/test/down/000.jpg
exit $failed
