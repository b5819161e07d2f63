"""serve_page.py -- the page of NAME serve in headless Chromium: a picture is chosen, its classes appear, no console errors

  python serve_page.py URL PICTURE LABEL OUT.png [WIDTH]

Needs chromium and websocket-client. The screenshot is for looking at.
"""
import base64
import json
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

url, picture, label, out = sys.argv[1:5]
width = int(sys.argv[5]) if len(sys.argv) > 5 else 390
profile = tempfile.TemporaryDirectory()
browser = subprocess.Popen(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=9333",
                            "--remote-allow-origins=*", f"--user-data-dir={profile.name}", "about:blank"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(100):
        try:
            pages = json.load(urllib.request.urlopen("http://127.0.0.1:9333/json"))
            break
        except OSError:
            time.sleep(0.1)
    ws = websocket.create_connection([p for p in pages if p["type"] == "page"][0]["webSocketDebuggerUrl"])
    number, problems = 0, []

    def call(method, **params):
        global number
        number += 1
        ws.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            m = json.loads(ws.recv())
            if m.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                problems.append(m["params"])
            if m.get("method") == "Runtime.consoleAPICalled" and m["params"]["type"] in ("error", "warning"):
                problems.append(m["params"])
            if m.get("id") == number:
                assert "error" not in m, m
                return m["result"]

    for domain in ("Page", "Runtime", "Log", "DOM"):
        call(domain + ".enable")
    call("Emulation.setDeviceMetricsOverride", width=width, height=720, deviceScaleFactor=1, mobile=width < 600)
    call("Page.navigate", url=url)
    time.sleep(0.7)
    root = call("DOM.getDocument")["root"]["nodeId"]
    node = call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    call("DOM.setFileInputFiles", nodeId=node, files=[picture])
    said = ""
    for _ in range(50):
        said = call("Runtime.evaluate", expression="document.getElementById('say').textContent")["result"]["value"]
        if said.startswith(label):
            break
        time.sleep(0.1)
    assert said.startswith(label), said
    rows = call("Runtime.evaluate", expression="document.querySelectorAll('.row').length")["result"]["value"]
    wide = call("Runtime.evaluate", expression="document.documentElement.scrollWidth")["result"]["value"]
    assert rows >= 2 and wide <= width, (rows, wide)
    time.sleep(0.3)
    with open(out, "wb") as f:
        f.write(base64.b64decode(call("Page.captureScreenshot", format="png")["data"]))
    assert not problems, problems
    print("chromium:", said, f"({rows} rows, {width} pixels wide, no console errors)")
finally:
    browser.kill()
    browser.wait()
