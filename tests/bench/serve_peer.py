"""serve_peer.py -- the reference model behind FastAPI and uvicorn, run by ONNX Runtime: what `NAME serve` is measured beside

  python serve_peer.py WEIGHTS.safetensors PORT [WORKERS]

Needs fastapi uvicorn[standard] onnxruntime onnx pillow numpy. The graph is built here from the weights that classifier-train
wrote, so both servers compute the same function; a line at the start shows its answer for a black picture.
"""
import io
import json
import os
import struct
import sys

import numpy as np


def tensors(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        head = json.loads(f.read(n))
        data = f.read()
    return {k: np.frombuffer(data[slice(*v["data_offsets"])], np.float32).reshape(v["shape"])
            for k, v in head.items() if k != "__metadata__"}


def model_of(path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    w = tensors(path)
    nodes, inits = [], []

    def const(name, a):
        inits.append(numpy_helper.from_array(np.ascontiguousarray(a), name))
        return name

    nodes.append(helper.make_node("Mul", ["x", const("scale", np.float32(1 / 255))], ["x0"]))
    nodes.append(helper.make_node("Transpose", ["x0"], ["c0"], perm=[0, 3, 1, 2]))
    at = "c0"
    for i, name in enumerate(["conv2d", "conv2d_1", "conv2d_2"]):
        k = const(name + ".k", w[name + ".kernel"].transpose(3, 2, 0, 1))
        b = const(name + ".b", w[name + ".bias"])
        nodes.append(helper.make_node("Conv", [at, k, b], [f"y{i}"]))
        nodes.append(helper.make_node("Relu", [f"y{i}"], [f"r{i}"]))
        nodes.append(helper.make_node("MaxPool", [f"r{i}"], [f"p{i}"], kernel_shape=[2, 2], strides=[2, 2]))
        at = f"p{i}"
    nodes.append(helper.make_node("Transpose", [at], ["nhwc"], perm=[0, 2, 3, 1]))
    nodes.append(helper.make_node("Flatten", ["nhwc"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", const("d.k", w["dense.kernel"]), const("d.b", w["dense.bias"])], ["h"]))
    nodes.append(helper.make_node("Relu", ["h"], ["hr"]))
    nodes.append(helper.make_node("Gemm", ["hr", const("e.k", w["dense_1.kernel"]), const("e.b", w["dense_1.bias"])], ["z"]))
    nodes.append(helper.make_node("Sigmoid", ["z"], ["p"]))
    graph = helper.make_graph(nodes, "classifier",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64, 64, 3])],
                              [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 1])], inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


def build_app(path):
    import onnxruntime
    from fastapi import FastAPI, Request
    from PIL import Image
    session = onnxruntime.InferenceSession(model_of(path), providers=["CPUExecutionProvider"])
    app = FastAPI()
    print("black:", session.run(None, {"x": np.zeros((1, 64, 64, 3), np.float32)})[0], file=sys.stderr)

    @app.post("/predict")
    async def predict(request: Request):
        image = Image.open(io.BytesIO(await request.body())).convert("RGB").resize((64, 64), Image.BILINEAR)
        p = float(session.run(None, {"x": np.asarray(image, np.float32)[None]})[0][0, 0])
        return {"label": "t-shirt" if p > 0.5 else "shirt", "probability": max(p, 1 - p)}

    return app


def app():
    return build_app(os.environ["WEIGHTS"])


if __name__ == "__main__":
    import uvicorn
    os.environ["WEIGHTS"] = sys.argv[1]
    uvicorn.run("serve_peer:app", factory=True, port=int(sys.argv[2]), access_log=False, log_level="warning",
                workers=int(sys.argv[3]) if len(sys.argv) > 3 else 1)
