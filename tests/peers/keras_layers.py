#!/usr/bin/env python3
"""Every layer, activation, loss, optimizer and metric, with its arguments, in cnnc and in Keras from one description.

usage: keras_layers.py [--cnnc build/bin/cnnc] [--work FOLDER] [--only PATTERN] [--vectors]      (through tests/peers/run.sh)

Each case is a list of layers as a model file has them; Keras' objects are made from the same names and arguments. Both train
three steps from the same weights on the same arrays. Compared: weights after the steps (to Keras in float64, beside Keras'
own float32), predictions, loss and metrics of the trained model on the data. Prints a line a case.
"""
import argparse, json, os, re, subprocess, sys
import numpy as np
import keras
from keras import layers as L
from safetensors.numpy import load_file, save_file

BATCH, STEPS = 16, 3
CASES = []


def case(name, shape, layers, loss='mean_squared_error', optimizer=('sgd', dict(learning_rate=0.05)), metrics=(), labels=None):
    CASES.append(dict(name=name, shape=shape, layers=layers, loss=loss, optimizer=optimizer, metrics=metrics, labels=labels))


def regression(name, shape, *layers, **kw):
    case(name, shape, [*layers, ('Flatten', {}), ('Dense', dict(units=2))], **kw)


C = 'Conv2D'
for i, args in enumerate([dict(strides=2), dict(strides=[2, 1], padding='same'), dict(padding='same', dilation_rate=2),
                          dict(kernel_size=[1, 5]), dict(groups=2), dict(groups=4, padding='same', strides=3), dict(kernel_size=7, padding='same'),
                          dict(kernel_size=1, use_bias=False), dict(dilation_rate=[1, 3]), dict(kernel_size=4, strides=3, padding='same')]):
    regression(f'conv{i}', [11, 10, 4], (C, dict(dict(filters=8, kernel_size=3), **args)), ('Activation', dict(activation='tanh')))
regression('conv_odd', [9, 13, 3], (C, dict(filters=19, kernel_size=3)), (C, dict(filters=33, kernel_size=2, activation='relu')))
for kind in ('MaxPooling2D', 'AveragePooling2D'):
    for i, args in enumerate([dict(), dict(pool_size=3, strides=2), dict(pool_size=3, strides=1, padding='same'),
                              dict(pool_size=[2, 3], padding='same'), dict(pool_size=2, strides=3, padding='same'), dict(pool_size=5, strides=2)]):
        regression(f'{kind}{i}', [11, 10, 3], (C, dict(filters=6, kernel_size=2, activation='tanh')), (kind, dict(dict(pool_size=2), **args)))
for kind in ('GlobalAveragePooling2D', 'GlobalMaxPooling2D'):
    regression(kind, [7, 6, 3], (C, dict(filters=6, kernel_size=2)), (kind, dict(keepdims=True)))
    case(kind + '_flat', [7, 6, 3], [(C, dict(filters=6, kernel_size=2)), (kind, {}), ('Dense', dict(units=1))])
for name in ('relu sigmoid tanh softmax log_softmax elu selu celu gelu silu softplus softsign leaky_relu relu6 hard_sigmoid hard_silu '
             'hard_tanh tanh_shrink log_sigmoid exponential mish soft_shrink hard_shrink sparse_plus sparse_sigmoid squareplus').split():
    case('act_' + name, [9], [('Dense', dict(units=20, activation=name)), ('Dense', dict(units=3))])
for name, args in (('ReLU', dict(max_value=1.0, negative_slope=0.1, threshold=0.2)), ('LeakyReLU', {}), ('LeakyReLU', dict(negative_slope=0.05)),
                   ('ELU', dict(alpha=0.7)), ('Softmax', {}), ('Rescaling', dict(scale=0.5, offset=-0.1)), ('Reshape', dict(target_shape=[-1, 5]))):
    case(name + str(len(args)), [9], [('Dense', dict(units=20)), (name, args), ('Flatten', {}), ('Dense', dict(units=3))])
