#!/bin/sh
# tune.sh -- schedules are measured, kept, taken again, and refused where they are wrong; results stay the same bits
. tests/e2e/setup
pictures across down
small_model >small.yaml

exits 0 "$cnnc" small.yaml -o plain
exits 0 "$cnnc" small.yaml --tune=2 -o small
says '^wrote small.schedule'
says 'kernels measured: untuned takes .* % more time than tuned \(geomean\)'
says '^tuning [0-9]+ kernels: round 1 of'
there small small-train small.schedule
head -n 1 small.schedule | grep -qx 'cnnc schedules 1' || fail "the first line of the file: $(head -n 1 small.schedule)"

# the same bits as the untuned program
exits 0 ./plain-train epochs=2
exits 0 ./small-train epochs=2
there runs/small/1/weights/last.safetensors
same runs/small/1/weights/last.safetensors runs/small/2/weights/last.safetensors

# taken again: the same program; nothing is measured again
exits 0 "$cnnc" small.yaml --schedule small.schedule -o again
grep -q 'note: ignored' err && fail "lines of its own file were ignored: $(cat err)"
same small-train again-train
cp small.schedule kept
exits 0 "$cnnc" small.yaml --tune --schedule small.schedule -o again
exits 0 "$cnnc" bench small.yaml --schedule small.schedule --threads 1
says 'kernels of train_step'

# lines of other kernels, targets and versions are ignored with a note
cp kept other
echo '0123456789abcdef x86-64-v9 0.1.0 : tile : loop a0 : 5 some machine' >>other
exits 0 "$cnnc" small.yaml --schedule other -o again
says 'other: note: ignored 1 lines for another target'
sed 's/filters: 8/filters: 9/' small.yaml >nine.yaml
exits 0 "$cnnc" nine.yaml --schedule kept -o again
says 'kept: note: ignored [0-9]+ lines for kernels that this model does not have'
exits 0 "$cnnc" small.yaml --cpu=x86-64-v2 --schedule kept -o again
says 'kept: note: ignored'

# what is wrong is refused with its place
exits 2 "$cnnc" small.yaml --schedule no-such-file -o bad
says 'no-such-file'
sed 's/ : tile : [a-z]*/ : tile : lop/' kept >wrong
exits 2 "$cnnc" small.yaml --schedule wrong -o bad
says '^wrong:3:[0-9]+: error: loop, unroll or vector is expected here'
sed 's/ : tile : .* : / : tile : loop a0\/3 a0\/2 unroll a0\/7 vector a1\/5 : /' kept >wrong
exits 2 "$cnnc" small.yaml --schedule wrong -o bad
says '^wrong:3:1: error: this is no schedule that kernel .* can have'
head -c 5000 small >wrong
exits 2 "$cnnc" small.yaml --schedule wrong -o bad
says '^wrong:1:[0-9]+: error: this is no'
cp wrong before
exits 2 "$cnnc" small.yaml --tune=1 --schedule wrong -o bad
same wrong before
: >wrong
exits 2 "$cnnc" small.yaml --schedule wrong -o bad
[ ! -e bad ] || fail "a program from a bad schedule file"
exits 2 "$cnnc" small.yaml --tune=soon -o bad
says 'seconds'
exits 2 "$cnnc" small.yaml --tune --triple=aarch64-linux-gnu --emit=asm -o -

# asked for by the model file
sed '/^model:/i build: {tune: 1s}' small.yaml >asks.yaml
exits 0 "$cnnc" asks.yaml -o asks
there asks.schedule

# interrupted: what was measured is written, no program
"$cnnc" small.yaml --tune -o late >out 2>err &
tuner=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
	grep -q 'round 2' err && break
	sleep 1
done
kill -INT $tuner
wait $tuner
got=$?
[ $got = 130 ] || [ $got = 0 ] || fail "exit status $got of an interrupted tuner"
there late.schedule
[ $got = 0 ] || [ ! -e late ] || fail "a program although interrupted"
exits 0 "$cnnc" small.yaml --schedule late.schedule -o late
exit $failed
