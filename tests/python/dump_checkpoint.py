#!/usr/bin/env python3
"""Writes the golden generator's weights as a safetensors file, by hand: no pickle and no library in between."""
import argparse
import json
import pathlib
import struct
import sys

import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--golden", type=pathlib.Path, required=True)
parser.add_argument("--arch", required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--out", type=pathlib.Path, required=True)
arguments = parser.parse_args()

sys.path.insert(0, str(arguments.golden))
sys.dont_write_bytecode = True
import make_checkpoint  # noqa: E402

header, blobs, offset = {}, [], 0
for entries in make_checkpoint.tree(arguments.arch, arguments.seed):
    for module, entry in entries.items():
        for name, value in entry.items():
            value = np.asarray(value)
            if value.dtype != np.float32:
                continue  # counters
            blob = value.astype("<f4").tobytes(order="C")
            header[f"{module}/{name}"] = {"dtype": "F32", "shape": list(value.shape),
                                          "data_offsets": [offset, offset + len(blob)]}
            blobs.append(blob)
            offset += len(blob)

text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(arguments.out, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for blob in blobs:
        file.write(blob)
