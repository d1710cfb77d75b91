#!/usr/bin/env python3
"""Judges a served model by regions of held-out objects, and its segmentation heads by what they were measured to do.

  judge_photographs.py URL DATA MODEL_DIR RUN     prints JSON
  judge_photographs.py --table RESULTS MASKS…     prints what several of those say, by masks

`same_kind` and `same_object` are the shares of regions whose nearest neighbour by centred cosine is of the same kind
(another object's region) and of the same object; `linear_kind` is the share of kinds that a linear probe names (ridge
regression, in five folds by object). `objects_miou` and `kinds_miou` are those of the heads that tell objects from the
ground, and kinds from each other. The last line of the run's metrics says what it learned.
"""
import json
import pathlib
import statistics
import sys
import time
import urllib.request
import uuid

import numpy as np

# Shorter side at which regions are pooled: 6×6 cells.
SIZE = 192
FOLDS = 5
RIDGE = 1.0
FIGURES = ["same_kind", "linear_kind", "same_object", "objects_miou", "kinds_miou", "contrast", "floor", "chance"]


def ready(url):
    for _ in range(600):
        try:
            return urllib.request.urlopen(f"{url}/readyz").read()
        except OSError:
            time.sleep(0.1)
    sys.exit("the server does not start")


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


def neighbours(vectors, objects, kinds):
    unit = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)
    near = unit @ unit.T
    np.fill_diagonal(near, -9)
    same_object = (objects == objects[near.argmax(1)]).mean()
    near[objects[:, None] == objects[None]] = -9
    return {"same_kind": (kinds == kinds[near.argmax(1)]).mean(), "same_object": same_object}


def probe(vectors, objects, kinds):
    scaled = vectors / (vectors.std(0) + 1e-9)
    scaled = np.hstack([scaled, np.ones((len(scaled), 1))])
    right = 0
    for fold in range(FOLDS):
        asked = objects % FOLDS == fold
        known, targets = scaled[~asked], np.eye(kinds.max() + 1)[kinds[~asked]]
        weights = known.T @ np.linalg.solve(known @ known.T + RIDGE * len(known) * np.eye(len(known)), targets)
        right += ((scaled[asked] @ weights).argmax(1) == kinds[asked]).sum()
    return {"linear_kind": right / len(vectors)}


def judged(url, data, place, run):
    ready(url)
    rows = json.loads((data / "test.json").read_text())
    found = [(region(url, data, place.name, row[0]), *row[1:]) for row in rows]
    found = [row for row in found if row[0] is not None]
    vectors = np.array([row[0] for row in found])
    vectors -= vectors.mean(0)
    objects, kinds = (np.unique([row[column] for row in found], return_inverse=True)[1] for column in (1, 2))
    heads = json.loads((place / "manifest.json").read_text())["segmentation_heads"]
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "masks": place.name,
        "run": run.name,
        "steps": last["step"] + 1,
        "regions": len(found),
        **neighbours(vectors, objects, kinds),
        **probe(vectors, objects, kinds),
        **{f"{head}_miou": heads[head]["quality"]["mean_iou"] for head in ("objects", "kinds")},
        **{key: last[key] for key in ("contrast", "floor", "chance")},
    }


def table(folder, arms):
    print("| masks | runs | " + " | ".join(FIGURES) + " |\n| --- | --- |" + " --- |" * len(FIGURES))
    for masks in arms:
        rows = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{masks}.*.json"))]
        cells = []
        for figure in FIGURES if rows else []:
            values = [row[figure] for row in rows]
            error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{error}")
        print(f"| {masks} | {len(rows)} | " + " | ".join(cells) + " |")


def main():
    if sys.argv[1] == "--table":
        return table(pathlib.Path(sys.argv[2]), sys.argv[3:])
    url, data, place, run = sys.argv[1], *map(pathlib.Path, sys.argv[2:5])
    print(json.dumps(judged(url, data, place, run)))


if __name__ == "__main__":
    main()
