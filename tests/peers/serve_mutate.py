"""serve_mutate.py -- whole requests with bytes changed, cut, doubled and in odd pieces, sent to 127.0.0.1:PORT

  python serve_mutate.py PORT PICTURE [COUNT [SEED]]

The server must go on: a good request is answered after each hundred. Best with a predictor of a build with CNNC_SANITIZE.
"""
import base64
import random
import socket
import sys
import time

port, picture = int(sys.argv[1]), open(sys.argv[2], "rb").read()
count, rng = int(sys.argv[3]) if len(sys.argv) > 3 else 3000, random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
text = base64.b64encode(picture)


def post(path, body, *headers):
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: a", b"Content-Length: %d" % len(body), *headers, b"", body])


tensor = b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["' + text + b'"]}],"outputs":[]}'
seeds = [
    post(b"/predict", picture), post(b"/v1/models/classifier:predict", b'{"instances":[{"b64":"' + text + b'"}]}'),
    post(b"/v2/models/classifier/infer", tensor), post(b"/v2/models/classifier/infer", picture, b"Inference-Header-Content-Length: 0"),
    post(b"/predict", b'--b\r\nContent-Disposition: form-data; name="a"; filename="1.jpg"\r\n\r\n' + picture + b"\r\n--b--\r\n",
         b"Content-Type: multipart/form-data; boundary=b"),
    b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(picture), picture),
    b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /v2/models/classifier HTTP/1.1\r\nHost: a\r\n\r\n", b"HEAD / HTTP/1.0\r\n\r\n",
    b"GET http://a/v2?top_k=%ff#x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
]
marks = [b"\r\n", b"\r\n\r\n", b"\0", b":", b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n", b" ", b"\xff" * 8,
         b"0\r\n\r\n", b"-1", b"/", b"%", b"[" * 64, b'"', b"--b"]
answers = {}


def mutate(data):
    data = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 4, 8])):
        at = rng.randrange(min(len(data), rng.choice([100, len(data)])) or 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[at:at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            data[at:at] = rng.choice(marks)
        elif kind == 2:
            del data[at:at + rng.randrange(1, 64)]
        elif kind == 3:
            data = data[:at + 1]
        else:
            data[at:at] = data[at:at + rng.randrange(1, 200)]
        if not data:
            return b"\r\n"
    return bytes(data)


def ask(data, wait):
    s = socket.create_connection(("127.0.0.1", port), timeout=5)
    reply = b""
    try:
        while data:
            n = rng.choice([len(data), len(data), rng.randrange(1, len(data) + 1)])
            s.sendall(data[:n])
            data = data[n:]
        if rng.random() < 0.5 or wait:
            s.shutdown(socket.SHUT_WR)
            while wait or not reply:
                more = s.recv(65536)
                reply += more
                if not more:
                    break
    except OSError:
        pass
    s.close()
    return reply


for i in range(count):
    reply = ask(mutate(rng.choice(seeds)), False)
    answers[reply[9:12].decode("latin1")] = answers.get(reply[9:12].decode("latin1"), 0) + 1
    if i % 100 == 99:
        good = post(b"/predict", picture, b"Connection: close")
        s = socket.create_connection(("127.0.0.1", port), timeout=10)
        s.sendall(good)
        assert s.recv(65536).startswith(b"HTTP/1.1 200"), f"no answer after {i}"
        s.close()
print(dict(sorted(answers.items())))
