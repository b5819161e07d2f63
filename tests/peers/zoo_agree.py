#!/usr/bin/env python3
"""The zoo beside Keras or torchvision: same weights, same outputs; same weights and data, same three steps of SGD.

usage: zoo_agree.py [--cnnc build/bin/cnnc] [--work FOLDER] [--threads N] [--only NAME,…]       (through tests/peers/run.sh)

The framework is the one that can be imported: Keras, else PyTorch with torchvision and timm. Its random weights, with batch
statistics and scales drawn at random too, become a file for cnnc. Dropout is off, the last layer gives logits. Measured are
  parameters    running statistics included                             equal
  outputs       largest difference over the largest output              to float64 <= 1e-4, or 2x the framework's own in float32
  three steps   relative L2 over all weights and statistics             to float64 <= 2x the framework's own in float32 (1e-6)
LeNet5 and UNet are written out below as Keras models; of the networks that Keras has the graph is that of keras.applications.
"""
import argparse, json, logging, os, subprocess, sys
import numpy as np
from safetensors.numpy import load_file, save_file

try:
    import keras
except ImportError:
    keras = None
    import torch, torchvision, timm

STEPS, CLASSES, FLOOR = 3, 10, 1e-6

YAML = '''cnnc: 1
name: {name}
data: {{type: npy, train: {{x: {name}-x.npy, y: {name}-y.npy}}, label_mode: int, batch_size: {batch}, shuffle: false}}
model:
  base: {{application: {{{application}: {{{args}}}}}, input_shape: {shape}}}
train:
  optimizer: {{sgd: {{learning_rate: {rate}}}}}
  loss: {{{loss}: {{from_logits: true}}}}
  epochs: 1
  steps_per_epoch: {steps}
  initial_weights: {name}-0.safetensors
'''


class Case:
    """An application, what the YAML says behind its name, how the framework makes it, and sizes."""

    def __init__(self, application, args, make, size, batch=8, channels=3, classes=CLASSES):
        self.application, self.make, self.batch, self.classes = application, make, batch, classes
        self.rate = 0.05 if application in ('LeNet5', 'AlexNet', 'VGG16', 'VGG19', 'UNet') else 0.002  # without, with normalization
        self.args = ', '.join([f'classes: {classes}', 'classifier_activation: linear'] + args)
        self.shape = [size, size, channels]
        self.name = application + ''.join('-' + a.split(': ')[1] for a in args if a.startswith('variant'))


# ---- Keras ----

def lenet():
    L = keras.layers
    return keras.Sequential([
        L.Input((28, 28, 1)), L.Conv2D(6, 5, padding='same', activation='tanh', name='c1'), L.AveragePooling2D(2),
        L.Conv2D(16, 5, activation='tanh', name='c3'), L.AveragePooling2D(2), L.Flatten(), L.Dense(120, activation='tanh', name='c5'),
        L.Dense(84, activation='tanh', name='f6'), L.Dense(CLASSES, name='predictions')])


def unet(filters=8):
    L = keras.layers

    def two(x, filters, name):
        for i in (1, 2):
            x = L.Conv2D(filters, 3, padding='same', activation='relu', name=f'{name}_conv{i}')(x)
        return x
    x = image = L.Input((32, 48, 3))
    sides = []
    for level in range(4):
        sides.append(two(x, filters << level, f'down{level + 1}'))
        x = L.MaxPooling2D()(sides[-1])
    x = two(x, filters << 4, 'middle')
    for level in (3, 2, 1, 0):
        x = L.Conv2DTranspose(filters << level, 2, strides=2, name=f'up{level + 1}_up')(x)
        x = two(L.Concatenate()([sides[level], x]), filters << level, f'up{level + 1}')
    return keras.Model(image, L.Conv2D(2, 1, name='predictions')(x))


def keras_cases():
    def known(name, size):
        def make():
            return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None)
        return Case(name, ['variant: keras'], make, size)

    def efficient():
        from keras.src.applications import efficientnet  # with arguments that the public function lacks
        return efficientnet.EfficientNet(
            1.0, 1.0, 64, dropout_rate=0.0, drop_connect_rate=0.0, weights=None, input_shape=(64, 64, 3), classes=CLASSES,
            classifier_activation=None, weights_name='b0')
    u = Case('UNet', ['filters: 8', 'dropout: 0'], unet, 32, classes=2)
    u.shape = [32, 48, 3]
    return [Case('LeNet5', [], lenet, 28, channels=1), known('VGG16', 48), known('VGG19', 48), known('InceptionV3', 139),
            known('ResNet50', 64), known('DenseNet121', 64), known('MobileNetV2', 64),
            Case('EfficientNetB0', ['variant: keras', 'dropout: 0', 'drop_connect: 0'], efficient, 64), u]


