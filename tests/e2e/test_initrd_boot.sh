#!/bin/sh
# Extended initramfs images, booted: Debian's kernel, images made without nvme by
# initramfs-tools and dracut and packed in every way, and a root file system on an NVMe
# disk. An image counts as booted when that root's init has printed its line. The
# unchanged images must fail to find the root: without that the rest proves nothing.
#
# By default the ways that differ in how images are joined; HOTADD_TEST_BOOT=all boots
# every compression, way of joining and tool (about 25 minutes under emulation), =dracut
# dracut's images alone.
# Images are cached (see `cache` below), boots take turns with tests of the same HOTADD_QEMU_LOCK.
#
# usage: test_initrd_boot.sh INITRD-TOOL
#
# The recipes below are called by name.
# shellcheck disable=SC2317
set -u
umask 022
PATH=$PATH:/usr/sbin:/sbin
tool=${1:?usage: test_initrd_boot.sh INITRD-TOOL}
which=${HOTADD_TEST_BOOT:-some}
said='hotadd-test: the root is up'

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

for need in qemu-system-x86_64:qemu-system-x86 mkinitramfs:initramfs-tools-core \
    busybox:busybox-static mke2fs:e2fsprogs cpio:cpio lz4:lz4 lzop:lzop zstd:zstd xz:xz-utils flock:util-linux; do
    command -v "${need%%:*}" >/dev/null || skip_all "${need%%:*} is missing: install ${need#*:}"
done
kernel=
for k in $(printf '%s\n' /boot/vmlinuz-* | sort -V); do
    if [ -r "$k" ] && [ -e "/lib/modules/${k#/boot/vmlinuz-}/modules.dep" ]; then
        kernel=${k#/boot/vmlinuz-}
    fi
done
[ -n "$kernel" ] || skip_all "no readable kernel with its modules: install linux-image-amd64"
[ -e "$(modinfo -k "$kernel" -n nvme 2>/dev/null)" ] ||
    skip_all "nvme is no module of kernel $kernel"

if [ -n "${XDG_CACHE_HOME-}" ]; then
    cache=$XDG_CACHE_HOME/hotadd
elif mkdir -p /var/cache/hotadd 2>/dev/null && [ -w /var/cache/hotadd ]; then
    cache=/var/cache/hotadd
else
    cache=$HOME/.cache/hotadd
fi
cache=$cache/initrd-$kernel-$(cksum <"$0" | cut -d' ' -f1)
mkdir -p "$cache" || skip_all "cannot write to $cache"
work=$(mktemp -d) || exit 1
lock=${HOTADD_QEMU_LOCK:-$work/lock}
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# ---- what is booted ----

# make NAME COMMAND...: runs the command, which writes $out, unless NAME is cached.
make() {
    [ -s "$cache/$1" ] && return 0
    out=$cache/$1.new
    shift
    "$@" >"$work/make.log" 2>&1 || {
        sed 's/^/# /' "$work/make.log"
        return 1
    }
    mv "$out" "${out%.new}"
}

make_root() {
    r=$work/root
    mkdir -p "$r/bin" "$r/sbin" "$r/etc" "$r/usr/lib" "$r/dev" "$r/proc" "$r/sys" \
        "$r/run" "$r/tmp" &&
        cp "$(command -v busybox)" "$r/bin/busybox" &&
        ln -s busybox "$r/bin/sh" &&
        echo 'ID=hotadd-test' >"$r/etc/os-release" &&
        cat >"$r/sbin/init" <<END &&
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc 2>/dev/null
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
/bin/busybox echo "$said on \$(/bin/busybox awk '\$2 == "/" {d = \$1} END {print d}' /proc/mounts)" >/dev/console
/bin/busybox sleep 1
/bin/busybox poweroff -f
END
        chmod 755 "$r/sbin/init" &&
        mke2fs -q -t ext4 -d "$r" "$out" 32M
}

# The image as a bare archive, so that all compressions hold the same.
make_tools_image() {
    cp -r /etc/initramfs-tools "$work/conf" &&
        rm -rf "$work/conf/conf.d" && mkdir "$work/conf/conf.d" &&
        sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=zstd/' \
            "$work/conf/initramfs.conf" &&
        printf 'ext4\nahci\nsd_mod\n' >"$work/conf/modules" &&
        mkinitramfs -d "$work/conf" -o "$work/tools.zst" "$kernel" &&
        zstd -qdf "$work/tools.zst" -o "$out"
}

make_dracut_image() {
    dracut --force --quiet --no-hostonly --no-early-microcode --no-compress \
        --omit-drivers 'nvme nvme-core xen-blkfront' --add-drivers 'ext4 ahci sd_mod' \
        --omit "$1" --kver "$kernel" "$out"
}

# early MAIN: a microcode archive before it, as on machines that have one.
make_early() {
    mkdir -p "$work/early/kernel/x86/microcode" &&
        echo none >"$work/early/kernel/x86/microcode/GenuineIntel.bin" &&
        (cd "$work/early" && find . | sort | cpio --quiet -o -H newc) >"$out" &&
        cat "$1" >>"$out"
}

pack() {
    case $1 in
    gzip) gzip -n -c "$2" >"$out" ;;
    xz) xz --check=crc32 -2 -c "$2" >"$out" ;;
    zstd) zstd -q -3 -c "$2" >"$out" ;;
    lzo) lzop -q -c "$2" >"$out" ;;
    lz4) lz4 -l -q -c "$2" >"$out" ;;
    bzip2) bzip2 -c "$2" >"$out" ;;
    lzma) xz --format=lzma -2 -c "$2" >"$out" ;;
    none) cp "$2" "$out" ;;
    esac
}

