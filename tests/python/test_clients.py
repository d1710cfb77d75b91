#!/usr/bin/env python3
"""Drives the clients that people have, unchanged, against a started server: the same photographs must give the same
embeddings through each of them, and what is wrong must be told in each one's own kind of error.

  test_clients.py --bin target/debug --golden tests/golden --document openapi/openapi.json
"""
import argparse
import base64
import gzip
import hashlib
import http.client
import importlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse

import numpy as np

import serving
from serving import MODEL, refused, same


def check_triton(address, images, expected):
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException as Refused

    client = triton.InferenceServerClient(address.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1") and not client.is_model_ready("nope")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata(MODEL)
    inputs = {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in metadata["inputs"]}
    assert inputs == {"image": ("BYTES", [-1, 1]), "pixels": ("UINT8", [-1, -1, -1, 3]),
                      "normalized": ("FP32", [-1, 3, -1, -1])}, inputs
    outputs = {tensor["name"]: tensor["shape"] for tensor in metadata["outputs"]}
    assert outputs["embedding"] == [-1, expected.shape[1]]
    config = client.get_model_config(MODEL)
    assert config["max_batch_size"] > 1 and {tensor["name"] for tensor in config["input"]} == set(inputs)

    def given(name, array, datatype, binary=True, shape=None):
        tensor = triton.InferInput(name, list(shape or array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        return [tensor]

    def infer(inputs, **options):
        return client.infer(MODEL, inputs, **options)

    files = np.array(images, dtype=np.object_)
    for shape in ([len(images)], [len(images), 1]):
        same(infer(given("image", files.reshape(shape), "BYTES")).as_numpy("embedding"), expected, "triton, files")
    text = np.array([base64.b64encode(image) for image in images], dtype=np.object_)
    same(infer(given("image", text, "BYTES", binary=False)).as_numpy("embedding"), expected, "triton, base64")
    for binary in (True, False):
        wanted = [triton.InferRequestedOutput("c5", binary_data=binary), triton.InferRequestedOutput("embedding")]
        answer = infer(given("image", files[:1], "BYTES"), outputs=wanted, request_id="7", timeout=60_000_000)
        assert answer.get_response()["id"] == "7"
        same(answer.as_numpy("embedding"), expected[:1], "triton, named output")
        same(answer.as_numpy("c5").mean((2, 3)), expected[:1], "triton, features")
    for algorithm in ("gzip", "deflate"):
        answer = infer(given("image", files[:2], "BYTES"), request_compression_algorithm=algorithm)
        same(answer.as_numpy("embedding"), expected[:2], f"triton, {algorithm}")
        answer = infer(given("image", files[:2], "BYTES"), response_compression_algorithm=algorithm)
        same(answer.as_numpy("embedding"), expected[:2], f"triton, an answer that may be {algorithm}")
    waiting = [client.async_infer(MODEL, given("image", files[index:index + 1], "BYTES")) for index in range(2)]
    for index, request in enumerate(waiting):
        same(request.get_result().as_numpy("embedding"), expected[index:index + 1], "triton, asynchronous")

    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    reference = infer(given("pixels", pixels, "UINT8")).as_numpy("embedding")
    same(infer(given("pixels", pixels, "UINT8", binary=False)).as_numpy("embedding"), reference, "triton, JSON pixels")
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    normalized = (pixels.astype(np.float32) / 255 - mean) / std
    for order in ((0, 1, 2, 3), (0, 3, 1, 2)):
        tensor = np.ascontiguousarray(normalized.transpose(order))
        same(infer(given("normalized", tensor, "FP32")).as_numpy("embedding"), reference, "triton, normalized")

    statistics = client.get_inference_statistics(MODEL)["model_stats"][0]
    assert statistics["inference_stats"]["success"]["count"] > 5 and statistics["last_inference"] > 0
    assert 0 < statistics["execution_count"] <= statistics["inference_count"]
    sizes = statistics["batch_stats"]
    assert statistics["execution_count"] == sum(size["compute_infer"]["count"] for size in sizes)

    with refused(Refused, "no input", "pixels"):
        infer(given("input", pixels, "UINT8"))
    with refused(Refused, "UINT8", "INT32"):
        infer(given("pixels", pixels.astype(np.int32), "INT32"))
    with refused(Refused, "[N, H, W, 3]"):
        infer(given("pixels", np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), "UINT8"))
    with refused(Refused, "8 bits"):
        infer(given("normalized", normalized + np.float32(0.005), "FP32"))
    with refused(Refused, "no output", "embedding"):
        infer(given("pixels", pixels, "UINT8"), outputs=[triton.InferRequestedOutput("logits")])
    with refused(Refused, "Image 0"):
        infer(given("image", np.array([b"no image"], dtype=np.object_), "BYTES"))
    with refused(Refused, "nope"):
        client.infer("nope", given("pixels", pixels, "UINT8"))
    with refused(Refused, "version"):
        client.get_model_metadata(MODEL, "2")
    failed = client.get_inference_statistics(MODEL)["model_stats"][0]["inference_stats"]["fail"]
    assert failed["count"] >= 6, failed

    def index():
        return {model["name"]: model["state"] for model in client.get_model_repository_index()}

    assert index() == {MODEL: "READY"}
    client.unload_model(MODEL)
    assert not client.is_model_ready(MODEL) and index() == {MODEL: "UNAVAILABLE"}
    client.load_model(MODEL)
    assert client.is_model_ready(MODEL) and index() == {MODEL: "READY"}
    with refused(Refused, "nope"):
        client.load_model("nope")
    with refused(Refused, "config"):
        client.load_model(MODEL, config="{}")
    client.close()
    print("tritonclient: equal")


def check_protocol(address, images, expected):
    """What Triton's client never sends: other clients do, and liars."""
    place = urllib.parse.urlsplit(address)

    def post(body, headers):
        connection = http.client.HTTPConnection(place.hostname, place.port)
        connection.putrequest("POST", f"/v2/models/{MODEL}/infer", skip_accept_encoding=True)
        for name, value in {**headers, "Content-Length": len(body)}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    length = "Inference-Header-Content-Length"
    status, headers, body = post(images[0], {length: 0})  # and no Content-Type
    head = json.loads(body[:int(headers[length])])
    assert status == 200 and head["outputs"][0]["parameters"]["binary_data_size"] == 4 * expected.shape[1], head
    same(np.frombuffer(body[int(headers[length]):], np.float32), expected[0], "raw body")

    request = json.dumps({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES",
                                      "data": [base64.b64encode(images[0]).decode()]}]}).encode()
    status, headers, body = post(request, {})
    output = json.loads(body)["outputs"][0]
    assert status == 200 and output["shape"] == [1, expected.shape[1]]
    same(output["data"], expected[0], "JSON")

    bomb = gzip.compress(bytes(1 << 30), 1)
    for body, headers, status, word in [
        (request, {length: len(request) + 1}, 400, "whole body"),
        (request, {length: 7}, 400, "JSON"),
        (request, {length: "x"}, 400, length),
        (b"", {length: 0}, 400, "no body"),
        (b"", {}, 400, "no body"),
        (b"[]", {}, 400, "list"),
        (gzip.compress(request)[:-9], {"Content-Encoding": "gzip"}, 400, "Content-Encoding"),
        (request, {"Content-Encoding": "br"}, 415, "br"),
        (bomb, {"Content-Encoding": "gzip"}, 413, "longer"),
    ]:
        found, _, answer = post(body, headers)
        error = json.loads(answer)
        assert found == status and set(error) == {"error"} and word in error["error"], (found, error)
    print("binary tensors, compressed bodies and lies: as they should be")


