#!/bin/sh
# masks.sh -- segmentation: PNG masks beside pictures, moved with them, a U-Net, masks as answers
. tests/e2e/setup
"$tools/pictures" masks train 48 1
"$tools/pictures" masks test 12 2
cp "$source/examples/segmentation/unet.yaml" unet.yaml || fail "no example"
exits 0 "$cnnc" unet.yaml -o unet
exits 0 ./unet-train threads=1
awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "val_mean_iou") c = i } END { exit !(c && $c > 0.6) }' runs/unet/1/results.csv ||
	fail "the masks are not learned: $(tail -n 1 runs/unet/1/results.csv)"

# The same bits with other threads, from a cache on disk, and after an interruption.
exits 0 ./unet-train threads=3 epochs=2 cache=disk
exits 0 ./unet-train threads=2 epochs=2 cache=none
same runs/unet/2/weights/last.safetensors runs/unet/3/weights/last.safetensors
exits 0 ./unet-train epochs=1
exits 0 ./unet-train epochs=2 resume=must
same runs/unet/2/weights/last.safetensors runs/unet/4/weights/last.safetensors
cp runs/unet/1/weights/best.safetensors w

exits 0 ./unet evaluate --weights w
says '^disc_red +0\.[6-9]'
exits 0 ./unet evaluate --weights w --json
says '"iou":\{"background":0\.9'
exits 0 ./unet --weights w test/pictures/000.png
says '^test/pictures/000.png  background  0\.'
exits 0 ./unet --weights w --json test/pictures/000.png -o mask.png
says '"shares":\{"background":.*"mask":"mask.png"'
there mask.png
exits 0 ./unet --weights w --csv test/pictures -o masks
says '^path,background,disc_red,disc_green'
[ "$(ls masks | wc -l)" = 12 ] || fail "$(ls masks | wc -l) masks"
exits 0 ./unet-train epochs=0 data.train.directory=test/pictures data.train.masks=masks # what was written is read again
exits 4 ./unet --weights w test/pictures/000.png -o no/such/mask.png

# A missing mask, one of other values, one in colours: samples that can't be read.
mkdir bad && cp test/masks/*.png bad
rm bad/003.png && cp test/pictures/004.png bad/004.png
exits 0 ./unet-train epochs=1 data.validation.masks=bad
says '003.png: its mask bad/003.png: No such file'
says '004.png: its mask bad/004.png: a mask has grey values or a palette'
exits 5 ./unet-train epochs=1 data.train.masks=nowhere
says 'none of the 48 samples can be read; .*its mask nowhere/'
sed 's/class_names: .*/class_names: [background, disc]/' unet.yaml >two.yaml
exits 0 "$cnnc" two.yaml -o two
exits 0 ./two-train epochs=1
says 'the value 2 at \([0-9]+, [0-9]+\) is no class: there are 2'

# One output: all but 0 is the object.
sed 's/\$num_classes/1/; s/softmax/sigmoid/; s/  loss: .*/  loss: binary_crossentropy/; /class_names/d; s/name: unet/name: one/' unet.yaml >one.yaml
exits 0 "$cnnc" one.yaml -o one
exits 0 ./one-train epochs=4
exits 0 ./one evaluate
says 'mean_iou'
exits 0 ./one test/pictures/000.png
says '^test/pictures/000.png  0  [01]\.'

refused() { # SED REGEX
	sed "$1" unet.yaml >bad.yaml
	exits 2 "$cnnc" check bad.yaml
	says "$2"
}
refused 's/, masks: [a-z/]*//' 'needs one row|one row of numbers'
refused 's/^data:/data:\n  label_mode: int/' 'masks are for label_mode: mask, not int'
refused 's/\$num_classes/5/' 'there are 3 classes'
exit $failed
