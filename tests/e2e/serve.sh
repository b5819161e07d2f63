#!/bin/sh
# serve.sh -- NAME serve: the protocols, what is refused and how, the same bits in any batch, draining
. tests/e2e/setup
command -v curl >/dev/null || { echo "curl is not installed"; exit 77; }
pictures across down
small_model >small.yaml
exits 0 "$cnnc" small.yaml -o small
exits 2 ./small serve
echo 'serve: {port: 0, drain: 300ms}' >>small.yaml
exits 0 "$cnnc" small.yaml -o small
exits 0 ./small-train epochs=1

server=
# Starts the server and waits until it listens; its output goes to log and err.serve.
start() { # OPTION…
	rm -f err.serve # the last server's address is in it
	./small serve "$@" >log 2>err.serve &
	server=$!
	url=
	for _ in $(seq 100); do
		url=$(sed -n 's/.* serves at \(http:[^ ]*\) .*/\1/p' err.serve 2>/dev/null)
		[ -n "$url" ] && return
		sleep 0.1
	done
	fail "the server does not start: $(cat err.serve)"
	exit 1
}
stop() { # [CODE]
	kill "$server"
	wait "$server"
	got=$?
	[ $got = "${1:-0}" ] || fail "the server ended with $got: $(tail -n 5 err.serve)"
	server=
}
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
# A request whose status must be CODE; the body is in ./out.
gets() { # CODE CURL-ARGUMENT…
	want=$1
	shift
	got=$(curl -s -m 20 -o out -D err -w '%{http_code}' "$@")
	[ "$got" = "$want" ] || fail "status $got instead of $want: curl $*: $(head -c 300 out)"
}

exits 2 ./small serve --port 70000
exits 2 ./small serve --no-such-option
says 'no-such-option'
exits 0 ./small serve --help
says 'deadline-ms'
exits 4 ./small serve --token-file no-such-file

picture=data/test/across/000.jpg
other=data/test/down/000.jpg
start --max-body 100KB --max-header 2048
value=$(./small --json $picture | sed 's/.*"down":\([^}]*\).*/\1/')

# ---- the protocols say what the command line says ----
gets 200 --data-binary @$picture "$url/predict"
says "\"down\":$value"
gets 200 -F a=@$picture -F b=@$other "$url/predict?top_k=2"
says '"predictions":\[\{"name":"000.jpg","label".*"top_k"'
base64 -w0 $picture >text
gets 200 -d "{\"instances\":[{\"b64\":\"$(cat text)\"},{\"b64\":\"$(cat text)\"}]}" "$url/v1/models/small:predict"
says "\"predictions\":\[\[$value\],\[$value\]\]"
gets 200 -d "{\"inputs\":{\"x\":[{\"b64\":\"$(cat text)\"}]},\"signature_name\":\"serving_default\"}" \
	"$url/v1/models/small/versions/1:predict"
says "\"outputs\":\[\[$value\]\]"
bytes="{\"name\":\"x\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"$(cat text)\"]}"
gets 200 -d "{\"id\":\"a\\u00e9\\\"\",\"inputs\":[$bytes]}" "$url/v2/models/small/infer"
says "\"id\":\"aé\\\\\"\".*\"data\":\[$value\]"
gets 200 -H 'Transfer-Encoding: chunked' -d "{\"inputs\":[$bytes],\"outputs\":[{\"name\":\"dense\"}]}" "$url/v2/models/small/infer"
says "\"data\":\[$value\]"
gets 200 -H 'Inference-Header-Content-Length: 0' --data-binary @$picture "$url/v2/models/small/infer"
says "\"data\":\[$value\]"
gets 200 -H 'Expect: 100-continue' --data-binary @$picture "$url/predict"
for path in /v2 /v2/health/live /v2/health/ready /v2/models/small /v2/models/small/ready /v2/models/small/versions/1 \
	/v1/models/small /v1/models/small/metadata /metrics /; do
	gets 200 "$url$path"
done
gets 200 -I "$url/"
gets 200 "$url/metrics"
says '^cnnc_inference_request_success\{model="small",version="1"\} 8$'
says '^cnnc_inference_count\{model="small",version="1"\} 10$'

