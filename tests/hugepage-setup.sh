#!/usr/bin/env bash
# hugepage-setup.sh against the files of a made-up machine; where it may, also one page of the real one, given back.
#
# The kernel of that machine is three programs in front of PATH: a tee that grants pages as far as there are any, mount and umount.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SLUICE_HUGEPAGES_ROOT=$work/root
root=$SLUICE_HUGEPAGES_ROOT
kernel=$work/kernel
mkdir "$kernel"
export PAGES_MAX=100000

cat >"$kernel/tee" <<'KERNEL'
#!/bin/sh
dir=${1%/nr_hugepages}
read -r want
[ "$want" -le "$PAGES_MAX" ] || want=$PAGES_MAX
before=$(cat "$dir/nr_hugepages")
free=$(cat "$dir/free_hugepages")
echo "$want" >"$dir/nr_hugepages"
echo $((free + want - before)) >"$dir/free_hugepages"
KERNEL
cat >"$kernel/mount" <<'KERNEL'
#!/bin/sh
# mount -t hugetlbfs -o pagesize=SIZE SOURCE DIR
size=${4#pagesize=}
[ "$size" != 1G ] || size=1024M
echo "$5 ${6#"$SLUICE_HUGEPAGES_ROOT"} hugetlbfs rw,relatime,pagesize=$size 0 0" >>"$SLUICE_HUGEPAGES_ROOT/proc/mounts"
KERNEL
cat >"$kernel/umount" <<'KERNEL'
#!/bin/sh
sed -i "\\# ${1#"$SLUICE_HUGEPAGES_ROOT"} hugetlbfs #d" "$SLUICE_HUGEPAGES_ROOT/proc/mounts"
KERNEL
chmod +x "$kernel"/*

# machine TOTAL FREE: both page sizes, two NUMA nodes, nothing mounted.
machine() {
  rm -rf "$root"
  mkdir -p "$root"/{dev,run,proc/sys/vm}
  : >"$root/proc/mounts"
  : >"$root/proc/sys/vm/compact_memory"
  printf 'nodev\thugetlbfs\n' >"$root/proc/filesystems"
  local dir kib
  for dir in kernel/mm devices/system/node/node0 devices/system/node/node1; do
    for kib in 2048 1048576; do
      mkdir -p "$root/sys/$dir/hugepages/hugepages-${kib}kB"
      echo "$1" >"$root/sys/$dir/hugepages/hugepages-${kib}kB/nr_hugepages"
      echo "$2" >"$root/sys/$dir/hugepages/hugepages-${kib}kB/free_hugepages"
    done
  done
}

setup() {
  said=$(PATH=$kernel:$PATH ./hugepage-setup.sh "$@" 2>&1) && status=0 || status=$?
}

fail() {
  printf 'hugepage-setup: %s\nit said (status %s):\n%s\n' "$story: $1" "$status" "$said" >&2
  exit 1
}

expect_status() { [ "$status" = "$1" ] || fail "status $status, not $1"; }
expect_said() { [[ $said == *"$1"* ]] || fail "it did not say '$1'"; }
expect_pages() { # FOLDER KIB COUNT
  local found
  found=$(cat "$root/sys/$1/hugepages/hugepages-$2kB/nr_hugepages")
  [ "$found" = "$3" ] || fail "$found pages in $1, not $3"
}

story="the segment and the buffers of the default configuration are reserved, mounted and given back"
machine 0 0
setup reserve
expect_status 0
expect_said "66 pages of 2M"
expect_said "vm.nr_hugepages = 122"
expect_said "2 NUMA nodes"
expect_pages kernel/mm 2048 122
grep -q 'pagesize=2M' "$root/proc/mounts" || fail "nothing is mounted"
setup undo
expect_status 0
expect_pages kernel/mm 2048 0
[ ! -s "$root/proc/mounts" ] || fail "still mounted"

story="a second time adds nothing"
machine 0 0
setup reserve
setup reserve
expect_status 0
expect_said "nothing to add"
expect_pages kernel/mm 2048 122

story="pages that others use are not counted on"
machine 200 10
setup reserve
expect_pages kernel/mm 2048 312

story="more than enough stays as it is, and undo leaves it alone"
machine 5000 5000
setup reserve
expect_pages kernel/mm 2048 5000
setup undo
expect_pages kernel/mm 2048 5000

story="undo leaves pages that are in use, and what others added meanwhile"
machine 0 0
setup reserve
echo 322 >"$root/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
echo 50 >"$root/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
setup undo
expect_status 3
expect_said "72 of 122 pages of 2M are in use and stay"
expect_pages kernel/mm 2048 272

story="a dry run changes nothing"
machine 0 0
before=$(find "$root" -type f -exec md5sum {} + | sort)
setup reserve --dry-run
expect_status 0
expect_said "would: echo 122 >"
expect_said "would: mount -t hugetlbfs -o pagesize=2M"
[ "$before" = "$(find "$root" -type f -exec md5sum {} + | sort)" ] || fail "it changed files"

story="one node, 1 GiB pages for the buffers, 2 MiB pages for the segment"
machine 0 0
setup reserve --node 1 --size 1G --sessions 1000000 --ports 4
expect_status 0
expect_pages devices/system/node/node1 2048 141
expect_pages devices/system/node/node1 1048576 1
expect_pages devices/system/node/node0 2048 0
expect_said "hugepagesz=1G hugepages=1:1"
grep -q 'pagesize=1024M' "$root/proc/mounts" || fail "no 1 GiB mount"
setup reserve --node 1 --size 1G --sessions 1000000 --ports 4
[ "$(grep -c 1024M "$root/proc/mounts")" = 1 ] || fail "mounted twice"

story="fragmented memory: what was got is kept and told in numbers"
machine 0 0
PAGES_MAX=40 setup reserve
expect_status 3
expect_said "got 40 of 122 more pages of 2M"
expect_pages kernel/mm 2048 40
setup undo
expect_pages kernel/mm 2048 0

story="a kernel without hugetlbfs, without the page size, without the node"
machine 0 0
: >"$root/proc/filesystems"
setup reserve
expect_status 1
expect_said "no hugetlbfs"
machine 0 0
rm -r "$root/sys/kernel/mm/hugepages/hugepages-1048576kB"
setup reserve --size 1G
expect_status 1
expect_said "no 1G pages"
expect_pages kernel/mm 2048 0
setup reserve --node 7
expect_status 1
expect_said "on node 7"

story="a mount with a segment in it is not taken away"
machine 0 0
setup reserve
mkdir -p "$root/dev/hugepages/sluice"
: >"$root/dev/hugepages/sluice/bng.seg"
setup undo
expect_status 1
expect_said "bng.seg"
expect_pages kernel/mm 2048 122

story="wrong words"
for words in "" "reserve --sessions x" "reserve --sessions 2000000" "reserve --size 4K" "reserve undo" "reserve --pages"; do
  # shellcheck disable=SC2086 # these are several words
  setup $words
  expect_status 2
done

story="a note that is not its own"
machine 9 9
echo "/etc/passwd 0" >"$root/run/sluice-hugepages"
setup undo
expect_status 1
expect_pages kernel/mm 2048 9

# The real kernel's pages, with a note and a list of mounts of our own: undo must not unmount what this machine uses.
real=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
if [ -w "$real" ] && grep -q ' hugetlbfs .*pagesize=2M' /proc/mounts; then
  story="one real page more, and back"
  rm -rf "$root"
  mkdir -p "$root"/{dev,run,proc}
  ln -s /sys "$root/sys"
  ln -s /proc/sys "$root/proc/sys"
  cp /proc/filesystems "$root/proc/filesystems"
  sed 's/^sluice-huge /other /' /proc/mounts >"$root/proc/mounts"
  before=$(cat "$real")
  said=$(./hugepage-setup.sh reserve --pages $((before + 1)) 2>&1) && status=0 || status=$?
  expect_status 0
  [ "$(cat "$real")" = $((before + 1)) ] || fail "no page came"
  said=$(./hugepage-setup.sh undo 2>&1) && status=0 || status=$?
  expect_status 0
  [ "$(cat "$real")" = "$before" ] || fail "$(cat "$real") pages are left, not $before"
else
  echo "hugepage-setup: the real machine is not touched (not root, or no hugetlbfs is mounted)"
fi

# Files that root may write whatever their mode: only somebody else can be refused.
story="without root"
machine 0 0
chmod 755 "$work"
chmod 444 "$root"/sys/kernel/mm/hugepages/*/nr_hugepages
if [ "$(id -u)" = 0 ]; then
  cp hugepage-setup.sh "$work/script"
  said=$(cd / && setpriv --reuid=65534 --regid=65534 --clear-groups "$work/script" reserve 2>&1) && status=0 || status=$?
else
  setup reserve
fi
expect_status 1
expect_said "run as root"
expect_pages kernel/mm 2048 0
echo "hugepage-setup: all stories hold"