for i, args in enumerate([{}, dict(momentum=0.5, epsilon=0.1), dict(center=False), dict(scale=False)]):
    regression(f'batchnorm{i}', [6, 5, 3], (C, dict(filters=7, kernel_size=2, use_bias=False)), ('BatchNormalization', args), ('ReLU', {}))
case('batchnorm_dense', [9], [('Dense', dict(units=12, use_bias=False)), ('BatchNormalization', {}), ('Dense', dict(units=2))])
for kind in ('Add', 'Subtract', 'Multiply', 'Average', 'Maximum', 'Minimum', 'Concatenate'):
    regression(kind, [8, 8, 3], (C, dict(filters=5, kernel_size=3, padding='same', name='a')),
               (C, dict(filters=5, kernel_size=1, inputs='input', name='b', activation='tanh')), (kind, dict(inputs=['a', 'b'], name='c')),
               (kind if kind != 'Subtract' else 'Add', dict(inputs=['c', 'a'], name='d')), (C, dict(filters=4, kernel_size=3)))
regression('Concatenate1', [8, 6, 3], (C, dict(filters=5, kernel_size=3, name='a')), ('Rescaling', dict(scale=2.0, inputs='a', name='b')),
           ('Concatenate', dict(axis=1, inputs=['a', 'b'])))
for i, args in enumerate([{}, dict(depth_multiplier=3, strides=2), dict(padding='same', dilation_rate=2), dict(kernel_size=[1, 4], padding='same', activation='relu6')]):
    regression(f'depthwise{i}', [9, 8, 5], ('DepthwiseConv2D', dict(dict(kernel_size=3), **args)), (C, dict(filters=4, kernel_size=1)))
    regression(f'separable{i}', [9, 8, 5], ('SeparableConv2D', dict(dict(filters=7, kernel_size=3), **args)), (C, dict(filters=4, kernel_size=1)))
for i, args in enumerate([{}, dict(strides=2), dict(strides=2, padding='same'), dict(strides=3, padding='same', kernel_size=2), dict(strides=[2, 1], kernel_size=[2, 4], use_bias=False),
                          dict(strides=2, padding='same', output_padding=0), dict(strides=2, output_padding=1), dict(strides=3, kernel_size=1)]):
    regression(f'transposed{i}', [5, 6, 3], (C, dict(filters=4, kernel_size=2)), ('Conv2DTranspose', dict(dict(filters=6, kernel_size=3, activation='tanh'), **args)))
for i, args in enumerate([{}, dict(strides=2), dict(padding='same', dilation_rate=2), dict(padding='causal', dilation_rate=3), dict(groups=2, padding='same')]):
    regression(f'conv1d{i}', [17, 4], ('Conv1D', dict(dict(filters=6, kernel_size=3, activation='relu'), **args)), ('Conv1D', dict(filters=3, kernel_size=2)))
regression('conv1d_others', [20, 4], ('DepthwiseConv1D', dict(kernel_size=3, depth_multiplier=2, padding='same')), ('SeparableConv1D', dict(filters=5, kernel_size=3, activation='tanh')),
           ('Conv1DTranspose', dict(filters=4, kernel_size=3, strides=2)), ('MaxPooling1D', dict(pool_size=3, strides=2)), ('AveragePooling1D', dict(pool_size=2, padding='same')))
for kind in ('GlobalAveragePooling1D', 'GlobalMaxPooling1D'):
    case(kind, [7, 3], [('Conv1D', dict(filters=6, kernel_size=2)), (kind, {}), ('Dense', dict(units=2))])
regression('pad_crop', [7, 6, 3], ('ZeroPadding2D', dict(padding=[[1, 2], [0, 3]])), (C, dict(filters=4, kernel_size=3, activation='tanh')),
           ('Cropping2D', dict(cropping=[[1, 0], [2, 1]])), ('ZeroPadding2D', {}), ('MaxPooling2D', dict(pool_size=3, strides=2)))
