#!/usr/bin/env python3
"""Holds networks that were made by torchvision and timm to what detcon-convert makes of them. `make test-torch` runs it.

Each network gets random weights and moving averages and is saved as its own software saves it; it must come back equal:

  imported                     the graph against the network itself, at even and odd sizes
  exported                     torchvision, timm and transformers load the files strictly; embeddings equal the network's
  Detectron2                   a forward pass written after its published source computes the same of the exported names
  trained                      a network that detcon-train trained with symmetric padding, exported, is torchvision's
  fixed sizes                  graphs for test_engines.py, with what they must give, in --graphs
  look-alikes                  timm's and torchvision's own other networks are refused

The largest difference allowed is 1e-5 of the largest magnitude.
"""
import argparse
import json
import pathlib
import pickle
import shutil
import subprocess
import tempfile

import numpy as np
import onnxruntime
import safetensors.torch
import timm
import torch
import torchvision
import transformers
from torch.nn import functional

TOLERANCE = 1e-5
SIZES = ((224, 224), (160, 225), (65, 97), (96, 64))
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
FIXED = ((224, 224), (96, 160), (65, 97))
RECIPE = pathlib.Path(__file__).resolve().parents[2] / "trainer/recipes/tiny.toml"


def check(what, worst):
    print(f"{what}: {worst:.1e} ({TOLERANCE:.0e} allowed)", flush=True)
    assert worst <= TOLERANCE, what


def error(found, expected):
    found, expected = (np.asarray(value) for value in (found, expected))
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def images(size, seed=0):
    return np.random.default_rng([seed, *size]).integers(0, 256, (1, *size, 3), dtype=np.uint8)


def pixels(size, mean=IMAGENET[0], std=IMAGENET[1]):
    values = torch.from_numpy(images(size)).float() / 255
    return ((values - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2).contiguous()


def randomised(network, seed):
    """Weights and moving averages that keep activations in range and let every tensor show."""
    generator = torch.Generator().manual_seed(seed)
    basic = not hasattr(network.layer1[0], "conv3")
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
            if isinstance(module, torch.nn.BatchNorm2d):
                last = name.endswith("bn2" if basic else "bn3")
                uniform = lambda: 0.5 + torch.rand(module.weight.shape, generator=generator)
                module.weight.copy_(uniform() * (0.3 if last else 1.0))
                module.bias.copy_(0.1 * torch.randn(module.bias.shape, generator=generator))
                module.running_mean.copy_(0.1 * torch.randn(module.bias.shape, generator=generator))
                module.running_var.copy_(uniform())
    network.fc = torch.nn.Identity()
    return network.eval()


def made():
    """Networks, what import must be told of them, and how their names end in it."""
    models = torchvision.models
    dilated = lambda *stages: {"replace_stride_with_dilation": list(stages)}
    yield "resnet18", models.resnet18(), []
    yield "resnet34", models.resnet34(), []
    yield "resnet50", models.resnet50(), []
    yield "resnet101", models.resnet101(), []
    yield "resnet152", models.resnet152(), []
    yield "wide_resnet50_2", models.wide_resnet50_2(), []
    yield "wide_resnet101_2", models.wide_resnet101_2(), []
    yield "resnet50-os16", models.resnet50(**dilated(False, False, True)), ["--output-stride", "16"]
    yield "resnet50-os8", models.resnet50(**dilated(False, True, True)), ["--output-stride", "8"]
    epsilon = lambda channels: torch.nn.BatchNorm2d(channels, eps=1e-3)
    yield "resnet18-eps", models.resnet18(norm_layer=epsilon), ["--epsilon", "0.001"]
    yield "timm-resnet34-os16", timm.create_model("resnet34", output_stride=16, num_classes=0), ["--output-stride", "16"]


def graph_of(place):
    session = onnxruntime.InferenceSession(place / "model.onnx", providers=["CPUExecutionProvider"])
    return lambda size: session.run(["embedding"], {"images": images(size)})[0]


@torch.no_grad()
def check_import(name, network, place):
    graph = graph_of(place)
    check(f"import of {name}", max(error(graph(size), network(pixels(size))) for size in SIZES))


@torch.no_grad()
def check_export(convert, name, network, place, work, lacking):
    expected = {size: network(pixels(size)).numpy() for size in SIZES}
    compare = lambda model: max(error(model(pixels(size)), expected[size]) for size in SIZES)
    for target in ("torchvision", "timm", "transformers", "detectron2"):
        out = work / f"{name}.{target}"
        convert("export", place, "--to", target, out, fails=target in lacking)
        if target in lacking:
            continue
        if target == "torchvision":
            # An epsilon of its own is in the variances of the file.
            basic = name.startswith(("resnet18", "resnet34"))
            blocks = torchvision.models.resnet.BasicBlock if basic else torchvision.models.resnet.Bottleneck
            again = torchvision.models.ResNet(
                blocks, [len(getattr(network, f"layer{group}")) for group in (1, 2, 3, 4)],
                width_per_group=128 if name.startswith("wide") else 64,
                replace_stride_with_dilation=[False, name.endswith("os8"), "-os" in name])
            again.fc = torch.nn.Identity()
            again.load_state_dict(safetensors.torch.load_file(out), strict=True)
            model = again.eval()
        elif target == "timm":
            model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
            model.load_state_dict(safetensors.torch.load_file(out / "model.safetensors"), strict=True)
        elif target == "transformers":
            loaded, report = transformers.ResNetModel.from_pretrained(out, output_loading_info=True)
            assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
            loaded.eval()
            model = lambda images, loaded=loaded: loaded(images).pooler_output.flatten(1)
        else:
            model = detectron2(pickle.loads(out.read_bytes())["model"])
        check(f"{target}'s {name}", compare(model))


def detectron2(weights, stride_in_1x1=False):
    """`BasicStem`, `BasicBlock` and `BottleneckBlock` of Detectron2's modeling/backbone/resnet.py, FrozenBN's epsilon of
    1e-5 (layers/batch_norm.py), by the names that its state dict has; then the mean over cells."""
    weights = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}

    def conv(name, x, stride=1):
        kernel = weights[f"{name}.weight"]
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        norm = [weights[f"{name}.norm.{field}"] for field in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *norm, eps=1e-5)

    def block(name, x, stride):
        shortcut = conv(f"{name}.shortcut", x, stride) if f"{name}.shortcut.weight" in weights else x
        if f"{name}.conv3.weight" in weights:
            first, middle = (stride, 1) if stride_in_1x1 else (1, stride)
            out = functional.relu(conv(f"{name}.conv1", x, first))
            out = conv(f"{name}.conv3", functional.relu(conv(f"{name}.conv2", out, middle)))
        else:
            out = conv(f"{name}.conv2", functional.relu(conv(f"{name}.conv1", x, stride)))
        return functional.relu(out + shortcut)

    def forward(x):
        x = functional.relu(conv("stem.conv1", x, 2))
        x = functional.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        for stage in (2, 3, 4, 5):
            index = 0
            while f"res{stage}.{index}.conv1.weight" in weights:
                x = block(f"res{stage}.{index}", x, 2 if stage > 2 and index == 0 else 1)
                index += 1
        return x.mean((2, 3))

    return forward


