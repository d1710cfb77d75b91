# Sourced by the tests of docker/: buildah, with its storage in target/docker, and bases made from Debian's packages.
cd "$(dirname "$0")/.."
out=$(mkdir -p target/docker && cd target/docker && pwd)
say() { echo "${0##*/}: $*"; }

[ "$(id -u)" = 0 ] || { say "needs root, for debootstrap and chroot" >&2; exit 1; }
for program in buildah debootstrap curl; do
	command -v $program > /dev/null || { say "apt-get install buildah debootstrap curl" >&2; exit 1; }
done
image() { buildah --root "$out/storage" --runroot "$out/run" --storage-driver vfs "$@"; }
there() { image inspect --type image "$1" > /dev/null 2>&1; }
size() { du -s --block-size=1M "$1" | cut -f1; }

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
there detcon-base || base detcon-base
rust=$(rustc --print sysroot)
there detcon-build || base detcon-build "$rust/bin" /usr/local/bin "$rust/lib" /usr/local/lib

# Builds the image of a name from a file of docker/; further arguments are buildah's.
build() {
	name=$1 file=$2 start=$(date +%s)
	shift 2
	image bud --isolation chroot --build-arg BUILD_IMAGE=localhost/detcon-build --file "docker/$file" --tag "$name" "$@" . \
		> "$out/$name.log" 2>&1 || { tail -n 30 "$out/$name.log" >&2; exit 1; }
	say "$name built in $(($(date +%s) - start)) s"
}
