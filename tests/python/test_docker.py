"""Holds what is in docker/ against a running server: every metric of the dashboard and of the manifests is served."""

import argparse
import json
import pathlib
import re
import sys
import urllib.request

DOCKER = pathlib.Path(__file__).resolve().parents[2] / "docker"
METRIC = re.compile(r"\b(?:detcon|process)_[a-z0-9_]+\b")


def named():
    """Every metric that the dashboard and the manifests name."""
    dashboard = json.loads((DOCKER / "grafana/dashboards/detcon.json").read_text())
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    texts.append((DOCKER / "kubernetes/server.yaml").read_text())
    return {metric for text in texts for metric in METRIC.findall(text)}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url", help="a started server that serves a model, such as http://127.0.0.1:8080")
    url = arguments.parse_args().url
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        served = set(re.findall(r"^([a-z0-9_]+)[ {]", answer.read().decode(), re.MULTILINE))
    missing = sorted(named() - served)
    if missing or not named():
        sys.exit(f"not served: {', '.join(missing)}")
    print(f"{len(named())} metrics named, all served")


if __name__ == "__main__":
    main()
