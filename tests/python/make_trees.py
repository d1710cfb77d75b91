#!/usr/bin/env python3
"""Writes the golden generator's checkpoint of one network in every tree that it knows, one file at a time.

For each file it prints the tree and the path, with a tab between, and waits for a line before it removes the file and
writes the next: a ResNet-200 in all its trees takes the room of one.
"""
import argparse
import contextlib
import functools
import io
import pathlib
import re
import sys

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--golden", type=pathlib.Path, required=True)
parser.add_argument("--arch", required=True)
parser.add_argument("--seed", required=True)
parser.add_argument("--folder", type=pathlib.Path, required=True)
parser.add_argument("--endings", nargs="+", default=["npy"], help="of files, which tell their format")
arguments = parser.parse_args()

sys.path.insert(0, str(arguments.golden))
sys.dont_write_bytecode = True
import make_checkpoint  # noqa: E402

source = (arguments.golden / "make_checkpoint.py").read_text()
(choices,) = re.findall(r"'--tree',.*choices=\[(.*?)\]", source)
make_checkpoint.tree = functools.cache(make_checkpoint.tree)  # the same numbers for every tree
for tree in re.findall(r"'([^']+)'", choices):
    for ending in arguments.endings:
        out = arguments.folder / f"checkpoint.{ending}"
        sys.argv = ["make_checkpoint.py", "--arch", arguments.arch, "--seed", arguments.seed,
                    "--tree", tree, "--out", str(out)]
        with contextlib.redirect_stdout(io.StringIO()):
            make_checkpoint.main()
        print(f"{tree}\t{out}", flush=True)
        sys.stdin.readline()
        out.unlink()
