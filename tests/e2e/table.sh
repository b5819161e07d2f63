#!/bin/sh
# table.sh -- a CSV of paths and labels is the same data as the folders that it lists, in another order or not
. tests/e2e/setup
pictures across down
cat >folders.yaml <<'END'
cnnc: 1
name: folders
data:
  train: {directory: data/train}
  validation: {directory: data/test}
  image_size: [12, 12]
  batch_size: 8
  preprocess: {rescale: 1/255}
model: {layers: [Flatten, Dense: {units: 2, activation: softmax}]}
train: {loss: sparse_categorical_crossentropy, metrics: [accuracy], optimizer: adam, epochs: 2}
END
sed 's/name: folders/name: table/; s/^  train: {dir.*/  type: csv\n  train: {file: train.csv}/
	s/^  validation: .*/  validation: {file: data\/test.csv}\n  columns: {path: file name, label: class}/' folders.yaml >table.yaml
exits 0 "$cnnc" folders.yaml -o folders
exits 0 "$cnnc" table.yaml -o table

# Relative to the table's folder; quotes, another column, CRLF, an absolute path, no line end at the end.
table() { # FOLDER PREFIX
	printf 'class,note,"file name"\r\n'
	find "$1" -name '*.png' -o -name '*.jpg' | LC_ALL=C sort | sed "s|^$1/||" | while read -r f; do
		printf '%s,"a ""note"", with a comma","%s%s"\r\n' "${f%%/*}" "$2" "$f"
	done
}
table data/train data/train/ >train.csv
table data/test "$PWD/data/test/" | tr -d '\r' | head -c -1 >data/test.csv
exits 0 ./folders-train
exits 0 ./table-train
says 'Found 80 files belonging to 2 classes'
cut -d, -f1,2,4- runs/folders/1/results.csv >want.csv
cut -d, -f1,2,4- runs/table/1/results.csv >got.csv
diff want.csv got.csv || fail "results.csv of the table"

# Numbers are indices; a missing picture is skipped and listed.
{ cat train.csv | sed 's/^across/0/; s/^down/1/'; echo '1,,gone.png'; } >numbers.csv
sed 's/^across/0/; s/^down/1/' data/test.csv >data/numbers.csv
exits 0 ./table-train data.train.file=numbers.csv data.validation.file=data/numbers.csv
says 'gone.png'

# What is no table is one sentence that names the line.
refused() { # TEXT REGEX
	printf "$1" >bad.csv
	exits 5 ./table-train data.train.file=bad.csv
	says "$2"
}
refused '' 'bad.csv is empty'
refused 'a,b\n1,2\n' "has no column 'file name'"
refused 'class,file name\n' 'bad.csv has no rows'
refused 'class,file name\nacross,"a.png\n' 'bad.csv:2: a quote is not closed'
refused 'class,file name\nacross,"a.png"x\n' 'bad.csv:2: text behind a closing quote'
refused 'class,file name\n\nacross,a.png\ndown\n' 'bad.csv:4: no path in this row'
refused 'class,file name\n,a.png\n' 'bad.csv:2: no label in this row'
refused 'class,file name\n0,a.png\n7,b.png\n' 'has 8 classes|7'
refused 'class,file name\na\000b,c\n' 'a zero byte'
exits 5 ./table-train data.train.file=absent.csv
exits 5 ./table-train data.train.file=data
exit $failed
