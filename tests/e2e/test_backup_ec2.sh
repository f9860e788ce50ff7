#!/bin/bash
# EC2 instances as sources of backups: everything once, then what changed, through the EBS
# direct APIs and, where those are closed, through volumes; and what a kill leaves.
# shellcheck disable=SC2016,SC2119,SC2317 # jq's variables; no options; wait_until calls
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands aws jq qemu-img python3 nbdkit
lab_start --no-machines --delay-ms 50
seed=${HOTADD_TEST_SEED-$$}
say "HOTADD_TEST_SEED=$seed"
repo=$dir/repo

disk "$dir/m-1.raw" 20 "$seed-1"
disk "$dir/m-2.raw" 6 "$seed-2"
vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw"
run launch restore --json --skip-check --no-wait --name web "$dir/m.vmx"
exits launch 0 "an instance to back up"
instance=$(jq -r .instance.instance_id "$dir/launch.out")
source=ec2://$instance
volume() { # DEVICE-NUMBER
    ec2 describe-instances --instance-ids "$instance" \
        --query 'Reservations[0].Instances[0].BlockDeviceMappings[*].[DeviceName,Ebs.VolumeId]' |
        jq -r 'sort_by(.[0])[] | .[1]' | sed -n "$1p"
}
v1=$lab_dir/volumes/$(volume 1).raw
v2=$lab_dir/volumes/$(volume 2).raw
# Those that backups keep; a carrier's is another's.
snapshots() {
    ec2 describe-snapshots --owner-ids self --filters Name=tag-key,Values=hotadd:backup \
        --query 'Snapshots[*].SnapshotId' | jq -r 'sort[]'
}
same_point() { # NAME POINT
    run copy copy --quiet --force --repo "$repo" "${2#vm/}#1" "$dir/p1.raw"
    run copy2 copy --quiet --force --repo "$repo" "${2#vm/}#2" "$dir/p2.raw"
    check "$1: disk 1" cmp "$v1" "$dir/p1.raw"
    check "$1: disk 2" cmp "$v2" "$dir/p2.raw"
}
before=$(cloud_state)

run wrong backup --repo "$repo" --create ec2://web
exits wrong 2 "an instance is named by its id"
run none backup --repo "$repo" --create ec2://i-00000000000000000
exits none 1 "one that is not there"
same "leaves nothing" "$before" "$(cloud_state)"
check "and makes no repository" test ! -e "$repo"
run typo backup --repo "$repo" "$source"
exits typo 1 "a mistyped repository"
has "is told" "$dir/typo.err" "does not exist"
same "before a snapshot is made" 0 "$(grep -c CreateSnapshots "$lab_dir/lab.log")"

# ---- everything, then what changed ----

run first backup --json --repo "$repo" --create "$source"
exits first 0 "a first backup"
has "makes snapshots" "$lab_dir/lab.log" CreateSnapshots
point=$(backed first .point)
same "by the instance's name" vm/web "${point%@*}"
same_point "it is what the volumes hold" "$point"
run list list --json --repo "$repo" web
check "of one machine with two disks" jq -e 'length == 1 and .[0].disks == 2' "$dir/list.out"
run hardware check --json --skip-check --repo "$repo" web
same "its snapshots are kept" 2 "$(snapshots | wc -l)"
kept=$(snapshots)
run gc gc --json
same "and accounted for" 0 "$(jq length "$dir/gc.out")"

poke "$v1" $((9 << 20)) 70000 "$seed-change"
sleep 1
run second backup --json --repo "$repo" "$source"
exits second 0 "a second one"
point=$(backed second .point)
same_point "it is what the volumes hold now" "$point"
if [ -n "${AWS_ENDPOINT_URL_EBS-}${HOTADD_TEST_EBS-}" ] || [ "$(backed second .reused_bytes)" != 0 ]; then
    check "only what changed was read" test "$(backed second .data_bytes)" -le $((8 << 20))
    check "the rest was taken over" test "$(backed second .reused_bytes)" -ge $((2040 << 20))
fi
same "the snapshots of the newest are kept, no others" 2 "$(snapshots | wc -l)"
check "they are new ones" test "$kept" != "$(snapshots)"

# A snapshot that somebody deleted costs reading, not data.
ec2 delete-snapshot --snapshot-id "$(snapshots | head -n 1)" >/dev/null
poke "$v2" $((2 << 20)) 5000 "$seed-more"
sleep 1
run third backup --json --repo "$repo" "$source"
exits third 0 "a third, with a snapshot gone"
same_point "is right" "$(backed third .point)"

sleep 1
run drop backup --json --repo "$repo" --drop-snapshots "$source"
exits drop 0 "one that keeps no snapshots"
same_point "is right, too" "$(backed drop .point)"

# ---- where the EBS direct APIs are closed ----

state=$(cloud_state)
fault add ListSnapshotBlocks AccessDeniedException >/dev/null ||
    bail "the lab takes no fault for EBS direct"
poke "$v1" $((1 << 20)) 3000 "$seed-closed"
sleep 1
run closed backup --json --repo "$repo" --drop-snapshots "$source"
exits closed 0 "a backup through volumes"
has "says so" "$dir/closed.err" "read from volumes made of them"
same_point "is right" "$(backed closed .point)"
same "and leaves nothing" "$state" "$(cloud_state)"
fault clear >/dev/null

# ---- kill -9 ----

killed() { # STEP CALL: killed in that call of the step, which the lab holds up
    sleep 1
    fault add "$2" delay --ms 3000 --times 1 >/dev/null
    "$hotadd" backup --max-rate 4M --repo "$repo" --drop-snapshots "$source" >"$dir/killed.out" 2>"$dir/killed.err" &
    pid=$!
    wait_until 60 faults_met_or_ended "$pid"
    sleep 0.2
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    fault clear >/dev/null
    "$hotadd" jobs --json >"$dir/jobs.out"
    job=$(jq -r '[.[] | select(.kind == "backup" and .state == "interrupted")] | last | .id // empty' "$dir/jobs.out")
    same "killed in $1" "interrupted $1" "$(job_field "$job" '.state + " " + .step')"
}
for call in create-snapshots:CreateSnapshots read-volumes:GetSnapshotBlock; do
    step=${call%:*}
    killed "$step" "${call#*:}"
    run undo undo "$job"
    exits undo 0 "undo ($step)"
    same "leaves nothing ($step)" "$state" "$(cloud_state)"
    killed "$step" "${call#*:}"
    run resume resume --json "$job"
    exits resume 0 "resume ($step)"
    same "leaves nothing either ($step)" "$state" "$(cloud_state)"
    run list list --json --repo "$repo" web
    same_point "its point is right ($step)" "$(jq -r 'max_by(.point).point' "$dir/list.out")"
done
finish
