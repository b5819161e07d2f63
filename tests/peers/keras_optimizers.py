#!/usr/bin/env python3
"""Optimizers of cnnc beside those of Keras.

usage: keras_optimizers.py --vectors                       prints the rows of tests/numeric/optimizer_vectors.def
       keras_optimizers.py [--cnnc build/bin/cnnc] [--work FOLDER] [--threads N]       (through tests/peers/run.sh)

Without --vectors: 20 steps of each optimizer on a smooth model from the same weights and data; the relative L2 distance
over all weights to Keras in float32 is to be at most 1e-4, or twice Keras' own distance to float64 (sign and root
functions near zero make some optimizers amplify roundings).
"""
import argparse, os, subprocess, sys
import numpy as np
import keras

# name in the model file, its arguments; Keras' class and arguments are the same
CONFIGS = [
    ('sgd', {}), ('sgd', dict(momentum=0.9)), ('sgd', dict(momentum=0.9, nesterov=True, weight_decay=0.01)),
    ('adam', {}), ('adam', dict(amsgrad=True, beta_1=0.8, beta_2=0.95)), ('adam', dict(weight_decay=0.02)), ('adamw', {}),
    ('rmsprop', {}), ('rmsprop', dict(momentum=0.5)), ('rmsprop', dict(centered=True, rho=0.8, epsilon=1e-3)),
    ('rmsprop', dict(centered=True, momentum=0.5, weight_decay=0.01)),
    ('adagrad', {}), ('adagrad', dict(initial_accumulator_value=0.5, weight_decay=0.01)),
    ('adadelta', {}), ('adadelta', dict(rho=0.9, epsilon=1e-4, weight_decay=0.01)),
    ('adamax', {}), ('adamax', dict(beta_2=0.9, weight_decay=0.01)),
    ('nadam', {}), ('nadam', dict(beta_1=0.8, weight_decay=0.01)),
    ('lion', {}), ('lion', dict(weight_decay=0.01)),
    ('lamb', {}), ('lamb', dict(weight_decay=0.01)),
    ('sgd', dict(clipnorm=0.5)), ('sgd', dict(clipvalue=0.25)), ('sgd', dict(global_clipnorm=0.5)),
    ('adam', dict(global_clipnorm=10.0)),
    ('sgd', dict(gradient_accumulation_steps=3)), ('adam', dict(gradient_accumulation_steps=2, global_clipnorm=0.3)),
    ('nadam', dict(gradient_accumulation_steps=3)),
    ('sgd', dict(use_ema=True)), ('adam', dict(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3)),
    ('lamb', dict(use_ema=True, ema_momentum=0.8, gradient_accumulation_steps=2, ema_overwrite_frequency=2)),
]
CLASSES = dict(sgd='SGD', adam='Adam', adamw='AdamW', rmsprop='RMSprop', adagrad='Adagrad', adadelta='Adadelta',
               adamax='Adamax', nadam='Nadam', lion='Lion', lamb='Lamb')
START = [np.array([1, -2], 'f4'), np.array([0.5, 0, -0.25], 'f4')]
GRADIENTS = [([0.5, -1], [0.1, 0, 0.2]), ([0.1, 2], [-0.3, 0, 0.4]), ([-0.3, 0.4], [0.05, 0.2, -0.1]),
             ([0.7, -0.2], [0, -0.1, 0.3]), ([0.05, 0.6], [0.25, 0.4, -0.2]), ([-0.4, 0.1], [0.3, 0.2, 0.1]),
             ([0.2, 0.3], [-0.1, 0.05, 0.6])]


def yaml_of(name, args, rate):
    text = ', '.join(f'{k}: {str(v).lower()}' for k, v in dict(learning_rate=rate, **args).items())
    return f'{{{name}: {{{text}}}}}'


def make(name, args, rate):
    return getattr(keras.optimizers, CLASSES[name])(learning_rate=rate, **args)


def vectors():
    print(f'/* optimizer_vectors.def -- made by tests/peers/keras_optimizers.py --vectors with Keras {keras.__version__}')
    print(' *\n * OPTIMIZER(as in a model file, two weights and three after each of seven steps, their averages at the end) */')
    for name, args in CONFIGS:
        optimizer = make(name, args, 0.05)
        variables = [keras.Variable(v) for v in START]
        optimizer.build(variables)
        steps = []
        for g in GRADIENTS:
            optimizer.apply([keras.ops.convert_to_tensor(np.array(x, 'f4')) for x in g], variables)
            steps.append(np.concatenate([v.numpy() for v in variables]))
        numbers = ', '.join('%.9g' % x for x in steps[-1])
        middle = ', '.join('%.9g' % x for x in steps[3])
        average = np.zeros(5)
        if args.get('use_ema'):
            average = np.concatenate([v.numpy() for v in optimizer._model_variables_moving_average])
        print(f'OPTIMIZER("{yaml_of(name, args, 0.05)}",\n          NUMBERS({middle}),\n          NUMBERS({numbers}),\n'
              f'          NUMBERS({", ".join("%.9g" % x for x in average)}))')
    print('#undef OPTIMIZER')


BATCH, STEPS = 32, 20
YAML = '''cnnc: 1
name: {stem}
data: {{type: npy, train: {{x: x.npy, y: y.npy}}, label_mode: {mode}, batch_size: 32, shuffle: false}}
model:
  input_shape: [16, 16, 3]
  layers:
    - Conv2D: {{filters: 8, kernel_size: 3, activation: tanh}}
    - AveragePooling2D: {{pool_size: 2}}
    - Flatten
    - Dense: {{units: 16, activation: tanh}}
    - Dense: {{units: 4, activation: softmax}}
train:
  optimizer: {optimizer}
  loss: {loss}
  epochs: 1
  steps_per_epoch: {steps}
  initial_weights: start.safetensors
'''


