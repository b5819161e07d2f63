#!/bin/sh
# labels.sh -- any number of classes a sample: names with a separator, or one column a class
. tests/e2e/setup
"$tools/pictures" labels data 60 1
cat >names.yaml <<-END
	cnnc: 1
	name: names
	data:
	  type: csv
	  train: {file: data/labels.csv}
	  validation: {file: data/labels.csv}
	  label_mode: multi_label
	  columns: {label: label}
	  class_names: [red, green, blue]
	  image_size: [16, 16]
	  batch_size: 8
	  preprocess: {rescale: 1/255}
	model: {layers: [Flatten, Dense: {units: \$num_classes, activation: sigmoid}]}
	train:
	  optimizer: {adam: {learning_rate: 0.01}}
	  loss: binary_crossentropy
	  metrics: [binary_accuracy, f1, f1: {average: micro}, auc: {multi_label: true}]
	  class_weight: balanced
	  epochs: 5
END
sed 's/name: names/name: columns/; s/labels.csv/columns.csv/; /class_names:/d; s/columns: .*/columns: {labels: [red, green, blue]}/' names.yaml >columns.yaml
for name in names columns; do
	exits 0 "$cnnc" $name.yaml -o $name
	exits 0 ./$name-train
	cut -d, -f1,2,4- runs/$name/1/results.csv >$name.csv
done
diff names.csv columns.csv || fail "names and columns differ"
head -n 1 names.csv | grep -q 'binary_accuracy,f1,micro_f1,auc,val_loss' || fail "columns: $(head -n 1 names.csv)"
awk -F , 'END { exit !($4 > 0.95 && $5 > 0.9 && $7 > 0.95) }' names.csv || fail "not learned: $(tail -n 1 names.csv)"
exits 0 ./names evaluate
says '^red +[01]\.'
grep -q 'confusion' out && fail "a confusion matrix of labels"
exits 0 ./names evaluate --json
says '"macro":'
exits 0 ./names data/000.png
says '^data/000.png  '
exits 0 ./names --threshold 1 data/000.png
says '^data/000.png  -$'
exits 0 ./names --threshold 0 --json data/000.png
says '"labels":\["red","green","blue"\],"probabilities":'
exits 0 ./names --threshold 0 --csv data/000.png
says '^path,labels,red,green,blue$'
says '^data/000.png,red\|green\|blue,0\.'

# Weights of some classes; another separator.
sed 's/class_weight: balanced/class_weight: {blue: 3}/' names.yaml >weighed.yaml
exits 0 "$cnnc" weighed.yaml -o weighed
exits 0 ./weighed-train epochs=1
sed 's/ | /;/g' data/labels.csv >data/other.csv
exits 0 ./names-train data.train.file=data/other.csv data.validation.file=data/other.csv "data.columns.separator=;"
cut -d, -f1,2,4- runs/names/3/results.csv | diff - names.csv || fail "another separator"

printf 'path,label\n000.png,red|pink\n' >data/bad.csv
exits 5 ./names-train data.train.file=data/bad.csv
says "bad.csv:2: there is no class 'pink'"
printf 'path,red,green,blue\n000.png,1,2,0\n' >data/bad.csv
exits 5 ./columns-train data.train.file=data/bad.csv
says "bad.csv:2: '2' is neither 0 nor 1"
printf 'path,red,green\n000.png,1,0\n' >data/bad.csv
exits 5 ./columns-train data.train.file=data/bad.csv
says "has no column 'blue'"

refused() { # SED REGEX
	sed "$1" names.yaml >bad.yaml
	exits 2 "$cnnc" check bad.yaml
	says "$2"
}
refused 's/  loss: .*/  loss: categorical_crossentropy/' 'does not go with label_mode: multi_label'
refused 's/type: csv/type: npy/; /file:/d' 'label_mode: multi_label is for data of type csv'
refused 's/\$num_classes/4/' 'there are 3 classes'
refused 's/columns: .*/columns: {labels: [a, b]}/; s/label_mode: multi_label/label_mode: int/' 'columns.labels is for label_mode: multi_label'
exit $failed
