#!/usr/bin/env python3
"""torch_speed.py -- the work of tests/gpu/run.sh in PyTorch on the GPU: step, resnet, gemm or conv

usage: torch_speed.py step|resnet|gemm|conv
One line of JSON a measurement: milliseconds, median of 50 after 20 that are not counted, timed by events on the device.
Modes of a training step: eager, torch.compile(mode="max-autotune"), a CUDA graph recorded by hand. channels_last, TF32 allowed
where the work says tf32, autocast to bfloat16 where it says bf16. A mode that fails is a line with "skipped".
"""
import json, statistics, sys, time
import torch
from torch import nn
from torch.nn import functional as F

DEVICE = torch.device('cuda:0')
CONVS = ['56 64 64 1 1', '56 64 64 3 1', '56 64 256 1 1', '56 256 64 1 1', '56 256 128 1 1', '56 128 128 3 2', '28 128 512 1 1',
         '28 512 128 1 1', '28 128 128 3 1', '28 512 256 1 1', '28 256 256 3 2', '14 256 1024 1 1', '14 1024 256 1 1',
         '14 256 256 3 1', '14 1024 512 1 1', '14 512 512 3 2', '7 512 2048 1 1', '7 2048 512 1 1', '7 512 512 3 1']


def say(**line):
    print(json.dumps(line), flush=True)


def median_ms(run, calls=50, warm=20):
    times = []
    for i in range(warm + calls):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        if i >= warm:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


class Reference(nn.Module):
    """The model of examples/classifier."""

    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleList([nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 128, 3)])
        self.dense = nn.Linear(4608, 128)
        self.last = nn.Linear(128, 1)

    def forward(self, x):
        for conv in self.conv:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.last(F.relu(self.dense(torch.flatten(x, 1))))


class Block(nn.Module):
    def __init__(self, c, k, stride):
        super().__init__()
        self.a, self.b = nn.Conv2d(c, k, 3, stride, 1, bias=False), nn.Conv2d(k, k, 3, 1, 1, bias=False)
        self.na, self.nb = nn.BatchNorm2d(k), nn.BatchNorm2d(k)
        self.short = nn.Identity() if c == k else nn.Sequential(nn.Conv2d(c, k, 1, stride, bias=False), nn.BatchNorm2d(k))

    def forward(self, x):
        return F.relu(self.nb(self.b(F.relu(self.na(self.a(x))))) + self.short(x))


def resnet18():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for c, k, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [Block(c, k, stride), Block(k, k, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def training_step(model, x, y, loss, bf16):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True, capturable=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast('cuda', torch.bfloat16, enabled=bf16):
            value = loss(model(x), y)
        value.backward()
        optimizer.step()
    return step


def recorded(step):
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def modes(part, name, make):
    for mode in ('eager', 'graph', 'compile'):
        try:
            torch.manual_seed(0)
            start = time.time()
            step = make(compiled=mode == 'compile')
            step = recorded(step) if mode == 'graph' else step
            ms = median_ms(step)
            say(part=part, name=name, mode=mode, ms=ms, started_s=round(time.time() - start, 1), torch=torch.__version__)
        except Exception as e:  # a mode that this installation cannot do
            say(part=part, name=name, mode=mode, skipped=str(e).splitlines()[0][:200])


def of_model(new, batch, size, classes, bf16):
    def make(compiled):
        model = new().to(DEVICE, memory_format=torch.channels_last).train()
        x = torch.rand(batch, 3, size, size, device=DEVICE).to(memory_format=torch.channels_last)
        if classes == 1:
            y, loss = torch.rand(batch, 1, device=DEVICE).round(), F.binary_cross_entropy_with_logits
        else:
            y, loss = torch.randint(classes, (batch,), device=DEVICE), F.cross_entropy
        return training_step(torch.compile(model, mode='max-autotune') if compiled else model, x, y, loss, bf16)
    return make


def gemm():
    for n in (1024, 2048, 4096, 8192):
        a, b = (torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
        ms = median_ms(lambda: a @ b)
        say(part='torch-gemm', name=f'bf16 {n}', ms=ms, tflops=2 * n ** 3 / ms * 1e-9, torch=torch.__version__)


def conv():
    torch.backends.cudnn.benchmark = True
    for shape in CONVS:
        h, c, k, r, stride = map(int, shape.split())
        x = torch.randn(64, c, h, h, device=DEVICE, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
        w = torch.randn(k, c, r, r, device=DEVICE, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
        y = F.conv2d(x, w, stride=stride, padding=r // 2)
        both = {'forward': lambda: F.conv2d(x, w, stride=stride, padding=r // 2)}
        for what, mask in (('data gradient', [True, False, False]), ('weight gradient', [False, True, False])):
            both[what] = lambda mask=mask: torch.ops.aten.convolution_backward(
                y, x, w, None, [stride] * 2, [r // 2] * 2, [1, 1], False, [0, 0], 1, mask)
        for what, run in both.items():
            say(part='torch-conv', name=f'bf16 {shape}', op=what, ms=median_ms(run, 20, 10), torch=torch.__version__)


def main():
    part = sys.argv[1] if len(sys.argv) == 2 else ''
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if part == 'step':
        for batch in (32, 256):
            for bf16 in (False, True):
                modes('torch-step', f'batch {batch} {"bf16" if bf16 else "tf32"}', of_model(Reference, batch, 64, 1, bf16))
    elif part == 'resnet':
        modes('torch-resnet', 'batch 128 bf16', of_model(resnet18, 128, 64, 1000, True))
    elif part == 'gemm':
        gemm()
    elif part == 'conv':
        conv()
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main()
