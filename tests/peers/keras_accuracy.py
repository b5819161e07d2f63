#!/usr/bin/env python3
"""Accuracy on the demo's pictures after the same number of epochs: five seeds of Keras, five of cnnc.

usage: keras_accuracy.py [--data build/demo/data] [--cnnc build/bin/cnnc] [--epochs 20] [--seeds 5] [--threads N]
Both train examples/classifier/classifier.yaml on train/ with the same augmentation, and are measured with their last
weights on every picture of test/. Run ./demo.sh first: it makes the pictures.
"""
import argparse, os, re, subprocess, sys
p = argparse.ArgumentParser()
p.add_argument('--data', default='build/demo/data')
p.add_argument('--cnnc', default='build/bin/cnnc')
p.add_argument('--work', default='build/peers-accuracy')
p.add_argument('--epochs', type=int, default=20)
p.add_argument('--seeds', type=int, default=5)
p.add_argument('--threads', type=int, default=os.cpu_count())
p.add_argument('--only', choices=['keras', 'cnnc'])
a = p.parse_args()
STEPS, BATCH, SIZE = 100, 32, 64


def cnnc():
    top, data = os.getcwd(), os.path.abspath(a.data)
    os.makedirs(a.work, exist_ok=True)
    os.chdir(a.work)
    subprocess.run([os.path.join(top, a.cnnc), f'{top}/examples/classifier/classifier.yaml', '-o', 'classifier'], check=True)
    result = []
    for seed in range(1, a.seeds + 1):
        subprocess.run(['./classifier-train', f'train.seed={seed}', f'epochs={a.epochs}', f'threads={a.threads}',
                        f'data.train.directory={data}/train', f'data.validation.directory={data}/test'],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        run = max(os.listdir('runs/classifier'), key=int)
        out = subprocess.run(['./classifier', 'evaluate', '--weights', f'runs/classifier/{run}/weights/last.safetensors',
                              f'{data}/test'], check=True, capture_output=True, text=True).stdout
        result.append(float(re.search(r'accuracy[ :=]+([0-9.]+)', out)[1]))
        print(f'cnnc seed {seed}: {result[-1]:.4f}', flush=True)
    os.chdir(top)
    return result


def keras_runs():
    import numpy as np, tensorflow as tf, keras
    from keras import layers as L
    tf.config.threading.set_intra_op_parallelism_threads(a.threads)

    def folder(path):
        x, y = [], []
        for label, name in enumerate(sorted(os.listdir(path))):
            for file in sorted(os.listdir(f'{path}/{name}')):
                picture = tf.io.decode_jpeg(tf.io.read_file(f'{path}/{name}/{file}'), channels=3)
                x.append(np.round(tf.image.resize(picture, (SIZE, SIZE)).numpy()).astype('u1'))
                y.append(label)
        return np.stack(x), np.array(y, 'f4')

    def augment(rng, x):
        """horizontal_flip, width_shift_range and height_shift_range 0.1, nearest fill: Keras' ImageDataGenerator."""
        n = len(x)
        flip = rng.random(n) < .5
        x = np.where(flip[:, None, None, None], x[:, :, ::-1], x)
        t = np.zeros((n, 8), 'f4')
        t[:, 0] = t[:, 4] = 1
        t[:, 2], t[:, 5] = rng.uniform(-.1, .1, (2, n)) * SIZE
        return tf.raw_ops.ImageProjectiveTransformV3(images=x.astype('f4') / 255, transforms=t, output_shape=[SIZE, SIZE],
                                                     interpolation='BILINEAR', fill_mode='NEAREST', fill_value=0.)

    train, test = folder(a.data + '/train'), folder(a.data + '/test')
    print(f'Keras {keras.__version__}: {len(train[0])} + {len(test[0])} pictures', flush=True)
    result = []
    for seed in range(1, a.seeds + 1):
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([L.Input((SIZE, SIZE, 3)), L.Conv2D(32, 3, activation='relu'), L.MaxPooling2D(),
                                  L.Conv2D(64, 3, activation='relu'), L.MaxPooling2D(),
                                  L.Conv2D(128, 3, activation='relu'), L.MaxPooling2D(), L.Flatten(),
                                  L.Dense(128, activation='relu'), L.Dense(1, activation='sigmoid')])
        model.compile('adam', 'binary_crossentropy', metrics=['accuracy'])
        rng = np.random.default_rng(seed)
        order = np.empty(0, int)
        for _ in range(a.epochs * STEPS):
            if len(order) < BATCH:
                order = np.concatenate([order, rng.permutation(len(train[0]))])
            rows, order = order[:BATCH], order[BATCH:]
            model.train_on_batch(augment(rng, train[0][rows]), train[1][rows].reshape(-1, 1))
        result.append(float(model.evaluate(test[0] / np.float32(255), test[1], batch_size=100, verbose=0)[1]))
        print(f'Keras seed {seed}: {result[-1]:.4f}', flush=True)
    return result


mean = {}
for name, run in (('cnnc', cnnc), ('keras', keras_runs)):
    if a.only in (None, name):
        r = run()
        mean[name] = sum(r) / len(r)
        print(f'| {name} | ' + ' | '.join(f'{v:.4f}' for v in r) + f' | mean {mean[name]:.4f} |', flush=True)
if len(mean) == 2:
    print(f'difference of the means: {100 * (mean["cnnc"] - mean["keras"]):+.2f} points (bound: -1)')
    sys.exit(mean['cnnc'] < mean['keras'] - 0.01)
