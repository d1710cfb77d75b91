#!/usr/bin/env python3
"""Runs the Python of docs/guide.md as it stands, in order, against a started server.

  test_guide.py --bin target/debug

A block that needs a package of another environment (torch, timm, Detectron2) is not run where that is not there, and
this says so.
"""
import argparse
import importlib.util
import os
import pathlib
import re
import tempfile

import serving

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs/guide.md"
SERVER = "http://127.0.0.1:8080"
# Of environments of their own, several gigabytes large.
APART = ["torch", "timm", "detectron2"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--arch", default="tiny", help="network of the model that is served")
    arguments = parser.parse_args()
    programs = arguments.bin.resolve()
    os.chdir(ROOT)
    text = GUIDE.read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert SERVER in text and len(blocks) > 3
    ran, names = 0, {"__name__": "guide"}
    with serving.server(programs, arguments.arch) as (address, _), tempfile.TemporaryDirectory() as cache:
        os.environ["HF_HUB_CACHE"] = cache
        for number, block in enumerate(blocks, 1):
            needed = [name for name in APART if re.search(rf"^import {name}\b", block, re.MULTILINE)]
            missing = [name for name in needed if importlib.util.find_spec(name) is None]
            if missing:
                print(f"block {number} is not run: no {', '.join(missing)} here")
                continue
            exec(compile(block.replace(SERVER, address), f"guide.md, block {number}", "exec"), names)
            ran += 1
    assert ran >= sum(not any(f"import {name}" in block for name in APART) for block in blocks)
    print(f"{ran} of the guide's {len(blocks)} blocks: ran")


if __name__ == "__main__":
    main()