class Keras:
    title = keras and f'Keras {keras.__version__} on TensorFlow'

    def __init__(self, case, dtype, weights=None):
        keras.backend.clear_session()
        keras.config.set_floatx(dtype)
        keras.utils.set_random_seed(7)
        self.model, self.dtype = case.make(), dtype
        self.by_name = {'.'.join(v.path.split('/')[-2:]): v for v in self.model.variables}
        for key, v in self.by_name.items() if weights else ():
            v.assign(weights[key].astype(v.dtype))
        for layer in self.model.layers:
            if weights and isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()

    def weights(self):
        return {name: np.asarray(v) for name, v in self.by_name.items()}

    def outputs(self, x):
        return np.asarray(self.model.predict_on_batch(x.astype(self.dtype)))

    def train(self, x, y, batch, rate):
        per_pixel = y.ndim > 2
        loss = (keras.losses.CategoricalCrossentropy if per_pixel else keras.losses.SparseCategoricalCrossentropy)(from_logits=True)
        self.model.compile(keras.optimizers.SGD(rate), loss)
        for i in range(0, len(x), batch):
            labels = y[i:i + batch].astype(self.dtype) if per_pixel else y[i:i + batch]
            self.model.train_on_batch(x[i:i + batch].astype(self.dtype), labels)


# ---- PyTorch ----

def torch_cases():
    def known(application, name, size, args=(), batch=8, **more):
        def make():
            return getattr(torchvision.models, name)(weights=None, num_classes=CLASSES, **more)
        return Case(application, [*args], make, size, batch)
    ours = ['variant: torchvision']

    def efficient():
        m = torchvision.models.efficientnet_b0(weights=None, num_classes=CLASSES, dropout=0.0, stochastic_depth_prob=0.0)
        return m

    def mixer():
        return timm.models.mlp_mixer.MlpMixer(num_classes=CLASSES, img_size=48, patch_size=16, num_blocks=3, embed_dim=64)
    return [known('AlexNet', 'alexnet', 224, ours + ['dropout: 0'], 4, dropout=0.0),
            known('VGG16', 'vgg16', 224, ours + ['dropout: 0'], 4, dropout=0.0),
            known('InceptionV3', 'inception_v3', 139, ours + ['dropout: 0'], dropout=0.0, aux_logits=False, init_weights=False),
            known('ResNet18', 'resnet18', 64, ours), known('ResNet50', 'resnet50', 64, ours),
            known('DenseNet121', 'densenet121', 64, ours),
            known('MobileNetV2', 'mobilenet_v2', 64, ours + ['dropout: 0'], dropout=0.0),
            Case('EfficientNetB0', ours + ['dropout: 0', 'drop_connect: 0'], efficient, 64),
            Case('MLPMixer', ['hidden_dim: 64', 'num_blocks: 3', 'tokens_mlp_dim: 32', 'channels_mlp_dim: 256'], mixer, 48)]