regression('pad_crop_1d', [9, 3], ('ZeroPadding1D', dict(padding=[2, 1])), ('Conv1D', dict(filters=4, kernel_size=3)), ('Cropping1D', {}), ('UpSampling1D', dict(size=3)), ('Conv1D', dict(filters=2, kernel_size=2)))
regression('pad_crop_3d', [4, 5, 3, 2], ('Dense', dict(units=3, activation='tanh')), ('ZeroPadding3D', dict(padding=[[1, 0], [0, 2], [1, 1]])), ('Cropping3D', {}), ('UpSampling3D', dict(size=[2, 1, 3])))
for i, args in enumerate([{}, dict(size=[3, 1]), dict(interpolation='bilinear'), dict(size=[3, 2], interpolation='bilinear')]):
    regression(f'upsampling{i}', [4, 5, 3], (C, dict(filters=4, kernel_size=2, activation='tanh')), ('UpSampling2D', args), (C, dict(filters=2, kernel_size=3)))
regression('permute', [4, 5, 3], (C, dict(filters=4, kernel_size=2)), ('Permute', dict(dims=[3, 1, 2])), (C, dict(filters=2, kernel_size=2)))
case('repeat', [6], [('Dense', dict(units=4, activation='tanh')), ('RepeatVector', dict(n=3)), ('Conv1D', dict(filters=3, kernel_size=2)), ('Flatten', {}), ('Dense', dict(units=2))])
for i, args in enumerate([{}, dict(axis=[1, 2], epsilon=0.1), dict(center=False, axis=[1, 3]), dict(scale=False, axis=2)]):
    regression(f'layernorm{i}', [6, 5, 4], (C, dict(filters=7, kernel_size=2)), ('LayerNormalization', args), ('ReLU', {}))
for i, args in enumerate([dict(groups=4), dict(groups=-1), dict(groups=1, center=False), dict(groups=2, scale=False, epsilon=0.1)]):
    regression(f'groupnorm{i}', [6, 5, 4], (C, dict(filters=8, kernel_size=2)), ('GroupNormalization', args), ('ReLU', {}))
case('groupnorm_dense', [9], [('Dense', dict(units=12)), ('GroupNormalization', dict(groups=3)), ('Dense', dict(units=2))])
regression('rmsnorm', [6, 5], ('Conv1D', dict(filters=8, kernel_size=2)), ('UnitNormalization', {}), ('RMSNormalization', {}))
regression('batchnorm_axis', [6, 5, 4], (C, dict(filters=8, kernel_size=2)), ('BatchNormalization', dict(axis=1)), ('ReLU', {}))
for i, args in enumerate([{}, dict(shared_axes=[1, 2])]):
    regression(f'prelu{i}', [9, 9, 3], (C, dict(filters=4, kernel_size=2)), ('PReLU', dict(args, alpha_initializer='ones')), ('MaxPooling2D', dict(pool_size=3)))
for i, axes in enumerate([2, [1, 1], [2, 1]]):
    case(f'dot{i}', [6, 6], [('Conv1D', dict(filters=6, kernel_size=1, name='a')), ('Conv1D', dict(filters=6, kernel_size=3, padding='same', inputs='input', name='b')),
                             ('Dot', dict(axes=axes, normalize=i == 1, inputs=['a', 'b'])), ('Flatten', {}), ('Dense', dict(units=2))])
case('dot_vector', [6], [('Dense', dict(units=4, name='a')), ('Dense', dict(units=4, inputs='input', name='b')), ('Dot', dict(axes=1, inputs=['a', 'b'])), ('Dense', dict(units=2))])
case('softmax_axis', [6, 5], [('Conv1D', dict(filters=4, kernel_size=2)), ('Softmax', dict(axis=1)), ('Flatten', {}), ('Dense', dict(units=2))])
for i, args in enumerate([{}, dict(strides=2, padding='same'), dict(kernel_size=[1, 3, 2], strides=[1, 2, 1], use_bias=False)]):
    regression(f'conv3d{i}', [5, 6, 7, 3], ('Conv3D', dict(dict(filters=6, kernel_size=2, activation='tanh'), **args)), ('Conv3D', dict(filters=2, kernel_size=2, padding='same')))
