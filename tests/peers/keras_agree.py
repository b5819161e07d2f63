#!/usr/bin/env python3
"""cnnc beside Keras: same weights, same predictions; same weights and data, same steps of SGD and Adam.

usage: keras_agree.py [--cnnc build/bin/cnnc] [--work FOLDER] [--threads N]       (through tests/peers/run.sh)

Three models: the reference network (relu, max-pooling), a smooth one (tanh, average pooling), and one with batch
normalization and a residual connection. For each:
  predictions   float32 Keras with the weights that cnnc trained            max abs difference <= 1e-5
  gradients     of one step, per tensor, read off one step of SGD with a    relative L2 to float64 <= 2x Keras float32's own
                very large learning rate
  1, 20 steps   relative L2 over all weights                                smooth: <= 1e-4 to Keras float32;
                                                                            others: to float64 <= 2x Keras float32's own
"""
import argparse, os, subprocess, sys
import numpy as np
import keras
from keras import layers as L
from safetensors.numpy import load_file, save_file

BATCH, STEPS = 32, 20
# A single number can agree with float64 by luck: below this distance nothing is asked of cnnc that float32 cannot give.
FLOOR = 1e-6


def conv(filters, activation):
    return L.Conv2D(filters, 3, activation=activation)


def reference():
    return [L.Input((64, 64, 3)), conv(32, 'relu'), L.MaxPooling2D(), conv(64, 'relu'), L.MaxPooling2D(),
            conv(128, 'relu'), L.MaxPooling2D(), L.Flatten(), L.Dense(128, activation='relu'), L.Dense(1, activation='sigmoid')]


REFERENCE = '''
  input_shape: [64, 64, 3]
  layers:
    - Conv2D: {filters: 32, kernel_size: 3, activation: relu}
    - MaxPooling2D: {pool_size: 2}
    - Conv2D: {filters: 64, kernel_size: 3, activation: relu}
    - MaxPooling2D: {pool_size: 2}
    - Conv2D: {filters: 128, kernel_size: 3, activation: relu}
    - MaxPooling2D: {pool_size: 2}
    - Flatten
    - Dense: {units: 128, activation: relu}
    - Dense: {units: 1, activation: sigmoid}
'''


def smooth():
    return [L.Input((32, 32, 3)), conv(16, 'tanh'), L.AveragePooling2D(2), conv(24, 'tanh'), L.AveragePooling2D(2),
            L.Flatten(), L.Dense(32, activation='tanh'), L.Dense(1, activation='sigmoid')]


SMOOTH = '''
  input_shape: [32, 32, 3]
  layers:
    - Conv2D: {filters: 16, kernel_size: 3, activation: tanh}
    - AveragePooling2D: {pool_size: 2}
    - Conv2D: {filters: 24, kernel_size: 3, activation: tanh}
    - AveragePooling2D: {pool_size: 2}
    - Flatten
    - Dense: {units: 32, activation: tanh}
    - Dense: {units: 1, activation: sigmoid}
'''


def residual():  # no bias before a normalization: its gradient is rounding noise around zero
    x = L.Input((24, 24, 3))
    a = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, strides=2, padding='same', use_bias=False)(x)))
    b = L.BatchNormalization()(L.Conv2D(16, 3, padding='same', use_bias=False)(a))
    c = L.ReLU()(L.Add()([a, b]))
    return x, L.Dense(1, activation='sigmoid')(L.GlobalAveragePooling2D()(c))


RESIDUAL = '''
  input_shape: [24, 24, 3]
  layers:
    - Conv2D: {filters: 16, kernel_size: 3, strides: 2, padding: same, use_bias: false}
    - BatchNormalization
    - ReLU: {name: a}
    - Conv2D: {filters: 16, kernel_size: 3, padding: same, use_bias: false}
    - BatchNormalization: {name: batch_normalization_1}
    - Add: {inputs: [a, batch_normalization_1]}
    - ReLU
    - GlobalAveragePooling2D
    - Dense: {units: 1, activation: sigmoid}
'''

MODELS = {'reference': (lambda: keras.Sequential(reference()), REFERENCE, (64, 64, 3)),
          'smooth': (lambda: keras.Sequential(smooth()), SMOOTH, (32, 32, 3)),
          'residual': (lambda: keras.Model(*residual()), RESIDUAL, (24, 24, 3))}

YAML = '''cnnc: 1
name: {name}
data: {{type: npy, train: {{x: {name}-x.npy, y: y.npy}}, label_mode: binary, batch_size: 32, shuffle: false}}
model:{model}
train:
  optimizer: {{{optimizer}: {{learning_rate: {rate}}}}}
  loss: binary_crossentropy
  epochs: 1
  steps_per_epoch: {steps}
  initial_weights: {name}-0.safetensors
'''


def by_name(model):
    """Variables by their name in a weights file: "sequential/conv2d/kernel" is "conv2d.kernel"."""
    return {'.'.join(v.path.split('/')[-2:]): v for v in model.variables}


def weights_of(model):
    return {name: v.numpy() for name, v in by_name(model).items()}


