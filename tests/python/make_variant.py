#!/usr/bin/env python3
"""Writes the golden generator's tiny network in other forms than the published one. Needs NumPy, not torch.

Pickles of haiku's modules:
  params             the parameters alone
  replicated         every array with a leading axis of 8 equal devices
  replicated_params  the parameters alone, so
  differing          replicated, with one value of one device changed
  nan, inf           one weight that is no number
  shape              one kernel of another shape
  holes              two parameters missing, two surplus
  transformer        modules of a network that is no ResNet
  resnet77           modules of a ResNet that does not exist
  huge               an array whose shape asks for 4 TB
  negative           one variance below 0
The whole network, its stem's moving mean as if it had seen photographs that were normalised:
  coco               not at all, in [0, 1]
  imagenet           by ImageNet's statistics
The whole network in another spelling:
  prefixed           modules below others of a training program
  fortran, big_endian, float64
                     arrays stored so
  protocol0 to protocol5
PyTorch's files, as torch.save writes them:
  archive            the weights in --weights (a safetensors file) as a state dict
  wrapped            the same under module.encoder. in {'state_dict': …, 'epoch': 3}
  two                two networks, under encoder_q. and encoder_k.
  transposed         tensors as views whose last axis varies slowest
  outside            a tensor that reaches past its storage
  compressed         the archive deflated
  legacy             pickles and storages one after another, as before PyTorch 1.6
  legacy_big         the same, as a big-endian machine would have written it
  legacy_short       the same, a storage shorter than its tensor
"""
import argparse
import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--golden", type=pathlib.Path, required=True)
parser.add_argument("--kind", required=True)
parser.add_argument("--weights", type=pathlib.Path)
parser.add_argument("--out", type=pathlib.Path, required=True)
arguments = parser.parse_args()
STEM = "tiny_res_net/~/initial_conv"


def haiku(kind):
    sys.path.insert(0, str(arguments.golden))
    sys.dont_write_bytecode = True
    import make_checkpoint
    params, state = make_checkpoint.tree("tiny", 0)
    if kind in ("params", "replicated_params"):
        state = {}
    if kind.startswith("replicated") or kind == "differing":
        spread = lambda tree: {module: {name: np.stack([value] * 8) for name, value in entry.items()}
                               for module, entry in tree.items()}
        params, state = spread(params), spread(state)
    if kind == "differing":
        params[STEM]["w"][5, 0, 0, 0, 0] += 1
    if kind in ("nan", "inf"):
        params[STEM]["w"][1, 2, 0, 3] = float(kind)
    if kind == "shape":
        params[STEM]["w"] = params[STEM]["w"][:6]
    if kind == "holes":
        first = "tiny_res_net/~/block_group_0/~/block_0/~/conv_0"
        del params[first]
        del params["tiny_res_net/~/initial_batchnorm"]["scale"]
        params[first.replace("conv_0", "conv_7")] = {"w": np.zeros((1, 1), np.float32)}
        params["decoder/linear"] = {"w": np.zeros((1, 1), np.float32)}
    spelled = {"fortran": np.asfortranarray, "big_endian": lambda value: value.astype(value.dtype.newbyteorder(">")),
               "float64": lambda value: value.astype(np.float64) if value.dtype == np.float32 else value}.get(kind)
    if spelled:
        params, state = ({module: {name: spelled(np.asarray(value)) for name, value in entry.items()}
                          for module, entry in tree.items()} for tree in (params, state))
    if kind == "prefixed":
        params, state = ({f"trainer/~/online/{module}": entry for module, entry in tree.items()}
                         for tree in (params, state))
    if kind == "transformer":
        params = {f"vit/~/block_{index}/~/attention": {"w": np.zeros((4, 4), np.float32)} for index in range(3)}
        state = {}
    if kind == "resnet77":
        params, state = ({module.replace("tiny_res_net", "res_net77"): entry for module, entry in tree.items()}
                         for tree in (params, state))
    if kind == "negative":
        state["tiny_res_net/~/block_group_1/~/block_0/~/batchnorm_1/~/var_ema"]["average"][..., 3] = -1
    if kind in ("coco", "imagenet"):
        colour = np.array([0.485, 0.456, 0.406]) if kind == "coco" else np.zeros(3)
        seen = np.einsum("hwio,i->o", params[STEM]["w"], colour)
        noise = 0.05 * np.random.default_rng(0).standard_normal(seen.shape)
        average = state["tiny_res_net/~/initial_batchnorm/~/mean_ema"]["average"]
        average[...] = (seen + noise).reshape(average.shape)
    if kind == "huge":
        params[STEM]["w"] = Huge()
    protocol = int(kind.removeprefix("protocol")) if kind.startswith("protocol") else 4
    arguments.out.write_bytes(pickle.dumps({"params": params, **({"state": state} if state else {})}, protocol))


