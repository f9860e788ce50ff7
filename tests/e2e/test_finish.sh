#!/bin/bash
# The finishers image and auto against the lab, without machines: what they make, what
# they leave, and what a kill -9 in them costs.
# shellcheck disable=SC2016,SC2119,SC2317 # of sh -c; no options; called by wait_until
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/backup_lib.sh
. "$here/backup_lib.sh"

begin "${1-}"
need_commands aws jq qemu-img python3
RANDOM=${HOTADD_TEST_SEED:-$$}
say "seed ${HOTADD_TEST_SEED:-$$}; HOTADD_TEST_SEED repeats it"

lab_start --no-machines --delay-ms 400
cli_start
ec2() { cli --endpoint-url "$AWS_ENDPOINT_URL" --output json ec2 "$@"; }
disk "$dir/one.raw" 16 1
disk "$dir/two.raw" 24 2
vmx "$dir/vm.vmx" "$dir/one.raw" "$dir/two.raw"
common=(restore --skip-check --no-wait --name finished)

job_of() { jq -r .id "$dir/$1.out"; }
of_job() { # JOB QUERY-PLURAL: ids of what carries the job's tag
    ec2 describe-tags --filters Name=key,Values=hotadd:job "Name=value,Values=$1" "Name=resource-type,Values=$2" \
        --query 'Tags[].ResourceId' | jq -r '.[]' | sort
}

# ---- image ----

before=$(cloud_state)
run image "${common[@]}" --json --finish image --throughput 250 "$dir/vm.vmx"
exits image 0 "--finish image ends with an instance"
[ "$code" = 0 ] || finish
job=$(job_of image)
instance=$(jq -r .instance.instance_id "$dir/image.out")
ec2 describe-instances --instance-ids "$instance" >"$dir/instance.json"
check "it runs, with both disks, IMDSv2 only" jq -e '.Reservations[0].Instances[0] |
    .State.Name == "running" and (.BlockDeviceMappings | length) == 2 and
    .MetadataOptions.HttpTokens == "required" and .BootMode == "uefi"' "$dir/instance.json"
same "of the job only the instance's two volumes are left" \
    "$(jq -r '.Reservations[0].Instances[0].BlockDeviceMappings[].Ebs.VolumeId' "$dir/instance.json" | sort)" \
    "$(of_job "$job" volume)"
same "no image, no snapshot" "" "$(of_job "$job" image)$(of_job "$job" snapshot)"
same "its volumes have the type and throughput asked for, and stay when it is terminated" '["gp3",250,false]' \
    "$(ec2 describe-volumes --filters "Name=tag:hotadd:job,Values=$job" |
        jq -c '[.Volumes[] | [.VolumeType, .Throughput, .Attachments[0].DeleteOnTermination]] | unique[]')"
run gc gc --json
check "gc calls none of it an orphan" jq -e 'length == 0' "$dir/gc.out"

