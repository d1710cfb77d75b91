"""Loads the weights beside this file into torchvision's ResNet, with the padding that they were trained with.

    model = load()                                   # torch.nn.Module, uint8 pixels / 255, normalised, NCHW
    embedding = model(images)                        # pooled features, at heights and widths that are multiples of 32

The network pads as TensorFlow's SAME does: at stride 2 the odd row and column go to the bottom and right. The strided
kernels in the file have grown a row and a column of zeros at the top and left, which makes torch's symmetric
padding give the same; the stem's pool takes its odd row by rounding up.
"""
import pathlib

import safetensors.torch
import torch
import torchvision

WEIGHTS = pathlib.Path(__file__).with_name("@WEIGHTS@")
BLOCK = torchvision.models.resnet.@BLOCK@
LAYERS = @LAYERS@


def load(path=WEIGHTS):
    state = safetensors.torch.load_file(path)
    model = torchvision.models.ResNet(BLOCK, LAYERS, width_per_group=@WIDTH@)
    model.fc = torch.nn.Identity()
    model.maxpool = torch.nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
    for name, conv in list(model.named_modules()):
        if not isinstance(conv, torch.nn.Conv2d):
            continue
        outputs, inputs, size, _ = state[f"{name}.weight"].shape
        if size != conv.kernel_size[0]:
            grown = torch.nn.Conv2d(inputs, outputs, size, stride=conv.stride, padding=conv.padding, bias=False)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, grown)
    model.load_state_dict(state, strict=True)
    return model.eval()
