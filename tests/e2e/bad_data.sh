#!/bin/sh
# bad_data.sh -- broken pictures and folders: survived or refused in one sentence, with the documented exit code
. tests/e2e/setup
pictures across down
small_model >small.yaml
exits 0 "$cnnc" small.yaml -o small
good=$PWD/data

# Broken in every way a folder of pictures is: empty, cut, text, a picture that claims to be huge, a folder of that name.
mkdir bad && cp -r "$good" bad/
: >bad/data/train/across/empty.jpg
head -c 200 data/train/down/000.jpg >bad/data/train/across/cut.jpg
echo 'not a picture' >bad/data/train/down/text.png
printf '\211PNG\r\n\032\n\000\000\000\rIHDR\177\377\377\377\177\377\377\377\010\002\000\000\000\000\000\000\000' \
	>bad/data/train/down/huge.png
head -c 3000 /dev/zero >bad/data/test/down/zero.jpg
cd bad || exit 1
exits 0 ../small-train epochs=2
says '(empty|cut|text|huge)\.'
for name in empty.jpg cut.jpg text.png huge.png; do
	says "$name: "
done
[ "$(grep -c nan runs/small/1/results.csv)" = 0 ] || fail "nan in results.csv"
exits 5 ../small-train epochs=2 on_error=stop
cp ../small .
exits 5 ./small data/train/down/text.png
exits 5 ./small no-such-file.jpg
exits 5 ./small data/train/down/text.png data/train/down/000.jpg
says '000.jpg'

# All of them broken.
for file in data/train/*/*; do
	echo broken >"$file"
done
exits 5 ../small-train epochs=1
cd ..

# Folders that are missing or empty, of the wrong number of classes.
mkdir empty && cp -r "$good" empty/ && rm empty/data/train/down/*
cd empty || exit 1
exits 5 ../small-train epochs=1
says down
cd ..
mkdir none
cd none || exit 1
exits 5 ../small-train epochs=1
says data/train
cd ..
mkdir three && cp -r "$good" three/ && cp -r three/data/train/down three/data/train/third
cd three || exit 1
exits 5 ../small-train epochs=1
cd ..
mkdir other && cp -r "$good" other/ && mv other/data/test/down other/data/test/sideways
cd other || exit 1
exits 5 ../small-train epochs=1
cd ..

# Folders given on the command line.
exits 0 ./small-train epochs=1 data.train.directory="$good/train" data.validation.directory="$good/test"
exit $failed
