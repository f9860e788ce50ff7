#!/bin/bash
# `hotadd copy`: what it makes, what it refuses, and what it leaves when it is stopped.
# shellcheck disable=SC2317 # called at the end
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands qemu-img jq xxd cmp

loop='' mounted=''
test_clean_up() {
    [ -z "$mounted" ] || umount "$mounted" 2>/dev/null
    [ -z "$loop" ] || losetup --detach "$loop" 2>/dev/null
}

# A disk whose size is no multiple of anything but sectors: data, zeros, noise at its end.
disk=$dir/disk.raw
truncate -s $((40 * 1048576 + 1536)) "$disk"
dd if=/dev/urandom of="$disk" bs=1M count=7 seek=3 conv=notrunc status=none
dd if=/dev/urandom of="$disk" bs=512 count=1 seek=$((40 * 2048 + 2)) conv=notrunc status=none
qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$disk" "$dir/stream.vmdk"
qemu-img convert -f raw -O vmdk "$disk" "$dir/sparse.vmdk"
qemu-img convert -f raw -O qcow2 "$disk" "$dir/disk.qcow2"

# refused EXIT DESCRIPTION TEXT ARGUMENTS...
refused() {
    local expected=$1 what=$2 text=$3
    shift 3
    run refused copy "$@"
    if [ "$code" != "$expected" ]; then
        { echo "exit code $code, not $expected"; show refused; } | fail "$what"
    else
        has "$what" "$dir/refused.err" "$text"
    fi
}

# ---- files ----

for source in disk.raw stream.vmdk sparse.vmdk disk.qcow2; do
    run copy copy --quiet "$dir/$source" "$dir/new.raw"
    same "a new file of $source: exit code" 0 "$code"
    check "a new file of $source is the disk" cmp "$disk" "$dir/new.raw"
    rm -f "$dir/new.raw"
done

umask 022
run verified copy --verify --digest --json "$dir/stream.vmdk" "$dir/new.raw"
same "with --verify and --digest: exit code" 0 "$code"
check "and the disk" cmp "$disk" "$dir/new.raw"
same "nobody else may read a new file" 600 "$(stat -c %a "$dir/new.raw")"
same "the digest is what the manual says" \
    "$(split -b 4M --filter='sha256sum | cut -c1-64' "$disk" | xxd -r -p | sha256sum | cut -c1-64)" \
    "$(jq -r .digest.value "$dir/verified.out")"
same "JSON tells the size" "$(stat -c %s "$disk")" "$(jq .size_bytes "$dir/verified.out")"
check "JSON tells what was verified" jq -e '.verified_bytes >= .written_bytes and .seconds > 0' \
    "$dir/verified.out"

(ulimit -f 2000 && exec "$hotadd" copy --quiet "$dir/stream.vmdk" "$dir/limit.raw") 2>"$dir/limit.err"
same "a limit on the size of files is an error and no death" 1 $?
has "and is told" "$dir/limit.err" "File too large"
check "nothing is left" test ! -e "$dir/limit.raw"

refused 1 "a file with data is refused" "--force writes over it" "$disk" "$dir/new.raw"
run forced copy --quiet --force "$disk" "$dir/new.raw"
check "and written over with --force" cmp "$disk" "$dir/new.raw"
refused 2 "the source is refused as target" "is the source" --force "$disk" "$disk"
check "and is whole" cmp "$disk" "$dir/new.raw"
ln "$dir/stream.vmdk" "$dir/other-name"
refused 2 "by any name" "is the source" --force "$dir/stream.vmdk" "$dir/other-name"
refused 2 "no disk is written to what is none" "neither a block device nor a file" --force "$disk" /dev/null
refused 2 "nor to a folder" "neither a block device nor a file" --force "$disk" "$dir"

truncate -s 60M "$dir/large.raw"
run large copy --quiet "$disk" "$dir/large.raw"
same "a larger file without data is taken as it is" "$((60 << 20))" "$(stat -c %s "$dir/large.raw")"
check "and holds the disk" cmp -n "$(stat -c %s "$disk")" "$disk" "$dir/large.raw"
refused 3 "--target-is-zero is looked into" "is not zero" --target-is-zero "$disk" "$dir/large.raw"

# ---- a target that holds an older version ----

cp --sparse=always "$disk" "$dir/newer.raw"
dd if=/dev/urandom of="$dir/newer.raw" bs=4096 count=3 seek=900 conv=notrunc status=none
fallocate -p -o 5M -l 8192 "$dir/newer.raw"
cp --sparse=always "$disk" "$dir/replica.raw"
run delta copy --json --verify --base "$dir/stream.vmdk" "$dir/newer.raw" "$dir/replica.raw"
same "with --base: exit code" 0 "$code"
check "the target is the newer disk" cmp "$dir/newer.raw" "$dir/replica.raw"
check "of which what differs was written" jq -e \
    '.written_bytes == 12288 and .zeroed_bytes == 8192' "$dir/delta.out"
