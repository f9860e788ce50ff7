# shellcheck shell=bash
# Small guests: the same Debian with what a test of booting needs and no more, in the
# layouts that Linux machines come in.  One is made in well under a minute from a base
# that all of them share.
#
# File systems that cannot be made from a directory tree, logical volumes and RAID are
# made in libguestfs' appliance, never by this machine's kernel.
#
# Sourced by make-guest, whose options are read here as variables.
# shellcheck disable=SC2154

# The base of small guests is made as the other is, of other packages.
small_packages() { guest_packages() { list_small_packages; }; }

list_small_packages() {
	local packages='linux-image-amd64 initramfs-tools dracut-core busybox systemd-sysv udev dbus
		ifupdown isc-dhcp-client iproute2 openssh-server kmod e2fsprogs gzip xz-utils zstd lz4
		lvm2 mdadm grub-pc-bin grub-efi-amd64-bin grub-common'
	# shellcheck disable=SC2086
	printf '%s\n' $packages | paste -s -d ,
}

# Modules of the hardware that VMware, QEMU and EC2 have, and all that file systems and
# volumes need.
slim_modules() {
	local root=$1 kernel
	for kernel in "$root"/lib/modules/*; do
		find "$kernel/kernel" -name '*.ko' | grep -vE "/kernel/(arch|block|crypto|lib)/|/fs/(ext4|jbd2|xfs|btrfs|jfs|fat|nls|autofs|efivarfs|configfs|mbcache)|/drivers/(nvme|md|xen|ata|scsi|message|block/(xen|loop)|net/(xen|vmxnet3|ethernet/(amazon|intel/e1000)))" |
			xargs rm -f
		in_guest "$root" depmod "${kernel##*/}"
	done
}

