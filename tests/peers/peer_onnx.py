#!/usr/bin/env python3
"""peer_onnx.py -- ONNX Runtime or OpenVINO predicting with the network of a model file (usage: peer.py)

Modes: ort, openvino. The ONNX file is written here, in NCHW, with made-up weights and batch normalization folded into
the convolution before it, as exporters do. Predicting only.
"""
import peer


def write(net, batch, path):
    import numpy as np
    import onnx
    from onnx import helper as h
    rng = np.random.default_rng(1)
    nodes, weights, value, shape, count = [], [], {-1: 'x'}, {-1: (net.shape[2], net.shape[0], net.shape[1])}, 0

    def weight(*dims):
        name = f'w{len(weights)}'
        limit = np.sqrt(6 / (np.prod(dims[1:]) + dims[0])) if len(dims) > 1 else 0.1
        weights.append(onnx.numpy_helper.from_array(rng.uniform(-limit, limit, dims).astype('f4'), name))
        return name

    def add(op, inputs, **attributes):
        out = f'v{len(nodes)}'
        nodes.append(h.make_node(op, inputs, [out], **attributes))
        return out

    def window(layer, size, dims):
        strides = layer.pair('strides', 1 if layer.kind == 'Conv2D' else size[0])
        same = layer.get('padding', 'valid') == 'same'
        out = [-(-d // s) if same else (d - k) // s + 1 for d, k, s in zip(dims[1:], size, strides)]
        pad = [max(0, (o - 1) * s + k - d) for o, s, k, d in zip(out, strides, size, dims[1:])]
        before = [v // 2 for v in pad]
        return dict(kernel_shape=size, strides=strides, pads=before + [v - b for v, b in zip(pad, before)]), tuple(out)

    for i, layer in enumerate(net.layers):
        feed, dims = [value[j] for j in layer.inputs], shape[layer.inputs[0]]
        v = feed[0]
        if layer.kind == 'Conv2D':
            size = layer.pair('kernel_size', None)
            attributes, out = window(layer, size, dims)
            folded = i + 1 < len(net.layers) and net.layers[i + 1].kind == 'BatchNormalization'
            filters, bias = layer.get('filters'), layer.get('use_bias', True)
            count += filters * (dims[0] * size[0] * size[1] + bias)
            inputs = [v, weight(filters, dims[0], *size)] + ([weight(filters)] if bias or folded else [])
            v, dims = add('Conv', inputs, **attributes), (filters, *out)
        elif layer.kind == 'BatchNormalization':
            count += 2 * dims[0]  # folded
        elif layer.kind == 'MaxPooling2D':
            attributes, out = window(layer, layer.pair('pool_size', 2), dims)
            v, dims = add('MaxPool', feed, **attributes), (dims[0], *out)
        elif layer.kind == 'Flatten':
            v, dims = add('Flatten', feed, axis=1), (int(np.prod(dims)),)
        elif layer.kind == 'GlobalAveragePooling2D':
            v, dims = add('Flatten', [add('GlobalAveragePool', feed)], axis=1), (dims[0],)
        elif layer.kind == 'Dense':
            units = layer.get('units')
            count += (dims[0] + 1) * units
            v, dims = add('Gemm', [v, weight(units, dims[0]), weight(units)], transB=1), (units,)
        elif layer.kind == 'Add':
            v = add('Add', feed)
        elif layer.kind != 'ReLU':
            raise ValueError('no ' + layer.kind)
        if 'relu' in (layer.kind.lower(), layer.get('activation')):
            v = add('Relu', [v])
        value[i], shape[i] = v, dims
    v = add('Sigmoid' if net.binary else 'Softmax', [value[len(net.layers) - 1]])
    graph = h.make_graph(nodes, 'net', [h.make_tensor_value_info('x', 1, [batch, *shape[-1]])],
                         [h.make_tensor_value_info(v, 1, [batch, net.classes])], weights)
    model = h.make_model(graph, opset_imports=[h.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return count


def build(net, threads, mode):
    import os, tempfile
    import numpy as np
    x = np.ascontiguousarray(net.data()[0].transpose(0, 3, 1, 2))
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, 'net.onnx')
    count = write(net, net.batch, path)

    def runtime(n):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])
        return lambda: session.run(None, {'x': x[:n]})

    def openvino(n):
        import openvino as ov
        model = ov.Core().compile_model(path, 'CPU', {'INFERENCE_NUM_THREADS': threads, 'PERFORMANCE_HINT': 'LATENCY',
                                                      'INFERENCE_PRECISION_HINT': 'f32'})
        request = model.create_infer_request()
        return lambda: request.infer({0: x[:n]})

    def predict(n):
        write(net, n, path)
        return openvino(n) if 'openvino' in mode else runtime(n)

    if 'openvino' in mode:
        import openvino as library
    else:
        import onnxruntime as library

    def train_step():
        raise ValueError('this runtime does not train')

    return dict(version=library.__version__.split('-')[0], parameters=count, train_step=train_step, predict=predict,
                folder=folder)


peer.run(build)
