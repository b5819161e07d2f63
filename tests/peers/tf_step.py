#!/usr/bin/env python3
"""The reference network in TensorFlow, one tf.function a step, on a batch that is in memory.

usage: tf_step.py THREADS [ROUNDS]      prints "NAME min_ms median_ms" for train_step, predict_batch, predict_1
"""
import os, sys, time
threads = int(sys.argv[1])
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
os.environ['OMP_NUM_THREADS'] = str(threads)
import numpy as np, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
L = tf.keras.layers
model = tf.keras.Sequential([
    L.Input((64, 64, 3)), L.Conv2D(32, 3, activation='relu'), L.MaxPooling2D(), L.Conv2D(64, 3, activation='relu'),
    L.MaxPooling2D(), L.Conv2D(128, 3, activation='relu'), L.MaxPooling2D(), L.Flatten(), L.Dense(128, activation='relu'),
    L.Dense(1, activation='sigmoid')])
x = tf.constant(np.random.rand(32, 64, 64, 3).astype('f4'))
y = tf.constant((np.random.rand(32, 1) > .5).astype('f4'))
optimizer = tf.keras.optimizers.Adam()
optimizer.build(model.trainable_variables)
loss_of = tf.keras.losses.BinaryCrossentropy()


@tf.function
def train_step():
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
    return loss


predict = tf.function(lambda pictures: model(pictures, training=False))


def report(name, call, n):
    for _ in range(5):
        call()
    ms = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(n):
            call()
        ms.append((time.perf_counter() - start) / n * 1e3)
    print(name, f'{min(ms):.3f} {sorted(ms)[len(ms) // 2]:.3f}', flush=True)


report('train_step', lambda: train_step().numpy(), 20)
report('predict_batch', lambda: predict(x).numpy(), 20)
report('predict_1', lambda: predict(x[:1]).numpy(), 100)
