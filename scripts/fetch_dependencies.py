#!/usr/bin/env python3
"""Fetches what cargo cannot into .deps/: pinned, and checked against SHA-256 digests.

  fetch_dependencies.py onnxruntime   .deps/onnxruntime/libonnxruntime.so, the library that the server loads
  fetch_dependencies.py onnxruntime-gpu   .deps/onnxruntime-gpu, the same library for NVIDIA's GPUs, with its CUDA provider
  fetch_dependencies.py numpy         .deps/python/numpy, with which the tests make checkpoints
  fetch_dependencies.py libtorch      .deps/libtorch, headers and CPU libraries that the trainer is built against
  fetch_dependencies.py torch         .deps/torch, an environment of its own for `make test-torch` (5 GB)
  fetch_dependencies.py engines       .deps/engines, OpenCV and OpenVINO for `make test-torch`
  fetch_dependencies.py schemathesis  .deps/schemathesis, an environment of its own for `make test-schema`
  fetch_dependencies.py clients       .deps/clients, an environment of its own for `make test-clients`
  fetch_dependencies.py extraction    .deps/extraction, an environment of its own for `make test-extraction`
  fetch_dependencies.py images        .deps/images, which the decoders are held against
  fetch_dependencies.py scikit-image  .deps/scikit-image, the other side of `make bench`
  fetch_dependencies.py tensorflow    .deps/tensorflow, an environment of its own for `make test-tensorflow` (1.5 GB)

What is there already, from the same pins, is left alone. A folder appears whole or not at all.
"""
import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

SCRIPTS = pathlib.Path(__file__).resolve().parent
DEPS = SCRIPTS.parent / ".deps"
WHEEL_PLATFORMS = {
    ("Linux", "x86_64"): "manylinux_2_28_x86_64",
    ("Linux", "aarch64"): "manylinux_2_28_aarch64",
    ("Darwin", "arm64"): "macosx_14_0_arm64",
}


# Of ONNX Runtime's wheel, with or without CUDA: the libraries and the notices, by the names that they get.
ONNXRUNTIME_FILES = {
    r"onnxruntime/capi/libonnxruntime\.(?:so\.[\d.]+|[\d.]+dylib|dylib)": "libonnxruntime.so",
    r"onnxruntime/capi/libonnxruntime_providers_cuda\.so": "libonnxruntime_providers_cuda.so",
    r"onnxruntime/capi/libonnxruntime_providers_shared\.so": "libonnxruntime_providers_shared.so",
    r"onnxruntime/LICENSE": "LICENSE",
    r"onnxruntime/ThirdPartyNotices\.txt": "ThirdPartyNotices.txt",
}

# Of PyTorch's wheel (which is built for CUDA) only what a CPU needs: without libtorch_cuda.so there, programs are linked
# to libtorch_cpu and libc10 alone. libtorch_cpu itself wants two small libraries of NVIDIA's.
LIBTORCH_FILES = re.compile(
    r"torch/(include/.*[^/]|lib/(?:libtorch|libtorch_cpu|libc10)\.so|lib/libgomp\.so\.1)"
    r"|nvidia/cu13/(lib/lib(?:cudart|cupti)\.so\.13)"
    r"|torch-[^/]*\.dist-info/(?:licenses/)?(LICENSE|NOTICE)")


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"fetch_dependencies: pip failed: {' '.join(command[1:])}")


def onnxruntime(pins, folder, scratch):
    machine = (platform.system(), platform.machine())
    if machine not in WHEEL_PLATFORMS:
        sys.exit(f"fetch_dependencies: no ONNX Runtime is pinned for {machine[0]} {machine[1]}: "
                 "put libonnxruntime there yourself and name it with DETCON_ONNXRUNTIME")
    pip("download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.11",
        f"--platform={WHEEL_PLATFORMS[machine]}", "--require-hashes", f"--requirement={pins}", f"--dest={scratch}")
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        members = {member: name for member in archive.namelist()
                   for pattern, name in ONNXRUNTIME_FILES.items() if re.fullmatch(pattern, member)}
        for member, name in members.items():
            with archive.open(member) as source, open(folder / name, "wb") as target:
                shutil.copyfileobj(source, target)
        if not (folder / "libonnxruntime.so").exists():
            sys.exit(f"fetch_dependencies: {wheel.name} holds no libonnxruntime")


def libtorch(pins, folder, scratch):
    machine = (platform.system(), platform.machine())
    if machine != ("Linux", "x86_64"):
        sys.exit(f"fetch_dependencies: no libtorch is pinned for {machine[0]} {machine[1]}: name your own with LIBTORCH, "
                 "or build the trainer with --no-default-features, without training")
    pip("download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.11",
        f"--platform={WHEEL_PLATFORMS[machine]}", "--platform=manylinux_2_25_x86_64", "--platform=manylinux2014_x86_64",
        "--require-hashes", f"--requirement={pins}", f"--dest={scratch}")
    for wheel in sorted(scratch.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                match = LIBTORCH_FILES.fullmatch(member)
                if match:
                    place = folder / next(filter(None, match.groups()))
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as source, open(place, "wb") as target:
                        shutil.copyfileobj(source, target)
    version = re.search(r"^torch==(\S+)", pins.read_text(), re.MULTILINE)[1]
    (folder / "build-version").write_text(f"{version}\n")  # torch-sys compares it with its own


def environment(pins, folder, scratch):
    pip("install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes",
        f"--requirement={pins}", f"--target={folder}")


TARGETS = {
    "onnxruntime": (onnxruntime, "onnxruntime"),
    "onnxruntime-gpu": (onnxruntime, "onnxruntime-gpu"),
    "libtorch": (libtorch, "libtorch"),
    "numpy": (environment, "python"),
    "images": (environment, "images"),
    "torch": (environment, "torch"),
    "engines": (environment, "engines"),
    "schemathesis": (environment, "schemathesis"),
    "clients": (environment, "clients"),
    "extraction": (environment, "extraction"),
    "scikit-image": (environment, "scikit-image"),
    "tensorflow": (environment, "tensorflow"),
}


def fetch(name):
    function, place = TARGETS[name]
    pins = SCRIPTS / f"{name}.txt"
    folder = DEPS / place
    stamp = f"{hashlib.sha256(pins.read_bytes()).hexdigest()} {sys.version_info[0]}.{sys.version_info[1]}\n"
    if (folder / ".pins").is_file() and (folder / ".pins").read_text() == stamp:
        return
    print(f"fetching {name} into {os.path.relpath(folder)}", flush=True)
    DEPS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DEPS) as scratch:
        scratch = pathlib.Path(scratch)
        staged = scratch / "staged"
        staged.mkdir()
        function(pins, staged, scratch)
        (staged / ".pins").write_text(stamp)
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)


if __name__ == "__main__":
    if not sys.argv[1:] or any(name not in TARGETS for name in sys.argv[1:]):
        sys.exit(__doc__)
    for name in sys.argv[1:]:
        fetch(name)
