#!/usr/bin/env python3
"""peer_torch.py -- PyTorch on the network of a model file (usage: peer.py)

Modes, joined by '-': cl (channels_last), fused (fused Adam), bf16 (autocast), compile (torch.compile), max
(max-autotune); none of them: eager, contiguous, as installed. Windows with `padding: same` and a stride are padded
evenly on both sides.
"""
import peer


def build(net, threads, mode):
    import torch
    from torch import nn
    from torch.nn import functional as F
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    x, y = (torch.from_numpy(v) for v in net.data())
    x = x.permute(0, 3, 1, 2).contiguous()
    y = y if net.binary else y.long()

    def padding(layer, size):
        if layer.get('padding', 'valid') == 'valid':
            return 0
        if any(s % 2 == 0 for s in size):
            raise ValueError('same padding of an even window')
        return tuple(s // 2 for s in size)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, made = nn.ModuleList(), {-1: (1, net.shape[2], net.shape[0], net.shape[1])}
            for i, layer in enumerate(net.layers):
                shape = made[layer.inputs[0]]
                self.part.append(self.module(layer, shape))
                made[i] = tuple(self.apply_layer(i, [torch.zeros(made[j]) for j in layer.inputs]).shape)

        def module(self, layer, shape):
            if layer.kind == 'Conv2D':
                size = layer.pair('kernel_size', None)
                return nn.Conv2d(shape[1], layer.get('filters'), size, layer.pair('strides', 1), padding(layer, size),
                                 bias=layer.get('use_bias', True))
            if layer.kind == 'MaxPooling2D':
                size = layer.pair('pool_size', 2)
                return nn.MaxPool2d(size, layer.pair('strides', size[0]), padding(layer, size))
            if layer.kind == 'BatchNormalization':
                return nn.BatchNorm2d(shape[1], eps=1e-3, momentum=0.01)
            if layer.kind == 'Dense':
                return nn.Linear(shape[1], layer.get('units'))
            if layer.kind in ('Flatten', 'ReLU', 'Add', 'GlobalAveragePooling2D'):
                return nn.Identity()
            raise ValueError('no ' + layer.kind)

        def apply_layer(self, i, feed):
            layer, v = net.layers[i], feed[0]
            if layer.kind == 'Flatten':
                return v.flatten(1)
            if layer.kind == 'Add':
                return feed[0] + feed[1]
            if layer.kind == 'GlobalAveragePooling2D':
                return v.mean((2, 3))
            v = v if layer.kind == 'ReLU' else self.part[i](v)
            return F.relu(v, inplace=True) if 'relu' in (layer.kind.lower(), layer.get('activation')) else v

        def forward(self, v):
            made = {-1: v}
            for i, layer in enumerate(net.layers):
                made[i] = self.apply_layer(i, [made[j] for j in layer.inputs])
            return made[len(net.layers) - 1]

    def application():
        from torchvision import models
        names = {name.replace('_', ''): name for name in models.list_models()}
        return models.get_model(names[net.application.lower()], weights=None, num_classes=net.classes)

    with torch.no_grad():
        model = application() if net.application else Model()
    if 'cl' in mode:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused='fused' in mode or None)
    compiled = 'compile' in mode or 'max' in mode
    forward = torch.compile(model, mode='max-autotune' if 'max' in mode else None) if compiled else model
    loss_of = F.binary_cross_entropy_with_logits if net.binary else F.cross_entropy

    def cast():
        return torch.autocast('cpu', torch.bfloat16, enabled='bf16' in mode)

    def train_step():
        optimizer.zero_grad(set_to_none=True)
        with cast():
            loss = loss_of(forward(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def predict(n):
        model.eval()
        v = x[:n].clone(memory_format=torch.preserve_format)

        def call():
            with torch.no_grad(), cast():
                logits = forward(v)
                return torch.sigmoid(logits) if net.binary else torch.softmax(logits, 1)
        return call

    return dict(version=torch.__version__, parameters=sum(v.numel() for v in model.parameters()), train_step=train_step,
                predict=predict)


peer.run(build)
