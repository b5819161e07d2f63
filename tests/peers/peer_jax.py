#!/usr/bin/env python3
"""peer_jax.py -- JAX on the network of a model file: one jitted step with Adam, buffers donated (usage: peer.py)"""
import peer


def build(net, threads, mode):
    import jax
    import numpy as np
    from jax import lax, numpy as jnp
    rng = np.random.default_rng(1)
    params, stats, shapes = [], [], {-1: (1, *net.shape)}

    def uniform(*shape):
        limit = np.sqrt(6 / (np.prod(shape[:-1]) + shape[-1]))
        return jnp.asarray(rng.uniform(-limit, limit, shape), jnp.float32)

    def apply_layer(layer, p, s, feed, training):
        v = feed[0]
        if layer.kind == 'Conv2D':
            v = lax.conv_general_dilated(v, p['kernel'], layer.pair('strides', 1),
                                         layer.get('padding', 'valid').upper(),
                                         dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
            v = v + p['bias'] if 'bias' in p else v
        elif layer.kind == 'Dense':
            v = v @ p['kernel'] + p['bias']
        elif layer.kind == 'MaxPooling2D':
            size = layer.pair('pool_size', 2)
            v = lax.reduce_window(v, -jnp.inf, lax.max, (1, *size, 1), (1, *layer.pair('strides', size[0]), 1),
                                  layer.get('padding', 'valid').upper())
        elif layer.kind == 'BatchNormalization':
            mean, var = (v.mean((0, 1, 2)), v.var((0, 1, 2))) if training else (s['mean'], s['var'])
            s = {k: 0.99 * s[k] + 0.01 * now for k, now in (('mean', mean), ('var', var))} if training else s
            v = (v - mean) * (lax.rsqrt(var + 1e-3) * p['gamma']) + p['beta']
        elif layer.kind == 'Flatten':
            v = v.reshape(v.shape[0], -1)
        elif layer.kind == 'Add':
            v = feed[0] + feed[1]
        elif layer.kind == 'GlobalAveragePooling2D':
            v = v.mean((1, 2))
        elif layer.kind != 'ReLU':
            raise ValueError('no ' + layer.kind)
        return (jnp.maximum(v, 0) if 'relu' in (layer.kind.lower(), layer.get('activation')) else v), s

    for i, layer in enumerate(net.layers):
        channels, p, s = shapes[layer.inputs[0]][-1], {}, {}
        if layer.kind == 'Conv2D':
            p['kernel'] = uniform(*layer.pair('kernel_size', None), channels, layer.get('filters'))
        elif layer.kind == 'Dense':
            p['kernel'] = uniform(channels, layer.get('units'))
        elif layer.kind == 'BatchNormalization':
            p = dict(gamma=jnp.ones(channels), beta=jnp.zeros(channels))
            s = dict(mean=jnp.zeros(channels), var=jnp.ones(channels))
        if 'kernel' in p and layer.get('use_bias', True):
            p['bias'] = jnp.zeros(p['kernel'].shape[-1])
        params.append(p)
        stats.append(s)
        shapes[i] = jax.eval_shape(lambda feed: apply_layer(layer, p, s, feed, False)[0],
                                   [jax.ShapeDtypeStruct(shapes[j], jnp.float32) for j in layer.inputs]).shape

    def forward(params, stats, v, training):
        made, after = {-1: v}, []
        for i, layer in enumerate(net.layers):
            made[i], s = apply_layer(layer, params[i], stats[i], [made[j] for j in layer.inputs], training)
            after.append(s)
        return made[len(net.layers) - 1], after

    def loss_of(params, stats, x, y):
        logits, after = forward(params, stats, x, True)
        if net.binary:
            loss = jnp.mean(jnp.maximum(logits, 0) - logits * y + jnp.log1p(jnp.exp(-jnp.abs(logits))))
        else:
            loss = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))
        return loss, after

    def step(params, stats, m, v, t, x, y):
        (loss, stats), g = jax.value_and_grad(loss_of, has_aux=True)(params, stats, x, y)
        rate = 1e-3 * jnp.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        params = jax.tree.map(lambda w, a, b: w - rate * a / (jnp.sqrt(b) + 1e-7), params, m, v)
        return params, stats, m, v, t + 1, loss

    jitted = jax.jit(step, donate_argnums=(0, 1, 2, 3, 4))
    x, y = (jnp.asarray(v) for v in net.data())
    state = [params, stats, jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params), jnp.float32(1)]

    def train_step():
        *state[:], loss = jitted(*state, x, y)
        return loss.block_until_ready()

    def predict(n):
        call, some = jax.jit(lambda p, s, v: jax.nn.sigmoid(forward(p, s, v, False)[0]) if net.binary else
                             jax.nn.softmax(forward(p, s, v, False)[0])), x[:n]
        return lambda: call(state[0], state[1], some).block_until_ready()

    return dict(version=jax.__version__, parameters=sum(v.size for v in jax.tree.leaves(params)), train_step=train_step,
                predict=predict)


peer.run(build)