regression('conv3d_transposed', [3, 4, 2, 3], ('Conv3DTranspose', dict(filters=4, kernel_size=[2, 3, 4], strides=[2, 1, 3], activation='tanh')))
# MaxPooling3D and AveragePooling3D: TensorFlow has none in float64
for kind in ('GlobalAveragePooling3D', 'GlobalMaxPooling3D'):
    case(kind, [4, 3, 5, 2], [('Conv3D', dict(filters=6, kernel_size=2)), (kind, {}), ('Dense', dict(units=2))])
regression('big_window', [20, 19, 2], ('MaxPooling2D', dict(pool_size=17, strides=1)))
case('dense_3d', [5, 9], [('Dense', dict(units=6, activation='tanh')), ('Flatten', {}), ('Dense', dict(units=1))])
for reg in ({'l2': 0.1}, {'l1': 0.02}, {'l1_l2': {'l1': 0.01, 'l2': 0.05}}):
    case('reg_' + next(iter(reg)), [9], [('Dense', dict(units=12, kernel_regularizer=reg, bias_regularizer=reg, activation='relu')), ('Dense', dict(units=2))])
case('frozen', [9], [('Dense', dict(units=12, trainable=False, activation='tanh')), ('Dense', dict(units=2))])
NET = [('Dense', dict(units=16, activation='tanh'))]
for i, opt in enumerate([('sgd', dict(learning_rate=0.1, momentum=0.9)), ('sgd', dict(learning_rate=0.1, momentum=0.9, nesterov=True)),
                         ('sgd', dict(learning_rate=0.1, weight_decay=0.05)), ('adam', dict(learning_rate=0.01)),
                         ('adam', dict(learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3)), ('adam', dict(learning_rate=0.01, amsgrad=True)),
                         ('adamw', dict(learning_rate=0.01)), ('adamw', dict(learning_rate=0.01, weight_decay=0.2))]):
    case(f'opt{i}_{opt[0]}', [9], NET + [('Dense', dict(units=2))], optimizer=opt)
SOFT, SIGM = ('Dense', dict(units=4, activation='softmax')), ('Dense', dict(units=1, activation='sigmoid'))
case('loss_binary', [9], NET + [SIGM], 'binary_crossentropy', metrics=['accuracy', 'precision', 'recall', 'auc'], labels='binary')
case('loss_binary_smooth', [9], NET + [SIGM], {'binary_crossentropy': dict(label_smoothing=0.1)}, labels='binary')
case('loss_categorical', [9], NET + [SOFT], 'categorical_crossentropy', metrics=['accuracy', 'precision', 'recall'], labels='categorical')
case('loss_categorical_smooth', [9], NET + [SOFT], {'categorical_crossentropy': dict(label_smoothing=0.1)}, labels='categorical')
case('loss_sparse', [9], NET + [SOFT], 'sparse_categorical_crossentropy', metrics=['accuracy'], labels='int')
case('loss_sparse_logits', [9], NET + [('Dense', dict(units=4))], {'sparse_categorical_crossentropy': dict(from_logits=True)}, metrics=['accuracy'], labels='int')
case('loss_mse', [9], NET + [('Dense', dict(units=3))], 'mean_squared_error')


def snake(name, counts):
    base = ''.join('_' + c.lower() if c.isupper() and i and not (name[i - 1].isupper() or name[i - 1].isdigit()) else c.lower() for i, c in enumerate(name))
    base = {'relu': 're_lu', 'leakyrelu': 'leaky_re_lu', 'leaky_relu': 'leaky_re_lu'}.get(base, base)
    counts[base] = counts.get(base, -1) + 1
    return base if counts[base] == 0 else f'{base}_{counts[base]}'


def keras_args(args):
    args = {k: v for k, v in args.items() if k != 'inputs'}
    for k in list(args):
        if k.endswith('_regularizer'):
            (kind, value), = args[k].items()
            args[k] = keras.regularizers.L1L2(**value) if isinstance(value, dict) else keras.regularizers.L1L2(**{kind: value})
    return args


