#!/usr/bin/env python3
"""Writes the pickles beside this file: the same values in every protocol, as NumPy writes them.

Needs NumPy; run with NumPy 2 for the files that are committed. `dill.pkl` needs dill and `jax.pkl` needs JAX:
the real libraries' pickles of an experiment's state and of device arrays.
"""
import collections
import pathlib
import pickle
import sys
import types

import numpy as np

HERE = pathlib.Path(__file__).parent


def values():
    ordered = collections.OrderedDict([('first', 1), ('second', 2)])
    default = collections.defaultdict(list, {'key': [1]})
    return {
        'none': None, 'yes': True, 'no': False,
        'ints': [0, 255, 65535, -1, 2**31, -2**63, 2**63 - 1],
        'float': -1.5,
        'text': 'tab\t, back\\slash, é, \u20ac, \U0001f600\n',
        'bytes': b'\x00\x7f\xff',
        'empty bytes': b'',
        'bytearray': bytearray(b'\x01\xfe'),
        'tuples': ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        'set': {7},
        'ordered': ordered,
        'default': default,
        'shared': [ordered, ordered],
        'c': np.arange(6, dtype='<f4').reshape(2, 3),
        'fortran': np.asfortranarray(np.arange(24, dtype='<f4').reshape(2, 3, 4)),
        'big': np.arange(3, dtype='>f8'),
        'half': np.arange(3, dtype='<f2'),
        'scalar': np.int32(-7),
        'float scalar': np.float32(0.5),
        'empty': np.zeros((0, 3), np.float32),
        'bool': np.array([True, False]),
        'bytes of int': np.arange(3, dtype=np.uint8),
        'dtype': np.dtype('<i8'),
    }


def experiment_state():
    module = types.ModuleType('detcon.pretrain_common')
    fields = ['online_params', 'target_params', 'online_state', 'target_state', 'opt_state']
    state = collections.namedtuple('ExperimentState', fields, module='detcon.pretrain_common')
    module.ExperimentState = state
    sys.modules['detcon'] = types.ModuleType('detcon')
    sys.modules['detcon.pretrain_common'] = module

    def two(value):  # the same on each of two devices
        return np.stack([value, value])

    params = {'m': {'w': two(np.float32([1, 2]))}}
    averages = {'m/~/mean_ema': {'counter': two(np.int32(5)), 'average': two(np.float32([3]))}}
    return {'experiment_state': state(params, params, averages, averages, [(), params, ()]), 'step': 7,
            'rng': np.zeros((2, 2), np.uint32)}


def write(name, data):
    (HERE / name).write_bytes(data)


for protocol in range(6):
    write(f'protocol{protocol}.pkl', pickle.dumps(values(), protocol=protocol))
    write(f'experiment{protocol}.pkl', pickle.dumps(experiment_state(), protocol=protocol))
try:
    import dill
    write('dill.pkl', dill.dumps(experiment_state(), protocol=2))
except ImportError:
    print('no dill: dill.pkl not written')
try:
    import jax.numpy as jnp
    tree = {'m': {'w': jnp.arange(6, dtype=jnp.float32).reshape(2, 3), 'b': jnp.arange(3, dtype=jnp.bfloat16)}}
    write('jax.pkl', pickle.dumps(tree))
except ImportError:
    print('no jax: jax.pkl not written')
