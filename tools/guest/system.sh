# shellcheck shell=bash
# What is inside the guest: a base system and its configuration.
#
# Sourced by make-guest, whose options are read here as variables.
# shellcheck disable=SC2154

# Every module of the generic kernel stays, as a real system has them; only the
# initramfs is narrow.
guest_packages() {
	local packages='linux-image-amd64 initramfs-tools busybox systemd-sysv udev dbus libpam-systemd
		ifupdown isc-dhcp-client iproute2 iputils-ping openssh-server open-vm-tools
		kmod procps sudo less nano e2fsprogs gzip xz-utils zstd lz4'
	case $firmware in
	bios) packages+=' grub-pc' ;;
	efi) packages+=' grub-efi-amd64' ;;
	esac
	# shellcheck disable=SC2086
	printf '%s\n' $packages | paste -s -d ,
}

# The mirror of this machine, asked of apt so that both kinds of source list
# and all their options are understood.
mirror() {
	local found=''
	if command -v apt-get >/dev/null; then
		# shellcheck disable=SC2016
		found=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
			awk -v suite="$suite" '$1 ~ /^https?:/ && $2 == suite && $3 == "main" { print $1; exit }')
	fi
	echo "${found:-http://deb.debian.org/debian}"
}

# debootstrap downloads with wget, which does not read apt's settings.
use_proxy_of_apt() {
	local proxy=''
	[ -z "${http_proxy:-}" ] && command -v apt-config >/dev/null || return 0
	eval "$(apt-config shell proxy Acquire::http::Proxy)"
	case $proxy in http*) export http_proxy=$proxy ;; esac
}

# in_guest ROOT COMMAND...: with none of this machine's environment.
in_guest() {
	local root=$1
	shift
	chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive "$@"
}

mount_proc() { mount -t proc proc "$1/proc"; }

# debootstrap mounts proc and sys too and may be stopped before it unmounts.
unmount_proc() {
	local place
	for place in "$1/proc" "$1/sys"; do
		while mountpoint -q "$place"; do umount "$place" || umount --lazy "$place"; done
	done
}

base_name() {
	if [ "$small" = yes ]; then
		echo "small-$(declare -f list_small_packages bootstrap slim_small slim_modules |
			cat - <(echo "$suite") | sha256sum | cut -c 1-16).tar.zst"
	else
		echo "base-$(declare -f guest_packages bootstrap slim_down |
			cat - <(guest_packages) <(echo "$suite") | sha256sum | cut -c 1-16).tar.zst"
	fi
}

# make_base ROOT: from the cache, else by debootstrap into the cache.
make_base() {
	local root=$1 tarball
	tarball=$cache/$(base_name)
	if [ ! -e "$tarball" ]; then
		bootstrap "$root"
		if [ "$small" = yes ]; then slim_small "$root"; else slim_down "$root"; fi
		say "keeping the base system as $tarball"
		run tar -C "$root" --xattrs --xattrs-include='*' --numeric-owner --one-file-system -I "zstd -3 -T0" -cf "$work/base" .
		mv "$work/base" "$tarball"
	else
		mkdir "$root"
		run tar -C "$root" --xattrs --xattrs-include='*' --numeric-owner -I zstd -xf "$tarball"
	fi
}

# The initramfs is made later, by configuration (INITRD=No is Debian's own
# switch), and nothing here needs to survive a power cut (unsafe-io).
bootstrap() {
	local root=$1 from
	from=$(mirror)
	use_proxy_of_apt
	mkdir -p "$cache/debs"
	say "bootstrapping Debian $suite from $from (a minute or two)"
	run env LC_ALL=C DEBIAN_FRONTEND=noninteractive INITRD=No DPKG_FORCE=unsafe-io \
		debootstrap --variant=minbase --cache-dir="$cache/debs" --include="$(guest_packages)" \
		"$suite" "$root" "$from"
	unmount_proc "$root"
}

