#!/usr/bin/env python3
"""The formulas of frontend/augment_color.c in NumPy beside Keras' layers, and the draws of frontend/augment_mix.c beside NumPy's
Beta: prints the largest difference of each."""
import numpy as np
from keras import layers

rng = np.random.default_rng(0)
x = rng.integers(0, 256, (3, 5, 6, 3)).astype('f4')
x[0, 0, 0] = 7


def each(values):
    return np.array(values, 'f4').reshape(3, 1, 1, 1)


def show(name, ours, keras):
    print(f'{name:14} {np.abs(ours - np.array(keras)).max():.2g}')


def colour(most, span, sixths):
    planes = []
    for n in (5, 3, 1):
        k = (n + sixths) % 6
        planes.append(most - span * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.concatenate(planes, -1)


red, green, blue = x[..., :1], x[..., 1:2], x[..., 2:]
most, span = x.max(-1, keepdims=True), x.max(-1, keepdims=True) - x.min(-1, keepdims=True)
over = np.maximum(span, 1e-6)
sixths = np.where(red == most, (green - blue) / over,
                  np.where(green == most, (blue - red) / over + 2, (red - green) / over + 4))

f = np.array([0.2, -0.3, 0.45], 'f4')
show('hue', np.clip(colour(most, span, sixths + 6 * each(f)), 0, 255),
     layers.RandomHue(0.5).transform_images(x, {'factor': f}))
f = np.array([0.4, 0.9, 1.7], 'f4')
show('saturation', colour(most, np.minimum(span * each(f), most), sixths) / 255,
     layers.RandomSaturation(0.5, value_range=(0, 1)).transform_images(x / 255, {'factor': f}))
f = np.array([0.1, 0.5, 0.9], 'f4')
wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
smooth = sum(wide[:, i:i + 5, j:j + 6] for i in range(3) for j in range(3)) / 13 + x * 4 / 13
show('sharpness', np.clip(x + (1 - 2 * each(f)) * (smooth - x), 0, 255),
     layers.RandomSharpness(0.5).transform_images(x, {'factor': f}))
step = each([32, 128, 2])
show('posterization', np.floor(x / step) * step,
     layers.RandomPosterization(4).transform_images(x, {'shift_factor': np.array([5, 7, 1], 'u1')}))
low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
show('auto_contrast', (x - low) * 255 / (high - low), layers.AutoContrast().transform_images(x, None))
add, limit = each([10, 20, 30]), each([50, 100, 200])
y = np.clip(x + add, 0, 255)
show('solarization', np.where(y < limit, y, 255 - y),
     layers.Solarization(0.2, 0.3).transform_images(x, {'additions': add, 'thresholds': limit}))

for alpha in (0.1, 0.2, 0.5, 1.0, 2.0):
    u, v = 1 - rng.random(1000000), rng.random(1000000)
    q, c = u ** (1 / alpha), np.cos(2 * np.pi * v)
    beta = (1 + c * np.sqrt((1 - q) / np.maximum(q + (1 - q) * c * c, 1e-30))) / 2
    places = [0.1, 0.25, 0.4, 0.6, 0.9]
    show(f'beta {alpha}', np.quantile(beta, places), np.quantile(rng.beta(alpha, alpha, 1000000), places))
