#!/bin/bash
# The guest's part end to end, with nothing else of hotadd: hotadd-guest on the demo
# guest's own disks. What is found, what a dry run plans without touching a byte, the
# conversion, a check that finds nothing left, a second conversion that finds nothing to
# do, and the machine booted from NVMe disks to a login on its serial port with an address
# by DHCP. Then disks that must be refused, each by name.
#
# Appliances and the boot take turns with tests that have the same HOTADD_QEMU_LOCK.
#
# usage: test_guest.sh HOTADD-GUEST
set -u
# shellcheck source=tests/e2e/guest_lib.sh
. "$(dirname "$0")/guest_lib.sh"
guest=${1:?usage: test_guest.sh HOTADD-GUEST}

for need in jq:jq flock:util-linux qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs \
    sfdisk:fdisk ssh:openssh-client; do
    command -v "${need%%:*}" >/dev/null || skip_all "${need%%:*} is missing: install ${need#*:}"
done
[ "$(id -u)" = 0 ] || skip_all "needs root to build the guest"
cache=${HOTADD_TEST_CACHE:-/var/cache/hotadd}
made=$("$here/../../tools/make-guest" --cache "$cache" --output "$cache/guests" 2>&1) ||
    skip_all "the demo guest cannot be built here: $(echo "$made" | tail -n 1)"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/hotadd-guest-test.XXXXXX") || exit 1
lock=${HOTADD_QEMU_LOCK:-$work/lock}
qemu=''
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    [ -z "$qemu" ] || { kill "$qemu"; wait "$qemu"; } 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# states NAME: "id state" of all that is neither met nor unneeded.
states() {
    jq -r '(.result.info // .result).findings[] | select(.state != "met" and .state != "not-needed")
        | "\(.id) \(.state) \(.fix)"' "$work/$1"
}

disk1=$work/disk1.raw disk2=$work/disk2.raw
cp --sparse=always --reflink=auto "$cache/guests/demo-disk1.raw" "$disk1"
cp --sparse=always --reflink=auto "$cache/guests/demo-disk2.raw" "$disk2"
digest() { sha256sum "$disk1" "$disk2" | cut -d ' ' -f 1; }

# ---- the demo guest ----

before=$(digest)
ask check check '{"firmware": "bios"}' "$disk1" "$disk2"
echo "# check: $seconds s"
same 'the unconverted guest lacks what VMware had no need of' \
    'linux-nvme fixable convert
linux-fstab fixable convert
linux-interface fixable convert
linux-console fixable convert
linux-nvme-timeout fixable convert
linux-vmware-tools fixable convert' "$(states check)"
same 'the facts' 'debian x86_64 msdos ext4 grub2 initramfs-tools ifupdown true' \
    "$(jq -r '.result | "\(.distro) \(.arch) \(.partitioning) \(.root_fs) \(.boot_loader) \(.initramfs_tool) \(.network_tool) \(.fits_nitro)"' "$work/check")"

ask restore check '{"purpose": "restore"}' "$disk1" "$disk2"
same 'for a restore that is refused' 'linux-nvme refused none
linux-fstab refused none
linux-interface refused none' "$(states restore)"

ask dry convert '{"dry_run": true}' "$disk1" "$disk2"
same 'a dry run plans' '/boot/initrd.img true' \
    "$(jq -r '.result.edits[0].path' "$work/dry" | sed 's/-[0-9].*//') $(jq '.result.edits | length > 5' "$work/dry")"
same 'check and dry run change not a byte' "$before" "$(digest)"

ask convert convert '{"profile": "both", "firmware": "bios"}' "$disk1" "$disk2"
echo "# convert: $seconds s"
if jq -e '.result.changed | length > 5' "$work/convert" >/dev/null; then
    pass 'the guest is converted'
else
    cat "$work/convert" "$work/convert.err" | fail 'the guest is converted'
fi

