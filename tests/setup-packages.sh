#!/usr/bin/env bash
# Installs the Debian packages that building and testing Sluice takes; says which, and does nothing when all are there.
set -euo pipefail

readonly BUILD=(pkg-config libdpdk-dev libclang-dev clang g++)
readonly RUN=(dpdk iproute2 iputils-ping udhcpc isc-dhcp-client dhcpcd5)
readonly TEST=(python3-scapy tshark kea-admin shellcheck valgrind)

missing=()
for package in "${BUILD[@]}" "${RUN[@]}" "${TEST[@]}"; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done

if [ ${#missing[@]} -eq 0 ]; then
  echo "packages: all there"
  exit 0
fi
echo "packages: installing ${missing[*]}"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: not root and no sudo: install these packages yourself" >&2; exit 1; }
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "setup: apt-get failed; the whole log is $log" >&2
  exit 1
fi
rm -f "$log"
