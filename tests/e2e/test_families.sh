#!/bin/bash
# Real Linux guests of every kind that can be built here, converted by hotadd-guest and
# booted from NVMe disks: initramfs-tools with gzip, xz, zstd and lz4, dracut with and
# without systemd, roots on ext2, ext3, ext4, Btrfs, JFS and XFS, LVM with /var and a
# device filter, RAID, GPT with UEFI, /boot of its own. Each guest says over its serial
# port where its root is and which address it has. Before its conversion it must not come
# that far: without that the rest proves nothing.
#
# By default one guest that is quick to build; HOTADD_TEST_FAMILIES=all, or names, for
# others. Guests are cached (tools/make-guest).
#
# usage: test_families.sh HOTADD-GUEST
set -u
# shellcheck source=tests/e2e/guest_lib.sh
. "$(dirname "$0")/guest_lib.sh"
guest=${1:?usage: test_families.sh HOTADD-GUEST}
which=${HOTADD_TEST_FAMILIES:-ext2}

# name, what the root must be afterwards, the options of make-guest. Pairwise: not every
# combination, but every pair of those that could disturb each other.
guests='
ext2      /dev/nvme0n1p1|ext2            --fs ext2 --compress gzip
ext3      /dev/nvme0n1p2|ext3            --fs ext3 --compress xz --boot-fs ext2
btrfs     /dev/nvme0n1p1[/@]|btrfs       --fs btrfs --compress lz4
xfs-uefi  /dev/nvme0n1p2|xfs             --fs xfs --compress zstd --firmware efi --loader vendor
jfs       /dev/nvme0n1p2|jfs             --fs jfs --compress gzip --initramfs dracut --boot-fs ext3
lvm-uefi  /dev/mapper/vg-root|xfs        --fs xfs --compress zstd --initramfs dracut-systemd --layout lvm --boot-fs ext4 --firmware efi --network networkd
raid      /dev/md127|ext4                --fs ext4 --compress lz4 --initramfs dracut-systemd --layout raid --boot-fs ext4
'

for need in jq:jq flock:util-linux qemu-system-x86_64:qemu-system-x86 guestfish:guestfish; do
    command -v "${need%%:*}" >/dev/null || skip_all "${need%%:*} is missing: install ${need#*:}"
done
[ "$(id -u)" = 0 ] || skip_all "needs root to build the guests"
ovmf=/usr/share/OVMF/OVMF_CODE_4M.fd
[ -r "$ovmf" ] || skip_all "$ovmf is missing: install ovmf"
cache=${HOTADD_TEST_CACHE:-/var/cache/hotadd}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/hotadd-families.XXXXXX") || exit 1
lock=${HOTADD_QEMU_LOCK:-$work/lock}
qemu=''
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    [ -z "$qemu" ] || { kill "$qemu"; wait "$qemu"; } 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

no_loader='BdsDxe: failed to load .*NVMe' # the firmware's words for it
# Those of an initramfs (initramfs-tools, dracut) and a kernel that found no root.
no_root='Dropping to a shell|Could not boot|emergency mode|Kernel panic'

# boot FIRMWARE SECONDS DISK...: until the guest reports, gives up or time is over. True
# if it has reported. Nothing is written to the disks.
boot() {
    local firmware=$1 end disk number=0 options=()
    end=$((SECONDS + $2))
    shift 2
    for disk; do
        number=$((number + 1))
        options+=(-drive "file=$disk,format=raw,snapshot=on,if=none,id=disk$number"
            -device "nvme,drive=disk$number,serial=vol$number,bootindex=$number")
    done
    if [ "$firmware" = uefi ]; then
        cp "${ovmf/CODE/VARS}" "$work/vars"
        options+=(-drive "if=pflash,format=raw,readonly=on,file=$ovmf"
            -drive "if=pflash,format=raw,file=$work/vars")
    fi
    rm -f "$work/serial"
    exec 8>"$lock"
    flock 8
    qemu-system-x86_64 -machine q35 -accel tcg -m 768 -smp 2 -nodefaults -display none -no-reboot \
        "${options[@]}" -netdev user,id=net -device e1000,netdev=net \
        -serial "file:$work/serial" >"$work/qemu.log" 2>&1 8>&- &
    qemu=$!
    while ((SECONDS < end)) && kill -0 "$qemu" 2>/dev/null; do
        grep -aqE "hotadd-report:|$no_loader|$no_root" "$work/serial" 2>/dev/null && break
        sleep 1
    done
    kill "$qemu" 2>/dev/null
    wait "$qemu" 2>/dev/null
    qemu=''
    exec 8>&-
    grep -aq 'hotadd-report:' "$work/serial"
}

# What went over the serial port, for people.
serial_end() { tr -d '\r\000-\010' <"$work/serial" | tail -n 25; }

# test_guest NAME ROOT OPTIONS...
test_guest() {
    local name=$1 want=$2 firmware=bios disk disks=() made report
    shift 2
    case "$*" in *efi*) firmware=uefi ;; esac
    SECONDS=0
    if ! made=$(flock "$lock" "$root/tools/make-guest" --small --name "family-$name" --cache "$cache" \
        --output "$cache/families" "$@" 2>"$work/make.err"); then
        fail "$name: the guest is built" <"$work/make.err"
        return
    fi
    say "$name: built, or found, in $SECONDS s"
    for disk in $(printf '%s\n' "$made" | grep raw); do
        cp --sparse=always --reflink=auto "$disk" "$work/" || bail "no room for a copy of $disk"
        disks+=("$work/${disk##*/}")
    done

    if boot "$firmware" 400 "${disks[@]}" || ! grep -aqE "Linux version|initramfs|dracut|$no_loader" "$work/serial"; then
        serial_end | fail "$name: does not boot from NVMe without conversion"
    else
        pass "$name: does not boot from NVMe without conversion"
    fi

    ask converted convert "{\"firmware\": \"$firmware\"}" "${disks[@]}"
    say "$name: converted in $seconds s"
    if jq -e '.result.changed | length > 3' "$work/converted" >/dev/null; then
        pass "$name: is converted"
    else
        cat "$work/converted" "$work/converted.err" | fail "$name: is converted"
        return
    fi
    ask again convert "{\"firmware\": \"$firmware\"}" "${disks[@]}"
    same "$name: a second conversion changes nothing" '{"edits":[],"changed":[]}' \
        "$(jq -c '.result | {edits, changed}' "$work/again")"

    SECONDS=0
    boot "$firmware" 900 "${disks[@]}"
    report=$(grep -a -o 'hotadd-report: .*' "$work/serial" | tr -d '\r' | head -n 1)
    say "$name: $report after $SECONDS s"
    case $report in
    *" root=${want%|*} type=${want#*|} "*=10.0.2.15/24\ failed=0) pass "$name: boots from NVMe, with an address by DHCP" ;;
    *) serial_end | fail "$name: boots from NVMe, with an address by DHCP" ;;
    esac
    case "$*" in
    *networkd*)
        same "$name: a new file has its directory's SELinux label" ' label=1 ' \
            "$(printf '%s' "$report" | grep -o ' label=. ')" ;;
    esac
    rm -f "${disks[@]}"
}

while read -r name want options; do
    [ -n "$name" ] || continue
    case " $which " in
    *" $name "* | ' all ')
        # shellcheck disable=SC2086 # a list of options
        test_guest "$name" "$want" $options </dev/null ;;
    esac
done <<<"$guests"
[ "$test_n" -gt 0 ] || bail "no guest is called '$which'"
finish
