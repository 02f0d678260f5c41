#!/usr/bin/env bash
# Huge pages for Sluice: work out, reserve, mount, show, undo.
#
#   ./hugepage-setup.sh sizes     what so many sessions and ports take, part by part
#   ./hugepage-setup.sh reserve   reserve and mount it; prints how to keep it across reboots, edits no file for that
#   ./hugepage-setup.sh show      what the machine has, by page size and NUMA node
#   ./hugepage-setup.sh undo      give back what `reserve` added and nobody uses, and unmount what it mounted
#
#   --sessions N    limits.sessions of sluice.toml (65536)
#   --ports N       ports (2)
#   --mbufs N       worker.mbufs, for each port (16384)
#   --mtu N         the largest of the ports (1500)
#   --lcores N      limits.lcores (8)
#   --size 2M|1G    pages of the packet buffers (2M); the segment lies on 2M pages either way
#   --node N        take them from one NUMA node: that of the ports
#   --pages N       instead of working it out: have at least N pages of --size in all
#   --dry-run       change nothing, print what would be done
#
# `reserve` only ever adds. What it added is noted in /run/sluice-hugepages, and `undo` takes back no more than that.
# Exit status: 0 done, 1 an error, 2 wrong arguments, 3 fewer pages than wanted (those are kept).
set -euo pipefail

# A root of another machine, for tests: everything is read and written below it.
readonly ROOT=${SLUICE_HUGEPAGES_ROOT:-}
readonly STATE=$ROOT/run/sluice-hugepages
readonly MOUNTS=$ROOT/proc/mounts
readonly SOURCE=sluice-huge # what our mounts are known by
readonly KIB=1024
readonly MIB=$((1024 * 1024))

# The numbers of the segment's cells, as docs/shared-memory.md has them; a test compares the sum with the code.
readonly REGION=$((2 * MIB))
readonly SESSION_BYTES=$((64 + 64 + 16)) # row, state, a quarter of a bucket line
readonly TBL24_BYTES=$((64 * MIB))
# Two indexes of the gardens: profiles, root, and for each rule a node, a lone prefix and four cells.
readonly GARDEN_BYTES=$((2 * (32 + 4 * MIB + 16384 * (256 + 16 + 4 * 8) + 16 * 8)))
readonly FIXED_BYTES=$((262144 + 256 * 16384 + 1024 * 16 + GARDEN_BYTES + 4096 * 16 + 2 * 512 + 2048))
readonly RINGS_BYTES_LCORE=$((2 * 1024 * 2048 + 4 * 64))
readonly COUNTERS_BYTES_LCORE=$((1600 + 31872))
# An mbuf: mempool header 64, rte_mbuf 128, headroom 128. Room for a frame is at least 2048; tags and header are 22.
readonly MBUF_BYTES=320
# A pool beside its mbufs: caches of 128 lcores, headers. Measured with 22.11: 1.2 MiB.
readonly POOL_BYTES=$((2 * MIB))
# DPDK itself and its drivers' queues: 3 MiB with software devices, some 20 with two NICs of 8 queues.
readonly DPDK_BYTES=$((32 * MIB))

sessions=65536
ports=2
mbufs=16384
mtu=1500
lcores=8
pages=""
size=2M
node=""
dry_run=no
action=""
status=0

die() {
  echo "hugepage-setup: $*" >&2
  exit 1
}

wrong() {
  echo "hugepage-setup: $* (try --help)" >&2
  exit 2
}

usage() {
  sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p}' "$0"
}

# number NAME VALUE LOW HIGH
number() {
  [[ $2 =~ ^[0-9]{1,9}$ ]] || wrong "$1: want a whole number, got '$2'"
  if [ "$((10#$2))" -lt "$3" ] || [ "$((10#$2))" -gt "$4" ]; then wrong "$1: want $3 to $4, got $2"; fi
}

