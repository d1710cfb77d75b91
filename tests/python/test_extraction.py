#!/usr/bin/env python3
"""Runs the commands and the Python of docs/extraction.md as they stand, in order, on the golden photographs, one of which is
there twice, and holds what they find to what has to be found.

  test_extraction.py --bin target/debug
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/extraction.md"
MODEL = "models/resnet50"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--arch", default="tiny", help="network of the model")
    arguments = parser.parse_args()
    programs = arguments.bin.resolve()
    text = DOCUMENT.read_text()
    commands, = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3 and MODEL in commands
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # PostgreSQL has a user of its own
        os.chdir(folder)
        photographs = pathlib.Path("photographs/first")
        photographs.mkdir(parents=True)
        for image in sorted((ROOT / "tests/golden/images").glob("*.jpg")):
            shutil.copy(image, photographs)
        copy = pathlib.Path("photographs/again")
        copy.mkdir()
        twice = sorted(photographs.iterdir())[0].name
        shutil.copy(photographs / twice, copy / twice)
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
        os.environ["DETCON_ONNXRUNTIME"] = str(ROOT / ".deps/onnxruntime/libonnxruntime.so")
        subprocess.run(["detcon-convert", "demo", MODEL, "--arch", arguments.arch], check=True, stdout=subprocess.DEVNULL)
        subprocess.run("set -e\n" + commands, shell=True, check=True, executable="/bin/bash")
        names = {"__name__": "extraction"}
        for number, block in enumerate(blocks, 1):
            exec(compile(block, f"extraction.md, block {number}", "exec"), names)
        assert names["duplicates"] == [(f"again/{twice}", f"first/{twice}")], names["duplicates"]
        # A region is nearest to itself and to that of the copy.
        (first, one, _, cosine), (second, other, _, same) = names["nearest"][:2]
        assert {first, second} == {f"again/{twice}", f"first/{twice}"} and one == other
        assert min(cosine, same) > 0.9999
        print(f"{len(blocks)} blocks ran")
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