# An image in which the index shares a file with something else, as dracut's
# deduplication makes them.
make_linked() {
    mkdir "$work/linked" &&
        (cd "$work/linked" && cpio --quiet -idm --no-absolute-filenames <"$1" &&
            ln -f usr/lib/modules/*/modules.dep.bin usr/lib/modules/shared &&
            ln -f conf/modules conf/shared &&
            find . | sort | cpio --quiet -o -H newc) | gzip -n >"$out"
}

# ---- booting ----

# boot IMAGE LOG PATIENCE: true when the root came up. Who waits for it gives up after
# PATIENCE seconds. Leaves the seconds it took in $took.
boot() {
    (
        flock 9
        date +%s >"$work/start"
        machine "$1" "$2" "$3" 9>&-
    ) 9>>"$lock"
    took=$(($(date +%s) - $(cat "$work/start")))
    grep -q "$said on /dev/nvme0n1" "$2"
}

machine() {
    timeout -k 5 $((150 + $3)) qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1024 \
        -nodefaults -display none -no-reboot -serial "file:$2" \
        -drive "file=$cache/root.ext4,if=none,id=d,format=raw,snapshot=on" \
        -device nvme,drive=d,serial=vol0123456789abcdef0 \
        -kernel "/boot/vmlinuz-$kernel" -initrd "$1" \
        -append "root=/dev/nvme0n1 rootfstype=ext4 ro console=ttyS0 panic=1 rd.shell=0 rd.emergency=reboot rd.retry=8 rd.timeout=$3 systemd.default_device_timeout_sec=$3 net.ifnames=0" \
        </dev/null >"$work/qemu.log" 2>&1
}

n=0
result() { # result STATUS NAME [LOG]
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        [ -z "${3-}" ] || tail -n 30 "$3" 2>/dev/null | tr -d '\r\000-\010' | sed 's/^/# /'
        failed=1
    fi
}

# control NAME IMAGE: unchanged, it must not find its root.
control() {
    boot "$cache/$2" "$work/log" 20
    up=$?
    # The kernel must have come as far as running the image, else this shows nothing.
    grep -qE 'Run /init|running .*init|Waiting for root|dracut' "$work/log" && [ $up != 0 ]
    result $? "$1 without a supplement does not find its root" "$work/log"
}

# extended NAME IMAGE JOIN: extends, twice, then boots.
extended() {
    "$tool" extend "$cache/$2" "$work/new" "$kernel" / "$3" nvme xen-blkfront \
        >"$work/said" 2>"$work/why"
    rc=$?
    if [ $rc != 0 ]; then
        result 1 "$1 is extended and boots" "$work/why"
        return
    fi
    [ "$("$tool" extend "$work/new" "$work/again" "$kernel" / auto nvme xen-blkfront 2>&1 |
        tail -n 1)" = nothing-to-do ] && [ ! -e "$work/again" ]
    result $? "$1 is left alone the second time"
    boot "$work/new" "$work/log" 120
    result $? "$1 is extended and boots" "$work/log"
    echo "# $1: $(cat "$work/said"), $took s"
    rm -f "$work/new" "$work/again"
}

failed=0
for recipe in root.ext4:make_root tools.cpio:make_tools_image; do
    make "${recipe%%:*}" "${recipe#*:}" || {
        echo "Bail out! cannot make ${recipe%%:*}"
        exit 1
    }
done
for c in zstd gzip lz4; do
    make "tools.$c" pack "$c" "$cache/tools.cpio" || exit 1
done
make early.gzip make_early "$cache/tools.gzip" || exit 1

if [ "$which" != dracut ]; then
    control 'initramfs-tools (zstd)' tools.zstd
    extended 'initramfs-tools (zstd)' tools.zstd auto
    extended 'initramfs-tools (lz4)' tools.lz4 auto
    extended 'initramfs-tools (microcode and gzip)' early.gzip auto
fi

if [ "$which" = all ]; then
    for c in xz bzip2 lzma lzo none; do
        make "tools.$c" pack "$c" "$cache/tools.cpio" || exit 1
        extended "initramfs-tools ($c)" "tools.$c" auto
    done
    make early.lz4 make_early "$cache/tools.lz4" || exit 1
    make early.zstd make_early "$cache/tools.zstd" || exit 1
    make linked.gzip make_linked "$cache/tools.cpio" || exit 1
    extended 'initramfs-tools (microcode and lz4)' early.lz4 auto
    extended 'initramfs-tools (microcode and zstd)' early.zstd auto
    extended 'initramfs-tools (shared files)' linked.gzip auto
    extended 'initramfs-tools (lz4, zeros and a plain archive)' tools.lz4 raw
    extended 'initramfs-tools (zstd, repacked)' tools.zstd recompress
fi
if [ "$which" = all ] || [ "$which" = dracut ]; then
    if command -v dracut >/dev/null; then
        make dracut.cpio make_dracut_image 'plymouth systemd systemd-initrd dracut-systemd' &&
            make dracut.gzip pack gzip "$cache/dracut.cpio" || exit 1
        control 'dracut' dracut.gzip
        extended 'dracut' dracut.gzip auto
        make sddracut.cpio make_dracut_image plymouth &&
            make sddracut.zstd pack zstd "$cache/sddracut.cpio" || exit 1
        control 'dracut with systemd' sddracut.zstd
        extended 'dracut with systemd' sddracut.zstd auto
    else
        n=$((n + 1))
        echo "ok $n - dracut # SKIP dracut is missing: install dracut-core"
    fi
fi
echo "1..$n"
exit $failed