parse() {
  while [ $# -gt 0 ]; do
    case "$1" in
    sizes | reserve | show | undo)
      [ -z "$action" ] || wrong "two actions: $action and $1"
      action=$1
      ;;
    --sessions | --ports | --mbufs | --mtu | --lcores | --pages | --node | --size)
      [ $# -ge 2 ] || wrong "$1 wants a value"
      case "$1" in
      --sessions) number "$1" "$2" 1 1048576 && sessions=$((10#$2)) ;;
      --ports) number "$1" "$2" 1 16 && ports=$((10#$2)) ;;
      --mbufs) number "$1" "$2" 512 4194304 && mbufs=$((10#$2)) ;;
      --mtu) number "$1" "$2" 576 16000 && mtu=$((10#$2)) ;;
      --lcores) number "$1" "$2" 1 64 && lcores=$((10#$2)) ;;
      --pages) number "$1" "$2" 1 99999999 && pages=$((10#$2)) ;;
      --node) number "$1" "$2" 0 1023 && node=$((10#$2)) ;;
      --size) size=$2 ;;
      esac
      shift
      ;;
    --dry-run) dry_run=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) wrong "unknown argument '$1'" ;;
    esac
    shift
  done
  case "$size" in 2M | 1G) ;; *) wrong "--size: want 2M or 1G, got '$size'" ;; esac
  [ -n "$action" ] || wrong "say what: sizes, reserve, show or undo"
}

main() {
  parse "$@"
  work_out
  case "$action" in
  sizes) sizes ;;
  reserve) reserve ;;
  show) show ;;
  undo) undo ;;
  esac
  return "$status"
}

# --- how much -----------------------------------------------------------------------------------------------------

up_to() { # up_to VALUE STEP: VALUE rounded up
  echo $((($1 + $2 - 1) / $2 * $2))
}

power_of_two() {
  local power=64
  while [ "$power" -lt "$1" ]; do power=$((power * 2)); done
  echo "$power"
}

work_out() {
  rows=$(power_of_two "$sessions")
  local groups=$((rows / 64))
  [ "$groups" -ge 1024 ] || groups=1024
  sessions_bytes=$((rows * SESSION_BYTES))
  fib_bytes=$((TBL24_BYTES + groups * 1024))
  tables_bytes=$FIXED_BYTES
  rings_bytes=$((lcores * (RINGS_BYTES_LCORE + COUNTERS_BYTES_LCORE)))
  # Preamble and two regions, each ending on a huge page; all tables of the control region come first.
  local worker=$((512 + 2048 + rows * 64 + lcores * (1024 * 2048 + 2 * 64 + COUNTERS_BYTES_LCORE)))
  local control=$((sessions_bytes + fib_bytes + tables_bytes + rings_bytes - worker))
  segment_bytes=$((REGION + $(up_to "$control" $REGION) + $(up_to "$worker" $REGION)))
  local frame=$((mtu + 22))
  [ "$frame" -ge 2048 ] || frame=2048
  mbuf_bytes=$(up_to $((frame + MBUF_BYTES)) 64)
  # DPDK spreads mbufs over memory channels: an even number of lines becomes odd.
  [ $((mbuf_bytes / 64 % 2)) = 1 ] || mbuf_bytes=$((mbuf_bytes + 64))
  pools_bytes=$((ports * (mbufs * (mbuf_bytes + 16) + POOL_BYTES)))
  packets_bytes=$((pools_bytes + DPDK_BYTES))
}

kib_of() {
  case "$1" in 2M) echo 2048 ;; 1G) echo 1048576 ;; esac
}

# pages_of BYTES SIZE
pages_of() {
  local bytes=$(($(kib_of "$2") * KIB))
  echo $((($1 + bytes - 1) / bytes))
}

# Lines of "SIZE PAGES": what is wanted of each size.
wanted() {
  if [ -n "$pages" ]; then
    echo "$size $pages"
  elif [ "$size" = 2M ]; then
    echo "2M $(($(pages_of "$segment_bytes" 2M) + $(pages_of "$packets_bytes" 2M)))"
  else
    echo "2M $(pages_of "$segment_bytes" 2M)"
    echo "1G $(pages_of "$packets_bytes" 1G)"
  fi
}

part() { # part NAME BYTES REMARK
  printf '  %-24s %8d.%d MiB  %s\n' "$1" $(($2 / MIB)) $(($2 % MIB * 10 / MIB)) "${3:-}"
}

sizes() {
  echo "for $sessions sessions ($rows rows) on $lcores lcores, $ports ports with $mbufs mbufs each, MTU $mtu:"
  part "sessions" "$sessions_bytes" "row, state and index: $SESSION_BYTES bytes each"
  part "FIB" "$fib_bytes" "64 MiB of it for the first 24 bits"
  part "garden, lines, next hops" "$tables_bytes"
  part "rings and counters" "$rings_bytes" "for each lcore"
  part "segment" "$segment_bytes" "the four above, in whole 2 MiB: $(pages_of "$segment_bytes" 2M) pages of 2M"
  part "mbuf pools" "$pools_bytes" "$mbuf_bytes bytes an mbuf"
  part "DPDK's own" "$DPDK_BYTES"
  part "sum" $((segment_bytes + packets_bytes)) "$(wanted | sed 's/\(.*\) \(.*\)/\2 pages of \1/' | paste -sd+ | sed 's/+/ + /')"
}

