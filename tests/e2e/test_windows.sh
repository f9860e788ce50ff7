#!/bin/bash
# Windows guests' part end to end, on an NTFS of our own making with hives of our own
# making: what is found, the conversion through ntfs-3g, who may read what it wrote, a
# second conversion that finds nothing to do, dirty hives, and a hibernated volume that is
# refused untouched. It proves the edits; no Windows is started.
#
# Appliances take turns with tests that have the same HOTADD_QEMU_LOCK.
#
# usage: test_windows.sh [BUILD]
set -u
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
begin "${1-}"
need_commands jq flock sfdisk guestfish zip sha256sum mkfs.ntfs
guest=$build/src/guest/hotadd-guest hives=$build/tests/e2e/win-hives
[ -f "$build/firstboot/hotadd-firstboot.exe" ] || skip_all "the first-boot service was not built"
lock=${HOTADD_QEMU_LOCK:-$dir/lock}
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg

# ask NAME OP OPTIONS DISK: hotadd-guest's last line in $dir/NAME.
ask() {
    mkfifo "$dir/ask"
    flock "$lock" timeout 900 "$guest" <"$dir/ask" >"$dir/$1.out" 2>"$dir/$1.err" &
    exec 7>"$dir/ask"
    rm "$dir/ask"
    jq -nc --arg op "$2" --argjson o "$3" --arg d "$4" --arg drivers "$dir/drivers" \
        '{op: $op, disks: [{path: $d}], options: ($o + {drivers: $drivers})}' >&7
    wait $!
    exec 7>&-
    tail -n 1 "$dir/$1.out" >"$dir/$1"
}

states() { # NAME: what is neither met nor unneeded
    jq -r '(.result.info // .result).findings[]? | select(.state != "met" and .state != "not-needed")
        | "\(.id) \(.state)"' "$dir/$1" | sort
}

# partitioned FILE: an MBR disk of two partitions.
partitioned() {
    truncate -s 2200M "$1"
    printf 'label: dos\nstart=2048, size=16MiB, type=7, bootable\ntype=7\n' | sfdisk -q "$1" || bail "sfdisk"
    # Something to run in the first sector.
    printf '\063\300\216\320' | dd of="$1" conv=notrunc status=none
}

# windows_on DEVICE HIVES-DIR [FILE]: guestfish's commands that put Windows on the second
# partition, started by the first; FILE becomes hiberfil.sys.
windows_on() {
    cat <<END
mkfs ntfs ${1}1
mount ${1}1 /
mkdir /Boot
copy-in $2/BCD /Boot
umount /
mkfs ntfs ${1}2
mount ${1}2 /
mkdir-p /Windows/System32/config
mkdir-p /Windows/System32/drivers
write /Windows/System32/drivers/stornvme.sys driver
copy-in $2/. /Windows/System32/config
${3+upload $3 /hiberfil.sys}
umount /
END
}

# ---- the folder of drivers ----

mkdir -p "$dir/drivers" "$dir/ena" "$dir/clean" "$dir/dirty"
cat >"$dir/ena/ena.inf" <<'END'
[Version]
Signature="$Windows NT$"
Class=Net
DriverVer=01/31/2024,2.7.0.0
CatalogFile=ena.cat
[Manufacturer]
Maker=Devices,NTamd64.10.0
[Devices.NTamd64.10.0]
Device=Install,PCI\VEN_1D0F&DEV_EC20
[SourceDisksFiles]
ena.sys=1
END
echo driver >"$dir/ena/ena.sys"
echo signature >"$dir/ena/ena.cat"
(cd "$dir/ena" && zip -q "$dir/drivers/AwsEnaNetworkDriver.zip" ena.inf ena.sys ena.cat)
"$hives" "$dir/clean" || bail "no hives"
"$hives" "$dir/dirty" dirty || bail "no dirty hives"

check 'hotadd drivers knows the package' sh -c \
    "'$hotadd' drivers --drivers '$dir/drivers' | grep -q 'serves Windows Server 2016, 2019'"

# ---- dirty hives, converted ----