def check_openai(address, images, expected):
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    uris = [f"data:image/jpeg;base64,{base64.b64encode(image).decode()}" for image in images]
    sizes = {"dimensions": expected.shape[1], "user": "somebody"}
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}, sizes):
        answer = client.embeddings.create(model=MODEL, input=uris, **options)
        vectors = [item.embedding for item in answer.data]
        if options.get("encoding_format") == "base64":
            vectors = [np.frombuffer(base64.b64decode(vector), np.float32) if isinstance(vector, str) else vector
                       for vector in vectors]
        same(vectors, expected, f"openai, {options}")
        assert [item.index for item in answer.data] == list(range(len(images))) and answer.model == MODEL
    same(client.embeddings.create(model=MODEL, input=uris[0]).data[0].embedding, expected[0], "openai, one image")
    bare = uris[0].partition(",")[2]
    same(client.embeddings.create(model=MODEL, input=bare).data[0].embedding, expected[0], "openai, bare base64")
    (model,) = client.models.list().data
    assert model.id == MODEL and model.created > 0 and model.owned_by == "detcon"
    assert client.models.retrieve(MODEL).id == MODEL and client.models.retrieve(MODEL).created == model.created
    for options, kind, code, field in [
        ({"model": "nope", "input": uris[0]}, openai.NotFoundError, "unknown-model", "model"),
        ({"model": MODEL, "input": "a cat"}, openai.BadRequestError, "invalid-field", "input[0]"),
        ({"model": MODEL, "input": []}, openai.BadRequestError, "no-image", "input"),
        ({"model": MODEL, "input": uris[0], "dimensions": 7}, openai.BadRequestError, "invalid-field", "dimensions"),
        ({"model": MODEL, "input": "data:;base64,AAAA"}, openai.UnprocessableEntityError, "not-an-image", "input"),
    ]:
        try:
            client.embeddings.create(**options)
        except kind as error:
            assert (error.code, error.param, error.type) == (code, field, "invalid_request_error"), error
        else:
            raise AssertionError(options)
    with refused(openai.NotFoundError, "nope"):
        client.models.retrieve("nope")
    print("openai: equal")


