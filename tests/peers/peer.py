"""peer.py -- what the scripts of the frameworks share: a model file read as layers, made-up data, the clock, the answer

A script peer_NAME.py gives run() a function that builds the network of a cnnc model file in its framework. So every
framework computes the same network with the same number of parameters, and a new model file needs no new script.
  peer_NAME.py MODEL.yaml [--threads 1] [--mode WORD-WORD] [--works train_step,predict_batch,predict_1] [--seconds 1.5]
The answer is one line of JSON: version, parameters, first and last loss, and min and median milliseconds of each work.
Every call is timed by itself, as `cnnc bench` does; data lie in memory; the step is forward, backward and Adam.
"""
import argparse, json, os, statistics, time

WORKS = ('train_step', 'predict_batch', 'predict_1')
WARM_SECONDS, MIN_CALLS, MAX_CALLS = 0.4, 3, 1000


class Layer:
    """One layer of the file: its kind, its arguments, and the numbers of the layers that feed it (-1: the input)."""

    def __init__(self, kind, args, inputs):
        self.kind, self.args, self.inputs = kind, args, inputs

    def get(self, name, default=None):
        return self.args.get(name, default)

    def pair(self, name, default):
        value = self.args.get(name, default)
        return tuple(value) if isinstance(value, list) else (value, value)


class Net:
    def __init__(self, path):
        import yaml
        with open(path) as f:
            file = yaml.safe_load(f)
        self.batch = file['data'].get('batch_size', 32)
        base = file['model'].get('base', {})
        self.application, self.layers, number = base.get('application'), [], {}
        self.shape = tuple(base.get('input_shape') or file['model']['input_shape'])
        if self.application:  # a network of the zoo and nothing else: the framework has its own of that name
            self.classes, self.binary = base['classes'], False
            return
        for item in file['model']['layers']:
            kind, args = (item, {}) if isinstance(item, str) else next(iter(item.items()))
            args = dict(args or {})
            feed = args.pop('inputs', None)
            feed = [feed] if isinstance(feed, str) else feed
            inputs = [len(self.layers) - 1] if feed is None else [number[name] for name in feed]
            if 'name' in args:
                number[args.pop('name')] = len(self.layers)
            self.layers.append(Layer(kind, args, inputs))
        self.classes = self.layers[-1].args['units']
        self.binary = self.classes == 1  # one sigmoid; else a softmax
        # The losses of the frameworks take logits: the last activation is a part of the loss, and of predicting.
        self.layers[-1].args.pop('activation')

    def data(self):
        import numpy as np
        rng = np.random.default_rng(1)
        x = rng.random((self.batch, *self.shape), 'f4')
        y = rng.integers(0, max(2, self.classes), self.batch)
        return x, y.astype('f4').reshape(-1, 1) if self.binary else y.astype('i4')


def clock(call, seconds):
    """Times of single calls after a warm-up; seconds 0: one call only."""
    ms, begin = [], time.perf_counter()
    while seconds and time.perf_counter() - begin < WARM_SECONDS:
        call()
    begin = now = time.perf_counter()
    while not ms or seconds and len(ms) < MAX_CALLS and (len(ms) < MIN_CALLS or now - begin < seconds):
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        ms.append((now - start) * 1e3)
    return dict(min_ms=round(min(ms), 4), median_ms=round(statistics.median(ms), 4), calls=len(ms))


def run(build):
    """build(net, threads, mode) -> dict: version, parameters, train_step() -> loss, predict(samples) -> callable"""
    p = argparse.ArgumentParser()
    p.add_argument('model')
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--mode', default='')
    p.add_argument('--works', default=','.join(WORKS))
    p.add_argument('--seconds', type=float, default=1.5)
    a = p.parse_args()
    # Read by the libraries when they are loaded.
    os.environ.update(OMP_NUM_THREADS=str(a.threads), TF_NUM_INTRAOP_THREADS=str(a.threads), TF_CPP_MIN_LOG_LEVEL='3',
                      CUDA_VISIBLE_DEVICES='', JAX_PLATFORMS='cpu')
    net = Net(a.model)
    built = build(net, a.threads, a.mode.split('-') if a.mode else [])
    answer = dict(version=built['version'], parameters=built['parameters'], works={})
    for work in a.works.split(','):
        if work == 'train_step':
            losses = [float(built['train_step']())]
            answer['works'][work] = clock(built['train_step'], a.seconds)
            answer['losses'] = [round(v, 4) for v in losses + [float(built['train_step']())]]
        else:
            answer['works'][work] = clock(built['predict'](1 if work == 'predict_1' else net.batch), a.seconds)
    print(json.dumps(answer), flush=True)