# --- reserve ------------------------------------------------------------------------------------------------------

# folder SIZE NODE: the kernel's folder of a page size, of one NUMA node where NODE is a number.
folder() {
  local name
  name=hugepages-$(kib_of "$1")kB
  if [ "$2" = - ]; then
    echo "$ROOT/sys/kernel/mm/hugepages/$name"
  else
    echo "$ROOT/sys/devices/system/node/node$2/hugepages/$name"
  fi
}

# What a file of the kernel says, where it is there and a number.
value() {
  local found=""
  [ ! -r "$1" ] || read -r found <"$1" || [ -n "$found" ] || die "$1 is empty"
  [[ $found =~ ^[0-9]+$ ]] || die "$1 holds no number"
  echo "$found"
}

# set_pages COUNT FOLDER. Through tee, whose error names the file.
set_pages() {
  if [ "$dry_run" = yes ]; then
    echo "would: echo $1 > $2/nr_hugepages"
    return
  fi
  local error
  [ -w "$2/nr_hugepages" ] || die "cannot write $2/nr_hugepages: run as root, outside any container"
  error=$(echo "$1" | tee "$2/nr_hugepages" 2>&1 >/dev/null) || die "the kernel refuses $1 pages: $error"
}

run() {
  if [ "$dry_run" = yes ]; then echo "would: $*"; else "$@"; fi
}