def check_hub(address, store):
    os.environ["HF_ENDPOINT"] = address  # read when the package is imported
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import huggingface_hub
    from huggingface_hub import errors

    api = huggingface_hub.HfApi()
    with tempfile.TemporaryDirectory() as cache:
        for repository in (f"detcon/{MODEL}", MODEL):
            info = api.model_info(repository)
            names = {sibling.rfilename for sibling in info.siblings}
            assert info.id == f"detcon/{MODEL}" and len(info.sha) == 40
            assert names == {path.name for path in (store / MODEL).iterdir()}
            assert {entry.path for entry in api.list_repo_tree(repository)} == names
            file = huggingface_hub.hf_hub_download(repository, "model.safetensors", cache_dir=cache)
            assert pathlib.Path(file).read_bytes() == (store / MODEL / "model.safetensors").read_bytes()
            folder = huggingface_hub.snapshot_download(repository, revision=info.sha, cache_dir=cache)
            for name in names:
                assert (pathlib.Path(folder) / name).read_bytes() == (store / MODEL / name).read_bytes(), name
        url = huggingface_hub.hf_hub_url(f"detcon/{MODEL}", "manifest.json")
        metadata = huggingface_hub.get_hf_file_metadata(url)
        manifest = (store / MODEL / "manifest.json").read_bytes()
        assert (metadata.commit_hash, metadata.size) == (info.sha, len(manifest))
        assert metadata.etag == hashlib.sha256(manifest).hexdigest()
        assert huggingface_hub.file_exists(f"detcon/{MODEL}", "manifest.json")
        assert not huggingface_hub.file_exists(f"detcon/{MODEL}", "nope")

        def download(repository, file, **options):
            huggingface_hub.hf_hub_download(repository, file, cache_dir=cache, **options)

        with refused(errors.RepositoryNotFoundError, "nope"):
            download("detcon/nope", "model.safetensors")
        with refused(errors.RepositoryNotFoundError):
            download(f"somebody/{MODEL}", "model.safetensors")
        with refused(errors.EntryNotFoundError, "nope"):
            download(f"detcon/{MODEL}", "nope")
        with refused(errors.EntryNotFoundError):
            download(f"detcon/{MODEL}", "folder/nope")
        with refused(errors.RevisionNotFoundError, "v2"):
            download(f"detcon/{MODEL}", "model.safetensors", revision="v2")
        with refused(errors.RevisionNotFoundError, "v2"):
            huggingface_hub.snapshot_download(f"detcon/{MODEL}", revision="v2", cache_dir=cache)
    place = urllib.parse.urlsplit(address)
    for asked, status, sent in [("bytes=3-9", 206, manifest[3:10]), (f"bytes={len(manifest)}-", 416, None)]:
        connection = http.client.HTTPConnection(place.hostname, place.port)
        connection.request("GET", f"/detcon/{MODEL}/resolve/main/manifest.json", headers={"Range": asked})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == status and (sent is None or body == sent), (asked, answer.status, body)
    print("huggingface_hub: equal")


def check_generated(address, document, images, expected):
    """A client that is generated from the document knows every route and reads its answers into types."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.yml").write_text("post_hooks: []\n")
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--meta", "none",
                   "--output-path", folder / "detcon_client", "--config", folder / "config.yml"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        sys.path.insert(0, str(folder))
        client = importlib.import_module("detcon_client").Client(base_url=address)
        types = importlib.import_module("detcon_client.types")
        models = importlib.import_module("detcon_client.models")

        def call(operation, *place, **options):
            module = importlib.import_module(f"detcon_client.api.{operation}")
            return module.sync_detailed(*place, client=client, **options)

        for image, vector in zip(images, expected):
            answer = call("embeddings.embed", body=types.File(io.BytesIO(image)), model=MODEL)
            (item,) = answer.parsed.data
            same(item.embedding, vector, "generated client, a file")
        uris = [f"data:image/png;base64,{base64.b64encode(image).decode()}" for image in images]
        answer = call("embeddings.embed", body=models.EmbeddingsRequest(input_=uris, model=MODEL))
        same([item.embedding for item in answer.parsed.data], expected, "generated client, JSON")
        assert [model.id for model in call("models.list_models").parsed.data] == [MODEL]
        assert call("models.describe_model", MODEL).parsed.dim == expected.shape[1]
        assert call("hub.hub_describe", "detcon", MODEL).parsed.id == f"detcon/{MODEL}"
        given = models.RequestInput(name="image", shape=[1], datatype="BYTES", data=[uris[0]])
        answer = call("inference_protocol.v2_infer", MODEL, body=models.InferenceRequest(inputs=[given]))
        same(answer.parsed.outputs[0].data, expected[0], "generated client, inference protocol")
        refusal = call("models.describe_model", "nope")
        assert refusal.status_code == 404 and "nope" in refusal.parsed.detail
        sys.path.remove(str(folder))
    print("a generated client: equal")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--golden", type=pathlib.Path, required=True, help="the folder of golden data")
    parser.add_argument("--document", type=pathlib.Path, required=True, help="openapi.json")
    arguments = parser.parse_args()
    images = serving.photographs(arguments.golden)
    with serving.server(arguments.bin) as (address, store):
        expected = np.stack([serving.embedding(address, image) for image in images])
        check_triton(address, images, expected)
        check_protocol(address, images, expected)
        check_openai(address, images, expected)
        check_hub(address, store)
        check_generated(address, arguments.document, images, expected)


if __name__ == "__main__":
    main()
