#!/usr/bin/env python3
"""Writes the state dict of golden/torch's generator as a safetensors file, by hand: the generator itself wants the
safetensors package, which the tests do without."""
import argparse
import json
import pathlib
import struct
import sys
import types

import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--golden", type=pathlib.Path, required=True)
parser.add_argument("--arch", required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--out", type=pathlib.Path, required=True)
arguments = parser.parse_args()

package, module = types.ModuleType("safetensors"), types.ModuleType("safetensors.numpy")
module.save_file = None
sys.modules.update({"safetensors": package, "safetensors.numpy": module})
sys.path.insert(0, str(arguments.golden / "torch"))
sys.dont_write_bytecode = True
import make_torch_checkpoint  # noqa: E402

DTYPES = {np.dtype("<f4"): "F32", np.dtype("<i8"): "I64"}
header, blobs, offset = {}, [], 0
for name, value in make_torch_checkpoint.tensors(arguments.arch, arguments.seed).items():
    blob = value.tobytes(order="C")
    header[name] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": [offset, offset + len(blob)]}
    blobs.append(blob)
    offset += len(blob)

text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(arguments.out, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for blob in blobs:
        file.write(blob)
