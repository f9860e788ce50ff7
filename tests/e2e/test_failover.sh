#!/bin/bash
# Failover in every direction, without booting machines: what is made, what is left, which
# command may be given when, and what becomes of a kill.
# shellcheck disable=SC2016,SC2119,SC2317 # jq's variables; no options; wait_until calls
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands aws jq qemu-img python3 nbdkit
# State changes take a while, so that there is a moment to kill in.
lab_start --no-machines --delay-ms 300
seed=${HOTADD_TEST_SEED-$$}
say "HOTADD_TEST_SEED=$seed"
repo=$dir/repo

sync_field() { "$hotadd" sync show --json web 2>/dev/null | jq -r "$1"; }
in_state() { same "$2" "$1" "$(sync_field .state)"; }
# Instances that are not gone, without the proxy.
instances() { cloud_state | grep -c '^i-' || true; }

disk "$dir/m-1.raw" 12 "$seed-1"
disk "$dir/m-2.raw" 4 "$seed-2"
vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw"
run backup backup --json --repo "$repo" --create --vm web "$dir/m.vmx"
exits backup 0 "a machine is backed up"
# Nothing boots here, so the failover does not wait for it; a test always does.
run create sync create web --vm web --repo "$repo" --no-wait --name web01
exits create 0 "and followed"
as_is=(--skip-check) # no system is in these disks that could be converted

# ---- commands that cannot be given say what to do instead ----

for command in test failover; do
    run early sync "$command" web
    exits early 2 "no $command before there is a replica"
    has "which says how to get one" "$dir/early.err" "hotadd sync run web"
done
for command in undo-failover failback commit; do
    run early sync "$command" web
    exits early 2 "no $command without a failover"
    has "which says how to begin one" "$dir/early.err" "hotadd sync failover web"
done
run pass sync run web
exits pass 0 "the replica is seeded"
[ "$code" = 0 ] || bail "no replica"
seeded=$(cloud_state)
instances=$(instances)

# ---- a test by schedule ----

run every sync test --every 1m "${as_is[@]}" --boot-timeout 2 web
exits every 0 "tests by schedule are asked for"
tested() { [ "$(sync_field '.tests | length')" -ge 1 ]; }
"$hotadd" sync watch >"$dir/watch.out" 2>"$dir/watch.err" &
pid=$!
check "the service makes one that is due" wait_until 120 tested
kill "$pid"
wait "$pid"
same "and ends when told" 0 $?
check "its result is kept" jq -e '(.booted | not) and (.instance | startswith("i-"))' <("$hotadd" sync test --evidence --json web)
run never sync test --every never web
exits never 0 "no more of them"
same "nothing of it is left" "$seeded" "$(cloud_state)"

# ---- test ----

run test sync test --json "${as_is[@]}" --boot-timeout 2 web
exits test 1 "a test launches a clone; this one cannot boot"
check "and says so" jq -e '(.booted | not) and (.error | length > 0) and .sync == "web" and .kept == false and (.instance_id | startswith("i-"))' "$dir/test.out"
has "to people, too" "$dir/test.err" "did not boot"
same "nothing of it is left" "$seeded" "$(cloud_state)"
same "no group of it is left" 0 "$(ec2 describe-security-groups --filters 'Name=tag-key,Values=hotadd:job' --query 'length(SecurityGroups)')"
in_state active "the sync is as it was"
same "the record has the test" "$(jq -r .job "$dir/test.out")" "$(sync_field '.tests[0].job')"
run verify sync verify web
exits verify 0 "the replica was not touched"

run kept sync test --json --keep "${as_is[@]}" --boot-timeout 2 web
exits kept 1 "a test may be kept"
job=$(jq -r .job "$dir/kept.out")
instance=$(jq -r .instance_id "$dir/kept.out")
group=$(ec2 describe-instances --instance-ids "$instance" --query 'Reservations[0].Instances[0].SecurityGroups[*].GroupId' | jq -r '.[]')
check "it is in a group without rules" jq -e \
    '.SecurityGroups | length == 1 and (.[0].IpPermissions | length) == 0 and (.[0].IpPermissionsEgress | length) == 0' \
    <(ec2 describe-security-groups --group-ids "$group")
run undo undo --done "$job"
exits undo 0 "and is removed by its job"
same "nothing of it is left" "$seeded" "$(cloud_state)"

# ---- kill -9 in a test ----

ended() { ! kill -0 "$pid" 2>/dev/null; }
# kill_in STEP WORDS...: killed as soon as the step before STEP is done.
kill_in() {
    local step=$1 mark
    shift
    case $step in
    clone-volumes) mark='of sync web' ;;
    attach-volumes) mark=': clone-volumes: done' ;;
    create-instance) mark=': detach-volumes: done' ;;
    esac
    "$hotadd" "$@" >"$dir/killed.out" 2>"$dir/killed.err" &
    pid=$!
    until grep -q -e "$mark" "$dir/killed.err" || ended; do sleep 0.05; done
    sleep "0.$((RANDOM % 3))"
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    code=$?
    same "killed in $step ($2)" 137 "$code"
}
kills_test=create-instance kills_failover=create-instance
[ "${HOTADD_TEST_KILL-}" != all ] ||
    kills_test='clone-volumes create-instance' kills_failover='clone-volumes attach-volumes create-instance'
