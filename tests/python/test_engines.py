#!/usr/bin/env python3
"""Holds graphs of a fixed size to the model's own in OpenCV and OpenVINO. `make test-torch` runs it.

For networks of both paddings it exports `--to onnx` at several sizes and runs the same image through each engine; the
embedding must be that of the exporting ONNX Runtime's answers in --expected, within 1e-5 of its largest magnitude.
"""
import argparse
import pathlib

import cv2
import numpy as np
import openvino

TOLERANCE = 1e-5


def opencv(graph, planes):
    network = cv2.dnn.readNetFromONNX(str(graph))
    network.setInput(planes)
    return network.forward("embedding")


def open_vino(graph, planes):
    compiled = openvino.Core().compile_model(str(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled({"images": planes})["embedding"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=pathlib.Path, required=True,
                        help="a folder of NAME.onnx with NAME.npz: images (uint8 [1, H, W, 3]) and embedding")
    folder = parser.parse_args().graphs
    graphs = sorted(folder.glob("*.onnx"))
    assert graphs, f"{folder} holds no graphs"
    failed = []
    for graph in graphs:
        case = np.load(graph.with_suffix(".npz"))
        planes = np.ascontiguousarray(case["images"].transpose(0, 3, 1, 2).astype(np.float32))
        for name, engine in (("OpenCV", opencv), ("OpenVINO", open_vino)):
            found = engine(graph, planes)
            assert found.shape == case["embedding"].shape, (graph.name, name, found.shape)
            worst = float(np.abs(found - case["embedding"]).max() / np.abs(case["embedding"]).max())
            print(f"{name}, {graph.stem}: {worst:.1e} ({TOLERANCE:.0e} allowed)", flush=True)
            if not worst <= TOLERANCE:
                failed.append(f"{name}, {graph.stem}: {worst:.1e}")
    assert not failed, failed


if __name__ == "__main__":
    main()
