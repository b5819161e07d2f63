"""serve_slow.py -- holds N slow connections to 127.0.0.1:PORT for SECONDS: half drip a header, half a body, a byte every 2 s

  python serve_slow.py PORT N SECONDS

Connections that the server closes are made again. At the end: how many were closed, and how long the longest lived.
"""
import select
import socket
import sys
import time

port, n, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
poll, live = select.epoll(), {}
closed, longest, answers = 0, 0.0, {}


def begin(i):
    s = socket.socket()
    s.connect(("127.0.0.1", port))
    s.setblocking(False)
    s.send(b"POST /predict HTTP/1.1\r\nHost: a\r\n" + (b"Content-Length: 5000\r\n\r\n" if i % 2 else b"X: "))
    poll.register(s, select.EPOLLIN | select.EPOLLHUP)
    live[s.fileno()] = (s, i, time.time())


for i in range(n):
    begin(i)
print("open:", len(live), flush=True)
start, turn = time.time(), 0
while time.time() - start < seconds:
    for fd, _ in poll.poll(0.1):
        s, i, since = live[fd]
        try:
            data = s.recv(4096)
        except OSError:
            data = b""
        if data:
            answers[data[9:12]] = answers.get(data[9:12], 0) + 1
            continue
        poll.unregister(s)
        del live[fd]
        s.close()
        closed, longest = closed + 1, max(longest, time.time() - since)
        begin(i)
    if time.time() - start > turn * 0.1:
        for s, i, _ in list(live.values())[turn % 20::20]:
            try:
                s.send(b"a")
            except OSError:
                pass
        turn += 1
print("closed:", closed, "longest: %.1f s" % longest, "answers:", answers)