for step in $kills_test; do
    kill_in "$step" sync test "${as_is[@]}" web
    run again sync test --json "${as_is[@]}" --boot-timeout 2 web
    check "the next test removes what was left, and runs (killed in $step)" jq -e '.instance_id' "$dir/again.out"
    same "nothing is left (killed in $step)" "$seeded" "$(cloud_state)"
done

# ---- failover, killed and gone on with ----

for step in $kills_failover; do
    kill_in "$step" sync failover "${as_is[@]}" web
    in_state failing-over "the sync is failing over (killed in $step)"
    run other sync run web
    exits other 2 "no pass meanwhile (killed in $step)"
    run undo sync undo-failover web
    exits undo 0 "undo-failover removes it (killed in $step)"
    in_state active "and the sync goes on (killed in $step)"
    same "nothing is left (killed in $step)" "$seeded" "$(cloud_state)"
done
# Since it was tested, it needs the replica only: the repository may be gone with the source.
mv "$repo" "$repo.away"
kill_in create-instance sync failover "${as_is[@]}" web
has "without the repository it launches by the kept plan" "$dir/killed.err" "by the plan of the last test"
run failover sync failover --json web
exits failover 0 "the same command goes on with a killed one"
in_state failed-over "the sync is failed over"
instance=$(jq -r .instance "$dir/failover.out")
check "one instance runs" test "$(instances)" = $((instances + 1))
check "with the settings of the sync" jq -e '[.Reservations[].Instances[].Tags[] | select(.Key == "Name")][0].Value == "web01"' \
    <(ec2 describe-instances --instance-ids "$instance")
volumes=$(ec2 describe-instances --instance-ids "$instance" \
    --query 'Reservations[0].Instances[0].BlockDeviceMappings[*].Ebs.VolumeId' | jq -r '.[]')
root_volume=$(head -n 1 <<<"$volumes")
check "its disk is the machine's" cmp --bytes=$((12 << 20)) "$dir/m-1.raw" "$lab_dir/volumes/$root_volume.raw"
for command in run pause resync test failover delete; do
    run now sync "$command" web
    exits now 2 "no $command while it is failed over"
done
has "which says what to do" "$dir/now.err" "undo-failover"

mv "$repo.away" "$repo"

# ---- failback ----

poke "$lab_dir/volumes/$root_volume.raw" $((3 << 20)) 20000 "$seed-there"
sleep 1
run back sync failback --json web
exits back 0 "the instance is backed up"
in_state failed-back "the sync knows"
point=$(jq -r .failback.point "$dir/back.out")
run copy copy --quiet --force --repo "$repo" "${point#vm/}#1" "$dir/back-1.raw"
check "its point holds what happened there" cmp "$lab_dir/volumes/$root_volume.raw" "$dir/back-1.raw"
poke "$lab_dir/volumes/$root_volume.raw" $((5 << 20)) 20000 "$seed-later"
sleep 1
run twice sync failback --json --stop web
exits twice 0 "again, after a stop"
same "the instance is stopped" stopped "$(ec2 describe-instances --instance-ids "$instance" --query 'Reservations[0].Instances[0].State.Name' | jq -r .)"
point=$(jq -r .failback.point "$dir/twice.out")
run copy copy --quiet --force --repo "$repo" "${point#vm/}#1" "$dir/back-1.raw"
check "the second point holds what came after" cmp "$lab_dir/volumes/$root_volume.raw" "$dir/back-1.raw"

run undo sync undo-failover web
exits undo 0 "the failover is undone"
in_state active "and syncing goes on"
run pass sync run web
exits pass 0 "from the point of the failback"
run verify sync verify web
exits verify 0 "the replica holds it"

# ---- planned, and for good ----

cat >"$dir/hook" <<HOOK
#!/bin/sh
echo "\$HOTADD_PHASE \$HOTADD_SYNC \$1" >>"$dir/hooks.log"
[ "\$1" != backup ] || exec "$hotadd" backup --quiet --repo "$repo" --vm web "$dir/m.vmx"
HOOK
chmod +x "$dir/hook"
sleep 1
run planned sync failover --json "${as_is[@]}" --planned --backup-hook "$dir/hook" --backup-hook backup \
    --stop-hook "$dir/hook" --stop-hook stop web
exits planned 0 "a planned failover"
same "ran the hooks in order" "running web backup
running web stop
stopped web backup" "$(cat "$dir/hooks.log")"
check "and took the last backup" test "$(jq -r .point "$dir/planned.out")" = \
    "$("$hotadd" list --json --repo "$repo" web | jq -r 'max_by(.point).point')"
run commit sync commit --retire web
exits commit 0 "a commit with the replica retired"
run gone sync show web
exits gone 1 "ends the sync"
check "the instance stays" test "$(instances)" = $((instances + 1))
finish
