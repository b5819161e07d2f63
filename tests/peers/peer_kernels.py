#!/usr/bin/env python3
"""peer_kernels.py -- single convolutions and matrix products by PyTorch (its oneDNN, its MKL), asked line by line

usage: peer_kernels.py [THREADS]     lines on stdin:
  conv2d|conv2d_dx|conv2d_dw N H W C K R S stride pad groups
  matmul M N K
Answers each with JSON: {"version", "ms": {"contiguous": […], "channels_last": […]}}, single calls of one slice.
The same line again goes on with the same tensors. tests/bench/torch_kernels.py asks, and sets what the libraries read.
"""
import json, os, sys, time

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
os.environ['OMP_NUM_THREADS'] = str(threads)
import torch

SLICE = 0.06
torch.set_num_threads(threads)
torch.manual_seed(1)


def convolution(op, n, h, w, c, k, r, s, stride, pad, groups, form):
    x, weight = (torch.rand(*v).to(memory_format=form) for v in ((n, c, h, w), (k, c // groups, r, s)))
    dy = torch.rand_like(torch.nn.functional.conv2d(x, weight, None, stride, pad, 1, groups))
    wanted = [op == 'conv2d_dx', op == 'conv2d_dw', False]
    if op == 'conv2d':
        return lambda: torch.nn.functional.conv2d(x, weight, None, stride, pad, 1, groups)
    return lambda: torch.ops.aten.convolution_backward(dy, x, weight, None, (stride, stride), (pad, pad), (1, 1), False,
                                                       (0, 0), groups, wanted)


def product(m, n, k):
    a, b, out = torch.rand(m, k), torch.rand(k, n), torch.empty(m, n)
    return lambda: torch.mm(a, b, out=out)


def calls_of(line):
    op, *numbers = line.split()
    numbers = [int(v) for v in numbers]
    if op == 'matmul':
        return {'contiguous': product(*numbers)}
    return {name: convolution(op, *numbers, form) for name, form in
            (('contiguous', torch.contiguous_format), ('channels_last', torch.channels_last))}


def timed(call):
    ms, begin = [], time.perf_counter()
    while not ms or time.perf_counter() - begin < SLICE:
        start = time.perf_counter()
        call()
        ms.append((time.perf_counter() - start) * 1e3)
    return ms


calls, last = {}, None
with torch.no_grad():
    for line in sys.stdin:
        if line != last:
            calls, last = calls_of(line), line
            for call in calls.values():
                call()
        answer = {name: timed(call) for name, call in calls.items()}
        print(json.dumps(dict(version=torch.__version__, ms=answer)), flush=True)