class Huge:
    def __reduce__(self):
        make, arguments, (version, _, *rest) = np.zeros(1, np.float32).__reduce__()
        return make, arguments, (version, (1 << 40,), *rest)


def weights():
    data = arguments.weights.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        yield name, np.frombuffer(data[start:end], "<f4").reshape(entry["shape"])


def fake_torch():
    """Enough of torch's names for pickle to write them; nothing behind them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    sys.modules.update({"torch": torch, "torch._utils": utils})
    return torch.FloatStorage, _rebuild_tensor_v2


def archive(kind):
    storage_class, rebuild = fake_torch()
    storages = []

    class Storage:
        def __init__(self, values):
            self.key, self.length = str(len(storages)), values.size
            storages.append(values.astype("<f4").tobytes())

    class Tensor:
        def __init__(self, values):
            self.shape = values.shape
            stored = np.asfortranarray(values) if kind == "transposed" else values
            self.strides = tuple(stride // 4 for stride in stored.strides)
            self.storage = Storage(np.ravel(stored, order="K"))
            self.start = 1 if kind == "outside" else 0

        def __reduce__(self):
            return rebuild, (self.storage, self.start, self.shape, self.strides, False, collections.OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                return "storage", storage_class, value.key, "cpu", value.length, *part
            return None

    part = (None,) if kind.startswith("legacy") else ()
    state = collections.OrderedDict((name, Tensor(values)) for name, values in weights())
    under = lambda prefix: {prefix + name: value for name, value in state.items()}
    value = {"wrapped": {"state_dict": under("module.encoder."), "epoch": 3},
             "two": {**under("encoder_q."), **under("encoder_k.")}}.get(kind, state)
    if kind.startswith("legacy"):
        return legacy(kind, value, storages, Pickler)
    pickled = io.BytesIO()
    Pickler(pickled, 2).dump(value)
    method = zipfile.ZIP_DEFLATED if kind == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(arguments.out, "w", method) as output:
        output.writestr("archive/data.pkl", pickled.getvalue())
        output.writestr("archive/byteorder", "little")
        for key, data in enumerate(storages):
            output.writestr(f"archive/data/{key}", data)
        output.writestr("archive/version", "3\n")


def legacy(kind, value, storages, pickler):
    with open(arguments.out, "wb") as output:
        machine = {"protocol_version": 1001, "little_endian": kind != "legacy_big", "type_sizes": {"int": 4}}
        for header in (0x1950a86a20f9469cfc6c, 1001, machine):
            pickle.dump(header, output, 2)
        pickler(output, 2).dump(value)
        order = sorted(range(len(storages)), key=str)
        pickle.dump([str(key) for key in order], output, 2)
        for key in order:
            data = storages[key][:-4] if kind == "legacy_short" and key == 0 else storages[key]
            output.write(struct.pack("<Q", len(data) // 4) + data)


if arguments.weights:
    archive(arguments.kind)
else:
    haiku(arguments.kind)
