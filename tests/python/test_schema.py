#!/usr/bin/env python3
"""Sends a started server what /openapi.json allows and what it does not, by schemathesis: no answer may be a 5xx, or
of a status, type or shape that the document does not name.

  test_schema.py --bin target/debug
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

# What the document promises. Requests that it cannot tell from good ones (a string that is no image) may be refused.
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
          "response_headers_conformance", "negative_data_rejection", "unsupported_method"]
EXAMPLES = 50


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="cases of each operation")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = pathlib.Path(folder) / "models"
        store.mkdir()
        subprocess.run([arguments.bin / "detcon-convert", "demo", store / "tiny", "--arch", "tiny"], check=True)
        server = subprocess.Popen([arguments.bin / "detcon-server", "--models", store, "--listen", "127.0.0.1:0",
                                   "--log", "error"], stdout=subprocess.PIPE, text=True)
        try:
            address = server.stdout.readline().split()[-1]
            server.stdout.readline()  # it has something to try: the model is loaded
            sys.exit(run(address, folder, arguments.examples))
        finally:
            server.terminate()
            server.wait()


def run(address, folder, examples):
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", f"--checks={','.join(CHECKS)}",
               f"--max-examples={examples}", "--seed=1", "--generation-database=none", "--no-color"]
    return subprocess.run(command, cwd=folder).returncode


if __name__ == "__main__":
    main()
