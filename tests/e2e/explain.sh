#!/bin/sh
# explain.sh -- maps of what an answer rests on: as a picture, as numbers, and where the predictor can't
. tests/e2e/setup
pictures across down
small_model >plain.yaml
exits 0 "$cnnc" plain.yaml -o plain
{ small_model; echo 'predict: {explain: [grad_cam, integrated_gradients]}'; } >small.yaml
exits 0 "$cnnc" small.yaml -o small
exits 0 ./small-train epochs=6

picture=data/test/down/000.jpg
exits 0 ./small explain $picture -o heat.png
says 'grad_cam in heat.png'
there heat.png
head -c 4 heat.png | tail -c 3 | grep -q PNG || fail "heat.png is none"
exits 0 ./small explain $picture --json --method integrated_gradients --class down
grep -q '"label":"down","index":1' out || fail "--class: $(cut -c 1-200 out)"

# The two scores of one output are each other's negative, and so are the sums of their maps; they are the same again every time.
sum() { sed 's/.*"map"://' "$1" | tr -d '[]}' | tr ',' '\n' | awk '{ s += $1; n++ } END { printf "%.6f %d\n", s, n }'; }
mv out down
exits 0 ./small explain $picture --json --method integrated_gradients --class 0 --threads 1
[ "$(sum down | tr -d -)" = "$(sum out | tr -d -)" ] || fail "maps of the classes: $(sum down), $(sum out)"
sum out | grep -q ' 400$' || fail "a map has $(sum out) cells"

exits 0 ./small explain $picture --json --raw --class 1
exits 2 ./small explain $picture
says 'explain takes one picture'
exits 2 ./small explain $picture -o x.png --method magic
says 'grad_cam or integrated_gradients'
exits 2 ./small explain $picture -o x.png --class nobody
says "no class 'nobody'"
exits 5 ./small explain absent.jpg -o x.png
exits 2 ./plain explain $picture -o x.png
says 'explain: grad_cam'
exit $failed
