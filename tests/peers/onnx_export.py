"""onnx_export.py -- --emit=onnx beside the program itself: the onnx checker, then ONNX Runtime's outputs

usage: onnx_export.py CNNC MODEL.yaml WEIGHTS.safetensors|random

The model's own predictor and ONNX Runtime predict the same random arrays (pictures as bytes are not: models of arrays only,
or of one more input shape). `random`: weights are made by the importer's rules, He-scaled.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

LIMIT = 1e-4


def random_weights(cnnc, model, path):
    """A safetensors file for every parameter and statistic of the model."""
    tensors = json.loads(subprocess.run([cnnc, "check", model, "--json"], check=True, capture_output=True, text=True).stdout)["tensors"]
    rng, header, body = np.random.default_rng(1), {}, b""
    for t in tensors:
        if t["kind"] == "moment":
            continue
        shape, name = t["shape"], t["name"]
        if name.endswith(("gamma", "variance")):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) < 2:
            value = rng.uniform(-0.1, 0.1, shape)
        else:
            value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
        data = value.astype(np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


def main():
    cnnc, model, weights = (os.path.abspath(a) if a != "random" else a for a in sys.argv[1:4])
    onnxruntime.set_default_logger_severity(3)
    with tempfile.TemporaryDirectory() as folder:
        if weights == "random":
            weights = os.path.join(folder, "random.safetensors")
            random_weights(cnnc, model, weights)
        define = ["-D", f"model.weights={weights}"]
        exported = os.path.join(folder, "model.onnx")
        subprocess.run([cnnc, model, "--emit=onnx", "-o", exported, *define], check=True)
        onnx.checker.check_model(onnx.load(exported), full_check=True)
        session = onnxruntime.InferenceSession(exported)
        port = session.get_inputs()[0]
        shape = [5 if not isinstance(d, int) else d for d in port.shape]
        rng = np.random.default_rng(2)
        x = rng.integers(0, 256, shape, np.uint8) if port.type == "tensor(uint8)" else rng.uniform(-1, 1, shape).astype(np.float32)
        want = session.run(None, {port.name: x})[0]
        if x.dtype == np.uint8:
            print(f"{os.path.basename(model)}: checked; {sum(n.op_type == 'Transpose' for n in onnx.load(exported).graph.node)} transposes")
            return
        program = os.path.join(folder, "program")
        subprocess.run([cnnc, model, "-o", program, *define], check=True, stdout=subprocess.DEVNULL)
        np.save(os.path.join(folder, "x.npy"), x)
        subprocess.run([program, "run", "--input", "x.npy", "--output", "y.npy"], check=True, cwd=folder)
        got = np.load(os.path.join(folder, "y.npy")).reshape(want.shape)
        difference = np.abs(got - want).max() / np.abs(want).max()
        print(f"{os.path.basename(model)}: largest difference {difference:.2e}")
        sys.exit(int(difference > LIMIT))


if __name__ == "__main__":
    main()
