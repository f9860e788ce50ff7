#!/bin/bash
# hotadd import, and the import finisher, against the lab, without machines: role, bucket
# and limits are checked before anything is made; disks arrive whole; nothing is left; a
# kill -9 anywhere costs nothing.
# shellcheck disable=SC2016,SC2119,SC2317 # jq's variables; called by wait_until and check
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/backup_lib.sh
. "$here/backup_lib.sh"

begin "${1-}"
need_commands aws jq qemu-img python3 sfdisk
RANDOM=${HOTADD_TEST_SEED:-$$}
say "seed ${HOTADD_TEST_SEED:-$$}; HOTADD_TEST_SEED repeats it"

lab_start --no-machines --delay-ms 400
cli_start
disk "$dir/one.raw" 40 1
disk "$dir/two.raw" 24 2
printf 'start=2048, type=83, bootable\n' | sfdisk -q "$dir/one.raw" 2>/dev/null
vmx "$dir/vm.vmx" "$dir/one.raw" "$dir/two.raw"
sed -i 's/firmware = "efi"/firmware = "bios"/' "$dir/vm.vmx"
ec2() { cli --endpoint-url "$AWS_ENDPOINT_URL" --output json ec2 "$@"; }
s3() { cli --endpoint-url "$AWS_ENDPOINT_URL_S3" s3 "$@"; }
left_over() { # objects and unfinished uploads
    s3 ls --recursive s3://imports | awk '{print $NF}'
    cli --endpoint-url "$AWS_ENDPOINT_URL_S3" --output json s3api list-multipart-uploads --bucket imports |
        jq -r '.Uploads[]?.Key'
}
everything() { cloud_state; left_over; }
common=(--skip-check --no-wait --name imported --bucket imports)
job_of() { jq -r .id "$dir/$1.out"; }

# ---- what is checked first ----

run none import --skip-check --no-wait "$dir/vm.vmx"
exits none 2 "a bucket is needed"
run none import "${common[@]}" "$dir/vm.vmx"
exits none 1 "a bucket that is not there"
s3 mb s3://imports >/dev/null
before=$(everything)
run role import "${common[@]}" "$dir/vm.vmx"
exits role 3 "without the role it is refused"
has "with the command that makes it" "$dir/role.err" "vmimport" "does not exist" \
    "hotadd import --setup --bucket imports"
run print import --setup --bucket imports
exits print 0 "--setup prints commands"
has "and policies" "$dir/print.out" "aws iam create-role --role-name vmimport" "vmie.amazonaws.com" \
    "arn:aws:s3:::imports/*"
run apply import --setup --apply --bucket imports
exits apply 0 "--apply makes the role"
run apply import --setup --apply --bucket imports
exits apply 0 "and may be repeated"
s3 mb s3://others >/dev/null
run others import "${common[@]}" --bucket others "$dir/vm.vmx"
exits others 3 "a bucket that the role may not read"
has "is told before the upload" "$dir/others.err" "may not read its objects"
same "until here nothing was made" "$before" "$(everything)"

run plan import "${common[@]}" --dry-run --json "$dir/vm.vmx"
exits plan 0 "a dry run"
check "says where the disks go, and how" jq -e '.finisher == "import" and .bucket == "s3://imports" and .disk_format == "raw"' \
    "$dir/plan.out"

# ---- the import ----

volumes_of() { # INSTANCE: volume ids, the root's first
    ec2 describe-instances --instance-ids "$1" | jq -r '.Reservations[0].Instances[0] | .RootDeviceName as $r |
        .BlockDeviceMappings | sort_by(.DeviceName != $r)[] | .Ebs.VolumeId'
}

arrived() { # NAME: the instance's volumes hold the disks
    local instance volumes
    instance=$(jq -r .instance.instance_id "$dir/$1.out")
    mapfile -t volumes < <(volumes_of "$instance")
    check "disk 1 arrived whole ($1)" cmp -n $((40 << 20)) "$dir/one.raw" "$lab_dir/volumes/${volumes[0]}.raw"
    check "disk 2 arrived whole ($1)" cmp -n $((24 << 20)) "$dir/two.raw" "$lab_dir/volumes/${volumes[1]}.raw"
}

for options in "" "--disk-format vhd" "--one-image"; do
    name=import${options// /}
    # shellcheck disable=SC2086 # words
    run "$name" import "${common[@]}" --json $options "$dir/vm.vmx"
    exits "$name" 0 "hotadd import $options"
    [ "$code" = 0 ] || continue
    arrived "$name"
    same "no object, no upload, no image and no snapshot is left ($name)" "" \
        "$(left_over; cloud_state | grep -E '^(ami|snap)')"
    run undo undo --done --quiet "$(job_of "$name")"
    same "undo --done leaves the account as before ($name)" "$before" "$(everything)"
done

run volumes restore --skip-check --no-wait --name imported --json --finish import "$dir/vm.vmx"
exits volumes 0 "--finish import takes the volumes' snapshots"
[ "$code" != 0 ] || arrived volumes
run undo undo --done --quiet "$(job_of volumes)"
same "undo --done leaves the account as before (--finish import)" "$before" "$(everything)"

fault add ImportImage fail --message "ClientError: Unsupported kernel" >/dev/null
run fails import "${common[@]}" "$dir/vm.vmx"
exits fails 1 "an import that fails"
has "tells why in EC2's words" "$dir/fails.err" "Unsupported kernel"
fault clear >/dev/null
run fails resume --json "$(last_job)"
exits fails 0 "a resume has it imported anew, and uploads nothing again"
[ "$code" != 0 ] || arrived fails
run undo undo --done --quiet "$(last_job)"
same "and its undo leaves the account as before" "$before" "$(everything)"

# ---- kill -9 ----

at() { # STEP
    ! kill -0 "$pid" 2>/dev/null || "$hotadd" jobs --json 2>/dev/null |
        jq -e --arg s "$1" '.[0] | .step == $s and .state == "running"' >/dev/null
}

n=0
for step in upload-disks import-image import-snapshots create-instance clean; do
    for way in resume undo; do
        n=$((n + 1))
        HOTADD_JOURNAL=$dir/kill-$n.db
        slow=()
        [ "$step" != upload-disks ] || slow=(--max-rate 8M)
        "$hotadd" import "${common[@]}" "${slow[@]}" "$dir/vm.vmx" >"$dir/kill.out" 2>"$dir/kill.err" &
        pid=$!
        wait_until 240 at "$step"
        [ "$step" = clean ] || sleep "0.$((RANDOM % 6))" # that one is short
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
        job=$(last_job)
        state=$(job_field "$job" '.state + " in " + (.step // "-")')
        if [ $way = resume ]; then
            run "kill-$n" resume --json "$job"
            exits "kill-$n" 0 "killed in $step ($state): resume goes on"
            [ "$code" != 0 ] || arrived "kill-$n"
            same "nothing is left over ($step)" "" "$(left_over; cloud_state | grep -E '^(ami|snap)')"
            run "undo-$n" undo --done --quiet "$job"
        else
            run "undo-$n" undo --done --quiet "$job"
            exits "undo-$n" 0 "killed in $step ($state): undo"
        fi
        same "the account is as before ($step, $way)" "$before" "$(everything)"
    done
done
finish
