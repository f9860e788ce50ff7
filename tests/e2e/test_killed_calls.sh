#!/bin/bash
# kill -9 while a call is under way: what EC2 then makes, or has made without us hearing of
# it, is found again. `undo` leaves the account as it was; `resume` makes nothing twice.
#
# usage: tests/e2e/test_killed_calls.sh [BUILD [ACTION:EFFECT...]]
# Without more: calls that once left something behind; with HOTADD_TEST_KILL=all every call
# of create-instance, before ("delay") and after ("delay-reply") it was carried out.
# shellcheck disable=SC2317 # called by wait_until
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
[ $# = 0 ] || shift
need_commands aws jq
calls=("$@")
[ ${#calls[@]} -gt 0 ] || calls=(CreateVolume:delay-reply RegisterImage:delay RunInstances:delay)
[ "${HOTADD_TEST_KILL-}" != all ] ||
    calls=({CreateVolume,CreateSnapshot,RegisterImage,RunInstances,StopInstances,DetachVolume,AttachVolume,StartInstances}:delay{,-reply} DeleteVolume:delay-reply)

# Long enough for a volume to be met while it is created.
lab_start --delay-ms 900
tiny_guest "$dir/tiny.raw"
hold_ms=5000 # less than what hotadd grants a call; see src/flow/cloud.c

past_volumes() {
    "$hotadd" jobs --json 2>/dev/null |
        jq -e '.[0].step | IN("attach-volumes", "restore-data", "detach-volumes")' >/dev/null
}

# kill_during ACTION EFFECT: sets $job.
kill_during() {
    local code
    "$hotadd" restore --skip-check --format raw --name tiny --no-wait --max-rate 20M \
        "$dir/tiny.raw" >"$dir/killed.out" 2>"$dir/killed.err" &
    pid=$!
    wait_until 60 past_volumes
    fault add "$1" "$2" --ms "$hold_ms" --times 1 >/dev/null
    wait_until 60 faults_met_or_ended "$pid"
    sleep 0.2
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    code=$?
    fault clear >/dev/null 2>&1
    job=$("$hotadd" jobs --json | jq -r '.[0].id')
    same "killed in create-instance ($1 $2)" "137 create-instance" "$code $(job_field "$job" .step)"
}

# The carrier AMI is kept for later jobs: without it the next job makes it too.
drop_carrier() {
    local id
    for id in $(ec2 describe-images --owners self --query 'Images[].ImageId' | jq -r '.[]'); do
        ec2 deregister-image --image-id "$id" >/dev/null
    done
    for id in $(ec2 describe-snapshots --owner-ids self --query 'Snapshots[].SnapshotId' | jq -r '.[]'); do
        ec2 delete-snapshot --snapshot-id "$id" >/dev/null
    done
}

for call in "${calls[@]}"; do
    action=${call%:*} effect=${call#*:}
    before=$(cloud_state)

    HOTADD_JOURNAL=$dir/$call-undo.db
    kill_during "$action" "$effect"
    run undo undo "$job"
    exits undo 0 "undo ($action $effect)"
    same "the account is as before ($action $effect)" "$before" "$(cloud_state)"

    HOTADD_JOURNAL=$dir/$call-resume.db
    kill_during "$action" "$effect"
    run resume resume "$job"
    exits resume 0 "resume ($action $effect)"
    run undone undo --done --quiet "$job"
    drop_carrier
    same "undone then, nothing that was made twice is left ($action $effect)" "$before" "$(cloud_state)"
done
finish