ask after check '{"purpose": "restore", "profile": "both"}' "$disk1" "$disk2"
same 'a second check finds nothing left to do' '' "$(states after)"
same 'the drivers are in the initramfs' 'nvme initramfs
xen-blkfront initramfs' "$(jq -r '.result.kernels[0].drivers[] | select(.place == "initramfs")
    | "\(.name) \(.place)"' "$work/after")"

ask again convert '{"profile": "both"}' "$disk1" "$disk2"
same 'a second conversion changes nothing' '{"edits":[],"changed":[]}' \
    "$(jq -c '.result | {edits, changed}' "$work/again")"

# ---- booted as Nitro would ----

# boot SECONDS: returns 0 once the serial port asks for a login.
boot() {
    local end
    port=$(free_port)
    exec 8>"$lock"
    flock 8
    qemu-system-x86_64 -machine q35 -accel tcg -m 1024 -smp 2 -nodefaults -display none -no-reboot \
        -drive "file=$disk1,format=raw,snapshot=on,if=none,id=one" \
        -device nvme,drive=one,serial=vol1,bootindex=1 \
        -drive "file=$disk2,format=raw,snapshot=on,if=none,id=two" \
        -device nvme,drive=two,serial=vol2 \
        -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:22" -device e1000,netdev=net \
        -serial "file:$work/serial" 8>&- &
    qemu=$!
    end=$((SECONDS + $1))
    while ((SECONDS < end)) && kill -0 "$qemu" 2>/dev/null; do
        grep -aq 'login:' "$work/serial" 2>/dev/null && return 0
        sleep 1
    done
    return 1
}

if boot 400; then
    pass 'it boots from NVMe to a login on the serial port'
else
    tail -n 20 "$work/serial" | fail 'it boots from NVMe to a login on the serial port'
fi
seen=$(ssh -q -p "$port" -i "$cache/guests/demo.key" -o BatchMode=yes -o ConnectTimeout=60 \
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1 \
    'ip -4 -o addr show eth0 | grep -c 10.0.2.15; findmnt -no SOURCE /; findmnt -no SOURCE /srv/data')
same 'DHCP on eth0, both disks mounted by UUID' '1
/dev/nvme0n1p1
/dev/nvme1n1p1' "$seen"
kill "$qemu"
wait "$qemu" 2>/dev/null
qemu=''
exec 8>&-

# ---- what must be refused ----

# refused NAME ID TEXT: the last check has said so.
refused() {
    local name=$1 id=$2 text=$3
    if jq -e --arg id "$id" --arg text "$text" \
        '.result.findings[] | select(.id == $id and .state == "refused" and (.seen | contains($text)))' \
        "$work/no" >/dev/null; then
        pass "$name is refused"
    else
        fail "$name is refused" <"$work/no"
    fi
}

# partitioned FILE MIB TYPE: one partition from 1 MiB on.
partitioned() {
    truncate -s "$2M" "$1"
    echo "start=2048, type=$3" | sfdisk --quiet --no-reread --no-tell-kernel "$1" >/dev/null
}

# linux_disk FILE: a file system that looks like a Linux root.
linux_disk() {
    mkdir -p "$work/tree/etc"
    echo 'ID=debian' >"$work/tree/etc/os-release"
    truncate -s 32M "$1"
    mke2fs -q -F -t ext4 -d "$work/tree" "$1"
}

truncate -s 16M "$work/empty"
partitioned "$work/luks" 16 83
printf 'LUKS\272\276\0\2' | dd of="$work/luks" bs=1M seek=1 conv=notrunc status=none
ask no check '{}' "$work/luks" "$work/empty"
refused 'an encrypted disk' linux-encryption '/dev/sda1 is encrypted (crypto_LUKS)'
refused 'a machine without a system' one-system 'no operating system found'

linux_disk "$work/one"
linux_disk "$work/two"
ask no convert '{}' "$work/one" "$work/two"
same 'a machine with two systems is not converted' '7 true true' \
    "$(jq -r '.error | "\(.kind) \(.message | startswith("one-system is not met")) \(.message | contains("2 operating systems"))"' "$work/no")"

finish
