#!/usr/bin/env bash
# Huge pages for Sluice: reserve, mount, show, undo.
#
#   ./hugepage-setup.sh reserve [--sessions N] [--ports N] [--pages N] [--size 2M|1G] [--node N]
#   ./hugepage-setup.sh show
#   ./hugepage-setup.sh undo
#   add --dry-run to see what would be done
#
# `reserve` never takes pages away: a larger reservation that is already there stays. What it raised is written to
# /run/sluice-hugepages, and `undo` puts exactly that back.
set -euo pipefail

readonly STATE=/run/sluice-hugepages
readonly MIB=$((1024 * 1024))

sessions=65536 # rows; the size of the shared segment follows from it
ports=2
pages=""
size=2M
node=""
dry_run=no
action=""

die() {
  echo "hugepage-setup: $*" >&2
  exit 1
}

usage() {
  sed -n '2,11s/^# \{0,1\}//p' "$0"
  exit "${1:-0}"
}

run() {
  if [ "$dry_run" = yes ]; then
    echo "would: $*"
  else
    "$@"
  fi
}

# write VALUE FILE: a redirection that --dry-run can show.
write() {
  if [ "$dry_run" = yes ]; then
    echo "would: echo $1 > $2"
  else
    echo "$1" >"$2"
  fi
}

number() {
  case "$2" in '' | *[!0-9]*) die "$1: want a whole number, got '$2'" ;; esac
}

parse() {
  while [ $# -gt 0 ]; do
    case "$1" in
    reserve | show | undo) action=$1 ;;
    --sessions | --ports | --pages | --node | --size)
      [ $# -ge 2 ] || die "$1 wants a value"
      case "$1" in
      --sessions) number "$1" "$2" && sessions=$2 ;;
      --ports) number "$1" "$2" && ports=$2 ;;
      --pages) number "$1" "$2" && pages=$2 ;;
      --node) number "$1" "$2" && node=$2 ;;
      --size) size=$2 ;;
      esac
      shift
      ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage ;;
    *) die "unknown argument '$1' (try --help)" ;;
    esac
    shift
  done
  [ -n "$action" ] || usage 2
  case "$size" in
  2M) kib=2048 ;;
  1G) kib=1048576 ;;
  *) die "--size: want 2M or 1G, got '$size'" ;;
  esac
}

# The sysfs folder of this page size, of one NUMA node if asked.
folder() {
  if [ -n "$node" ]; then
    echo "/sys/devices/system/node/node$node/hugepages/hugepages-${kib}kB"
  else
    echo "/sys/kernel/mm/hugepages/hugepages-${kib}kB"
  fi
}

# Pages that the segment and the mbufs of so many sessions and ports take.
#   segment: 64 MiB of tbl24, 36 MiB of rings and fixed tables, 192 bytes a session
#   DPDK:    16,384 mbufs of 2.5 KiB a port, and 64 MiB of its own
needed() {
  local bytes=$(((64 + 36) * MIB + sessions * 192 + ports * 16384 * 2560 + 64 * MIB))
  echo $(((bytes + kib * 1024 - 1) / (kib * 1024)))
}

reserve() {
  local want=${pages:-$(needed)} dir have now
  dir=$(folder)
  [ -d "$dir" ] || die "this machine has no $size pages${node:+ on node $node} ($dir is not there)"
  have=$(cat "$dir/nr_hugepages")
  if [ "$have" -ge "$want" ]; then
    echo "huge pages: $have of $size are reserved, $want are needed: nothing to do"
  else
    [ "$dry_run" = yes ] || [ -w "$dir/nr_hugepages" ] || die "cannot write $dir/nr_hugepages: run as root"
    write "$want" "$dir/nr_hugepages"
    if [ "$dry_run" = no ]; then
      now=$(cat "$dir/nr_hugepages")
      [ -e "$STATE" ] || echo "$dir $have" >"$STATE"
      echo "huge pages: reserved $now of $size (before: $have, wanted: $want)"
      if [ "$now" -lt "$want" ]; then
        echo "hugepage-setup: memory is too fragmented for $want; reserve at boot with the kernel line below" >&2
        boot_line "$want" >&2
        exit 1
      fi
    fi
  fi
  mount_hugetlbfs
  echo "to keep this across reboots, on the kernel command line: $(boot_line "$want")"
}

boot_line() {
  echo "hugepagesz=$size hugepages=$1"
}

mount_hugetlbfs() {
  local dir=/dev/hugepages
  [ "$size" = 2M ] || dir=/dev/hugepages1G
  if grep -qE " hugetlbfs .*pagesize=$size" /proc/mounts; then
    echo "hugetlbfs: $(grep -E " hugetlbfs .*pagesize=$size" /proc/mounts | head -n 1 | cut -d' ' -f2)"
    return
  fi
  run mkdir -p "$dir"
  run mount -t hugetlbfs -o "pagesize=$size" sluice-huge "$dir"
  echo "hugetlbfs: $dir"
}

show() {
  local dir
  for dir in /sys/kernel/mm/hugepages/hugepages-* /sys/devices/system/node/node*/hugepages/hugepages-*; do
    [ -d "$dir" ] || continue
    printf '%-70s total %6s free %6s\n' "$dir" "$(cat "$dir/nr_hugepages")" "$(cat "$dir/free_hugepages")"
  done
  grep ' hugetlbfs ' /proc/mounts || echo "hugetlbfs: not mounted"
  echo "$(needed) pages of $size are needed for $sessions sessions and $ports ports"
}

undo() {
  if grep -q '^sluice-huge ' /proc/mounts; then
    local dir
    dir=$(grep '^sluice-huge ' /proc/mounts | head -n 1 | cut -d' ' -f2)
    if [ -n "$(find "$dir" -name '*.seg' -print -quit)" ]; then
      die "$dir still holds a segment: stop Sluice and remove $dir/sluice/*.seg first"
    fi
    run umount "$dir"
  fi
  if [ -e "$STATE" ]; then
    local path before
    read -r path before <"$STATE"
    write "$before" "$path/nr_hugepages"
    run rm -f "$STATE"
    echo "huge pages: back to $before"
  else
    echo "huge pages: nothing was reserved by this script"
  fi
}

parse "$@"
"$action"
