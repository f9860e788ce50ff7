# shellcheck shell=bash
# From directory trees to disk images: partition table, file system, boot
# loader.  Plain files throughout: nothing is mounted, no loop device is used.
#
# Sourced by make-guest, whose options are read here as variables.
# shellcheck disable=SC2154

# partition FILE BYTES: a table as on standard input, in sfdisk's language.
partition() {
	truncate --size "$2" "$1"
	sfdisk --quiet --no-reread --no-tell-kernel "$1"
}

# geometry FILE NUMBER: first sector and number of sectors of a partition.
geometry() {
	sfdisk --dump "$1" |
		sed -n "s/^.*[^0-9]$2 : start= *\([0-9]*\), size= *\([0-9]*\).*/\1 \2/p"
}

# put_partition DISK NUMBER FILE: the holes stay holes.
put_partition() {
	local start sectors
	read -r start sectors < <(geometry "$1" "$2")
	[ "$(stat -c %s "$3")" -le $((sectors * 512)) ] || die "partition $2 of $1 is too small for its file system"
	dd if="$3" of="$1" bs=1M seek=$((start / 2048)) conv=sparse,notrunc status=none
	rm -f "$3"
}

# make_filesystem FILE SECTORS UUID LABEL TREE
# metadata_csum_seed is off because the guest's GRUB may be older than this
# machine's mke2fs; nothing is left for the first boot to initialise.
make_filesystem() {
	local content
	content=$(du -sk "$5" | cut -f 1)
	# A tenth and the journal are what the file system takes for itself.
	[ $((content + content / 10 + 20480)) -le $(($2 / 2)) ] ||
		die "$((content / 1024)) MiB do not fit on a disk of $(($2 / 2048)) MiB; give a larger --root-size or --data-size"
	truncate --size $(($2 * 512)) "$1"
	run mke2fs -q -F -t "$fs" -U "$3" -L "$4" -O ^metadata_csum_seed -J size=16 -m 1 \
		-E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 -d "$5" "$1"
}

new_uuid() { cat /proc/sys/kernel/random/uuid; }

make_system_disk() {
	case $firmware in
	bios) make_bios_disk "$@" ;;
	efi) make_efi_disk "$@" ;;
	esac
}

make_bios_disk() {
	local disk=$1 root=$2 uuid sectors
	uuid=$(new_uuid)
	partition "$disk" "$root_bytes" <<-'EOF'
	label: dos
	start=2048, type=83, bootable
	EOF
	grub_image "$root" i386-pc "$work/core" "$uuid" biosdisk part_msdos ext2 search_fs_uuid
	grub_config "$root" "$uuid" 1 msdos
	read -r _ sectors < <(geometry "$disk" 1)
	make_filesystem "$work/part" "$sectors" "$uuid" '' "$root"
	put_partition "$disk" 1 "$work/part"
	embed_grub "$disk" "$root/usr/lib/grub/i386-pc/boot.img" "$work/core"
}

# An NVRAM entry does not travel with an exported machine, so GRUB is also
# where firmware looks without one.
make_efi_disk() {
	local disk=$1 root=$2 uuid sectors
	uuid=$(new_uuid)
	partition "$disk" "$root_bytes" <<-'EOF'
	label: gpt
	start=2048, size=64MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI system partition"
	type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
	EOF
	grub_image "$root" x86_64-efi "$work/core" "$uuid" part_gpt ext2 search_fs_uuid normal linux
	grub_config "$root" "$uuid" 2 gpt
	make_esp "$work/esp" "$work/core"
	put_partition "$disk" 1 "$work/esp"
	read -r _ sectors < <(geometry "$disk" 2)
	make_filesystem "$work/part" "$sectors" "$uuid" '' "$root"
	put_partition "$disk" 2 "$work/part"
}

make_esp() {
	truncate --size 64M "$1"
	run mkfs.fat -F 32 "$1"
	run mmd -i "$1" ::/EFI ::/EFI/debian ::/EFI/BOOT
	run mcopy -i "$1" "$2" ::/EFI/debian/grubx64.efi
	run mcopy -i "$1" "$2" ::/EFI/BOOT/BOOTX64.EFI
}

