"""serve_clients.py -- NAME serve, driven by clients that nobody here wrote: tritonclient and prometheus_client's parser

  python serve_clients.py URL PICTURE MODEL EXPECTED

EXPECTED: output 0 for the picture, as `NAME --json` says it. Needs tritonclient[http] prometheus_client numpy pillow.
"""
import sys
import urllib.request

import numpy as np
import tritonclient.http as triton
from prometheus_client.parser import text_string_to_metric_families

url, picture, name, expected = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
client = triton.InferenceServerClient(url.split("//")[1], concurrency=4)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(name)
assert client.is_model_ready(name, "1") and not client.is_model_ready("other")
meta = client.get_model_metadata(name)
x, y = meta["inputs"][0], meta["outputs"][0]
assert x["datatype"] == "BYTES" and y["datatype"] == "FP32", meta
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
data = open(picture, "rb").read()


def infer(binary_in, binary_out, pictures, outputs=True, **more):
    tensor = triton.InferInput(x["name"], [len(pictures)], "BYTES")
    if binary_in:
        tensor.set_data_from_numpy(np.array(pictures, dtype=object), binary_data=True)
    else:
        import base64
        tensor.set_data_from_numpy(np.array([base64.b64encode(p) for p in pictures], dtype=object), binary_data=False)
    wanted = [triton.InferRequestedOutput(y["name"], binary_data=binary_out, **more)] if outputs else None
    return client.infer(name, [tensor], outputs=wanted, request_id="r-1")


def near(result, n):
    got = result.as_numpy(y["name"])
    assert got.shape[0] == n and np.all(np.abs(got.reshape(n, -1)[:, -1] - expected) < 1e-6), got
    return got


for binary_in in (True, False):
    for binary_out in (True, False):
        result = infer(binary_in, binary_out, [data] * 3)
        near(result, 3)
        assert result.get_response()["id"] == "r-1"
near(infer(True, False, [data], outputs=False), 1)

# Pixels and the network's own input, both ways.
from PIL import Image
pixels = np.asarray(Image.open(picture).convert("RGB"))
for datatype in ("UINT8", "FP32"):
    for binary in (True, False):
        shape = [2, *client_shape] if (client_shape := [int(v) for v in sys.argv[5].split("x")]) else []
        values = np.zeros(shape, np.uint8 if datatype == "UINT8" else np.float32)
        tensor = triton.InferInput(x["name"], shape, datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        rows = client.infer(name, [tensor]).as_numpy(y["name"])
        assert rows.shape[0] == 2 and np.array_equal(rows[0], rows[1]), rows

# The classification extension: "value:index[:label]".
top = infer(True, True, [data, data], class_count=1).as_numpy(y["name"])
assert top.shape == (2, 1), top
value, index = top[0, 0].decode().split(":")[:2]
assert index == "0" and abs(float(value) - expected) < 1e-6 or float(value) > 0, top

# Many at once, from one connection pool.
waiting = []
for _ in range(64):
    tensor = triton.InferInput(x["name"], [1], "BYTES")
    tensor.set_data_from_numpy(np.array([data], dtype=object))
    waiting.append(client.async_infer(name, [tensor]))
for w in waiting:
    near(w.get_result(), 1)

for wrong in ("FP64", "INT64"):
    tensor = triton.InferInput(x["name"], [1, *client_shape], wrong)
    tensor.set_data_from_numpy(np.zeros([1, *client_shape], np.float64 if wrong == "FP64" else np.int64))
    try:
        client.infer(name, [tensor])
        raise SystemExit("a wrong datatype was taken")
    except triton.InferenceServerException as e:
        assert "datatypes" in str(e), e

families = {f.name: f for f in text_string_to_metric_families(
    urllib.request.urlopen(url + "/metrics").read().decode())}
for family in ("cnnc_inference_request_success", "cnnc_inference_request_failure", "cnnc_inference_count",
               "cnnc_inference_exec_count", "cnnc_inference_request_duration_seconds",
               "cnnc_inference_queue_duration_seconds", "cnnc_inference_latency_seconds", "process_cpu_seconds"):
    assert families[family].samples, family
success = families["cnnc_inference_request_success"].samples[0]
assert success.labels == {"model": name, "version": "1"} and success.value >= 70, success
buckets = [s.value for s in families["cnnc_inference_latency_seconds"].samples if s.name.endswith("_bucket")]
assert buckets == sorted(buckets) and buckets[-1] >= 70
print("tritonclient", __import__("importlib.metadata").metadata.version("tritonclient"), "and prometheus_client agree")