def check_caffe(convert, work):
    """Strides in the 1x1, blue first, 0 to 255: in Detectron2's form and in transformers'."""
    place = work / "caffe"
    file = work / "resnet50.pth"
    parts = ["--normalization", "caffe", "--stride-in", "1x1", "--padding", "symmetric"]
    convert("import", file, place, *parts)
    graph = graph_of(place)
    convert("export", place, "--to", "detectron2", work / "caffe.pkl")
    model = detectron2(pickle.loads((work / "caffe.pkl").read_bytes())["model"], stride_in_1x1=True)
    bgr = lambda size: torch.from_numpy(images(size)).float().permute(0, 3, 1, 2).flip(1) - torch.tensor(
        [103.530, 116.280, 123.675]).view(1, 3, 1, 1)
    check("Detectron2's caffe", max(error(graph(size), model(bgr(size))) for size in SIZES))
    convert("export", place, "--to", "transformers", work / "caffe-transformers")
    loaded = transformers.ResNetModel.from_pretrained(work / "caffe-transformers").eval()
    processor = json.loads((work / "caffe-transformers/preprocessor_config.json").read_text())
    given = lambda size: pixels(size, processor["image_mean"], processor["image_std"])
    with torch.no_grad():
        check("transformers' caffe", max(error(graph(size), loaded(given(size)).pooler_output.flatten(1)) for size in SIZES))


@torch.no_grad()
def check_trained(convert, train, golden, work):
    """A few steps with PyTorch's padding and shortcuts; torchvision's own network must compute the same of the export."""
    run, place, out = work / "run", work / "trained", work / "trained.safetensors"
    train("pretrain", "--recipe", RECIPE, "--set", 'arch="resnet18+identity"', "--set", 'padding="symmetric"',
          "--set", "duration.steps=3", "--data", golden / "tfrecord", "--run", run)
    train("export", run, "--to", place)
    convert("export", place, "--to", "torchvision", out)
    network = torchvision.models.resnet18()
    network.fc = torch.nn.Identity()
    network.load_state_dict(safetensors.torch.load_file(out), strict=True)
    network.eval()
    spec = json.loads((place / "manifest.json").read_text())["spec"]
    assert spec["padding"] == "symmetric", spec
    scale = 255 / spec["normalization"]["divisor"]
    mean, std = (np.array(spec["normalization"][key]) / scale for key in ("mean", "std"))
    graph = graph_of(place)
    given = lambda size: pixels(size, mean.tolist(), std.tolist())
    check("torchvision's resnet18 as it was trained", max(error(graph(size), network(given(size))) for size in SIZES))