def keras_model(c, dtype, weights=None):
    keras.backend.clear_session()
    keras.config.set_floatx(dtype)
    keras.utils.set_random_seed(5)
    x = last = L.Input(c['shape'])
    made = {'input': x}
    for kind, args in c['layers']:
        inputs = args.get('inputs')
        feed = last if inputs is None else [made[n] for n in inputs] if isinstance(inputs, list) else made[inputs]
        last = getattr(L, kind)(**keras_args(args))(feed)
        if 'name' in args:
            made[args['name']] = last
    model = keras.Model(x, last)
    for key, v in by_name(model).items():
        if weights:
            v.assign(weights[key].astype(dtype))
    kind, args = c['optimizer']
    optimizer = {'sgd': keras.optimizers.SGD, 'adam': keras.optimizers.Adam, 'adamw': keras.optimizers.AdamW}[kind](**args)
    loss = c['loss']
    if isinstance(loss, dict):
        (name, args), = loss.items()
        loss = getattr(keras.losses, ''.join(w.title() for w in name.split('_')))(**args)
    metric = dict(precision=keras.metrics.Precision, recall=keras.metrics.Recall, auc=keras.metrics.AUC)
    model.compile(optimizer, loss, metrics=[metric[m]() if m in metric else m for m in c['metrics']])
    return model


def by_name(model):
    return {'.'.join(v.path.split('/')[-2:]): v for v in model.variables}


def weights_of(model):
    return {name: v.numpy() for name, v in by_name(model).items()}


def data_of(c, rng):
    n = BATCH * STEPS
    x = rng.normal(size=(n, *c['shape'])).astype('f4')
    units = c['layers'][-1][1]['units']
    if c['labels'] == 'binary':
        return x, rng.integers(0, 2, n).astype('i4')
    if c['labels'] == 'int':
        return x, rng.integers(0, units, n).astype('i4')
    if c['labels'] == 'categorical':
        return x, np.eye(units, dtype='f4')[rng.integers(0, units, n)]
    return x, rng.normal(size=(n, units)).astype('f4')


def yaml_of(c):
    optimizer = {c['optimizer'][0]: c['optimizer'][1]}
    mode = f", label_mode: {c['labels']}" if c['labels'] else ''
    lines = [f"cnnc: 1\nname: {c['name']}",
             f"data: {{type: npy, train: {{x: x.npy, y: y.npy}}, validation: {{x: x.npy, y: y.npy}}, batch_size: {BATCH}, shuffle: false{mode}}}",
             f"model:\n  input_shape: {c['shape']}\n  layers:"]
    lines += [f'    - {{{kind}: {json.dumps(args)}}}' for kind, args in c['layers']]
    lines += ['train: ' + json.dumps(dict(optimizer=optimizer, loss=c['loss'], epochs=1, initial_weights='0.safetensors',
                                          **({'metrics': list(c['metrics'])} if c['metrics'] else {})))]
    return '\n'.join(lines) + '\n'


def steps(c, dtype, start, x, y):
    model = keras_model(c, dtype, start)
    for i in range(STEPS):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        yy = y[rows].reshape(-1, 1) if c['labels'] == 'binary' else y[rows]
        model.train_on_batch(x[rows].astype(dtype), yy)
    return model


def distance(a, b, start):
    d = sum(((a[k].astype('f8') - b[k].astype('f8')) ** 2).sum() for k in b)
    moved = sum(((b[k].astype('f8') - start[k].astype('f8')) ** 2).sum() for k in b)
    return float(np.sqrt(d / moved))


