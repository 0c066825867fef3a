#!/bin/sh
# Build the image of a target with whatever is there to build it: docker, podman or buildah.
#
# Usage: build.sh TARGET TAG [OPTIONS OF THE ENGINE]...
# ENGINE names another engine, or the options of one (`ENGINE="buildah --storage-driver vfs"`).
set -eu

works() {
    # A docker client without its daemon is no engine.
    command -v "$1" >/dev/null 2>&1 && "$1" info >/dev/null 2>&1
}

engine=${ENGINE:-}
for candidate in docker podman buildah; do
    [ -n "$engine" ] || ! works "$candidate" || engine=$candidate
done
if [ -z "$engine" ]; then
    echo "Building an image needs docker (running), podman or buildah: none works here." >&2
    exit 1
fi

target=$1 tag=$2
shift 2
case "$engine" in
buildah*) build=bud ;;
*) build=build ;;
esac
# shellcheck disable=SC2086 # the engine may come with options
exec $engine $build --target "$target" --tag "$tag" "$@" .
