"""Grad-CAM and integrated gradients of the reference CNN beside PyTorch on the same weights.

usage: explain_agree.py PREDICTOR WEIGHTS.safetensors PICTURE...   (needs torch, numpy, pillow)
PREDICTOR: examples/classifier.yaml with `predict: {explain: [grad_cam, integrated_gradients]}`. Prints the smallest
correlation with PyTorch in double, and that of PyTorch in float. Exit status 1 below 0.999 (grad_cam) or 0.99 (the other).
"""
import json
import struct
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def load(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    head.pop("__metadata__", None)
    return {k: torch.tensor(np.frombuffer(data[8 + n:][slice(*v["data_offsets"])], "<f4").reshape(v["shape"]).copy())
            for k, v in head.items()}


def picture(path):
    """As the programs read it: bilinear, half-pixel centres, no antialiasing, whole values of 0 to 255."""
    x = torch.tensor(np.asarray(Image.open(path).convert("RGB"), np.float32)).permute(2, 0, 1)[None]
    if x.shape[2:] != (64, 64):
        x = F.interpolate(x, (64, 64), mode="bilinear", align_corners=False).round()
    return x / 255


def forward(w, x):
    for i, name in enumerate(["conv2d", "conv2d_1", "conv2d_2"]):
        x = torch.relu(F.conv2d(x, w[name + ".kernel"].permute(3, 2, 0, 1), w[name + ".bias"]))
        if i == 2:
            last = x
            last.requires_grad_(True) if last.is_leaf else last.retain_grad()
        x = F.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = torch.relu(x @ w["dense.kernel"] + w["dense.bias"])
    return (x @ w["dense_1.kernel"] + w["dense_1.bias"])[:, 0], last


def grad_cam(w, x, sign):
    x = x.clone().requires_grad_(True)
    z, a = forward(w, x)
    (g,) = torch.autograd.grad(sign * z.sum(), a)
    return torch.relu((g.mean((2, 3), keepdim=True) * a).sum(1))[0].detach().numpy()


def integrated(w, x, sign, steps=64):
    alpha = ((torch.arange(steps) + 0.5) / steps).view(-1, 1, 1, 1)
    at = (alpha * x).requires_grad_(True)
    z, _ = forward(w, at)
    (g,) = torch.autograd.grad(sign * z.sum(), at)
    return (g.mean(0) * x[0]).sum(0).detach().numpy()


def main():
    program, weights = sys.argv[1], load(sys.argv[2])
    double = {k: v.double() for k, v in weights.items()}
    worst = {"grad_cam": 1.0, "integrated_gradients": 1.0, "integrated_gradients, PyTorch itself": 1.0}
    for path in sys.argv[3:]:
        x = picture(path)
        for method, ours in [("grad_cam", grad_cam), ("integrated_gradients", integrated)]:
            for index in (0, 1):
                out = subprocess.run([program, "explain", path, "--json", "--method", method, "--class", str(index),
                                      "--weights", sys.argv[2]], check=True, capture_output=True, text=True).stdout
                a, b = np.array(json.loads(out)["map"]).ravel(), ours(double, x.double(), 1 if index else -1).ravel()
                if method != "grad_cam":
                    c = ours(weights, x, 1 if index else -1).ravel()
                    name = "integrated_gradients, PyTorch itself"
                    worst[name] = min(worst[name], np.corrcoef(b, c)[0, 1])
                if a.std() == 0 and b.std() == 0:
                    continue
                worst[method] = min(worst[method], np.corrcoef(a, b)[0, 1])
    print("smallest correlation:", worst)
    return worst["grad_cam"] < 0.999 or worst["integrated_gradients"] < 0.99


if __name__ == "__main__":
    sys.exit(main())