# Some content to find again after a restore: files of known digest, in sizes
# that end within a grain and within a chunk.
make_data_disk() {
	local disk=$1 tree=$work/data sectors
	mkdir "$tree"
	head -c 8388608 /dev/urandom >"$tree/large.bin"
	head -c 70001 /dev/urandom >"$tree/odd.bin"
	echo "the data disk of $name" >"$tree/README"
	(cd "$tree" && sha256sum README large.bin odd.bin >SHA256SUMS)
	partition "$disk" "$data_bytes" <<-'EOF'
	label: dos
	start=2048, type=83
	EOF
	read -r _ sectors < <(geometry "$disk" 1)
	make_filesystem "$work/part" "$sectors" "$(new_uuid)" data "$tree"
	put_partition "$disk" 1 "$work/part"
}

# grub_image ROOT TARGET FILE UUID MODULE...: the guest's own GRUB makes its
# core image, as grub-install does; that program itself wants a real device.
grub_image() {
	local root=$1 target=$2 file=$3 uuid=$4
	shift 4
	mkdir -p "$root/boot/grub/$target"
	cp "$root/usr/lib/grub/$target"/*.mod "$root/usr/lib/grub/$target"/*.lst "$root/boot/grub/$target/"
	# shellcheck disable=SC2016
	printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\n' "$uuid" >"$root/boot/grub/$target/load.cfg"
	run in_guest "$root" grub-mkimage --format "$target" --prefix /boot/grub \
		--config "/boot/grub/$target/load.cfg" --output "/boot/grub/$target/core.img" "$@"
	cp "$root/boot/grub/$target/core.img" "$file"
}

# Text mode and a short wait: both save seconds under emulation.  The rest is
# Debian's default, without a serial console.
grub_config() {
	local root=$1 uuid=$2 partition=$3 table=$4 probe=$1/usr/sbin/grub-probe
	sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' -e 's/^#GRUB_TERMINAL=.*/GRUB_TERMINAL=console/' \
		"$root/etc/default/grub"
	in_guest "$root" grub-editenv /boot/grub/grubenv create
	mv "$probe" "$probe.real"
	stand_in_for_grub_probe "$uuid" "$partition" "$table" >"$probe"
	chmod 755 "$probe"
	# grub-mkconfig uses a UUID only if its link is there.
	mkdir -p "$root/dev/disk/by-uuid"
	: >"$root/dev/disk/by-uuid/$uuid"
	mount_proc "$root"
	run in_guest "$root" grub-mkconfig -o /boot/grub/grub.cfg
	unmount_proc "$root"
	rm -r "$root/dev/disk"
	mv "$probe.real" "$probe"
}

# grub-mkconfig asks grub-probe about the disk below /.  There is none yet, so
# this answers as it would on VMware.
stand_in_for_grub_probe() {
	local where="$3$2"
	cat <<-EOF
	#!/bin/sh
	for word; do
		case \$word in
		--target=device) echo /dev/sda$2 ;;
		--target=disk) echo /dev/sda ;;
		--target=fs) echo ext2 ;;
		--target=fs_uuid) echo $1 ;;
		--target=partmap) echo $3 ;;
		--target=compatibility_hint) echo hd0,$where ;;
		--target=hints_string) echo --hint-bios=hd0,$where --hint-efi=hd0,$where --hint-baremetal=ahci0,$where ;;
		esac
	done
	EOF
}

# embed_grub DISK BOOT CORE: what grub-bios-setup does when the core image goes
# to sector 1, where boot.img and the core's own block list expect it by
# default.  The table and the disk signature from byte 440 on stay.
embed_grub() {
	[ "$(stat -c %s "$3")" -le $((2047 * 512)) ] || die "GRUB's core image does not fit before the first partition"
	dd if="$2" of="$1" bs=440 count=1 conv=notrunc status=none
	dd if="$3" of="$1" bs=512 seek=1 conv=notrunc status=none
}
