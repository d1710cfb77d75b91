#!/bin/sh
# Builds docker/server.Dockerfile with buildah on bases made from Debian's packages and this machine's Rust, starts the
# image as it is meant to run (its own user, a root that cannot be written), and asks it for an embedding. Needs root.
set -eu
cd "$(dirname "$0")/.."
out=$(mkdir -p target/docker && cd target/docker && pwd)
port=${PORT:-18080}
say() { echo "test-docker: $*"; }

[ "$(id -u)" = 0 ] || { say "needs root, for debootstrap and chroot" >&2; exit 1; }
for program in buildah debootstrap curl; do
	command -v $program > /dev/null || { say "apt-get install buildah debootstrap curl" >&2; exit 1; }
done
image() { buildah --root "$out/storage" --runroot "$out/run" --storage-driver vfs "$@"; }

# A base as the registries' debian:bookworm-slim is, which trusts whom this machine trusts.
if [ ! -e "$out/base/etc/debian_version" ]; then
	rm -rf "$out/base"
	debootstrap --variant=minbase bookworm "$out/base" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" > "$out/debootstrap.log"
	mkdir -p "$out/base/usr/local/share/ca-certificates"
	cp /etc/ssl/certs/ca-certificates.crt "$out/base/usr/local/share/ca-certificates/builder.crt"
fi
# From a folder to an image; further arguments are folders and where they go.
base() {
	name=$1 container=$(image from scratch)
	image add -q "$container" "$out/base" / > /dev/null
	shift
	while [ $# -gt 0 ]; do image add -q "$container" "$1" "$2" > /dev/null; shift 2; done
	image commit -q --rm "$container" "$name" > /dev/null
}
image inspect --type image detcon-base > /dev/null 2>&1 || base detcon-base
rust=$(rustc --print sysroot)
image inspect --type image detcon-build > /dev/null 2>&1 || base detcon-build "$rust/bin" /usr/local/bin "$rust/lib" /usr/local/lib

start=$(date +%s)
image bud --isolation chroot --build-arg BUILD_IMAGE=localhost/detcon-build --build-arg BASE_IMAGE=localhost/detcon-base \
	--file docker/server.Dockerfile --tag detcon-server . > "$out/build.log" 2>&1 || { tail -n 30 "$out/build.log" >&2; exit 1; }
say "built in $(($(date +%s) - start)) s"

container=$(image from detcon-server)
root=$(image mount "$container")
models=$out/models
trap 'kill $server 2> /dev/null || true; wait; image rm "$container" > /dev/null' EXIT
say "$(du -s --block-size=1M "$root" | cut -f1) MiB, Debian's base among them $(du -s --block-size=1M "$out/base" | cut -f1) MiB"
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
curl --silent --fail --data-binary @tests/golden/images/astronaut.jpg --header 'Content-Type: image/jpeg' \
	--header 'Accept: application/x-npy' --output "$out/embedding.npy" "http://127.0.0.1:$port/v1/embeddings"
[ "$(head -c 6 "$out/embedding.npy" | tail -c 5)" = NUMPY ]
say "$(stat -c %s "$out/embedding.npy") bytes of embedding"
python3 tests/python/test_docker.py "http://127.0.0.1:$port"
