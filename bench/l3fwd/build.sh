#!/usr/bin/env bash
# Builds DPDK's l3fwd for measurements: the source of Debian's own dpdk package, of the version that is installed, with measure.patch.
#
#   bench/l3fwd/build.sh OUT      writes OUT/l3fwd and OUT/l3fwd-counters; does nothing where they are newer than the patch
#
# The patch changes sizes, not the path of a packet: room for 131,072 routes in 4,096 tbl8 groups, a floor of the mempool by environment
# (L3FWD_MBUFS), no checksum offload wanted of devices that have none. l3fwd-counters also touches one 64-byte line a destination.
#
# Installs, where they are missing: gcc make patch xz-utils pkg-config libdpdk-dev. Fetches the source package by apt-get into OUT/source.
set -euo pipefail

readonly PACKAGES=(gcc make patch xz-utils pkg-config libdpdk-dev)
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

fresh() {
  [ "$out/$1" -nt "$here/measure.patch" ] && [ "$out/$1" -nt "$here/build.sh" ]
}

install_missing() {
  local package missing=() as_root=()
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "l3fwd: installing ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# The source package of the installed version, by a source list of our own: the machine's stays as it is.
fetch() {
  local version list="$out/source/sources.list" options
  version=$(dpkg-query -W -f '${source:Version}' libdpdk-dev)
  rm -rf "$out/source"
  mkdir -p "$out/source/lists/partial"
  # shellcheck disable=SC1091
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  {
    echo "deb-src http://deb.debian.org/debian $codename main"
    echo "deb-src http://deb.debian.org/debian-security $codename-security main"
  } >"$list"
  options=(-o "Dir::Etc::SourceList=$list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$out/source/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=)
  echo "l3fwd: fetching the source of dpdk $version"
  (cd "$out/source" && apt-get -qq "${options[@]}" update && apt-get -qq "${options[@]}" source --download-only "dpdk=$version")
  tar -xf "$out"/source/dpdk_*.orig.tar.xz -C "$out/source" --strip-components=1 --wildcards '*/examples/l3fwd/*' '*/examples/common/*'
}

build() {
  echo "l3fwd: building $1"
  make -C "$out/source/examples/l3fwd" -s clean
  # By the environment: an argument would replace what the Makefile adds to it.
  CFLAGS="$2" make -C "$out/source/examples/l3fwd" -s shared
  cp "$out/source/examples/l3fwd/build/l3fwd-shared" "$out/$1"
}

if fresh l3fwd && fresh l3fwd-counters; then
  echo "l3fwd: built already"
  exit 0
fi
install_missing
fetch
patch -d "$out/source/examples" -p1 --quiet <"$here/measure.patch"
build l3fwd ""
build l3fwd-counters "-DDESTINATION_COUNTERS"