# What the instance got is what the source holds, byte for byte.
root_volume=$(jq -r '.Reservations[0].Instances[0] | .RootDeviceName as $r |
    .BlockDeviceMappings[] | select(.DeviceName == $r) | .Ebs.VolumeId' "$dir/instance.json")
data_volume=$(jq -r '.Reservations[0].Instances[0] | .RootDeviceName as $r |
    .BlockDeviceMappings[] | select(.DeviceName != $r) | .Ebs.VolumeId' "$dir/instance.json")
check "the root volume holds disk 1" cmp -n $((16 << 20)) "$dir/one.raw" "$lab_dir/volumes/$root_volume.raw"
check "the other volume holds disk 2" cmp -n $((24 << 20)) "$dir/two.raw" "$lab_dir/volumes/$data_volume.raw"

run again resume "$job"
exits again 0 "resuming the finished job does nothing"
run undo undo --done --quiet "$job"
exits undo 0 "undo --done"
same "and leaves the account as before" "$before" "$(cloud_state)"

# ---- the image kept ----

run keep "${common[@]}" --json --finish image --keep-image --imds required "$dir/vm.vmx"
exits keep 0 "--keep-image"
job=$(job_of keep)
image=$(of_job "$job" image)
ec2 describe-images --image-ids "$image" >"$dir/image.json"
check "every attribute of the image is said" jq -e '.Images[0] |
    .Architecture == "x86_64" and .VirtualizationType == "hvm" and .BootMode == "uefi" and
    .EnaSupport and .ImdsSupport == "v2.0" and .RootDeviceName == "/dev/sda1" and
    (has("TpmSupport") | not) and (.BlockDeviceMappings | length) == 2 and
    ([.BlockDeviceMappings[].Ebs | .VolumeType == "gp3" and .DeleteOnTermination == false] | all)' \
    "$dir/image.json"
same "and its snapshots stay" "$(jq -r '.Images[0].BlockDeviceMappings[].Ebs.SnapshotId' "$dir/image.json" | sort)" \
    "$(of_job "$job" snapshot)"
run undo undo --done --quiet "$job"
same "undo --done removes them too" "$before" "$(cloud_state)"

# ---- auto ----

run auto restore --skip-check --dry-run --json --finish auto "$dir/vm.vmx"
check "auto takes swap where it can, and says why and why not the others" jq -e '
    .finisher == "swap" and (.finisher_why | contains("lazily")) and
    (.finisher_others | contains("not image: ") and contains("not import: "))' "$dir/auto.out"
home=$(jq -r .zone "$dir/auto.out")
other=$(ec2 describe-availability-zones --query 'AvailabilityZones[].ZoneName' | jq -r --arg h "$home" \
    '[.[] | select(. != $h)][0]')
run zone restore --skip-check --dry-run --zone "$other" "$dir/vm.vmx"
exits zone 3 "another zone is refused for swap"
has "which says what can" "$dir/zone.err" "--finish image or auto"
run zone "${common[@]}" --json --finish auto --zone "$other" "$dir/vm.vmx"
exits zone 0 "auto makes the instance there"
same "in that zone" "$other" "$(jq -r .instance.zone "$dir/zone.out")"
check "by the image finisher, for that reason" sh -c '"$0" jobs "$1" --json | jq -e "[.resources[].key] | index(\"image\")"' \
    "$hotadd" "$(job_of zone)"
run undo undo --done --quiet "$(job_of zone)"
same "undo --done leaves the account as before" "$before" "$(cloud_state)"
run carrier restore --skip-check --finish image --carrier ami-1 "$dir/vm.vmx"
exits carrier 3 "a carrier makes no sense with image"

# ---- kill -9 ----

at_create() {
    ! kill -0 "$pid" 2>/dev/null || "$hotadd" jobs --json 2>/dev/null |
        jq -e '.[0] | .step == "create-instance" and .state == "running"' >/dev/null
}

n=0
moments=(0.2 1.2 2.4 3.6)
[ "${HOTADD_TEST_KILL-}" != all ] || moments+=(0.7 1.8 3 4.2 5)
for moment in "${moments[@]}"; do
    n=$((n + 1))
    HOTADD_JOURNAL=$dir/kill-$n.db
    "$hotadd" "${common[@]}" --finish image "$dir/vm.vmx" >"$dir/kill.out" 2>"$dir/kill.err" &
    pid=$!
    wait_until 240 at_create
    sleep "${moment}$((RANDOM % 10))"
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    job=$(last_job)
    state=$(job_field "$job" '.state + ", " + ([.resources[] | select(.state == "made")] | last | .key)')
    if [ $((n % 2)) = 0 ]; then
        run "resume-$n" resume --quiet "$job"
        exits "resume-$n" 0 "killed after ${moment}… s ($state): resume goes on"
        same "one instance and its two volumes, nothing else ($n)" "1 2 0 0" \
            "$(for t in instance volume image snapshot; do of_job "$job" $t | grep -c .; done | xargs)"
        run "undo-$n" undo --done --quiet "$job"
    else
        run "undo-$n" undo --quiet "$job"
        [ "$code" = 0 ] || run "undo-$n" undo --done --quiet "$job"
        exits "undo-$n" 0 "killed after ${moment}… s ($state): undo"
    fi
    same "the account is as before ($n)" "$before" "$(cloud_state)"
done
finish
