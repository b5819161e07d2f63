#!/bin/sh
# demo.sh -- from nothing to a trained classifier: packages, build, pictures, compile, train, evaluate, predict
#
# usage: demo.sh [KEY=VALUE …]      for the trainer, such as epochs=3
set -eu
cd "$(dirname "$0")"
. ./install-deps.sh
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n$ %s\n' "$*"; }

install_packages dataset-fashion-mnist
echo "building cnnc"
quietly demo-build.log cmake --preset release -G Ninja
quietly demo-build.log cmake --build build --target cnnc idx2jpeg

# The hard pair of Fashion-MNIST: T-shirt/top (class 0) against shirt (class 6), 12,000 + 2,000 JPEGs in two folders.
root=$PWD
mkdir -p build/demo
cd build/demo
if [ ! -e data/complete ]; then
	echo "making the pictures"
	rm -rf data
	mnist=/usr/share/datasets/fashion-mnist
	for part in train t10k; do
		to=data/train
		[ $part = train ] || to=data/test
		"$root/build/tests/idx2jpeg" $mnist/$part-images-idx3-ubyte.gz $mnist/$part-labels-idx1-ubyte.gz \
			$to 0=t-shirt 6=shirt
	done
	touch data/complete
fi

cp "$root/examples/classifier/classifier.yaml" .
say cnnc classifier.yaml -o classifier
"$root/build/bin/cnnc" classifier.yaml -o classifier
say ./classifier-train "$@"
./classifier-train "$@"
say ./classifier evaluate data/test
./classifier evaluate data/test
say "./classifier data/test/shirt/0000*.jpg"
./classifier data/test/shirt/0000*.jpg
echo
echo "all of it is in build/demo"