def model_of(dtype, weights):
    L = keras.layers
    keras.backend.clear_session()
    keras.config.set_floatx(dtype)
    keras.utils.set_random_seed(7)
    model = keras.Sequential([L.Input((16, 16, 3)), L.Conv2D(8, 3, activation='tanh'), L.AveragePooling2D(2), L.Flatten(),
                              L.Dense(16, activation='tanh'), L.Dense(4, activation='softmax')])
    for v in model.variables:
        if weights:
            v.assign(weights['.'.join(v.path.split('/')[-2:])].astype(dtype))
    return model


def weights_of(model):
    return {'.'.join(v.path.split('/')[-2:]): v.numpy().astype('f8') for v in model.variables}


def keras_steps(dtype, start, name, args, rate, x, y, loss='sparse_categorical_crossentropy', **fit):
    model = model_of(dtype, start)
    model.compile(make(name, args, rate), loss)
    model.fit(x.astype(dtype), y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0, **fit)
    return weights_of(model)


# Fields of train, what Keras is told instead
LOSSES = [
    ('sparse_categorical_crossentropy', 'class_weight: {0: 2.0, 3: 0.5}', dict(class_weight={0: 2.0, 1: 1.0, 2: 1.0, 3: 0.5})),
    ('sparse_categorical_crossentropy', 'class_weight: balanced', None),
    ('categorical_crossentropy', 'label_smoothing: 0.1', {}),
    ('categorical_crossentropy', 'class_weight: [1, 2, 3, 4]', dict(class_weight={0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0})),
]


def cnnc_steps(a, stem, text, loss='sparse_categorical_crossentropy', fields='', y='y.npy'):
    from safetensors.numpy import load_file
    with open(stem + '.yaml', 'w') as f:
        f.write(YAML.format(stem=stem, optimizer=text, steps=STEPS, loss=loss, mode='categorical' if 'one_hot' in y else 'int').replace('y.npy', y) + '  ' + fields + '\n')
    subprocess.run([a.cnnc, stem + '.yaml', '-o', stem], check=True, capture_output=True)
    subprocess.run(['./' + stem + '-train', f'threads={a.threads}'], check=True, capture_output=True)
    run = max(os.listdir('runs/' + stem), key=int)
    return {k: v.astype('f8') for k, v in load_file(f'runs/{stem}/{run}/weights/last.safetensors').items()}


def distance(a, b):
    return float(np.sqrt(sum(((a[k] - b[k]) ** 2).sum() for k in b) / sum((b[k] ** 2).sum() for k in b)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--vectors', action='store_true')
    p.add_argument('--cnnc', default='build/bin/cnnc')
    p.add_argument('--work', default='build/peers-optimizers')
    p.add_argument('--threads', default='2')
    a = p.parse_args()
    if a.vectors:
        return vectors()
    from safetensors.numpy import save_file
    a.cnnc = os.path.abspath(a.cnnc)
    os.makedirs(a.work, exist_ok=True)
    os.chdir(a.work)
    rng = np.random.default_rng(1)
    x, y = rng.random((BATCH * STEPS, 16, 16, 3)).astype('f4'), rng.integers(0, 4, BATCH * STEPS)
    np.save('x.npy', x)
    np.save('y.npy', y)
    start = weights_of(model_of('float32', None))
    save_file({k: v.astype('f4') for k, v in start.items()}, 'start.safetensors')
    failed = 0
    print(f'Keras {keras.__version__} on TensorFlow, batch {BATCH}, {STEPS} steps\n\n| optimizer | cnnc to Keras float32 | '
          'Keras float32 to float64 | |\n|---|---|---|---|')
    for i, (name, args) in enumerate(CONFIGS):
        rate = 0.01 if name == 'sgd' else 0.001
        k32, k64 = (keras_steps(d, start, name, args, rate, x, y) for d in ('float32', 'float64'))
        ours, own = distance(cnnc_steps(a, f'o{i}', yaml_of(name, args, rate)), k32), distance(k32, k64)
        ok = ours <= max(1e-4, 2 * own)
        failed += not ok
        print(f'| {yaml_of(name, args, rate)} | {ours:.2e} | {own:.2e} | {"ok" if ok else "**FAILED**"} |', flush=True)
    one_hot = np.eye(4, dtype='f4')[y]
    np.save('one_hot.npy', one_hot)
    counts = np.bincount(y, minlength=4)
    for i, (loss, fields, fit) in enumerate(LOSSES):
        hot = loss == 'categorical_crossentropy'
        if fit is None:
            fit = dict(class_weight={c: len(y) / (4 * counts[c]) for c in range(4)})
        how = keras.losses.CategoricalCrossentropy(label_smoothing=0.1) if 'smoothing' in fields else loss
        k32 = keras_steps('float32', start, 'sgd', {}, 0.01, x, one_hot if hot else y, how, **fit)
        ours = distance(cnnc_steps(a, f'l{i}', 'sgd', loss, fields, 'one_hot.npy' if hot else 'y.npy'), k32)
        failed += ours > 1e-4
        print(f'| {loss}, {fields} | {ours:.2e} | | {"ok" if ours <= 1e-4 else "**FAILED**"} |', flush=True)
    print(f'\n{failed} of the rows above failed')
    sys.exit(failed > 0)


main()
