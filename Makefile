# The commands of the README. `make help` lists them.

MODELS ?= models
LISTEN ?= 127.0.0.1:8080
DEFAULT_CHECKPOINT ?= https://storage.googleapis.com/dm-detcon/resnet50_detcon_b_imagenet_1k.npy
PYTHON ?= python3
CARGO ?= cargo

CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2
FUZZ_TARGET ?= pickle
FUZZ_SECONDS ?= 60
TOOLS := .tools

.DEFAULT_GOAL := help
.PHONY: help serve learn learn-photographs test test-clients test-extraction test-images test-schema test-browser screenshots test-torch test-tensorflow test-docker test-docker-cuda check bench soak openapi fuzz clean

help: ## lists these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: .deps/onnxruntime ## serves the default model (and all others in $(MODELS)) on $(LISTEN)
	$(CARGO) build --release --locked --package detcon-server --package detcon-converter
	target/release/detcon-convert ensure $(MODELS)/resnet50 --from $(DEFAULT_CHECKPOINT) --arch resnet50
	target/release/detcon-server --models $(MODELS) --listen $(LISTEN) --default-model resnet50

test: .deps/onnxruntime .deps/python .deps/libtorch test-clients test-images ## runs every test of the workspace, the clients that people have against a started server, and the decoders against Pillow
	$(CARGO) test --locked --workspace

test-clients: .deps/onnxruntime .deps/clients ## drives tritonclient, openai, huggingface_hub and a generated client, and runs docs/guide.md
	$(CARGO) build --locked --package detcon-server --package detcon-converter
	PYTHONPATH=$(abspath .deps/clients) $(PYTHON) tests/python/test_clients.py --bin target/debug --golden tests/golden \
		--document openapi/openapi.json
	PYTHONPATH=$(abspath .deps/clients) $(PYTHON) tests/python/test_guide.py --bin target/debug

test-extraction: .deps/onnxruntime .deps/extraction ## runs the recipes of docs/extraction.md: DuckDB, FAISS, PostgreSQL with pgvector (fetches 100 MB)
	$(CARGO) build --locked --package detcon-extractor --package detcon-converter
	PYTHONPATH=$(abspath .deps/extraction) $(PYTHON) tests/python/test_extraction.py --bin target/debug

test-images: .deps/images ## holds the image decoders to Pillow on some hundreds of files that it makes
	$(CARGO) build --locked --package detcon-core --example decode
	PYTHONPATH=$(abspath .deps/images) $(PYTHON) tests/python/test_images.py --decode target/debug/examples/decode

test-torch: .deps/onnxruntime .deps/libtorch .deps/torch .deps/engines .deps/clients ## holds imports, exports and the served hub to torchvision, timm, transformers, OpenCV and OpenVINO themselves (fetches 5 GB; apart from `make test`)
	$(CARGO) build --locked --package detcon-converter --package detcon-server --package detcon-trainer
	PYTHONPATH=$(abspath .deps/torch) $(PYTHON) tests/python/test_torch.py --convert target/debug/detcon-convert --golden tests/golden
	rm -rf target/test-data/graphs
	PYTHONPATH=$(abspath .deps/torch) $(PYTHON) tests/python/test_symmetric.py --convert target/debug/detcon-convert \
		--train target/debug/detcon-train --golden tests/golden --graphs target/test-data/graphs
	PYTHONPATH=$(abspath .deps/engines) $(PYTHON) tests/python/test_engines.py --graphs target/test-data/graphs
	PYTHONPATH=$(abspath .deps/torch):$(abspath .deps/clients) $(PYTHON) tests/python/test_guide.py --bin target/debug --arch resnet50

test-schema: .deps/onnxruntime .deps/schemathesis ## sends a started server what openapi.json allows, and what it does not
	$(CARGO) build --locked --package detcon-server --package detcon-converter
	PYTHONPATH=$(abspath .deps/schemathesis) $(PYTHON) tests/python/test_schema.py --bin target/debug

test-browser: .deps/onnxruntime tests/browser/node_modules ## drives the page at / in a headless Chromium (apt-get install chromium nodejs npm)
	$(CARGO) build --locked --package detcon-server --package detcon-converter
	DETCON_PROGRAMS=target/debug node --test tests/browser/playground.test.mjs

screenshots: .deps/onnxruntime tests/browser/node_modules ## makes the pictures of docs/playground.md, with the models in $(MODELS)
	$(CARGO) build --release --locked --package detcon-server
	node tests/browser/screenshots.mjs target/release $(MODELS)

tests/browser/node_modules: tests/browser/package-lock.json
	npm ci --prefix tests/browser --no-audit --no-fund
	@touch $@

