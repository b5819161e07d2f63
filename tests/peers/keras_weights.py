#!/usr/bin/env python3
"""keras_weights.py -- makes tests/weights: files of weights by the real Keras, h5py and NumPy, what Keras predicts with them, and
files that must be refused

usage: keras_weights.py FOLDER     needs keras with a back end, h5py, numpy
"""
import io
import os
import sys
import zipfile

import h5py
import keras
import numpy as np
from keras import layers as L

out = sys.argv[1]
os.makedirs(os.path.join(out, 'bad'), exist_ok=True)
at = lambda name: os.path.join(out, name)
bad = lambda name: os.path.join(out, 'bad', name)
keras.utils.set_random_seed(1)
m = keras.Sequential([L.Input((6, 6, 2)), L.Conv2D(3, 3, name='stem'), L.BatchNormalization(), L.ReLU(), L.Dropout(.1),
                      L.SeparableConv2D(2, 3), L.Flatten(), L.Dense(3, activation='softmax')])
rng = np.random.default_rng(0)
m.set_weights([rng.uniform(.2, 1, w.shape).astype('f4') - (.6 if w.ndim > 1 else 0) for w in m.get_weights()])
m.save_weights(at('net.weights.h5'))
m.save(at('net.keras'))
m.save(at('net.h5'))
weights = [(l.name, w.name, w.numpy()) for l in m.layers for w in l.weights if 'seed' not in w.name]
np.savez(at('net.npz'), **{f'{l}/{w}': np.asfortranarray(v) if i % 2 else v for i, (l, w, v) in enumerate(weights)})
np.savez_compressed(at('packed.npz'), **{f'{l}.{w}': v.astype('f8') for l, w, v in weights})
x = rng.uniform(0, 1, (5, 6, 6, 2)).astype('f4')
np.save(at('x.npy'), x)
np.save(at('want.npy'), m.predict(x, verbose=0))


def h5(path):
    return h5py.File(path, 'w', libver=('earliest', 'v108'))


with h5(at('keras2.h5')) as f:  # the layout of Keras 2: LAYER/LAYER/kernel:0
    for l, w, v in weights:
        f.create_dataset(f'{l}/{l}/{w}:0', data=v, **(dict(compression='gzip', shuffle=True) if v.ndim > 1 else {}))

with h5(at('tiny.h5')) as f:
    f['a/kernel'] = np.arange(4, dtype='f2')
    f.create_dataset('b/kernel', data=np.arange(12, dtype='f4').reshape(3, 4), chunks=(2, 4), compression='gzip')
    f['b'].create_group('vars').attrs['name'] = 'c'
with zipfile.ZipFile(at('tiny.keras'), 'w', zipfile.ZIP_DEFLATED) as z:
    z.writestr(zipfile.ZipInfo('config.json'), b'{}', zipfile.ZIP_STORED)
    z.write(at('tiny.h5'), 'model.weights.h5')
np.savez_compressed(at('tiny.npz'), a=np.arange(3, dtype='i8'), b=np.asfortranarray(np.ones((2, 3), 'f4')))

# ---- refused ----
with h5(bad('external_link.h5')) as f:
    f['stem/kernel'] = h5py.ExternalLink('/etc/passwd', '/x')
with h5(bad('soft_link.h5')) as f:
    f['stem/bias'] = np.zeros(3, 'f4')
    f['stem/kernel'] = h5py.SoftLink('/stem/bias')
with h5(bad('external_storage.h5')) as f:
    f.create_dataset('stem/kernel', (100,), 'f4', external=[('/etc/passwd', 0, 400)])
with h5py.File(bad('virtual.h5'), 'w', libver=('v110', 'v110')) as f:
    layout = h5py.VirtualLayout((4,), 'f4')
    layout[:] = h5py.VirtualSource('other.h5', 'x', (4,))
    f.create_virtual_dataset('stem/kernel', layout)
with h5(bad('bomb.h5')) as f:
    f.create_dataset('stem/kernel', (1 << 26,), 'f4', chunks=(1 << 20,), compression='gzip')[:1] = 1
with h5(bad('never_written.h5')) as f:
    f.create_dataset('stem/kernel', (1 << 40,), 'f4', chunks=(1 << 10,))
with h5(bad('circle.h5')) as f:
    f.create_group('a/b')
    f['a/b/c'] = f['a']
with h5(bad('strings.h5')) as f:
    f['stem/kernel'] = 'text'
with h5(bad('compound.h5')) as f:
    f['stem/kernel'] = np.zeros(2, [('a', 'f4'), ('b', 'i4')])
with h5(bad('filter.h5')) as f:
    f.create_dataset('stem/kernel', data=np.zeros(100, 'f4'), chunks=(100,), compression='lzf')
with h5(bad('empty.h5')) as f:
    f.create_group('stem')


def npy(v):
    b = io.BytesIO()
    np.save(b, v)
    return b.getvalue()


def archive(name, members, how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(bad(name), 'w', how) as z:
        for member, data in members:
            z.writestr(zipfile.ZipInfo(member), data, how)


one = npy(np.ones(3, 'f4'))
archive('escape.npz', [('../stem.npy', one)])
archive('absolute.npz', [('/etc/stem.npy', one)])
archive('twice.npz', [('stem.npy', one), ('stem.npy', one)])
archive('bomb.npz', [('stem.npy', npy(np.zeros(1 << 22, 'f4')))], zipfile.ZIP_DEFLATED)
archive('objects.npz', [('stem.npy', npy(np.zeros(2, 'f4')).replace(b"'<f4'", b"'|O'  "))])
archive('large.npz', [('stem.npy', npy(np.zeros(2, 'f4')).replace(b'(2,), }   ', b'(9999,), }'))])
archive('overflow.npz', [('stem.npy', npy(np.zeros(2, 'f4')).replace(b'(2,), }' + b' ' * 40, b'(4294967296,4294967296,4294967296,), }'.ljust(47)))])
archive('other.npz', [('readme.txt', b'hello')])
archive('torch.pt', [('archive/data.pkl', b'\x80\x02.'), ('archive/data/0', b'1234')])
archive('nothing.keras', [('model.weights.h5', b'')])
archive('rubbish.keras', [('config.json', b'{}'), ('model.weights.h5', b'rubbish' * 9)])
archive('link.keras', [('model.weights.h5', open(bad('external_link.h5'), 'rb').read())])
