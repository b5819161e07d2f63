"""report_page.py -- report.html in headless Chromium without a network: no console errors, nothing wider than the page,
text contrast of 4.5 and more in both colour schemes, everything that scrolls can be reached by keyboard

  python report_page.py report.html OUT-FOLDER

Needs chromium and websocket-client. The screenshots (390 and 1440 pixels wide, light and dark) are for looking at.
"""
import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

page, out = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
assert page.stat().st_size <= 2_000_000, f"{page.stat().st_size} bytes"

CONTRAST = """
(() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return c.startsWith('color(srgb') ?
    [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
  const light = c => { const f = c.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const back = e => { const c = parse(getComputedStyle(e).backgroundColor);
    return c[3] >= 1 || !e.parentElement ? c : over(c, back(e.parentElement)); };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || ['SCRIPT', 'TITLE', 'title'].includes(e.tagName)) continue;
    const s = getComputedStyle(e), ink = parse(e instanceof SVGElement ? s.fill : s.color);
    const a = light(ink), b = light(back(e instanceof SVGElement ? e.ownerSVGElement : e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push(e.tagName + ' ' + ratio.toFixed(2) + ' ' + e.textContent.slice(0, 30));
  }
  return bad;
})()"""
UNREACHED = """[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0 &&
['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).map(e => e.outerHTML.slice(0, 80))"""
LOADED = "performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).map(r => r.name)"

profile = tempfile.TemporaryDirectory()
browser = subprocess.Popen(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=9334",
                            "--remote-allow-origins=*", f"--user-data-dir={profile.name}", "about:blank"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(200):
        try:
            pages = json.load(urllib.request.urlopen("http://127.0.0.1:9334/json"))
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
            if m.get("id") == number:
                assert "error" not in m, m
                return m["result"]

    def value(expression):
        return call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    for domain in ("Page", "Runtime", "Log", "Network"):
        call(domain + ".enable")
    call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    for width in (390, 1440):
        for scheme in ("light", "dark"):
            call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
            call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            call("Page.navigate", url=page.as_uri())
            time.sleep(0.7)
            value("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
            time.sleep(0.3)
            assert value("document.documentElement.scrollWidth") <= width, "wider than the page"
            assert value(CONTRAST) == [], value(CONTRAST)
            assert value(UNREACHED) == [], value(UNREACHED)
            assert value(LOADED) == [], value(LOADED)
            assert value("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), "a picture is broken"
            high = min(value("document.documentElement.scrollHeight"), 12000)
            shot = call("Page.captureScreenshot", captureBeyondViewport=True,
                        clip={"x": 0, "y": 0, "width": width, "height": high, "scale": 1})
            (out / f"report-{width}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
    assert not problems, problems
    print(f"{page.stat().st_size} bytes, no console errors, contrast and keyboard fine; screenshots in {out}")
finally:
    browser.terminate()
    browser.wait()
