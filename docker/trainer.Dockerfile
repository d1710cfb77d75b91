# The trainer, on CPUs and NVIDIA's GPUs: the program is built against libtorch's CPU half, and PyTorch's wheel for CUDA
# brings the rest. Build from the repository's root: any OCI builder will do.
ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BUILD_IMAGE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ libc6-dev python3 python3-pip ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN python3 scripts/fetch_dependencies.py libtorch \
    && cargo build --release --locked --package detcon-trainer --package detcon-converter \
    && mkdir -p /image/bin \
    && cp target/release/detcon-train target/release/detcon-convert /image/bin/ \
    && rm -rf target .deps

FROM ${BASE_IMAGE}
# The version that the program is built against: it refuses another.
RUN pip install --no-cache-dir torch==2.11.0 numpy \
    && useradd --uid 10001 --create-home detcon && mkdir -p /data /runs && chown detcon /data /runs
COPY --from=build /image/bin/ /usr/local/bin/
COPY trainer/recipes /usr/share/detcon/recipes
COPY LICENSE /usr/share/doc/detcon/LICENSE
ARG SITE=/usr/local/lib/python3.11/site-packages
ENV LD_LIBRARY_PATH=${SITE}/torch/lib:${SITE}/nvidia/cu13/lib:${SITE}/nvidia/cudnn/lib:${SITE}/nvidia/nccl/lib:${SITE}/nvidia/cusparselt/lib:${SITE}/nvidia/nvshmem/lib
USER 10001
WORKDIR /runs
VOLUME ["/data", "/runs"]
ENTRYPOINT ["detcon-train"]
