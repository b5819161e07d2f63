#!/usr/bin/env python3
"""Prints the rows of tests/unit/learning_rate_vectors.def: what Keras' schedules give at some steps."""
import keras

S = keras.optimizers.schedules
STEPS = [0, 1, 4, 5, 9, 10, 11, 25, 39, 100]
ROWS = [
    ('ExponentialDecay', dict(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5)),
    ('ExponentialDecay', dict(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.9, staircase=True)),
    ('InverseTimeDecay', dict(initial_learning_rate=0.1, decay_steps=5, decay_rate=0.5)),
    ('InverseTimeDecay', dict(initial_learning_rate=0.1, decay_steps=5, decay_rate=0.5, staircase=True)),
    ('PiecewiseConstantDecay', dict(boundaries=[4, 10], values=[0.1, 0.05, 0.01])),
    ('PolynomialDecay', dict(initial_learning_rate=0.1, decay_steps=10)),
    ('PolynomialDecay', dict(initial_learning_rate=0.1, decay_steps=10, end_learning_rate=0.02, power=2.0, cycle=True)),
    ('CosineDecay', dict(initial_learning_rate=0.1, decay_steps=20)),
    ('CosineDecay', dict(initial_learning_rate=0.0, decay_steps=20, alpha=0.1, warmup_target=0.2, warmup_steps=5)),
    ('CosineDecay', dict(initial_learning_rate=0.05, decay_steps=20, warmup_target=0.2)),
    ('CosineDecayRestarts', dict(initial_learning_rate=0.1, first_decay_steps=10)),
    ('CosineDecayRestarts', dict(initial_learning_rate=0.1, first_decay_steps=8, t_mul=1.0, m_mul=0.5, alpha=0.05)),
    ('CosineDecayRestarts', dict(initial_learning_rate=0.1, first_decay_steps=6, t_mul=1.5, m_mul=0.9)),
]
print(f'/* learning_rate_vectors.def -- made by tests/peers/keras_schedules.py with Keras {keras.__version__}\n *')
print(f' * RATE(schedule, its fields, the rate at steps {STEPS}) */')
for name, args in ROWS:
    schedule = getattr(S, name)(**args)
    fields = []
    for k, v in args.items():
        for i, x in enumerate(v) if isinstance(v, list) else [(None, v)]:
            fields.append(f'{k}{"" if i is None else f".{i}"}={str(x).lower()}')
    rates = ', '.join('%.9g' % float(schedule(s)) for s in STEPS)
    print(f'RATE("{name}", "{" ".join(fields)}",\n     NUMBERS({rates}))')
print('#undef RATE')
