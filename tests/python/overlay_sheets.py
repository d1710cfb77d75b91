#!/usr/bin/env python3
"""Draws the contact sheets of docs/: the golden photographs under their segments, a row for each way to make them.

  overlay_sheets.py SERVER OVERLAY GOLDEN FOLDER

SERVER is the address of a running detcon-server, OVERLAY the program built from core/examples/overlay.rs. Needs Pillow
(PYTHONPATH=.deps/scikit-image).
"""
import io
import pathlib
import subprocess
import sys
import urllib.request

from PIL import Image

# The way of each sheet: a query of /v1/segmentations, or upstream's own masks.
SHEETS = {
    "regions-felzenszwalb": "method=felzenszwalb",
    "regions-grid": "method=grid&rows=5&columns=5",
    "regions-kmeans": "method=kmeans&stage=c4&k=6&size=448",
    "regions-given": None,
}
HEIGHT, GAP, COLORS = 240, 6, 256


def overlay(server, program, golden, photograph, query):
    if query is None:
        mask = golden / "tfrecord" / f"{photograph.stem}.mask.png"
        return subprocess.run([program, photograph, mask], check=True, capture_output=True).stdout
    request = urllib.request.Request(
        f"{server}/v1/segmentations?{query}&output=overlay", photograph.read_bytes(), {"Content-Type": "image/jpeg"}
    )
    return urllib.request.urlopen(request).read()


def sheet(pictures):
    sizes = [(round(picture.width * HEIGHT / picture.height), HEIGHT) for picture in pictures]
    row = Image.new("RGB", (sum(width for width, _ in sizes) + GAP * (len(sizes) - 1), HEIGHT), "white")
    left = 0
    for picture, size in zip(pictures, sizes):
        row.paste(picture.resize(size, Image.Resampling.BOX), (left, 0))
        left += size[0] + GAP
    palette = row.quantize(COLORS)
    return row.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    server, program, golden, folder = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
    photographs = sorted((golden / "images").glob("*.jpg"))
    for name, query in SHEETS.items():
        bodies = [overlay(server, program, golden, photograph, query) for photograph in photographs]
        pictures = [Image.open(io.BytesIO(body)).convert("RGB") for body in bodies]
        sheet(pictures).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