class Torch:
    """Modules with weights are those of cnnc in the same order; a shortcut's convolution comes first in its block."""
    title = keras or f'PyTorch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}'
    WEIGHTS = {'weight': {4: 'kernel', 2: 'kernel', 1: 'gamma'}, 'running_mean': 'moving_mean', 'running_var': 'moving_variance'}

    def __init__(self, case, dtype, weights=None):
        torch.manual_seed(7)
        self.dtype = getattr(torch, dtype)
        self.model = case.make().to(self.dtype)
        modules = [(name, m) for name, m in self.model.named_modules() if hasattr(m, 'weight')]
        first = {n.split('.downsample.')[0]: i for i, (n, _) in reversed(list(enumerate(modules))) if '.downsample.' not in n
                 for n in [n.rpartition('.')[0]]}
        order = sorted(range(len(modules)), key=lambda i: (
            first[modules[i][0].split('.downsample.')[0]] - 0.5 if '.downsample.' in modules[i][0] else i, i))
        self.modules = [modules[i] for i in order]
        self.layers = [layer['name'] for layer in case.layers if layer['parameters']]
        assert len(self.layers) == len(self.modules), (len(self.layers), len(self.modules))
        self.flat = case.flat
        for key, t in self.tensors() if weights else ():
            t.data.copy_(torch.from_numpy(self.there(key, weights[key].astype(dtype), t)))

    def tensors(self):
        for layer, (_, m) in zip(self.layers, self.modules):
            names = {'weight': 'gamma' if m.weight.ndim == 1 else 'kernel', 'bias': 'beta' if m.weight.ndim == 1 else 'bias',
                     'running_mean': 'moving_mean', 'running_var': 'moving_variance'}
            for theirs, ours in names.items():
                if getattr(m, theirs, None) is not None:
                    yield f'{layer}.{ours}', getattr(m, theirs)

    def here(self, key, t):
        """(out, in, kh, kw) to (kh, kw, in, out), depthwise (kh, kw, channels, 1); (out, in) to (in, out), `in` of a picture
        from (channels, height, width) to (height, width, channels)."""
        if t.ndim == 4:
            return t.transpose(2, 3, 0, 1) if t.shape[1] == 1 and t.shape[0] > 1 else t.transpose(2, 3, 1, 0)
        if t.ndim == 2 and key == self.flat[0] + '.kernel':
            h, w, c = self.flat[1]
            return t.reshape(-1, c, h, w).transpose(2, 3, 1, 0).reshape(t.shape[::-1])
        return t.T if t.ndim == 2 else t

    def there(self, key, a, t):
        if a.ndim == 4:
            return a.transpose(2, 3, 0, 1) if t.shape[1] == 1 and t.shape[0] > 1 else a.transpose(3, 2, 0, 1)
        if a.ndim == 2 and key == self.flat[0] + '.kernel':
            h, w, c = self.flat[1]
            return a.reshape(h, w, c, -1).transpose(3, 2, 0, 1).reshape(tuple(t.shape))
        return a.T.copy() if a.ndim == 2 else a

    def weights(self):
        return {key: np.ascontiguousarray(self.here(key, t.detach().numpy())) for key, t in self.tensors()}

    def picture(self, x):
        return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).to(self.dtype)

    def outputs(self, x):
        self.model.eval()
        with torch.no_grad():
            return self.model(self.picture(x)).numpy()

    def train(self, x, y, batch, rate):
        self.model.train()
        optimizer = torch.optim.SGD(self.model.parameters(), rate)
        for i in range(0, len(x), batch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(self.model(self.picture(x[i:i + batch])), torch.from_numpy(y[i:i + batch]).long()).backward()
            optimizer.step()


# ---- the comparison ----

def cnnc_file(case):
    loss = 'categorical_crossentropy' if case.application == 'UNet' else 'sparse_categorical_crossentropy'
    path = case.name + '.yaml'
    with open(path, 'w') as f:
        f.write(YAML.format(name=case.name, application=case.application, args=case.args, shape=case.shape, batch=case.batch,
                            rate=case.rate, steps=STEPS, loss=loss))
    return path


def look(a, case):
    """What cnnc says about the model: layers in order, parameters; the layer behind a flattened picture, and its shape."""
    said = json.loads(subprocess.run([a.cnnc, 'check', '--json', cnnc_file(case)], check=True, capture_output=True).stdout)
    case.layers, case.parameters, case.flat = said['layers'], said['parameters'], ('', None)
    for i, layer in enumerate(case.layers):
        if layer['kind'] == 'Flatten':
            dense = next(later for later in case.layers[i:] if later['kind'] == 'Dense')
            case.flat = dense['name'], case.layers[i - 1]['shape'][1:]


def lively(weights, rng):
    """Scales, offsets and statistics that do something."""
    spread = {'gamma': lambda s: rng.uniform(.7, 1.3, s), 'beta': lambda s: rng.uniform(-.2, .2, s),
              'moving_mean': lambda s: rng.uniform(-.2, .2, s), 'moving_variance': lambda s: rng.uniform(.5, 1.5, s),
              'mean': lambda s: rng.uniform(.4, .6, s), 'variance': lambda s: rng.uniform(.05, .1, s),
              'bias': lambda s: rng.uniform(-.1, .1, s)}
    out = {}
    for key, w in weights.items():
        draw = spread.get(key.rpartition('.')[2])
        if w.dtype.kind == 'f' and not draw and not w.any():
            draw = lambda s: rng.normal(0, .1, s)
        out[key] = draw(w.shape).astype('f4') if draw else w.astype('i4' if w.dtype.kind == 'i' else 'f4')
    return {key: np.array(w, order='C') for key, w in out.items()}


def distance(a, b):
    keys = [k for k in b if b[k].dtype.kind == 'f']
    d = sum(((a[k].astype('f8') - b[k].astype('f8')) ** 2).sum() for k in keys)
    return float(np.sqrt(d / sum((b[k].astype('f8') ** 2).sum() for k in keys)))


def compare(a, framework, case):
    rng = np.random.default_rng(3)
    n = case.batch * STEPS
    x = rng.random((n, *case.shape)).astype('f4') * (255 if keras and case.application == 'EfficientNetB0' else 1)
    y = rng.permutation(np.arange(n) % case.classes).astype('i4')
    if case.application == 'UNet':
        y = np.eye(2, dtype='f4')[rng.integers(0, 2, (n, *case.shape[:2]))]
    np.save(case.name + '-x.npy', x)
    np.save(case.name + '-y.npy', y)
    look(a, case)
    theirs = framework(case, 'float32')
    start = lively(theirs.weights(), rng)
    save_file(start, case.name + '-0.safetensors')
    count = sum(w.size for w in start.values())

    run = subprocess.run([a.cnnc, case.name + '.yaml', '-o', case.name], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    before = set(os.listdir('runs/' + case.name)) if os.path.isdir('runs/' + case.name) else set()
    run = subprocess.run(['./' + case.name + '-train', f'threads={a.threads}'], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    folder, = set(os.listdir('runs/' + case.name)) - before
    ours = load_file(f'runs/{case.name}/{folder}/weights/last.safetensors')
    subprocess.run(['./' + case.name, 'run', '--weights', case.name + '-0.safetensors', '--input', case.name + '-x.npy', '--output',
                    case.name + '-p.npy'], check=True)
    p = np.load(case.name + '-p.npy')

    results = {}
    for dtype in ('float32', 'float64'):
        m = framework(case, dtype, start)
        outputs = np.concatenate([m.outputs(x[i:i + case.batch]) for i in range(0, n, case.batch)])
        m.train(x, y, case.batch, case.rate)
        results[dtype] = outputs.reshape(p.shape), m.weights()
        del m
    (p32, w32), (p64, w64) = results['float32'], results['float64']
    top = np.abs(p64).max()
    out = [float(np.abs(q - p64).max() / top) for q in (p, p32)]
    step = [distance(w, w64) for w in (ours, w32)]
    moved = distance(start, w64)
    ok = count == case.parameters and out[0] <= max(1e-4, 2 * out[1]) and step[0] <= 2 * max(step[1], FLOOR) and moved > 1e-5
    print(f'| {case.name} | {case.parameters:,} | {case.shape[0]}x{case.shape[1]} | {out[0]:.1e} ({out[1]:.1e}) | {step[0]:.1e} '
          f'({step[1]:.1e}) of {moved:.1e} | {"ok" if ok else "**FAILED**"} |', flush=True)
    for f in os.listdir('.'):
        if f.startswith(case.name) and not f.endswith('.yaml'):
            os.remove(f)
    subprocess.run(['rm', '-r', 'runs/' + case.name], check=True)
    return ok


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--cnnc', default='build/bin/cnnc')
    p.add_argument('--work', default='build/peers-zoo')
    p.add_argument('--threads', default='2')
    p.add_argument('--only', default='')
    a = p.parse_args()
    a.cnnc = os.path.abspath(a.cnnc)
    os.makedirs(a.work, exist_ok=True)
    os.chdir(a.work)
    logging.getLogger('tensorflow').setLevel(logging.ERROR)
    framework, cases = (Keras, keras_cases()) if keras else (Torch, torch_cases())
    if a.only:
        cases = [c for c in cases if c.application in a.only.split(',')]
    print(f'{framework.title}, {STEPS} steps of SGD, {a.threads} threads; in parentheses the framework\'s own float32\n')
    print('| model | parameters | input | outputs | weights after the steps, of their change | |\n|---|---|---|---|---|---|')
    failed = sum(not compare(a, framework, case) for case in cases)
    print(f'\n{failed} of the rows above failed')
    sys.exit(failed > 0)


main()
