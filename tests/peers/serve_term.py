"""serve_term.py -- SIGTERM in the middle of a load of keep-alive clients: no request that was sent may stay without its answer

  python serve_term.py SERVER-COMMAND… -- PICTURE [CLIENTS] [ROUNDS]

A client ends when its connection was refused or closed before it sent anything. Needs nothing but the standard library.
"""
import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import time

cut = sys.argv.index("--")
command, rest = sys.argv[1:cut], sys.argv[cut + 1:]
picture = open(rest[0], "rb").read()
clients = int(rest[1]) if len(rest) > 1 else 16
rounds = int(rest[2]) if len(rest) > 2 else 5


def client(port, counts, lock):
    connection, mine = None, {"answered": 0, "lost": 0}
    while True:
        if connection is None or connection.sock is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.connect()
            except OSError:
                break
        try:
            connection.request("POST", "/predict", picture)
            reply = connection.getresponse()
            body = reply.read()
            good = reply.status == 200 and body.startswith(b"{")
            mine["answered" if good else "lost"] += 1
            if reply.getheader("Connection") == "close":
                connection.close()
        except (OSError, http.client.HTTPException) as e:
            mine["lost"] += 1
            mine[type(e).__name__] = mine.get(type(e).__name__, 0) + 1
            connection.close()
    with lock:
        for k, v in mine.items():
            counts[k] = counts.get(k, 0) + v


for turn in range(rounds):
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    port = int(re.search(r":(\d+) \(", server.stderr.readline()).group(1))
    counts, lock = {}, threading.Lock()
    threads = [threading.Thread(target=client, args=(port, counts, lock)) for _ in range(clients)]
    for t in threads:
        t.start()
    time.sleep(0.5 + 0.05 * turn)
    began = time.time()
    server.send_signal(signal.SIGTERM)
    code = server.wait(timeout=40)
    took = time.time() - began
    for t in threads:
        t.join()
    print(f"round {turn}: exit {code} after {took:.2f} s, {counts}", flush=True)
    assert code == 0 and counts["lost"] == 0, "requests were lost"
