#!/bin/bash
# The whole promise: an OVA from VMware becomes a booted EC2 instance, reachable, with its
# data; and, as a control, the same disks without conversion do not boot.
# shellcheck disable=SC2016,SC2119,SC2317 # jq's variables; no options; called by wait_until
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands aws jq ssh qemu-system-x86_64 qemu-img
need_root "making the demo guest, and volumes as loop devices"
lab_start
demo=$(demo_guest) || exit 1
before=$(cloud_state)

# ---- check, dry run ----

run check check --json "$demo.ova"
exits check 0 "check: the guest can be converted"
check "check: machine and guest are told" \
    jq -e '.convertible and (.machine.disks | length) == 2 and (.guest | has("product_name"))' \
    "$dir/check.out"

run plan convert --dry-run --json "$demo.ova"
exits plan 0 "a dry run shows the plan"
check "the plan has two volumes and a Nitro type" \
    jq -e '(.volumes | length) == 2 and .hypervisor == "nitro"' "$dir/plan.out"
same "a dry run makes nothing" "$before" "$(cloud_state)"

# ---- convert ----

run convert convert --json --verify --tag purpose=test --boot-timeout 700 "$demo.ova"
exits convert 0 "convert runs through to a booted instance"
if [ "$code" != 0 ]; then
    say "$("$hotadd" jobs "$(last_job)" 2>&1 | tail -n 30 | sed '2,$s/^/# /')"
    finish
fi
check "its result is one JSON document, with state done" jq -e '.state == "done"' "$dir/convert.out"
job=$(jq -r .id "$dir/convert.out")
instance=$(jq -r .instance.instance_id "$dir/convert.out")

check "jobs --json has every step, done, in the documented order" \
    jq -e '[.steps[] | select(.state == "done") | .name] == ["create-volumes", "attach-volumes",
        "restore-data", "inject-drivers", "detach-volumes", "create-instance", "first-boot"]' \
    <("$hotadd" jobs --json "$job")
say "seconds: $("$hotadd" jobs --json "$job" | jq -r '[.steps[] | "\(.name) \((.ended | fromdate) - (.started | fromdate))"] | join(", ")')"
check "jobs lists it" sh -c '"$0" jobs | grep -q "^$1 .*done"' "$hotadd" "$job"
check "jobs JOB tells what was changed in the guest" \
    sh -c '"$0" jobs "$1" | grep -q "inject-drivers.*/etc/fstab"' "$hotadd" "$job"

# ---- what EC2 says ----

ec2 describe-instances --instance-ids "$instance" >"$dir/instance.json"
ec2 describe-volumes --filters "Name=attachment.instance-id,Values=$instance" >"$dir/volumes.json"
check "the instance runs, has two disks, the first at its root device" \
    jq -e '.Reservations[0].Instances[0] | .State.Name == "running"
        and (.RootDeviceName as $r | [.BlockDeviceMappings[].DeviceName]
            | length == 2 and index($r) != null)' "$dir/instance.json"
check "its volumes survive a termination by default" \
    jq -e '[.Reservations[0].Instances[0].BlockDeviceMappings[].Ebs.DeleteOnTermination] == [false, false]' \
    "$dir/instance.json"
check "instance and volumes carry the job's tag and the user's" \
    jq -se --arg job "$job" '[.[0].Reservations[0].Instances[0], .[1].Volumes[]]
        | length == 3 and all([.Tags[] | {(.Key): .Value}] | add
            | ."hotadd:job" == $job and .purpose == "test")' "$dir/instance.json" "$dir/volumes.json"
check "volumes have the size of the disks, in whole GiB, gp3" \
    jq -e '[.Volumes[] | [.Size, .VolumeType]] | sort == [[1, "gp3"], [2, "gp3"]]' "$dir/volumes.json"
ec2 describe-instance-status --instance-ids "$instance" >"$dir/status.json"
check "both status checks are ok" \
    jq -e '.InstanceStatuses[0] | .InstanceStatus.Status == "ok" and .SystemStatus.Status == "ok"' \
    "$dir/status.json"
console() { ec2 get-console-output --latest --instance-id "$instance" | jq -r .Output >"$dir/console"; grep -q 'login:' "$dir/console"; }
check "the console shows a login prompt" wait_until 60 console

# ---- inside ----

inside() { # NAME COMMAND
    local out
    if out=$(in_guest "$instance" "$demo.key" "$2" 2>&1); then pass "inside: $1"; else
        printf '%s\n' "$2" "$out" | fail "inside: $1"
    fi
}
inside "SSH answers" true
inside "root is an NVMe disk" '[ "$(findmnt -no SOURCE / | cut -c 1-9)" = /dev/nvme ]'
inside "fstab and the kernel's command line name file systems by UUID" \
    'grep -q "^UUID=.* / " /etc/fstab && ! grep -q "^/dev/sd" /etc/fstab && grep -q root=UUID= /proc/cmdline'
inside "eth0 has its address by DHCP" \
    'ip -4 -o addr show dev eth0 | grep -q "inet '"$(jq -r .instance.private_ip "$dir/convert.out")"'/" && pgrep -f "dhclient.*eth0|systemd-networkd" >/dev/null'
inside "the data disk is mounted and whole" 'findmnt -no SOURCE /srv/data | grep -q nvme && cd /srv/data && sha256sum --quiet -c SHA256SUMS'
inside "VMware's tools do not run" '! systemctl is-enabled --quiet open-vm-tools 2>/dev/null && ! pgrep vmtoolsd >/dev/null'
inside "nothing of VMware's network is left" '! grep -rhs ens192 /etc/network | grep -qv "^#"'
inside "no unit has failed" '[ -z "$(systemctl --failed --plain --no-legend | grep -v -e systemd-networkd-wait)" ]'
inside "the initramfs for later kernels has NVMe too" 'grep -rqs nvme /etc/initramfs-tools/modules /etc/initramfs-tools/conf.d || ! grep -qs "^MODULES=list" /etc/initramfs-tools/conf.d/driver-policy'

# ---- undo ----

run refuse undo "$job"
exits refuse 2 "undo of a job that is done wants --done"
run undo undo --done "$job"
exits undo 0 "undo --done removes it"
same "the lab is as before" "$before" "$(cloud_state)"

# ---- the control: the same disk, not converted ----

# But for one word: its kernel talks to the serial port, so that it can be read why.
cp --sparse=always "$demo-disk1.raw" "$dir/control.raw"
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg
talking() {
    guestfish --format=raw -a "$dir/control.raw" <<-FISH
	run
	mount /dev/sda1 /
	download /boot/grub/grub.cfg $dir/grub.cfg
	! sed -i 's|^\(\s*linux\s.*\)$|\1 console=ttyS0,115200n8|' "$dir/grub.cfg" && grep -q console=ttyS0 "$dir/grub.cfg"
	upload $dir/grub.cfg /boot/grub/grub.cfg
	FISH
}
check "(the control's kernel is told to talk)" talking
run control restore --skip-check --format raw --boot-timeout 240 "$dir/control.raw"
exits control 1 "without conversion the machine does not pass its status checks"
job=$(last_job)
check "its console says that the root disk does not exist" \
    sh -c '"$0" jobs "$1" | grep -q "does not exist"' "$hotadd" "$job"
has "the message names the job and how to go on" "$dir/control.err" "hotadd resume $job" "hotadd undo $job"
run undo undo "$job"
exits undo 0 "undo removes it"
same "the lab is as before the control" "$before" "$(cloud_state)"
finish