def check_look_alikes(convert, work):
    """Each is saved as its software saves it; timm's with the config.json that tells what names cannot."""
    for name in ("resnet50d", "resnet50c", "resnet50s", "resnet50t", "resnext50_32x4d", "seresnet50", "ecaresnet50t",
                 "resnetblur50", "resnetaa50", "resnetv2_50x1_bit", "resnetv2_50", "resnet50_gn", "regnetx_002", "resnetrs50"):
        network = timm.create_model(name)
        folder = work / f"look-{name}"
        folder.mkdir()
        timm.models.save_for_hf(network, folder, safe_serialization=True)
        told = convert("import", folder / "model.safetensors", work / "refused", fails=True)
        shutil.rmtree(folder)
        print(f"timm's {name}: {told.strip()}")
    for name in ("regnet_y_400mf", "resnext50_32x4d"):
        torch.save(torchvision.models.get_model(name).state_dict(), work / f"{name}.pth")
        told = convert("import", work / f"{name}.pth", work / "refused", fails=True)
        print(f"torchvision's {name}: {told.strip()}")
    assert not (work / "refused").exists()


def fixed_graphs(convert, place, name, graphs):
    graph = graph_of(place)
    for size in FIXED:
        out = graphs / f"{name}-{size[0]}x{size[1]}.onnx"
        convert("export", place, "--to", "onnx", "--size", f"{size[0]}x{size[1]}", out)
        planes = np.ascontiguousarray(images(size).transpose(0, 3, 1, 2).astype(np.float32))
        session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
        found = session.run(["embedding"], {"images": planes})[0]
        check(f"{out.stem} in ONNX Runtime", error(found, graph(size)))
        np.savez(out.with_suffix(".npz"), images=images(size), embedding=graph(size))


# What each software has no form for.
LACKING = {"resnet50-os16": {"transformers", "detectron2"}, "resnet50-os8": {"transformers", "detectron2"},
           "timm-resnet34-os16": {"torchvision", "transformers", "detectron2"},
           "wide_resnet50_2": {"transformers"}, "wide_resnet101_2": {"transformers"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--convert", type=pathlib.Path, required=True, help="the detcon-convert program")
    parser.add_argument("--train", type=pathlib.Path, required=True, help="the detcon-train program")
    parser.add_argument("--golden", type=pathlib.Path, required=True, help="the folder of golden data")
    parser.add_argument("--graphs", type=pathlib.Path, required=True, help="where graphs of fixed sizes go")
    arguments = parser.parse_args()

    def convert(*command, fails=False):
        done = subprocess.run([arguments.convert, *map(str, command)], capture_output=True, text=True)
        assert done.returncode == (1 if fails else 0), (command, done.stderr)
        return done.stderr

    def train(*command):
        done = subprocess.run([arguments.train, *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)

    arguments.graphs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for seed, (name, network, parts) in enumerate(made()):
            network = randomised(network, seed)
            torch.save(network.state_dict(), work / f"{name}.pth")
            convert("import", work / f"{name}.pth", work / name, *parts)
            check_import(name, network, work / name)
            check_export(convert, name, network, work / name, work, LACKING.get(name, set()))
            if name in ("resnet18", "resnet50", "resnet50-os16"):
                fixed_graphs(convert, work / name, name, arguments.graphs)
            for made_of_it in work.glob(f"{name}*"):
                if made_of_it.name != "resnet50.pth":  # which is read once more
                    shutil.rmtree(made_of_it) if made_of_it.is_dir() else made_of_it.unlink()
        for arch in ("resnet50", "tiny"):
            out = work / f"{arch}.npy"
            subprocess.run(["python3", arguments.golden / "make_checkpoint.py", "--arch", arch, "--out", out], check=True)
            convert("import", out, work / f"same-{arch}")
            fixed_graphs(convert, work / f"same-{arch}", f"same-{arch}", arguments.graphs)
        check_caffe(convert, work)
        check_trained(convert, train, arguments.golden, work)
        check_look_alikes(convert, work)


if __name__ == "__main__":
    main()
