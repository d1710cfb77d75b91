#!/usr/bin/env python3
"""Judges a served model by regions of held-out objects: judge_photographs.py URL DATA MODEL

Prints JSON: the share of the regions whose nearest neighbour by centred cosine, another object's view excluded, is of the
same kind and of the same object; and of a linear probe (ridge regression, in five folds by object) the share of kinds
that it names.
"""
import json
import pathlib
import sys
import urllib.request
import uuid

import numpy as np

# Shorter side at which regions are pooled: 6×6 cells.
SIZE = 192
FOLDS = 5
RIDGE = 1.0


def multipart(parts):
    boundary = uuid.uuid4().hex
    body = b""
    for name, data in parts.items():
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.png"\r\n'.encode()
        body += b"Content-Type: image/png\r\n\r\n" + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def region(url, data, model, name):
    parts = {"image": (data / "test/images" / name).read_bytes(), "mask": (data / "test/regions" / name).read_bytes()}
    body, kind = multipart(parts)
    request = urllib.request.Request(f"{url}/v1/regions?model={model}&view=full&size={SIZE}", body, {"Content-Type": kind})
    with urllib.request.urlopen(request) as answer:
        regions = json.load(answer)["regions"]
    return next((it["embedding"] for it in regions if it["id"] == 1), None)


def main():
    url, data, model = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    rows = json.loads((data / "test.json").read_text())
    found = [(region(url, data, model, row[0]), *row[1:]) for row in rows]
    found = [row for row in found if row[0] is not None]
    vectors = np.array([row[0] for row in found])
    objects, kinds = (np.unique([row[column] for row in found], return_inverse=True)[1] for column in (1, 2))
    vectors -= vectors.mean(0)
    unit = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)
    near = unit @ unit.T
    np.fill_diagonal(near, -9)
    same_object = (objects == objects[near.argmax(1)]).mean()
    near[objects[:, None] == objects[None]] = -9
    same_kind = (kinds == kinds[near.argmax(1)]).mean()
    scaled = vectors / (vectors.std(0) + 1e-9)
    scaled = np.hstack([scaled, np.ones((len(scaled), 1))])
    right = 0
    for fold in range(FOLDS):
        asked = objects % FOLDS == fold
        known, targets = scaled[~asked], np.eye(kinds.max() + 1)[kinds[~asked]]
        weights = known.T @ np.linalg.solve(known @ known.T + RIDGE * len(known) * np.eye(len(known)), targets)
        right += ((scaled[asked] @ weights).argmax(1) == kinds[asked]).sum()
    print(json.dumps({"regions": len(found), "same_kind": same_kind, "same_object": same_object, "linear_kind": right / len(found)}))


if __name__ == "__main__":
    main()