# ---- what is refused ----
gets 404 "$url/no-such-path"
gets 404 "$url/v2/models/other"
gets 404 "$url/v2/models/small/versions/2/infer"
gets 405 "$url/predict"
gets 405 -d x "$url/metrics"
gets 422 -d 'no picture' "$url/predict"
says 'not a JPEG or PNG'
gets 400 -X POST "$url/predict"
gets 400 -F a=b "$url/predict"
gets 400 -d '{"inputs":[' "$url/v2/models/small/infer"
says 'at byte'
gets 400 -d '{"inputs":[{"name":"x","shape":[1,20,20,3],"datatype":"FP32","data":[1,2,3]}]}' "$url/v2/models/small/infer"
gets 400 -d '{"inputs":[{"name":"y","shape":[1],"datatype":"BYTES","data":[""]}]}' "$url/v2/models/small/infer"
gets 400 -d '{"instances":[]}' "$url/v1/models/small:predict"
gets 415 -H 'Content-Encoding: gzip' --data-binary @$picture "$url/predict"
head -c 200000 /dev/zero >large
gets 413 --data-binary @large "$url/predict"
gets 413 -H Expect: --data-binary @large "$url/predict"
gets 413 -H 'Transfer-Encoding: chunked' --data-binary @large "$url/predict"
long=$(head -c 4000 /dev/zero | tr '\0' a)
got=$(curl -s -m 20 -o out -w '%{http_code}' -H "X: $long" "$url/v2")
[ "$got" = 431 ] || [ "$got" = 400 ] || fail "status $got for a long header"
gets 400 -X GET -d x "$url/v2"
gets 400 -H 'Transfer-Encoding: gzip' -d x "$url/predict"
gets 200 --data-binary @$picture "$url/predict"
grep -q '"path":"/predict","status":200,"in":[0-9]*,"out":[0-9]*,"ms":[0-9.]*,"samples":1,"batch":1' log || {
	sleep 0.5
	grep -q '"samples":1,"batch":1' log || fail "the log lacks a request: $(tail -n 2 log)"
}
stop

# ---- a picture's answer does not depend on its company ----
curl -s --data-binary @$picture "$url/predict" >/dev/null && fail "it still listens"
start --threads 2 --access-log none
for f in data/test/*/*; do
	curl -s --data-binary @"$f" "$url/predict"
done >alone
set --
for f in data/test/*/*; do
	set -- "$@" -F "a=@$f"
done
gets 200 "$@" "$url/predict"
tr '{' '\n' <out | grep -o '"across":[^}]*' >together
tr '{' '\n' <alone | grep -o '"across":[^}]*' >apart
[ "$(wc -l <apart)" = 24 ] || fail "24 answers are missing: $(head -n 3 alone)"
same together apart
stop

# ---- tokens, rates ----
echo 'a secret' >token
start --token-file token --rate 2
gets 401 "$url/v2"
gets 401 -H 'Authorization: Bearer wrong' "$url/v2"
gets 200 -H 'Authorization: Bearer a secret' "$url/v2"
gets 200 "$url/v2/health/live"
for _ in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code}\n' "$url/v2/health/live"; done >codes
grep -q 429 codes || fail "no request was limited: $(cat codes)"
stop

# ---- clients that are slow, many, or ambiguous ----
# What comes back for bytes as they are; the connection stays open for some time.
raw() { # SECONDS FORMAT
	# shellcheck disable=SC2059 # the bytes are a format
	{ printf "$2"; sleep "$1"; } | curl -s -m 20 "telnet://${url#http://}" >out 2>err
}
start --header-timeout 0.4 --body-timeout 0.4 --max-connections 8
raw 2 'GET /v2 HTTP/1.1\r\nX: '
says '^HTTP/1.1 408'
raw 2 'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc'
says '^HTTP/1.1 408'
raw 1 'GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\nGET /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
says '"live":true'
says '"extensions"'
raw 1 'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /v2 HTTP/1.1\r\n\r\n'
says '^HTTP/1.1 400'
! grep -q extensions out || fail "a request was smuggled"
raw 1 'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 40\r\n\r\nabcGET /v2 HTTP/1.1\r\n\r\n'
says '^HTTP/1.1 400'
! grep -q extensions out || fail "a request was smuggled"
raw 1 'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length : 30\r\n\r\nGET /v2 HTTP/1.1\r\nHost: a\r\n\r\n'
says '^HTTP/1.1 400'
! grep -q extensions out || fail "a request was smuggled"
raw 1 'nonsense\r\n\r\n'
says '^HTTP/1.1 400'
raw 1 'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n'
says '^HTTP/1.1 400'
raw 1 'POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n'
says '^HTTP/1.1 4'
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
	sleep 2 | curl -s "telnet://${url#http://}" >/dev/null 2>&1 &
done
sleep 0.2
gets 200 --data-binary @$picture "$url/predict"
gets 200 "$url/metrics"
says '^cnnc_http_connections_timed_out [2-9]'
says '^cnnc_http_connections_evicted [1-9]'
stop

# ---- draining: ready says 503 at once, what has begun is answered ----
start --access-log log.json --batch-delay-ms 700 --max-batch 2 --drain-ms 400
curl -s -m 20 -o slow -w '%{http_code}' --data-binary @$picture "$url/predict" >slow.code &
client=$!
sleep 0.2
kill "$server"
sleep 0.1
gets 503 "$url/v2/health/ready"
gets 200 "$url/v2/health/live"
wait $client
[ "$(cat slow.code)" = 200 ] || fail "a request in flight was lost: $(cat slow.code)"
wait "$server" || fail "the server ended with $?"
server=
grep -q '"path":"/predict","status":200' log.json || fail "no line in log.json"
exit $failed
