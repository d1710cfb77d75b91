#!/usr/bin/env python3
"""Holds exported weights to the ONNX graph in torchvision, timm and Detectron2's names. `make test-torch` runs it.

It makes a full-size checkpoint with the golden generator, imports it, exports it for each target with
detcon-convert, and runs the same images through every network:

  torchvision, timm            equal to the graph within 1e-5 at 225x225, where torch's padding is SAME's
  torchvision, zero-extended   equal to the graph within 1e-5 at 224x224, by its loader
  Detectron2                   every name and shape of its ResNet, and no other

loads a served checkpoint into timm from the server's own hub,

  timm, from the hub           equal to the server and to the graph within 1e-5 at 225x225

and reads torch-side files back: a state dict saved by torch (plain, wrapped and prefixed) and as safetensors must
import to the same weights.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import urllib.request

import numpy as np
import onnxruntime
import safetensors.torch
import timm
import torch
import torchvision

import serving

TOLERANCE = 1e-5


def error(found, expected):
    """Largest difference as a share of the largest expected magnitude."""
    found = found.detach().numpy()
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def check(what, worst, allowed=TOLERANCE):
    print(f"{what}: {worst:.1e} ({allowed:.0e} allowed)", flush=True)
    assert worst <= allowed, what


class Networks:
    def __init__(self, model):
        self.session = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])

    def images(self, size):
        return np.random.default_rng(size).integers(0, 256, (2, size, size, 3), dtype=np.uint8)

    def onnx(self, size):
        return self.session.run(["embedding"], {"images": self.images(size)})[0]

    def pixels(self, size):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        pixels = (torch.from_numpy(self.images(size)).float() / 255 - mean) / std
        return pixels.permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def worst(self, model, size):
        return error(model(self.pixels(size)), self.onnx(size))


def detectron2_shapes(blocks):
    """Names and shapes of detectron2.modeling.backbone.ResNet with bottleneck blocks and out_features res5."""
    shapes = {}

    def conv(name, outputs, inputs, size):
        shapes[f"{name}.weight"] = (outputs, inputs, size, size)
        for field in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.norm.{field}"] = (outputs,)

    conv("stem.conv1", 64, 3, 7)
    inputs = 64
    for stage, count in enumerate(blocks):
        inner, outputs = 64 << stage, 256 << stage
        for index in range(count):
            block = f"res{stage + 2}.{index}"
            if index == 0:
                conv(f"{block}.shortcut", outputs, inputs, 1)
            conv(f"{block}.conv1", inner, inputs, 1)
            conv(f"{block}.conv2", inner, inner, 3)
            conv(f"{block}.conv3", outputs, inner, 1)
            inputs = outputs
    return shapes


def check_exports(convert, model, networks, work):
    plain = work / "plain.safetensors"
    convert("export", model, "--to", "torchvision", plain)
    network = torchvision.models.resnet50()
    network.fc = torch.nn.Identity()
    network.load_state_dict(safetensors.torch.load_file(plain), strict=True)
    network.eval()
    check("torchvision at 225", networks.worst(network, 225))
    delta = networks.worst(network, 224)
    print(f"torchvision with its own padding at 224: {delta:.1e}")
    assert 1e-2 < delta < 1e-1, "torch's padding should show at 224"

    convert("export", model, "--to", "torchvision", work / "grown.safetensors", "--padding", "zero-extended")
    spec = importlib.util.spec_from_file_location("grown", work / "grown.py")
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    grown = loader.load()
    for size in (224, 96):
        check(f"torchvision, zero-extended, at {size}", networks.worst(grown, size))

    convert("export", model, "--to", "timm", work / "hub")
    network = timm.create_model(f"local-dir:{work / 'hub'}", pretrained=True).eval()
    state = safetensors.torch.load_file(work / "hub/model.safetensors")
    network.load_state_dict(state, strict=True)
    check("timm at 225", networks.worst(network, 225))

    convert("export", model, "--to", "detectron2", work / "d2.pkl")
    with open(work / "d2.pkl", "rb") as file:
        exported = pickle.load(file)
    assert exported["matching_heuristics"] is True and exported["__author__"]
    assert {name: array.shape for name, array in exported["model"].items()} == detectron2_shapes((3, 4, 6, 3))
    assert all(array.dtype == np.float32 for array in exported["model"].values())
    print("Detectron2's names and shapes: equal")


def served(address, model, pixels):
    """What the server gives for the network's input."""
    head = json.dumps({"inputs": [{"name": "pixels", "shape": pixels.shape, "datatype": "UINT8",
                                   "parameters": {"binary_data_size": pixels.nbytes}}]}).encode()
    request = urllib.request.Request(f"{address}/v2/models/{model}/infer", head + pixels.tobytes(),
                                     {"Inference-Header-Content-Length": str(len(head))})
    with urllib.request.urlopen(request) as answer:
        (output,) = json.load(answer)["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def check_hub(programs, model, networks, work):
    store = work / "store"
    store.mkdir()
    model.rename(store / model.name)
    pixels, embeddings = work / "pixels.npy", work / "embeddings.npy"
    np.save(pixels, networks.images(225))
    with serving.serve(programs, store) as address:
        expected = served(address, model.name, networks.images(225))
        program = pathlib.Path(__file__).with_name("timm_hub.py")
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_CACHE": str(work / "hub-cache")}
        subprocess.run([sys.executable, program, f"detcon/{model.name}", pixels, embeddings], env=environment, check=True)
    found = torch.from_numpy(np.load(embeddings))
    check("timm from the hub at 225, to the server", error(found, expected))
    check("timm from the hub at 225, to the graph", error(found, networks.onnx(225)))


def check_haiku(convert, model, work, checkpoint):
    convert("export", model, "--to", "haiku", work / "haiku.npy")
    ours, theirs = (np.load(path, allow_pickle=True).item() for path in (work / "haiku.npy", checkpoint))
    assert ours.keys() == theirs.keys()
    for module, entries in theirs.items():
        assert ours[module].keys() == entries.keys(), module
        for name, value in entries.items():
            found = ours[module][name]
            assert found.dtype == value.dtype and np.shape(found) == np.shape(value), (module, name)
            if name not in ("hidden", "counter"):
                assert np.array_equal(found, value), (module, name)
    print("haiku's tree as NumPy reads it: equal")


def check_imports(convert, model, work):
    state = safetensors.torch.load_file(work / "plain.safetensors")
    network = torchvision.models.resnet50()
    network.load_state_dict(state, strict=False)  # keeps a random fc, which import sets aside
    full = network.state_dict()
    parameter = {name: torch.nn.Parameter(value) if value.is_floating_point() else value
                 for name, value in state.items()}
    strided = {name: value.flip(0).transpose(0, -1).contiguous().transpose(0, -1).flip(0)
               if value.dim() == 4 else value for name, value in state.items()}
    files = {
        "plain.pth": full,
        "wrapped.pt": {"state_dict": full, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}},
        "parameters.pth": parameter,
        "strided.pth": strided,
        "moco.pth": {"state_dict": {f"module.encoder.{name}": value for name, value in full.items()}},
    }
    for name, value in files.items():
        torch.save(value, work / name)
    torch.save(full, work / "legacy.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(full, work / "torch.safetensors")
    expected = safetensors.torch.load_file(model / "model.safetensors")
    for name in [*files, "legacy.pth", "torch.safetensors"]:
        place = work / f"from-{name.replace('.', '-')}"
        convert("import", work / name, place)
        found = safetensors.torch.load_file(place / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), name
        print(f"import of {name}: equal")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--convert", type=pathlib.Path, required=True, help="the detcon-convert program")
    parser.add_argument("--golden", type=pathlib.Path, required=True, help="the folder of golden data")
    arguments = parser.parse_args()

    def convert(*command, fails=False):
        done = subprocess.run([arguments.convert, *map(str, command)], capture_output=True, text=True)
        assert done.returncode == (1 if fails else 0), done.stderr
        return done.stderr

    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        checkpoint = work / "r50.npy"
        generator = [sys.executable, arguments.golden / "make_checkpoint.py", "--arch", "resnet50"]
        subprocess.run([*generator, "--out", checkpoint], check=True)
        model = work / "r50"
        convert("import", checkpoint, model)
        networks = Networks(model)
        check_exports(convert, model, networks, work)
        check_haiku(convert, model, work, checkpoint)
        check_imports(convert, model, work)
        check_hub(arguments.convert.resolve().parent, model, networks, work)


if __name__ == "__main__":
    main()
