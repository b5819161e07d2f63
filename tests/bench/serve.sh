#!/bin/sh
# serve.sh -- NAME serve beside ONNX Runtime behind FastAPI and uvicorn: throughput and latency at 1, 8, 64 connections,
# then what slow clients and overload do to it. One line a measurement:
#   what  connections  answers/s  p50 ms  p99 ms  max ms  503s  others  socket errors
#
#   sh tests/bench/serve.sh PREDICTOR WEIGHTS.safetensors PICTURE-FOLDER [SECONDS [WHAT…]]
#
# WHAT: peer own slow overload memory (default: all). Needs wrk; for peer, PEER=python of an environment as serve_peer.py says.
# Client and server share the machine, as they do for both.
set -u
predictor=$1 weights=$2 folder=$3 seconds=${4:-5}
[ $# -gt 4 ] && shift 4 || set -- peer own slow overload memory
here=$(dirname "$0")
PICTURES=$(find "$folder" -name '*.jpg' | sort | awk 'NR % 40 == 1' | head -n 50 | tr '\n' ' ')
export PICTURES
port=8471
err=$(mktemp)
server=
trap '[ -z "$server" ] || kill $server; rm -f "$err"' EXIT

load() { # WHAT CONNECTIONS [SECONDS]
	result=$(wrk -t1 -c"$2" -d"${3:-$seconds}s" --latency -s "$here/serve.lua" http://127.0.0.1:$port | sed -n 's/^RESULT //p')
	echo "$1 $2 $result"
}
own() {
	"$predictor" serve --port $port --weights "$weights" --access-log none 2>"$err" &
	server=$!
	while ! grep -q 'serves at' "$err"; do sleep 0.05; done
}
peer() {
	WEIGHTS=$weights PYTHONPATH=$here ${PEER:-python3} "$here/serve_peer.py" "$weights" $port 2>"$err" &
	server=$!
	while ! curl -s -o /dev/null http://127.0.0.1:$port/docs; do sleep 0.2; done
}
end() {
	kill $server
	wait $server
	server=
}
resident() {
	awk '/^VmRSS/ {print $2}' /proc/$server/status
}

for what; do
	case $what in
	peer | own)
		$what
		for connections in 1 8 64; do load $what $connections; done
		end
		;;
	slow)
		own
		load honest 50
		python3 "$here/serve_slow.py" $port 2000 $((seconds + 3)) >/dev/null &
		slow=$!
		sleep 1.5
		load honest+2000-slow 50
		wait $slow
		end
		;;
	overload)
		own
		load full 256
		load 5x 1280 $((seconds * 3))
		echo "resident kB after it: $(resident)"
		end
		;;
	memory)
		own
		echo "resident kB at rest: $(resident)"
		end
		for _ in 1 2 3 4 5; do
			python3 - "$predictor" serve --port $port --weights "$weights" --access-log none <<-'END'
				import socket, subprocess, sys, time
				began = time.perf_counter()
				p = subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL)
				port = int(sys.argv[sys.argv.index("--port") + 1])
				while True:
				    s = socket.socket()
				    if s.connect_ex(("127.0.0.1", port)) == 0:
				        s.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: a\r\n\r\n")
				        assert s.recv(100).startswith(b"HTTP/1.1 200")
				        break
				    time.sleep(0.0005)
				print("start to ready: %.1f ms" % (1e3 * (time.perf_counter() - began)), flush=True)
				s.close()
				p.terminate()
				p.wait()
			END
		done
		;;
	esac
done
