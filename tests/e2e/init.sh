# init.sh -- cnnc init: from a folder of data to trained programs with no model file written by hand
. tests/e2e/setup

mkdir photos
"$tools/pictures" photos/train 12 1 cat dog 'wild boar'
"$tools/pictures" photos/val 4 2 cat dog 'wild boar'
exits 0 "$cnnc" init photos
says '48 pictures of 3 classes'
says '^wild boar +12 +4$'
says 'next: cnnc photos-classifier.yaml -o photos-classifier && ./photos-classifier-train'
exits 0 "$cnnc" check photos-classifier.yaml
exits 2 "$cnnc" photos-classifier.yaml -o photos
says 'photos is a folder; -o needs another name'
exits 0 "$cnnc" photos-classifier.yaml -o photos-classifier
exits 0 ./photos-classifier-train epochs=1
exits 0 ./photos-classifier photos/val/cat
exits 0 ./photos-classifier serve --help
exits 2 "$cnnc" init photos
says 'photos-classifier.yaml is there already'

# one folder: a part of it validates. Damage, copies and names that YAML would read as something else.
"$tools/pictures" 'we "like": #it' 6 3 no '0777'
cp 'we "like": #it/no/001.jpg' 'we "like": #it/0777/copy.jpg'
head -c 300 'we "like": #it/no/002.jpg' >'we "like": #it/no/cut.jpg'
exits 0 "$cnnc" init 'we "like": #it' -o b.yaml
says 'unreadable: 1 files'
says 'cut.jpg: '
says 'copies: 1 files equal another one'
says '1 of them lie in two classes'
exits 0 "$cnnc" b.yaml -o b
exits 0 ./b-train epochs=1

# training pictures among those of validation
cp photos/train/cat/003.jpg photos/val/cat/leak.jpg
exits 0 "$cnnc" init photos -o c.yaml
says '1 of them are training pictures among those of validation'

# folders that cannot be trained on
mkdir -p one/only empty
cp photos/val/cat/001.jpg one/only
exits 5 "$cnnc" init one
says 'one class cannot be told from another'
[ -e one.yaml ] && fail "a model file was written for one class"
exits 5 "$cnnc" init empty
exits 5 "$cnnc" init nowhere
says 'no such folder'
exits 2 "$cnnc" init
rm -r photos/val/dog
exits 5 "$cnnc" init photos -o d.yaml
says 'both need the same classes'
exits 4 "$cnnc" init "$work/photos/train" -o nowhere/d.yaml
exit $failed