# All disks in one go: an appliance takes its time to start.
d=$dir/guest.raw h=$dir/hibernated.raw bare=$dir/bare.raw
partitioned "$d"
partitioned "$h"
truncate -s 32M "$bare"
printf 'hibr' >"$dir/hiberfil"
{
    echo run
    windows_on /dev/sda "$dir/dirty"
    windows_on /dev/sdb "$dir/clean" "$dir/hiberfil"
    printf '%s\n' 'mkfs ntfs /dev/sdc' 'mount /dev/sdc /' 'mkdir-p /Windows/System32/config'
} | flock "$lock" guestfish -a "$d" -a "$h" -a "$bare" >"$dir/guestfish.out" 2>&1 || bail "$(cat "$dir/guestfish.out")"
before=$(sha256sum <"$d")
ask check check '{"firmware": "bios"}' "$d"
same 'what the guest lacks' 'windows-boot-storage fixable
windows-clock fixable
windows-launch-agent unknown
windows-san-policy fixable
windows-vmware-tools fixable' "$(states check)"
same 'the dirty hive is replayed' 'SYSTEM and SOFTWARE were not closed; 1 and 0 changes from their logs are counted in' \
    "$(jq -r '.result.findings[] | select(.id == "windows-hives").seen' "$dir/check")"
same 'a check changes not a byte' "$before" "$(sha256sum <"$d")"

ask convert convert '{"firmware": "bios"}' "$d"
if jq -e '.result.changed | length > 5' "$dir/convert" >/dev/null; then
    pass 'the guest is converted'
else
    cat "$dir/convert" "$dir/convert.err" | fail 'the guest is converted'
fi
ask again convert '{"firmware": "bios"}' "$d"
same 'nothing is left to do' 'windows-launch-agent unknown' "$(states again)"
same 'a second conversion changes nothing' '[]' "$(jq -c '.result.edits' "$dir/again")"

# ---- who may read it ----

private='/Windows/HotAdd/plan.txt /Windows/HotAdd/original/Windows/System32/config/SYSTEM'
for file in $private; do
    echo "lgetxattr $file system.ntfs_acl | cat >$dir/acl.${file##*/}"
done | flock "$lock" guestfish --ro -a "$d" -m /dev/sda2
for file in $private; do
    # The owner and the two entries of the list, as [MS-DTYP] writes them.
    acl=$(tr -d '\n' <"$dir/acl.${file##*/}" | od -An -v -tx1 | tr -d ' \n')
    case $acl in
    *02003400020000000003*) pass "$file is for administrators alone" ;;
    *) echo "$acl" | fail "$file is for administrators alone" ;;
    esac
done

# ---- by automatic logon instead ----

echo 'Swordfish 7' >"$dir/password"
ask logon convert '{"fix": true, "first_boot_way": "autologon", "logon_password_file": "'"$dir/password"'"}' "$d"
has 'the converted guest is made to log on' "$dir/logon" 'automatic logon until the first boot is done'
check 'the password is in no answer' sh -c "! grep -q Swordfish '$dir'/logon*"
ask service convert '{}' "$d"
has 'a conversion for the service takes it back' "$dir/service" 'automatic logon of an earlier conversion undone'

# ---- a saved session ----

before=$(sha256sum <"$h")
ask hibernated convert '{}' "$h"
has 'a hibernated guest is refused' "$dir/hibernated" 'windows-hibernation is not met'
same 'and not a byte of it is changed' "$before" "$(sha256sum <"$h")"
ask discarded convert '{"discard_hibernation": true}' "$h"
has 'unless the session is to be discarded' "$dir/discarded" 'saved session discarded'
ask woken check '{}' "$h"
same 'then it is gone' met "$(jq -r '.result.findings[] | select(.id == "windows-hibernation").state' "$dir/woken")"

# ---- nothing to work with ----

ask bare check '{}' "$bare"
same 'a Windows without its registry is refused' refused \
    "$(jq -r '.result.findings[] | select(.id == "windows-hives" and (.seen | contains("config/SYSTEM: no such file"))).state' "$dir/bare")"

# ---- the plan of a conversion, in the lab ----

lab_start
"$hotadd" convert --dry-run --format raw --drivers "$dir/drivers" "$d" >"$dir/plan" 2>"$dir/plan.err"
has 'the carrier is Amazon'"'"'s image of that version, for its licence' "$dir/plan" \
    'Windows_Server-2016-English-Full-Base' 'Windows, billed by EC2'
"$hotadd" convert --dry-run --format raw --drivers "$dir/clean" "$d" >"$dir/plan" 2>&1
same 'without drivers nothing is begun' 3 $?
has 'and it says what is missing' "$dir/plan" 'windows-drivers' 'ENA network driver'

finish
