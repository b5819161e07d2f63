"""serve_abuse.py -- requests that try to make NAME serve keep or do too much; its answers, and its memory after each

  python serve_abuse.py PORT PID

Needs nothing but the standard library. The server is expected at its default limits.
"""
import socket
import struct
import sys
import threading
import zlib

port, pid = int(sys.argv[1]), int(sys.argv[2])


def memory(what="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what)) / 1024


def send(pieces, answers):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    reply = b""
    try:
        for piece in pieces:
            s.sendall(piece)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    try:
        reply = s.recv(4096)
    except OSError:
        pass
    s.close()
    status = reply[9:12].decode() or "closed"
    answers[status] = answers.get(status, 0) + 1


def attack(name, pieces, clients=1):
    answers = {}
    threads = [threading.Thread(target=send, args=(pieces, answers)) for _ in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(f"{name}: {clients} x -> {answers}; memory now {memory():.1f} MiB, at most {memory('VmHWM'):.1f} MiB", flush=True)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height):
    rows = zlib.compress(b"\0" * 1000)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", rows) + chunk(b"IEND", b""))


post = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
print(f"at rest: {memory():.1f} MiB")
attack("Content-Length of 1 TB", [post + b"Content-Length: 1000000000000\r\n\r\n", b"a" * 65536])
attack("a body of 9 MB", [post + b"Content-Length: 9000000\r\n\r\n"] + [b"a" * 65536] * 137)
attack("chunks of one byte without end", [post + b"Transfer-Encoding: chunked\r\n\r\n"] + [b"1\r\na\r\n" * 10000] * 400)
attack("one chunk of 2^63", [post + b"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n"] + [b"a" * 65536] * 200)
attack("10,000 headers", [b"GET /v2 HTTP/1.1\r\n" + b"".join(b"h%d: 1\r\n" % i for i in range(10000)) + b"\r\n"])
attack("a header without end", [b"GET /v2 HTTP/1.1\r\nX: "] + [b"a" * 65536] * 20)
attack("a picture of 100 MP", [post + b"Content-Length: %d\r\n\r\n" % len(png(10000, 10000)), png(10000, 10000)], 8)
deep = b'{"inputs":' + b"[" * 1000000
attack("JSON a million deep", [b"POST /v2/models/classifier/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" %
                               len(deep), deep], 8)
numbers = b'{"instances":[' + b"1," * 4000000
attack("4 million numbers", [b"POST /v1/models/classifier:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" %
                             len(numbers), numbers], 8)
attack("100 bodies of 8 MiB that never end", [post + b"Content-Length: 8388608\r\n\r\n"] + [b"a" * 65536] * 127, 100)
attack("and a good request", [b"GET /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"])