slim_small() {
	local root=$1
	slim_modules "$root"
	find "$root/usr/share/doc" -type f ! -name copyright -delete
	rm -rf "$root"/usr/share/{man,info,locale,i18n,zoneinfo,grub,mime,bug,lintian}/* \
		"$root"/usr/lib/udev/hwdb.* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* \
		"$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/var/log/* \
		"$root"/tmp/* "$root"/var/tmp/* "$root"/usr/lib/grub/i386-pc/*.module
}

# What the tests wait for: where the root is, what it is, and the address.
configure_report() {
	local root=$1
	cat >"$root/usr/local/sbin/hotadd-report" <<-'EOF'
	#!/bin/sh
	for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		address=$(ip -4 -o address show scope global | awk '{print $2 "=" $4; exit}')
		[ -z "$address" ] || break
		sleep 2
	done
	source=$(findmnt -no SOURCE /) type=$(findmnt -no FSTYPE /)
	boot=$(findmnt -no SOURCE /boot) failed=$(systemctl --failed --no-legend | wc -l)
	# Does a file that the conversion made have its directory's SELinux label?
	label=$(tar --xattrs --xattrs-include='security.*' -cf - /etc/systemd/network/10-hotadd.network 2>/dev/null |
		grep -ac 'security.selinux=system_u:object_r:etc_t:s0')
	echo "hotadd-report: root=$source type=$type boot=$boot label=$label $address failed=$failed" >/dev/console
	systemctl --failed --no-legend >/dev/console
	sync
	systemctl poweroff
	EOF
	chmod 755 "$root/usr/local/sbin/hotadd-report"
	cat >"$root/etc/systemd/system/hotadd-report.service" <<-'EOF'
	[Unit]
	After=multi-user.target
	[Service]
	Type=oneshot
	ExecStart=/usr/local/sbin/hotadd-report
	[Install]
	WantedBy=multi-user.target
	EOF
	in_guest "$root" systemctl --quiet enable hotadd-report.service
	# An emulated machine on a busy computer needs minutes for what takes seconds.
	mkdir -p "$root/etc/systemd/system.conf.d"
	printf '[Manager]\nDefaultTimeoutStartSec=600\nDefaultDeviceTimeoutSec=600\n' \
		>"$root/etc/systemd/system.conf.d/patience.conf"
	# Nobody looks at the file systems of a machine that is booted once.
	for unit in e2scrub_all.timer systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer \
		lvm2-monitor.service mdmonitor.service mdcheck_start.timer dpkg-db-backup.timer; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
}

# ---- where things are ----

# The partition of the boot directory, or of everything; and what the kernel calls the root.
boot_partition() { [ "$firmware" = efi ] && echo 2 || echo 1; }
root_partition() { [ -n "$boot_fs" ] && echo $(($(boot_partition) + 1)) || boot_partition; }
root_device() {
	case $layout in
	lvm) echo /dev/mapper/vg-root ;;
	raid) echo "UUID=$root_uuid" ;; # names of arrays depend on who assembles them
	*) echo "/dev/sda$(root_partition)" ;;
	esac
}

# Device names on purpose, as in the demo guest.
small_fstab() {
	local root=$1 options=defaults
	[ "$fs" != btrfs ] || options=subvol=@
	{
		[ -z "$boot_fs" ] || echo "/dev/sda$(boot_partition) /boot $boot_fs defaults 0 0"
		[ "$firmware" != efi ] || echo '/dev/sda1 /boot/efi vfat umask=0077 0 0'
		[ "$layout" != lvm ] || echo '/dev/mapper/vg-var /var ext4 defaults 0 0'
		echo "$(root_device) / $fs $options 0 0"
	} >"$root/etc/fstab"
	mkdir -p "$root/boot/efi"
	[ "$layout" != raid ] || echo 'DEVICE /dev/sd*' >"$root/etc/mdadm/mdadm.conf"
	[ "$layout" != lvm ] ||
		sed -i 's#^devices {#devices {\n\tfilter = [ "a|^/dev/sd|", "r|.*|" ]#' "$root/etc/lvm/lvm.conf"
}

small_network() {
	local root=$1
	if [ "$network" = networkd ]; then
		printf '[Match]\nName=%s\n\n[Network]\nDHCP=yes\n' "$interface" >"$root/etc/systemd/network/lan.network"
		in_guest "$root" systemctl --quiet enable systemd-networkd.service
		rm -f "$root/etc/network/interfaces"
	else
		configure_network "$root"
	fi
}

# The console is serial from the beginning, so that a test sees how a guest fails.
small_menu() {
	local root=$1 kernel arguments path=/boot
	kernel=$(basename "$root"/boot/vmlinuz-*)
	[ -z "$boot_fs" ] || path=''
	[ "$fs" != btrfs ] || path=/@/boot
	arguments="root=$(root_device) ro console=tty0 console=ttyS0,115200n8"
	[ "$fs" != btrfs ] || arguments+=' rootflags=subvol=@'
	case $initramfs in
	dracut*)
		arguments+=' rd.timeout=600 rd.retry=40 rd.shell=0 rd.emergency=reboot panic=1'
		[ "$layout" != lvm ] || arguments+=' rd.lvm.lv=vg/root'
		[ "$layout" != raid ] || arguments+=' rd.auto=1' ;;
	*) arguments+=' rootdelay=90 panic=1' ;;
	esac
	mkdir -p "$root/boot/grub"
	cat >"$root/boot/grub/grub.cfg" <<-EOF
	set default="0"
	set timeout=1
	menuentry 'Debian GNU/Linux' --class debian {
	        linux $path/$kernel $arguments
	        initrd $path/initrd.img-${kernel#vmlinuz-}
	}
	EOF
	printf 'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX=""\n' >"$root/etc/default/grub"
}

# ---- initramfs ----

small_initramfs() {
	local root=$1 kernel omit='nvme nvme-core nvme-fabrics xen-blkfront'
	kernel=$(basename "$root"/boot/vmlinuz-*)
	kernel=${kernel#vmlinuz-}
	case $initramfs in
	initramfs-tools)
		rm -rf "$root/etc/dracut.conf.d" "$root/etc/dracut.conf"
		small_modules "$root"
		make_initramfs "$root" ;;
	dracut)
		make_dracut "$root" "$kernel" "$omit" 'plymouth systemd systemd-initrd dracut-systemd' ;;
	dracut-systemd)
		make_dracut "$root" "$kernel" "$omit" plymouth ;;
	esac
}

# initramfs-tools gets the modules of the root's layout besides those of every guest.
small_modules() {
	case $layout in
	lvm) printf 'dm_mod\n' ;;
	raid) printf 'raid1\n' ;;
	esac >>"$1/etc/initramfs-tools/modules"
}

make_dracut() {
	local root=$1 kernel=$2 drivers=$3 modules=$4
	rm -rf "$root/etc/initramfs-tools"
	mount_proc "$root"
	run in_guest "$root" dracut --force --quiet --no-hostonly --no-early-microcode --tmpdir /tmp \
		"--$compress" --omit-drivers "$drivers" --add-drivers "$fs ext4 ahci sd_mod dm_mod raid1" \
		--omit "$modules" --kver "$kernel" "/boot/initrd.img-$kernel"
	unmount_proc "$root"
}

# ---- disks ----

small_core() {
	local root=$1 target=$2 file=$3 table=$4
	local modules='normal linux part_msdos part_gpt ext2 xfs btrfs jfs gzio'
	[ "$target" != i386-pc ] || modules+=' biosdisk'
	local prefix="(hd0,$table$(boot_partition))/boot/grub"
	[ -z "$boot_fs" ] || prefix="(hd0,$table$(boot_partition))/grub"
	[ "$fs" != btrfs ] || prefix="(hd0,$table$(boot_partition))/@/boot/grub"
	mkdir -p "$root/boot/grub/$target"
	cp "$root/usr/lib/grub/$target"/*.mod "$root/usr/lib/grub/$target"/*.lst "$root/boot/grub/$target/"
	local path=${prefix#*)} options=''
	if [ "$target" = x86_64-efi ]; then
		# Firmware numbers disks as it likes.
		# shellcheck disable=SC2016
		printf 'search.file %s/grub.cfg root\nset prefix=($root)%s\n' "$path" "$path" >"$root/tmp/load.cfg"
		modules+=' search_fs_file'
		options='--config /tmp/load.cfg'
	fi
	# shellcheck disable=SC2086
	run in_guest "$root" grub-mkimage --format "$target" --prefix "$prefix" --output /tmp/core $options $modules
	mv "$root/tmp/core" "$file"
}

small_table() {
	local boot=''
	if [ "$firmware" = efi ]; then
		echo 'label: gpt'
		echo 'start=2048, size=34MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
	else
		echo 'label: dos'
		boot=', bootable'
	fi
	if [ -n "$boot_fs" ]; then
		echo "size=160MiB, type=L$boot"
		boot=''
	fi
	echo "type=L$boot"
}

make_small_disks() {
	local disk=$1 second=$2 root=$3
	small_table | partition "$disk" "$root_bytes"
	if [ "$layout" = raid ]; then
		printf 'label: dos\nstart=2048, type=fd\n' | partition "$second" "$root_bytes"
	fi
	if [ "$firmware" = efi ]; then
		small_core "$root" x86_64-efi "$work/core" gpt
		truncate --size 34M "$work/esp"
		run mkfs.fat -F 32 "$work/esp"
		run mmd -i "$work/esp" ::/EFI ::/EFI/debian
		run mcopy -i "$work/esp" "$work/core" ::/EFI/debian/grubx64.efi
		if [ "$loader" = both ]; then
			run mmd -i "$work/esp" ::/EFI/BOOT
			run mcopy -i "$work/esp" "$work/core" ::/EFI/BOOT/BOOTX64.EFI
		fi
		put_partition "$disk" 1 "$work/esp"
	else
		small_core "$root" i386-pc "$work/core" msdos
		embed_grub "$disk" "$root/usr/lib/grub/i386-pc/boot.img" "$work/core"
	fi
	case $layout-$fs in
	plain-ext[234]) fill_ext "$disk" "$root" ;;
	*)
		say 'making the file systems in the appliance'
		fill_disks "$disk" "$second" "$root" ;;
	esac
}

# ext_partition DISK NUMBER TYPE TREE
ext_partition() {
	local sectors
	read -r _ sectors < <(geometry "$1" "$2")
	truncate --size $((sectors * 512)) "$work/part"
	run mke2fs -q -F -t "$3" -U "$(new_uuid)" -O ^metadata_csum_seed -m 1 \
		-E lazy_itable_init=0,root_owner=0:0 -d "$4" "$work/part"
	put_partition "$1" "$2" "$work/part"
}

# From the tree at once, which takes seconds where the appliance takes a minute.
fill_ext() {
	local disk=$1 root=$2
	if [ -n "$boot_fs" ]; then
		mv "$root/boot" "$work/boot"
		mkdir "$root/boot"
		ext_partition "$disk" "$(boot_partition)" "$boot_fs" "$work/boot"
	fi
	ext_partition "$disk" "$(root_partition)" "$fs" "$root"
}

# The tree travels as a file system of its own, which the appliance copies from.
fill_disks() {
	local disk=$1 second=$2 root=$3 content
	content=$(du -sk "$root" | cut -f 1)
	truncate --size $(((content + content / 5 + 65536) * 1024)) "$work/tree"
	run mke2fs -q -F -t ext4 -O ^has_journal -E root_owner=0:0 -d "$root" "$work/tree"
	appliance_script "$second" >"$work/script"
	run guestfish --no-progress-bars --format=raw -a "$disk" \
		$([ "$layout" != raid ] || echo --format=raw -a "$second") \
		--format=raw -a "$work/tree" -f "$work/script"
	rm -f "$work/tree"
}

selinux_label=system_u:object_r:etc_t:s0

# Commands of guestfish: volumes, file systems, mounts, and the copy.
appliance_script() {
	local part device
	part=/dev/sda$(root_partition)
	device=$(root_device)
	[ "$layout" != raid ] || device=/dev/md/system # no name of a folder in the appliance
	echo run
	case $layout in
	lvm) printf '%s\n' "pvcreate $part" "vgcreate vg $part" 'lvcreate var vg 160' 'lvcreate-free root vg 100' \
		'mkfs ext4 /dev/vg/var' ;;
	raid) printf '%s\n' "md-create system '$part /dev/sdb1' level:raid1" ;;
	esac
	echo "mkfs $fs $device"
	[ "$layout" != raid ] || echo "set-uuid $device $root_uuid"
	printf '%s\n' 'mkmountpoint /new' 'mkmountpoint /old' "mount $device /new"
	if [ "$fs" = btrfs ]; then
		printf '%s\n' 'btrfs-subvolume-create /new/@' 'umount /new' "mount-options subvol=@ $device /new"
	fi
	if [ -n "$boot_fs" ]; then
		printf '%s\n' "mkfs $boot_fs /dev/sda$(boot_partition)" 'mkdir /new/boot' \
			"mount /dev/sda$(boot_partition) /new/boot"
	fi
	[ "$layout" != lvm ] || printf '%s\n' 'mkdir /new/var' 'mount /dev/vg/var /new/var'
	printf '%s\n' "mount-ro /dev/sd$([ "$layout" = raid ] && echo c || echo b) /old" 'glob cp-a /old/* /new/'
	# A label, as a system with SELinux has one: a new file there must get it, too.
	echo "lsetxattr security.selinux $selinux_label ${#selinux_label} /new/etc/systemd/network"
	echo umount-all
}

build_small() {
	root_uuid=$(new_uuid)
	make_base "$work/root"
	configure_identity "$work/root"
	small_fstab "$work/root"
	small_network "$work/root"
	configure_report "$work/root"
	small_initramfs "$work/root"
	small_menu "$work/root"
	say 'making the disks'
	make_small_disks "$work/$name-disk1.raw" "$work/$name-disk2.raw" "$work/root"
}
