#!/bin/sh
# resume.sh -- a run that was killed or interrupted and resumed ends with the bits of one that was not
. tests/e2e/setup
pictures across down
small_model >small.yaml
exits 0 "$cnnc" small.yaml -o small

# 1,500 steps: several passes over the pictures, epochs that end inside a pass.
long="epochs=30 steps_per_epoch=50"
# shellcheck disable=SC2086 # $long is two words everywhere
exits 0 ./small-train $long
mv runs/small/1 whole
rm -r runs
there whole/weights/last.safetensors whole/checkpoint-a whole/checkpoint-b

# Waits until the run has that many lines of results, or the trainer $pid ends.
wait_for() { # LINES
	while kill -0 "$pid" 2>/dev/null; do
		[ -e runs/small/1/results.csv ] && [ "$(wc -l <runs/small/1/results.csv)" -ge "$1" ] && return
		sleep 0.01
	done
}

agrees() { # AFTER-WHAT
	same whole/weights/last.safetensors runs/small/1/weights/last.safetensors
	same whole/weights/best.safetensors runs/small/1/weights/best.safetensors
	rows whole >want.csv
	rows runs/small/1 >got.csv
	diff want.csv got.csv || fail "results.csv after $1"
	[ ! -e runs/small/2 ] || fail "$1: a second run folder"
	rm -rf runs
}

killed=0
for lines in 0 1 2 7 19; do
	./small-train $long >log 2>&1 &
	pid=$!
	wait_for $lines
	kill -9 $pid
	wait $pid
	[ $? != 137 ] || killed=$((killed + 1))
	exits 0 ./small-train $long --resume
	agrees "kill -9 at $lines lines"
done 2>/dev/null
[ $killed -ge 4 ] || fail "only $killed of 5 runs were killed before they ended"

# Killed again and again, by the clock; first as soon as there is a checkpoint.
./small-train $long >log 2>&1 &
pid=$!
until [ -e runs/small/1/checkpoint-a ] || [ -e runs/small/1/checkpoint-b ] || ! kill -0 $pid; do
	sleep 0.005
done 2>/dev/null
kill -9 $pid
wait $pid 2>/dev/null
for pause in 0.02 0.05 0.11 0.07 0.2 0.13; do
	./small-train $long --resume >log 2>&1 &
	pid=$!
	sleep $pause
	kill -9 $pid
	wait $pid
done 2>/dev/null
exits 0 ./small-train $long --resume
agrees "many kills"

# Ctrl-C and SIGTERM in mid-epoch: a checkpoint, how to go on, 130 or 143. (A background job of a script ignores SIGINT.)
for signal in INT TERM; do
	code=130
	[ $signal = INT ] || code=143
	"$tools/interruptible" ./small-train $long >log 2>&1 &
	pid=$!
	wait_for 4
	sleep 0.02
	kill -$signal $pid
	wait $pid
	got=$?
	[ $got = $code ] || { fail "SIG$signal: exit status $got"; tail log; }
	grep -q -- '--resume' log || { fail "SIG$signal: no word of --resume"; tail log; }
	exits 0 ./small-train $long --resume
	agrees "SIG$signal"
done

# Nothing to resume: starts at 0 and says so, or refuses. A finished run says so and stays as it is.
exits 6 ./small-train epochs=2 resume=must
exits 0 ./small-train epochs=2 --resume
says 'nothing to resume'
exits 0 ./small-train epochs=2 --resume
says 'finished'
[ "$(wc -l <runs/small/1/results.csv)" = 3 ] || fail "a finished run was continued"
rm -r runs

# Another model or other data is not continued.
./small-train $long >log 2>&1 &
pid=$!
wait_for 3
kill -9 $pid
wait $pid 2>/dev/null
exits 6 ./small-train $long seed=9 --resume
says 'seed'

# A truncated checkpoint: the one before it is used, with a word. Both truncated: an error, and the weights are kept.
run=runs/small/1
newest=$run/checkpoint-a
[ $run/checkpoint-b -nt $newest ] && newest=$run/checkpoint-b
head -c $(($(wc -c <$newest) / 2)) $newest >half && cp half $newest
exits 0 ./small-train $long --resume
says "$(basename $newest)"
cp $run/weights/best.safetensors best
for file in $run/checkpoint-?; do
	head -c 100 $file >half && cp half $file
done
exits 6 ./small-train epochs=40 steps_per_epoch=50 --resume
same best $run/weights/best.safetensors
exit $failed