def keras_model(name, dtype, weights=None):
    keras.backend.clear_session()
    keras.config.set_floatx(dtype)
    keras.utils.set_random_seed(7)
    model = MODELS[name][0]()
    for key, v in by_name(model).items():
        if weights:
            v.assign(weights[key].astype(dtype))
    return model


def keras_steps(name, dtype, weights, optimizer, rate, steps, x, y):
    model = keras_model(name, dtype, weights)
    make = {'sgd': keras.optimizers.SGD, 'adam': keras.optimizers.Adam}[optimizer]
    model.compile(make(learning_rate=rate), 'binary_crossentropy')
    for i in range(steps):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        model.train_on_batch(x[rows].astype(dtype), y[rows].astype(dtype).reshape(-1, 1))
    return weights_of(model)


def cnnc_steps(a, name, optimizer, rate, steps):
    stem = f'{name}-{optimizer}-{steps}'
    with open(stem + '.yaml', 'w') as f:
        f.write(YAML.format(name=name, model=MODELS[name][1], optimizer=optimizer, rate=rate, steps=steps))
    subprocess.run([a.cnnc, stem + '.yaml', '-o', stem], check=True, capture_output=True)
    before = set(os.listdir('runs/' + name)) if os.path.isdir('runs/' + name) else set()
    subprocess.run(['./' + stem + '-train', f'threads={a.threads}'], check=True, capture_output=True)
    run, = set(os.listdir('runs/' + name)) - before
    path = f'runs/{name}/{run}/weights/last.safetensors'
    return {k: v.astype('f8') for k, v in load_file(path).items()}, path, './' + stem


def distance(a, b, start=None):
    """Relative L2 over all tensors of a to b, of what changed since `start` if given."""
    d = sum(((a[k].astype('f8') - b[k].astype('f8')) ** 2).sum() for k in b)
    base = sum(((b[k].astype('f8') - (start[k].astype('f8') if start else 0)) ** 2).sum() for k in b)
    return float(np.sqrt(d / base)) if base else float(np.sqrt(d))


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--cnnc', default='build/bin/cnnc')
    p.add_argument('--work', default='build/peers-agree')
    p.add_argument('--threads', default='2')
    a = p.parse_args()
    a.cnnc = os.path.abspath(a.cnnc)
    os.makedirs(a.work, exist_ok=True)
    os.chdir(a.work)
    rng = np.random.default_rng(1)
    y = (rng.random(BATCH * STEPS) > .5).astype('f4')
    np.save('y.npy', y)
    failed = 0

    def row(name, what, ours, keras32, bound, ok):
        nonlocal failed
        failed += not ok
        print(f'| {name} | {what} | {ours:.2e} | {keras32} | {bound} | {"ok" if ok else "**FAILED**"} |', flush=True)

    print(f'Keras {keras.__version__} on TensorFlow, batch {BATCH}, {STEPS} batches, {a.threads} threads\n')
    print('| model | what | cnnc | Keras float32 to float64 | bound | |\n|---|---|---|---|---|---|')
    for name, (_, _, shape) in MODELS.items():
        x = rng.random((BATCH * STEPS, *shape)).astype('f4')
        np.save(name + '-x.npy', x)
        start = weights_of(keras_model(name, 'float32'))
        save_file(start, name + '-0.safetensors')

        rate = 2.0 ** 20
        ours, _, _ = cnnc_steps(a, name, 'sgd', rate, 1)
        k32 = keras_steps(name, 'float32', start, 'sgd', rate, 1, x, y)
        k64 = keras_steps(name, 'float64', start, 'sgd', rate, 1, x, y)
        for k in k64:
            if 'moving' in k:
                continue
            one = [distance({k: w[k]}, {k: k64[k]}, {k: start[k]}) for w in (ours, k32)]
            row(name, f'gradient of {k}', one[0], f'{one[1]:.2e}', '2x (1e-6)', one[0] <= 2 * max(one[1], FLOOR))

        for optimizer, rate in (('sgd', 0.01), ('adam', 0.001)):
            for steps in (1, STEPS):
                ours, path, program = cnnc_steps(a, name, optimizer, rate, steps)
                k32 = keras_steps(name, 'float32', start, optimizer, rate, steps, x, y)
                k64 = keras_steps(name, 'float64', start, optimizer, rate, steps, x, y)
                own = distance(k32, k64)
                if name == 'smooth':
                    d = distance(ours, k32)
                    row(name, f'{optimizer}, {steps} steps, to float32', d, f'{own:.2e}', '1e-4', d <= 1e-4)
                else:
                    d = distance(ours, k64)
                    row(name, f'{optimizer}, {steps} steps, to float64', d, f'{own:.2e}', '2x (1e-6)', d <= 2 * max(own, FLOOR))
        subprocess.run([program, 'run', '--weights', path, '--input', name + '-x.npy', '--output', 'p.npy'], check=True)
        want = keras_model(name, 'float32', load_file(path)).predict(x, verbose=0)
        d = float(np.abs(np.load('p.npy').reshape(want.shape) - want).max())
        row(name, 'predictions with the trained weights, max abs', d, '', '1e-5', d <= 1e-5)
    print(f'\n{failed} of the rows above failed')
    sys.exit(failed > 0)


main()
