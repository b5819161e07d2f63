#!/usr/bin/env python3
"""Phases beside Keras: head first, then more, compiled anew with another optimizer; same weights and data in the same order.

usage: keras_finetune.py [--cnnc build/bin/cnnc] [--work FOLDER] [--threads N]       (through tests/peers/run.sh)

The relative L2 distance over all weights, batch statistics included, to Keras float32 is to be at most 1e-4 or twice Keras'
own distance to float64.
"""
import argparse, os, subprocess, sys
import numpy as np
import keras

L = keras.layers
BATCH, ROWS = 16, 160
YAML = '''cnnc: 1
name: finetune
data: {type: npy, train: {x: x.npy, y: y.npy}, label_mode: int, batch_size: 16, shuffle: false}
model:
  input_shape: [12, 12, 3]
  layers:
    - Conv2D: {filters: 8, kernel_size: 3, activation: tanh, name: base_conv}
    - BatchNormalization: {name: base_norm}
    - AveragePooling2D: {pool_size: 2}
    - Conv2D: {filters: 8, kernel_size: 3, activation: tanh, kernel_regularizer: {l2: 0.01}, name: top_conv}
    - BatchNormalization: {name: top_norm}
    - Flatten
    - Dense: {units: 10, activation: tanh, name: head}
    - Dense: {units: 3, activation: softmax, name: out}
train:
  loss: sparse_categorical_crossentropy
  initial_weights: start.safetensors
  phases:
    - {epochs: 2, trainable: [head, out], optimizer: {adam: {learning_rate: 0.003}}}
    - {epochs: 2, unfreeze: "top_*", optimizer: {sgd: {learning_rate: 0.01, momentum: 0.9}}}
    - {epochs: 1, unfreeze: "*", optimizer: {rmsprop: {learning_rate: 1e-4}}}
'''
PHASES = [(2, ['head', 'out'], lambda: keras.optimizers.Adam(0.003)),
          (2, ['head', 'out', 'top_conv', 'top_norm'], lambda: keras.optimizers.SGD(0.01, momentum=0.9)),
          (1, None, lambda: keras.optimizers.RMSprop(1e-4))]


def model_of(dtype, weights):
    keras.backend.clear_session()
    keras.config.set_floatx(dtype)
    keras.utils.set_random_seed(7)
    model = keras.Sequential([
        L.Input((12, 12, 3)), L.Conv2D(8, 3, activation='tanh', name='base_conv'), L.BatchNormalization(name='base_norm'),
        L.AveragePooling2D(2), L.Conv2D(8, 3, activation='tanh', kernel_regularizer=keras.regularizers.L2(0.01), name='top_conv'),
        L.BatchNormalization(name='top_norm'), L.Flatten(), L.Dense(10, activation='tanh', name='head'),
        L.Dense(3, activation='softmax', name='out')])
    for v in model.variables:
        if weights:
            v.assign(weights['.'.join(v.path.split('/')[-2:])].astype(dtype))
    return model


def weights_of(model):
    return {'.'.join(v.path.split('/')[-2:]): v.numpy().astype('f8') for v in model.variables}


def keras_run(dtype, start, x, y):
    model, losses = model_of(dtype, start), []
    for epochs, names, optimizer in PHASES:
        for layer in model.layers:
            layer.trainable = names is None or layer.name in names
        model.compile(optimizer(), 'sparse_categorical_crossentropy')
        h = model.fit(x.astype(dtype), y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)
        losses += h.history['loss']
    return weights_of(model), losses


def distance(a, b):
    return float(np.sqrt(sum(((a[k] - b[k]) ** 2).sum() for k in b) / sum((b[k] ** 2).sum() for k in b)))


def main():
    from safetensors.numpy import load_file, save_file
    p = argparse.ArgumentParser()
    p.add_argument('--cnnc', default='build/bin/cnnc')
    p.add_argument('--work', default='build/peers-finetune')
    p.add_argument('--threads', default='2')
    a = p.parse_args()
    a.cnnc = os.path.abspath(a.cnnc)
    os.makedirs(a.work, exist_ok=True)
    os.chdir(a.work)
    rng = np.random.default_rng(1)
    x, y = rng.random((ROWS, 12, 12, 3)).astype('f4'), rng.integers(0, 3, ROWS)
    np.save('x.npy', x)
    np.save('y.npy', y)
    start = weights_of(model_of('float32', None))
    save_file({k: v.astype('f4') for k, v in start.items()}, 'start.safetensors')
    with open('finetune.yaml', 'w') as f:
        f.write(YAML)
    subprocess.run([a.cnnc, 'finetune.yaml', '-o', 'finetune'], check=True, capture_output=True)
    subprocess.run(['./finetune-train', f'threads={a.threads}'], check=True, capture_output=True)
    run = 'runs/finetune/' + max(os.listdir('runs/finetune'), key=int)
    ours = {k: v.astype('f8') for k, v in load_file(run + '/weights/last.safetensors').items()}
    (k32, losses), (k64, _) = keras_run('float32', start, x, y), keras_run('float64', start, x, y)
    own, d = distance(k32, k64), distance(ours, k32)
    csv = np.genfromtxt(run + '/results.csv', delimiter=',', names=True)
    gap = float(np.abs(csv['loss'] - losses).max())
    print(f'Keras {keras.__version__}: cnnc to float32 {d:.2e}, float32 to float64 {own:.2e}; losses of epochs differ by {gap:.1e}')
    sys.exit(d > max(1e-4, 2 * own) or gap > 1e-5)


main()
