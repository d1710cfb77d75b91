#!/bin/sh
# Builds the images for NVIDIA's GPUs with buildah, on bases made from Debian's packages and NVIDIA's wheels, and starts
# them without a GPU. The trainer takes a step on the CPU and says what it misses for one on a GPU; nothing that the
# server's CUDA provider is linked with is missing, and the server says what it misses. Needs root, and fetches 5 GB.
set -eu
. "$(dirname "$0")/docker.sh"

# What an image from another one adds, as a command of the shell.
extend() {
	container=$(image from "$1")
	image run --isolation chroot "$container" -- sh -euc "$3" > "$out/$2.log" 2>&1 || { tail -n 30 "$out/$2.log" >&2; exit 1; }
	image config --env PIP_BREAK_SYSTEM_PACKAGES=1 "$container"
	image commit -q --rm "$container" "$2" > /dev/null
}
# As the registries' python:3.11-slim-bookworm, but for the folder of packages.
site=/usr/local/lib/python3.11/dist-packages
there detcon-python || extend detcon-base detcon-python '
	apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip && rm -rf /var/lib/apt/lists/*'
# As nvidia/cuda:13-cudnn-runtime.
there detcon-cuda || extend detcon-python detcon-cuda "
	pip install --no-cache-dir nvidia-cuda-runtime==13.0.* nvidia-cuda-nvrtc==13.0.* nvidia-cublas==13.0.* nvidia-cufft==12.0.* \
		nvidia-curand==10.4.* nvidia-nvjitlink==13.0.* nvidia-cudnn-cu13==9.*
	printf '%s\n' $site/nvidia/cu13/lib $site/nvidia/cudnn/lib > /etc/ld.so.conf.d/cuda.conf
	ldconfig"

# Runs a program in an image that has none of this machine's GPUs; it shall fail and say so.
fails() {
	container=$1 expected=$2
	shift 2
	if image run --isolation chroot "$container" -- "$@" > "$out/said" 2>&1; then say "ended well without a GPU: $*" >&2; exit 1; fi
	grep -q "$expected" "$out/said" || { cat "$out/said" >&2; exit 1; }
	say "without a GPU: $(grep "$expected" "$out/said" | tail -n 1)"
}

build detcon-server-cuda server.Dockerfile --build-arg BASE_IMAGE=localhost/detcon-cuda \
	--build-arg ONNXRUNTIME=onnxruntime-gpu --build-arg DEVICE=cuda
container=$(image from detcon-server-cuda)
say "detcon-server-cuda: $(size "$(image mount "$container")") MiB"
image run --isolation chroot "$container" -- ldd /usr/local/lib/libonnxruntime_providers_cuda.so > "$out/linked"
if grep "not found" "$out/linked" | grep -v libcuda.so.1 >&2; then exit 1; fi # that one is the driver's
image run --isolation chroot "$container" -- detcon-convert demo /cache/try --arch tiny
fails "$container" libcuda.so.1 timeout 10 detcon-server --models /cache # goes on without the model
image rm "$container" > /dev/null

build detcon-trainer trainer.Dockerfile --build-arg BASE_IMAGE=localhost/detcon-python --build-arg SITE="$site"
container=$(image from detcon-trainer)
say "detcon-trainer: $(size "$(image mount "$container")") MiB"
image run --isolation chroot "$container" -- detcon-train sanity
fails "$container" CUDA detcon-train sanity --device cuda
image rm "$container" > /dev/null