run delta copy --json --base "$dir/stream.vmdk" "$dir/newer.raw" "$dir/replica.raw"
same "the same again, as after an interruption: exit code" 0 "$code"
check "and the same disk" cmp "$dir/newer.raw" "$dir/replica.raw"
cp --sparse=always "$disk" "$dir/larger.raw"
truncate -s 60M "$dir/larger.raw"
dd if=/dev/urandom of="$dir/larger.raw" bs=1M count=1 seek=57 conv=notrunc status=none
run delta copy --quiet --base "$dir/newer.raw" "$dir/larger.raw" "$dir/replica.raw"
check "a disk that grew" cmp "$dir/larger.raw" "$dir/replica.raw"
head -c 42000000 /dev/zero | tr '\0' x >"$dir/other.raw"
refused 3 "a target that holds another disk" "does not hold" --base "$disk" "$dir/newer.raw" "$dir/other.raw"
check "which is left as it was" cmp -n 42000000 "$dir/other.raw" <(head -c 42000000 /dev/zero | tr '\0' x)
refused 1 "a target that is not there" "No such file" --base "$disk" "$dir/newer.raw" "$dir/absent.raw"
refused 2 "--base with --target-is-zero" "holds nothing" --base "$disk" --target-is-zero "$dir/newer.raw" "$dir/replica.raw"

# ---- what is left after a failure ----

head -c 4000000 "$dir/stream.vmdk" >"$dir/short.vmdk"
refused 1 "a damaged source" "truncated" "$dir/short.vmdk" "$dir/gone.raw"
check "leaves no file" test ! -e "$dir/gone.raw"
cp "$dir/stream.vmdk" "$dir/bad.vmdk"
printf '\377\377\377\377' | dd of="$dir/bad.vmdk" bs=1 seek=3000000 conv=notrunc status=none
refused 1 "a damaged grain" "damaged" "$dir/bad.vmdk" "$dir/gone.raw"
check "leaves no file either" test ! -e "$dir/gone.raw"

for signal in INT HUP; do
    env --default-signal="$signal" "$hotadd" copy --quiet --max-rate 1M "$disk" "$dir/gone.raw" 2>"$dir/int.err" &
    child=$!
    for _ in $(seq 100); do [ -e "$dir/gone.raw" ] && break; sleep 0.1; done
    kill -"$signal" "$child"
    wait "$child"
    same "a copy that is ended by SIG$signal: exit code" 130 $?
    check "leaves no file" test ! -e "$dir/gone.raw"
done
refused 1 "a folder that is not there" "make" "$disk" "$dir/nowhere/new.raw"
refused 2 "too few words" "give a source and a target" "$disk"

# ---- devices ----

if [ "$(id -u)" != 0 ]; then
    skip "block devices" "needs root"
    finish
fi
truncate -s 50M "$dir/device"
if ! loop=$(losetup --find --show "$dir/device" 2>/dev/null); then
    skip "block devices" "no loop device can be had"
    finish
fi
run device copy --quiet --verify "$dir/sparse.vmdk" "$loop"
same "to a device that is larger: exit code" 0 "$code"
check "it holds the disk" cmp -n "$(stat -c %s "$disk")" "$disk" "$loop"
refused 1 "a device with data is refused" "holds data" "$disk" "$loop"
refused 3 "also when it is said to be zero" "is not zero" --force --target-is-zero "$disk" "$loop"

yes rubbish | dd of="$loop" bs=1M count=50 iflag=fullblock oflag=direct status=none
run forced copy --quiet --force "$dir/stream.vmdk" "$loop"
check "--force writes over it" cmp -n "$(stat -c %s "$disk")" "$disk" "$loop"
check "and zeroes what is behind the disk" cmp -i "$(stat -c %s "$disk"):0" \
    -n $((50 * 1048576 - $(stat -c %s "$disk"))) "$loop" /dev/zero

truncate -s 51M "$dir/too-large.raw"
refused 3 "a device that is too small" "too few" --force "$dir/too-large.raw" "$loop"
blockdev --setro "$loop"
refused 3 "a device that is read-only" "is read-only: make it writable" --force "$disk" "$loop"
blockdev --setrw "$loop"

if mkfs.ext4 -q -F "$loop" && mkdir "$dir/mnt" && mount "$loop" "$dir/mnt" 2>/dev/null; then
    mounted=$dir/mnt
    refused 3 "a mounted device is refused with --force, too" "mounted on" --force "$disk" "$loop"
else
    skip "a mounted device is refused" "nothing can be mounted here"
fi
finish