def run(c, cnnc, rng):
    x, y = data_of(c, rng)
    start = weights_of(keras_model(c, 'float32'))
    start = {k: v + (0.1 * rng.normal(size=v.shape)).astype('f4') * ('variance' not in k) for k, v in start.items()}
    np.save('x.npy', x), np.save('y.npy', y), save_file(start, '0.safetensors')
    with open('model.yaml', 'w') as f:
        f.write(yaml_of(c))
    for command in ([cnnc, 'model.yaml', '-o', 'model'], ['rm', '-rf', 'runs'], ['./model-train', 'threads=2']):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f'FAILED ({done.returncode}): ' + (done.stderr or done.stdout).strip()[-400:]
    path = f"runs/{c['name']}/1/weights/last.safetensors"
    ours = load_file(path)
    k32, k64 = weights_of(steps(c, 'float32', start, x, y)), weights_of(steps(c, 'float64', start, x, y))
    if set(ours) != set(k64) or any(ours[k].shape != k64[k].shape for k in k64):
        return f'FAILED: tensors {sorted(ours)} instead of {sorted(k64)}'
    d, own = distance(ours, k64, start), distance(k32, k64, start)
    subprocess.run(['./model', 'run', '--weights', path, '--input', 'x.npy', '--output', 'p.npy'], check=True)
    same = keras_model(c, 'float32', ours)
    want = same.predict(x, verbose=0)
    p = float(np.abs(np.load('p.npy').reshape(want.shape) - want).max() / max(1, np.abs(want).max()))
    yy = y.reshape(-1, 1) if c['labels'] == 'binary' else y
    values = same.evaluate(x, yy, batch_size=BATCH, verbose=0, return_dict=True)
    header, *_, last = open(f"runs/{c['name']}/1/results.csv").read().split()
    row = dict(zip(header.split(','), last.split(',')))
    worst = max(abs(float(row['val_' + k]) - v) / max(1, abs(v)) for k, v in values.items())
    ok = d <= 4 * max(own, 2e-6) and p <= 1e-5 and worst <= 2e-5
    return f'{"ok    " if ok else "FAILED"} steps {d:.1e} (Keras float32 {own:.1e})  predictions {p:.1e}  loss and metrics {worst:.1e}' + \
        ('' if ok else f'  {row}  {values}')


def formula(name, shape):
    v = 0.5 * np.sin(0.7 * np.arange(int(np.prod(shape))) + len(name)).reshape(shape)
    return 1 + v if 'variance' in name else v


def vectors(c):
    """A row of tests/numeric/keras_layers.def: what Keras predicts in float64 with weights and inputs by formula."""
    model = keras_model(c, 'float64')
    for name, v in by_name(model).items():
        v.assign(formula(name, v.shape))
    y = model.predict(np.sin(0.31 * np.arange(2 * int(np.prod(c['shape'])))).reshape(2, *c['shape']), verbose=0).reshape(-1)
    numbers = [y.sum(), (y * np.cos(np.arange(y.size))).sum(), np.abs(y).max(), y[0], y[-1]]
    text = '|'.join(f'{{{kind}: {json.dumps(args)}}}'.replace('"', '') for kind, args in c['layers'])
    text = re.sub(r'\b(True|False)\b', lambda m: m.group().lower(), text)
    return f'ROW({json.dumps(c["name"])}, "{", ".join(map(str, c["shape"]))}", {json.dumps(text)},\n    {", ".join(f"{v:.12g}" for v in numbers)})'


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--cnnc', default='build/bin/cnnc')
    p.add_argument('--work', default='build/peers-layers')
    p.add_argument('--only', default='')
    p.add_argument('--vectors', action='store_true')
    a = p.parse_args()
    if a.vectors:
        print('/* keras_layers.def -- made by keras_layers.py --vectors: predictions of Keras ' + keras.__version__ + ' in float64 */')
        for c in CASES:
            if re.search(a.only, c['name']):
                print(vectors(c), flush=True)
        return
    cnnc = os.path.abspath(a.cnnc)
    os.makedirs(a.work, exist_ok=True)
    os.chdir(a.work)
    rng, failed, count = np.random.default_rng(2), 0, 0
    for c in CASES:
        if re.search(a.only, c['name']):
            try:
                result = run(c, cnnc, rng)
            except Exception as e:
                result = f'FAILED: {type(e).__name__}: {e}'
            count += 1
            failed += not result.startswith('ok')
            print(f'{c["name"]:24} {result}', flush=True)
    print(f'{count} cases, {failed} failed')
    sys.exit(failed > 0)


main()
