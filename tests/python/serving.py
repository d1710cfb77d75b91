"""A started server with an untrained model, for the tests of its clients."""
import contextlib
import io
import json
import pathlib
import subprocess
import tempfile
import urllib.request

import numpy as np

MODEL = "tiny"


@contextlib.contextmanager
def server(programs, arch="tiny"):
    """Address of a server that serves one untrained model, and the folder that the model is in."""
    with tempfile.TemporaryDirectory() as folder:
        store = pathlib.Path(folder) / "models"
        store.mkdir()
        subprocess.run([programs / "detcon-convert", "demo", store / MODEL, "--arch", arch], check=True)
        with serve(programs, store) as address:
            yield address, store


@contextlib.contextmanager
def serve(programs, store):
    """Address of a server of the models in a folder."""
    process = subprocess.Popen([programs / "detcon-server", "--models", store, "--listen", "127.0.0.1:0",
                                "--allow-uploads", "--log", "error"], stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[-1]
        process.stdout.readline()  # it has something to try: the model is loaded
        yield address
    finally:
        process.terminate()
        process.wait()


def photographs(golden):
    """The golden photographs, as files."""
    paths = sorted(path for path in (golden / "images").iterdir() if path.suffix in (".jpg", ".png"))
    assert paths, f"no photographs in {golden}"
    return [path.read_bytes() for path in paths]


def embedding(address, image):
    """What the server's own route gives for a photograph: `[D]`, float32."""
    headers = {"Content-Type": "application/octet-stream", "Accept": "application/x-npy"}
    request = urllib.request.Request(f"{address}/v1/embeddings", image, headers)
    with urllib.request.urlopen(request) as answer:
        return np.load(io.BytesIO(answer.read()))[0]


def get(address, path):
    with urllib.request.urlopen(address + path) as answer:
        return json.load(answer)


def same(found, expected, what, tolerance=1e-5):
    """Holds that vectors are equal within a share of the largest magnitude."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, (what, found.shape, expected.shape)
    worst = float(np.abs(found - expected).max() / np.abs(expected).max())
    assert worst <= tolerance, f"{what}: {worst:.1e}"


@contextlib.contextmanager
def refused(kind, *words):
    """Holds that what is done in it raises an error of a kind whose text has these words."""
    try:
        yield
    except kind as error:
        text = str(error)
        missing = [word for word in words if word not in text]
        assert not missing, f"{text!r} does not say {missing}"
    else:
        raise AssertionError(f"nothing was raised that says {words}")