# Everything below is carried through every later copy and upload of the
# guest.  Licences stay.
slim_down() {
	local root=$1
	find "$root/usr/share/doc" -type f ! -name copyright -delete
	find "$root/usr/share/doc" -depth -type d -empty -delete
	find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 -type d ! -name 'en*' -exec rm -rf {} +
	rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/var/cache/apt/* \
		"$root"/var/lib/apt/lists/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old \
		"$root"/var/log/bootstrap.log "$root"/var/log/apt/* "$root"/tmp/* "$root"/var/tmp/*
}

configure() {
	local root=$1
	configure_identity "$root"
	configure_accounts "$root"
	configure_storage "$root"
	configure_network "$root"
	configure_packages "$root"
	quieten "$root"
}

# The base system is shared, so whatever must be this guest's alone is made
# new.  A machine that has run before has a machine id; an empty one would mean
# a first boot.
configure_identity() {
	local root=$1
	echo "$name" >"$root/etc/hostname"
	printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost ip6-loopback\n' "$name" >"$root/etc/hosts"
	echo 'LANG=C.UTF-8' >"$root/etc/default/locale"
	tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
	rm -f "$root"/etc/ssh/ssh_host_*_key*
	run in_guest "$root" ssh-keygen -A
}

# The password is for the console: it is no secret, so SSH does not take it.
configure_accounts() {
	local root=$1 home
	in_guest "$root" useradd --create-home --shell /bin/bash --groups sudo admin
	printf 'admin:%s\n' "$password" | in_guest "$root" chpasswd
	echo '%sudo ALL=(ALL:ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/sudo-without-password"
	chmod 440 "$root/etc/sudoers.d/sudo-without-password"
	echo 'PasswordAuthentication no' >"$root/etc/ssh/sshd_config.d/keys-only.conf"
	for home in root home/admin; do
		install -d -m 700 "$root/$home/.ssh"
		install -m 600 "$work/authorized_keys" "$root/$home/.ssh/authorized_keys"
	done
	in_guest "$root" chown -R admin:admin /home/admin/.ssh
	in_guest "$root" systemctl --quiet enable ssh.service
}

# Device names on purpose: they are what a conversion must find and change.
configure_storage() {
	local root=$1 partition=1
	mkdir -p "$root/srv/data"
	{
		echo '# <file system> <mount point> <type> <options> <dump> <pass>'
		if [ "$firmware" = efi ]; then
			mkdir -p "$root/boot/efi"
			echo '/dev/sda1 /boot/efi vfat umask=0077 0 1'
			partition=2
		fi
		echo "/dev/sda$partition / $fs errors=remount-ro 0 1"
		echo "/dev/sdb1 /srv/data $fs defaults 0 2"
	} >"$root/etc/fstab"
	# Disks found together race for the name sda, and with device names in fstab
	# a wrong winner spoils the boot, on VMware too.  So they are found one after
	# the other, by a disk driver that is there before them.
	cat >"$root/etc/modprobe.d/disks-in-order.conf" <<-'EOF'
	options scsi_mod scan=sync
	softdep vmw_pvscsi pre: sd_mod
	softdep mptspi pre: sd_mod
	softdep mptsas pre: sd_mod
	softdep ahci pre: sd_mod
	EOF
}

# As Debian's installer writes it.
configure_network() {
	cat >"$1/etc/network/interfaces" <<-EOF
	# This file describes the network interfaces available on your system
	# and how to activate them. For more information, see interfaces(5).

	source /etc/network/interfaces.d/*

	# The loopback network interface
	auto lo
	iface lo inet loopback

	# The primary network interface
	allow-hotplug $interface
	iface $interface inet dhcp
	EOF
	# debootstrap copied this machine's, which means nothing elsewhere.
	: >"$1/etc/resolv.conf"
}

# The guest must not name the mirror of the machine that built it.
configure_packages() {
	cat >"$1/etc/apt/sources.list" <<-EOF
	deb http://deb.debian.org/debian $suite main
	deb http://deb.debian.org/debian $suite-updates main
	deb http://deb.debian.org/debian-security $suite-security main
	EOF
	if [ "$firmware" = bios ]; then
		echo 'grub-pc grub-pc/install_devices multiselect /dev/sda' | in_guest "$1" debconf-set-selections
	fi
}

# Work that a machine does by the calendar would fall into the first minutes of
# a test, where every second counts tenfold under emulation.
quieten() {
	local unit
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		e2scrub_reap.service fstrim.timer; do
		ln -sf /dev/null "$1/etc/systemd/system/$unit"
	done
}

# VMware's controllers (paravirtual, LSI parallel and SAS, SATA) and nothing
# else: neither nvme nor xen-blkfront, in whatever way they might come.
make_initramfs() {
	local root=$1 kernel
	mkdir -p "$root/etc/initramfs-tools/conf.d"
	echo 'MODULES=list' >"$root/etc/initramfs-tools/conf.d/driver-policy"
	sed -i "s/^COMPRESS=.*/COMPRESS=$compress/" "$root/etc/initramfs-tools/initramfs.conf"
	printf '%s\n' vmw_pvscsi mptspi mptsas ahci ata_piix sd_mod "$fs" crc32c_generic crc32c_intel \
		>>"$root/etc/initramfs-tools/modules"
	# The checker of the root file system is chosen by looking at the device,
	# which is not there yet.
	echo "FSTYPE=$fs" >"$root/etc/initramfs-tools/conf.d/fstype"
	mount_proc "$root"
	for kernel in "$root"/boot/vmlinuz-*; do
		run in_guest "$root" update-initramfs -c -k "${kernel##*/vmlinuz-}"
	done
	rm "$root/etc/initramfs-tools/conf.d/fstype"
	# That a guest without conversion fails on EC2 is the point of it.
	if in_guest "$root" lsinitramfs "/boot/initrd.img-${kernel##*/vmlinuz-}" | grep -E 'nvme|xen|virtio'; then
		die "the initramfs must not hold the drivers above; see make_initramfs in tools/guest/system.sh"
	fi
	unmount_proc "$root"
	# The links that Debian keeps for the newest kernel.
	kernel=$(basename "$kernel")
	ln -sf "boot/$kernel" "$root/vmlinuz"
	ln -sf "boot/initrd.img-${kernel#vmlinuz-}" "$root/initrd.img"
}