test-tensorflow: .deps/tensorflow ## reads shards with TensorFlow as upstream does (fetches 1.5 GB; apart from `make test`)
	rm -rf target/test-tensorflow
	$(CARGO) run --release --locked --package detcon-trainer --no-default-features -- masks --input core/tests --skip-corrupt --shards 2 \
		--scale 100 --min-size 20 --output target/test-tensorflow > /dev/null
	PYTHONPATH=.deps/tensorflow $(PYTHON) tests/python/parse_shards.py target/test-tensorflow
	PYTHONPATH=.deps/tensorflow $(PYTHON) tests/python/parse_shards.py tests/golden/tfrecord

test-docker: ## builds the server's image and starts it (needs root: apt-get install buildah debootstrap)
	scripts/test_docker.sh

test-docker-cuda: ## builds the images for NVIDIA's GPUs and starts them without one (needs root; fetches 5 GB)
	scripts/test_docker_cuda.sh

check: .deps/onnxruntime .deps/libtorch $(TOOLS)/bin/cargo-deny ## what CI checks beyond tests: format, lints, docs, licences, OpenAPI
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources
	$(CARGO) test --locked --workspace --lib the_committed_

bench: .deps/onnxruntime .deps/python .deps/scikit-image .deps/libtorch ## measures masks, import, preprocessing, int8, serving, pressure, extraction, training; results also in target/bench/*.json
	$(CARGO) build --release --locked --package detcon-server --package detcon-converter --package detcon-extractor --package detcon-trainer
	$(CARGO) bench --locked --package detcon-tests \
		--bench masks --bench import --bench preprocessing --bench quantized --bench serving --bench pressure --bench extraction
	$(CARGO) bench --locked --package detcon-trainer --bench loader --bench step

soak: .deps/onnxruntime ## lets a crowd, hostile clients, swaps and a store that comes and goes loose on a server for MINUTES (30)
	$(CARGO) build --release --locked --package detcon-server
	$(CARGO) bench --locked --package detcon-tests --bench soak

learn: .deps/libtorch ## pretrains on drawn objects, with their masks and with shuffled ones, and judges both (minutes)
	$(CARGO) build --release --locked --package detcon-trainer
	scripts/learn.sh

learn-photographs: .deps/onnxruntime .deps/libtorch .deps/scikit-image ## what masks are worth on photographs from Debian packages, which it fetches (hours; SEEDS, STEPS)
	$(CARGO) build --release --locked --package detcon-trainer --package detcon-server
	scripts/learn_photographs.sh

openapi: ## writes openapi/ anew from the routes and the manifest's type
	$(CARGO) run --locked --quiet --package detcon-server --example openapi > openapi/openapi.json
	$(CARGO) run --locked --quiet --package detcon-core --example manifest_schema > openapi/manifest.schema.json

fuzz: $(TOOLS)/bin/cargo-fuzz ## fuzzes the parser FUZZ_TARGET (pickle, source, npy, image, request, archive) for FUZZ_SECONDS
	RUSTC_BOOTSTRAP=1 PATH="$(abspath $(TOOLS))/bin:$$PATH" $(CARGO) fuzz run $(FUZZ_TARGET) -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048

clean: ## removes what was built and fetched, but no models
	rm -rf target .deps $(TOOLS)

.PHONY: .deps/onnxruntime .deps/python .deps/images .deps/clients .deps/extraction .deps/torch .deps/engines .deps/schemathesis .deps/scikit-image .deps/tensorflow .deps/libtorch
.deps/onnxruntime:
	@$(PYTHON) scripts/fetch_dependencies.py onnxruntime
.deps/libtorch:
	@$(PYTHON) scripts/fetch_dependencies.py libtorch
.deps/python:
	@$(PYTHON) scripts/fetch_dependencies.py numpy
.deps/images:
	@$(PYTHON) scripts/fetch_dependencies.py images
.deps/clients:
	@$(PYTHON) scripts/fetch_dependencies.py clients
.deps/extraction:
	@$(PYTHON) scripts/fetch_dependencies.py extraction
.deps/schemathesis:
	@$(PYTHON) scripts/fetch_dependencies.py schemathesis
.deps/scikit-image:
	@$(PYTHON) scripts/fetch_dependencies.py scikit-image
.deps/tensorflow:
	@$(PYTHON) scripts/fetch_dependencies.py tensorflow

$(TOOLS)/bin/cargo-fuzz:
	$(CARGO) install --locked --root $(TOOLS) cargo-fuzz@$(CARGO_FUZZ_VERSION)
.deps/engines:
	@$(PYTHON) scripts/fetch_dependencies.py engines
.deps/torch:
	@$(PYTHON) scripts/fetch_dependencies.py torch

$(TOOLS)/bin/cargo-deny:
	$(CARGO) install --locked --root $(TOOLS) cargo-deny@$(CARGO_DENY_VERSION)
