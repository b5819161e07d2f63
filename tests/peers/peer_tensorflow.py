#!/usr/bin/env python3
"""peer_tensorflow.py -- TensorFlow on the network of a model file: one tf.function a step (usage: peer.py)

Modes: xla (jit_compile).
"""
import peer


def build(net, threads, mode):
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    made = {-1: tf.keras.Input(net.shape)}
    for i, layer in enumerate(net.layers):
        feed = [made[j] for j in layer.inputs]
        made[i] = getattr(tf.keras.layers, layer.kind)(**layer.args)(feed if len(feed) > 1 else feed[0])
    if net.application:
        model = getattr(tf.keras.applications, net.application)(
            weights=None, input_shape=net.shape, classes=net.classes, classifier_activation=None)
    else:
        model = tf.keras.Model(made[-1], made[len(net.layers) - 1])
    x, y = (tf.constant(v) for v in net.data())
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    losses = tf.keras.losses
    loss_of = (losses.BinaryCrossentropy if net.binary else losses.SparseCategoricalCrossentropy)(from_logits=True)
    probability = tf.sigmoid if net.binary else tf.nn.softmax

    @tf.function(jit_compile='xla' in mode)
    def train_step():
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
        return loss

    @tf.function(jit_compile='xla' in mode)
    def predict(pictures):
        return probability(model(pictures, training=False))

    return dict(version=tf.__version__, parameters=sum(int(tf.size(v)) for v in model.trainable_variables),
                train_step=lambda: train_step().numpy(), predict=lambda n: lambda: predict(x[:n]).numpy())


peer.run(build)
