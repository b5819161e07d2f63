"""onnx_light.py -- the light models inside the PyPI package onnx, with seeded random weights: cnnc beside ONNX Runtime

usage: onnx_light.py CNNC [NAME…]

The files hold no weights but ConstantOfShape nodes; each gets random numbers here (of a size that keeps activations finite).
cnnc compiles the file directly; both predict the same pictures; the difference is shown relative to the largest output.
"""
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

LIMIT = 1e-4


def light_folder():
    return os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light")


def constants(model):
    """Name of output to shape, of the nodes that stand for weights."""
    known = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            known[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return {n.output[0]: tuple(known[n.input[0]]) for n in model.graph.node if n.op_type == "ConstantOfShape"}


def roles(model):
    out = {}
    for node in model.graph.node:
        for k, name in enumerate(node.input):
            out.setdefault(name, (node.op_type, k))
    return out


def random_weights(model, seed):
    rng, shapes, role = np.random.default_rng(seed), constants(model), roles(model)
    for name, shape in shapes.items():
        op, k = role.get(name, ("", 0))
        if op == "BatchNormalization":
            value = rng.uniform(0.5, 1.5, shape) if k in (1, 4) else rng.uniform(-0.2, 0.2, shape)
        elif len(shape) < 2:
            value = rng.uniform(-0.1, 0.1, shape)
        else:
            fan_in = int(np.prod(shape[1:])) if op != "MatMul" else shape[0]
            value = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    kept = [n for n in model.graph.node if n.output[0] not in shapes]
    if kept[-1].op_type == "Softmax":  # random logits are so far apart that probabilities are 0 and 1: logits are compared
        model.graph.output[0].name = kept.pop().input[0]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def compare(cnnc, path, folder):
    model = random_weights(onnx.load(path), 1)
    weighted = os.path.join(folder, "model.onnx")
    onnx.save(model, weighted)
    given = {i.name for i in model.graph.initializer}
    port = next(i for i in model.graph.input if i.name not in given)
    shape = [d.dim_value for d in port.type.tensor_type.shape.dim]
    x = np.random.default_rng(2).uniform(-1, 1, shape).astype(np.float32)
    want = onnxruntime.InferenceSession(weighted).run(None, {port.name: x})[0]
    start = time.monotonic()
    program = os.path.join(folder, "program")
    subprocess.run([cnnc, weighted, "-o", program], check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - start
    np.save(os.path.join(folder, "x.npy"), np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    subprocess.run([program, "run", "--input", "x.npy", "--output", "y.npy"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    got = np.load(os.path.join(folder, "y.npy"))
    return np.abs(got.reshape(want.shape) - want).max() / np.abs(want).max(), took


def main():
    onnxruntime.set_default_logger_severity(3)
    cnnc, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    worst = 0
    for file in sorted(os.listdir(light_folder())):
        if not file.endswith(".onnx") or (names and not any(n in file for n in names)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            difference, took = compare(cnnc, os.path.join(light_folder(), file), folder)
        worst = max(worst, difference)
        print(f"{file:28} largest difference {difference:.2e}  compiled in {took:.1f} s", flush=True)
    sys.exit(int(worst > LIMIT))


if __name__ == "__main__":
    main()
