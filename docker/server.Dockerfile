# The server, on CPUs; or on NVIDIA's GPUs, with the arguments of docker/README.md. Build from the repository's root: any
# OCI builder will do.
ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev python3 python3-pip ca-certificates \
    && rm -rf /var/lib/apt/lists/*
ARG ONNXRUNTIME=onnxruntime
WORKDIR /source
COPY . .
RUN python3 scripts/fetch_dependencies.py ${ONNXRUNTIME} \
    && cargo build --release --locked --package detcon-server --package detcon-converter --package detcon-extractor \
    && mkdir -p /image/bin /image/lib \
    && cp target/release/detcon-server target/release/detcon-convert target/release/detcon-extract /image/bin/ \
    && cp -L .deps/${ONNXRUNTIME}/*.so /image/lib/ \
    && rm -rf target

FROM ${BASE_IMAGE}
ARG DEVICE=cpu
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin detcon \
    && mkdir -p /models /cache && chown detcon /models /cache
COPY --from=build /image/bin/ /usr/local/bin/
COPY --from=build /image/lib/ /usr/local/lib/
COPY LICENSE /usr/share/doc/detcon/LICENSE
ENV DETCON_ONNXRUNTIME=/usr/local/lib/libonnxruntime.so DETCON_MODELS=/models DETCON_CACHE=/cache \
    DETCON_LISTEN=0.0.0.0:8080 DETCON_DEVICE=${DEVICE}
USER 10001
EXPOSE 8080
VOLUME ["/models", "/cache"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["detcon-server", "health"]
ENTRYPOINT ["detcon-server"]