reserve() {
  grep -qw hugetlbfs "$ROOT/proc/filesystems" || die "this kernel has no hugetlbfs: it was built without CONFIG_HUGETLBFS"
  [ -n "$pages" ] || sizes
  local nodes=("$ROOT"/sys/devices/system/node/node[0-9]*/hugepages)
  if [ -z "$node" ] && [ ${#nodes[@]} -gt 1 ]; then
    echo "hugepage-setup: this machine has ${#nodes[@]} NUMA nodes and the kernel spreads the pages over all: --node says which has the ports" >&2
  fi
  local page_size want
  while read -r page_size want; do
    [ -d "$(folder "$page_size" "${node:--}")" ] || die "this machine has no $page_size pages${node:+ on node $node}: $(folder "$page_size" "${node:--}") is not there"
  done < <(wanted)
  while read -r page_size want; do
    reserve_one "$page_size" "$want"
    mount_one "$page_size"
  done < <(wanted)
  keep
}

# Pages of a Sluice segment that lies in a hugetlbfs: it is found again at the next start, so it needs no new ones.
held_by_segments() {
  local dir
  dir=$(mount_of 2M)
  if [ "$1" != 2M ] || [ -n "$node" ] || [ -z "$dir" ] || [ ! -d "$ROOT$dir/sluice" ]; then
    echo 0
    return
  fi
  find "$ROOT$dir/sluice" -name '*.seg' -printf '%s\n' | awk '{ pages += $1 / 2097152 } END { printf "%d\n", pages }'
}

reserve_one() {
  local page_size=$1 want=$2 dir total free ours target now
  dir=$(folder "$page_size" "${node:--}")
  total=$(value "$dir/nr_hugepages")
  free=$(value "$dir/free_hugepages")
  if [ -n "$pages" ]; then
    target=$want
  else
    ours=$(held_by_segments "$page_size")
    [ "$ours" -le "$want" ] || ours=$want
    # What others use is not ours to count on.
    target=$((total + want - ours - free))
  fi
  if [ "$target" -le "$total" ]; then
    echo "huge pages of $page_size: $total reserved, $free of them free, $want wanted: nothing to add"
    return
  fi
  set_pages "$target" "$dir"
  [ "$dry_run" = no ] || return 0
  now=$(value "$dir/nr_hugepages")
  if [ "$now" -lt "$target" ] && [ -w "$ROOT/proc/sys/vm/compact_memory" ]; then
    # Free memory may lie in pieces: let the kernel move them together, and ask once more.
    echo 1 >"$ROOT/proc/sys/vm/compact_memory"
    set_pages "$target" "$dir"
    now=$(value "$dir/nr_hugepages")
  fi
  [ "$now" -le "$total" ] || echo "${node:--} $page_size $((now - total))" >>"$STATE"
  if [ "$now" -ge "$target" ]; then
    echo "huge pages of $page_size: added $((now - total)), now $now"
  else
    echo "hugepage-setup: got $((now - total)) of $((target - total)) more pages of $page_size (now $now): memory is too full or too fragmented." \
      "Reserve at boot with the kernel line below" >&2
    status=3
  fi
}

mount_of() {
  local option=$1
  [ "$1" = 2M ] || option=1024M
  awk -v option="pagesize=$option" '$3 == "hugetlbfs" && index("," $4 ",", "," option ",") { print $2; exit }' "$MOUNTS"
}

mount_one() {
  local dir
  dir=$(mount_of "$1")
  if [ -n "$dir" ]; then
    echo "hugetlbfs of $1 pages: $dir"
    return
  fi
  dir=/dev/hugepages
  [ "$1" = 2M ] || dir=/dev/hugepages1G
  run mkdir -p "$ROOT$dir"
  run mount -t hugetlbfs -o "pagesize=$1" "$SOURCE" "$ROOT$dir" || die "cannot mount a hugetlbfs on $dir"
  [ "$dry_run" = yes ] || echo "hugetlbfs of $1 pages: mounted on $dir"
}

# How to have the same after a reboot. Printed, not done: the boot configuration is the operator's.
keep() {
  local page_size want line=""
  echo "to keep this across reboots, either"
  while read -r page_size want; do
    line+=" hugepagesz=$page_size hugepages=${node:+$node:}$want"
  done < <(wanted)
  echo "  on the kernel command line:$line"
  while read -r page_size want; do
    if [ "$page_size" = 2M ] && [ -z "$node" ]; then
      echo "  or in /etc/sysctl.d/60-sluice.conf: vm.nr_hugepages = $want"
    elif [ "$page_size" = 2M ]; then
      echo "  or in /etc/tmpfiles.d/sluice-hugepages.conf: w $(folder 2M "$node" | sed "s#^$ROOT##")/nr_hugepages - - - - $want"
    fi
    [ "$page_size" = 2M ] || echo "  and in /etc/fstab: $SOURCE /dev/hugepages1G hugetlbfs pagesize=1G 0 0"
  done < <(wanted)
}

# --- show, undo ---------------------------------------------------------------------------------------------------

show() {
  local dir
  for dir in "$ROOT"/sys/kernel/mm/hugepages/hugepages-* "$ROOT"/sys/devices/system/node/node*/hugepages/hugepages-*; do
    [ -d "$dir" ] || continue
    printf '%-70s total %6s free %6s\n' "${dir#"$ROOT"}" "$(value "$dir/nr_hugepages")" "$(value "$dir/free_hugepages")"
  done
  grep ' hugetlbfs ' "$MOUNTS" || echo "hugetlbfs: not mounted"
  [ ! -s "$STATE" ] || sed 's/^\([^ ]*\) \([^ ]*\) \(.*\)$/added by this script: \3 of \2 (node \1)/' "$STATE"
  sizes
}

undo() {
  local where page_size added left="" dir
  while read -r dir; do
    if [ -n "$(find "$ROOT$dir" -type f -print -quit)" ]; then
      die "$dir is in use ($(find "$ROOT$dir" -type f -print -quit)): stop Sluice and remove its segment first"
    fi
    run umount "$ROOT$dir" || die "$dir cannot be unmounted: somebody uses it"
  done < <(awk -v source="$SOURCE" '$1 == source && $3 == "hugetlbfs" { print $2 }' "$MOUNTS")
  if [ ! -s "$STATE" ]; then
    echo "huge pages: nothing was added by this script"
    return
  fi
  while read -r where page_size added; do
    [[ "$where $page_size $added" =~ ^(-|[0-9]+)\ (2M|1G)\ [0-9]+$ ]] ||
      die "$STATE: '$where $page_size $added' is not a note of this version; set nr_hugepages by hand and remove the file"
  done <"$STATE"
  while read -r where page_size added; do
    give_back "$where" "$page_size" "$added"
  done <"$STATE"
  if [ -n "$left" ]; then
    [ "$dry_run" = yes ] || printf '%s' "$left" >"$STATE"
    status=3
  else
    run rm -f "$STATE"
  fi
}

# Only free pages go: fewer than are in use would take them from their users as soon as they let go.
give_back() {
  local dir total free back
  dir=$(folder "$2" "$1")
  total=$(value "$dir/nr_hugepages")
  free=$(value "$dir/free_hugepages")
  # Promised to a mapping that has not touched them yet: as good as in use. Told for the whole machine only.
  [ ! -r "$dir/resv_hugepages" ] || free=$((free - $(value "$dir/resv_hugepages")))
  back=$3
  [ "$back" -le "$free" ] || back=$free
  set_pages $((total - back)) "$dir"
  [ "$dry_run" = yes ] || echo "huge pages of $2: gave back $back, now $((total - back))"
  if [ "$back" -lt "$3" ]; then
    left+="$1 $2 $(($3 - back))"$'\n'
    echo "hugepage-setup: $(($3 - back)) of $3 pages of $2 are in use and stay; undo again later" >&2
  fi
}

main "$@"
