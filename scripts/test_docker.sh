#!/bin/sh
# Builds docker/server.Dockerfile with buildah on bases made from Debian's packages and this machine's Rust, starts the
# image as it is meant to run (its own user, a root that cannot be written), and asks it for an embedding. Needs root.
set -eu
. "$(dirname "$0")/docker.sh"
port=${PORT:-18080}

build detcon-server server.Dockerfile --build-arg BASE_IMAGE=localhost/detcon-base

container=$(image from detcon-server)
root=$(image mount "$container")
models=$out/models
trap 'kill $server 2> /dev/null || true; wait; image rm "$container" > /dev/null' EXIT
say "$(size "$root") MiB, Debian's base among them $(size "$out/base") MiB"
rm -rf "$models" && mkdir -p "$models"
chroot --userspec=10001 "$root" detcon-convert demo /cache/try --arch "${ARCH:-resnet50}" 2> /dev/null
mv "$root/cache/try" "$models/try"
start=$(date +%s%N)
unshare --mount sh -ec '
	mount --bind "$1" "$1" && mount --bind "$2" "$1/models" && mount --bind /proc "$1/proc"
	mount -o remount,bind,ro "$1"
	exec env -i PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin DETCON_ONNXRUNTIME=/usr/local/lib/libonnxruntime.so DETCON_MODELS=/models \
		chroot --userspec=10001 "$1" detcon-server --listen "127.0.0.1:$3"' - "$root" "$models" "$port" > "$out/server.log" 2>&1 &
server=$!
until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/readyz"; do
	kill -0 $server 2> /dev/null || { cat "$out/server.log" >&2; exit 1; }
	sleep 0.05
done
say "ready after $((($(date +%s%N) - start) / 1000000)) ms, with ${ARCH:-resnet50}"
chroot --userspec=10001 "$root" detcon-server health --listen "127.0.0.1:$port" --ready
chroot --userspec=10001 "$root" detcon-extract --version
curl --silent --fail --data-binary @tests/golden/images/astronaut.jpg --header 'Content-Type: image/jpeg' \
	--header 'Accept: application/x-npy' --output "$out/embedding.npy" "http://127.0.0.1:$port/v1/embeddings"
[ "$(head -c 6 "$out/embedding.npy" | tail -c 5)" = NUMPY ]
say "$(stat -c %s "$out/embedding.npy") bytes of embedding"
python3 tests/python/test_docker.py "http://127.0.0.1:$port"
