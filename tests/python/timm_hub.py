#!/usr/bin/env python3
"""Embeds pixels with a network that timm loads from a hub: the one that HF_ENDPOINT names when this starts.

  timm_hub.py detcon/NAME pixels.npy embeddings.npy

Pixels are uint8 `[N, H, W, 3]`, normalized here; embeddings are float32 `[N, D]`.
"""
import sys

import numpy as np
import timm
import torch


def main():
    repository, pixels, embeddings = sys.argv[1:]
    network = timm.create_model(f"hf-hub:{repository}", pretrained=True).eval()
    mean, std = (torch.tensor(network.pretrained_cfg[name]) for name in ("mean", "std"))
    images = (torch.from_numpy(np.load(pixels)).float() / 255 - mean) / std
    with torch.no_grad():
        np.save(embeddings, network(images.permute(0, 3, 1, 2).contiguous()).numpy())


if __name__ == "__main__":
    main()
