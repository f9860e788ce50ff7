#!/bin/bash
# Live Sync without booting: replicas follow their backups, whatever happens in between.
#
# HOTADD_TEST_LONG=1 runs a day of 5-minute passes (288) instead of two hours of them, and
# changes 1 % of the whole 64 GiB disk instead of 1 % of its data.
# shellcheck disable=SC2016,SC2317 # jq's variables; called by check and wait_until
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands aws jq python3 qemu-img
lab_start --no-machines --delay-ms 0
seed=${HOTADD_TEST_SEED-$$}
say "HOTADD_TEST_SEED=$seed"
repo=$dir/repo
before=$(cloud_state)

# ---- helpers ----

last_backup=0
# back_up ID SOURCE: a recovery point of its own second.
back_up() {
    while [ "$(date +%s)" -le "$last_backup" ]; do sleep 0.05; done
    run backup backup --quiet --json --repo "$repo" --create --chunk-size 1M --vm "$1" "$2"
    last_backup=$(date +%s)
    point=$(backed backup .point)
    [ "$code" = 0 ] || { show backup; bail "a backup failed"; }
}
sync_field() { "$hotadd" sync show --json "$1" 2>/dev/null | jq -r "$2"; }
state_of() { sync_field "$1" .state; }
volume_file() { echo "$lab_dir/volumes/$(sync_field "$1" ".disks[$2].volume").raw"; }
# same_data RAW VOLUME: the volume holds the file's bytes, and zeros behind them. Holes of
# both are not read.
same_data() {
    python3 - "$@" <<-'PYTHON'
	import os, sys
	def data(f):
	    at, end = 0, os.fstat(f).st_size
	    while at < end:
	        try:
	            at = os.lseek(f, at, os.SEEK_DATA)
	        except OSError:
	            return
	        stop = os.lseek(f, at, os.SEEK_HOLE)
	        yield from range(at >> 20, (stop + (1 << 20) - 1) >> 20)
	        at = stop
	raw, volume = (os.open(p, os.O_RDONLY) for p in sys.argv[1:3])
	size = os.fstat(raw).st_size
	assert os.fstat(volume).st_size >= size, 'too small'
	for mib in sorted({*data(raw), *data(volume)}):
	    a, b = (os.pread(f, 1 << 20, mib << 20) for f in (raw, volume))
	    assert a.ljust(len(b), b'\0') == b, f'differs in MiB {mib}'
	PYTHON
}
# holds NAME SYNC RAW...: its volumes hold the disks.
holds() {
    local name=$1 sync=$2 i=0 raw
    shift 2
    for raw; do
        if ! same_data "$raw" "$(volume_file "$sync" "$i")" >"$dir/cmp" 2>&1; then
            { tail -n 1 "$dir/cmp"; "$hotadd" sync show "$sync"; } | fail "$name"
            return
        fi
        i=$((i + 1))
    done
    same "$name" "$i" "$(sync_field "$sync" '.disks | length')"
}
count() { # volumes|snapshots of all syncs
    ec2 "describe-$1" --filters Name=tag-key,Values=hotadd:sync |
        jq '[.[][] | select(.State != "deleting")] | length'
}
attached() { ec2 describe-volumes --filters Name=tag-key,Values=hotadd:sync | jq '[.Volumes[].Attachments[]] | length'; }

# ---- seed, and 1 % of change ----

disk "$dir/a.raw" 24 "$seed-a"
run none sync run none
exits none 1 "a sync that is not there"
has "is told, with what there is" "$dir/none.err" "there is no sync none"
run early sync create web --repo "$repo" --vm web
exits early 1 "a repository that is not there"
back_up web "$dir/a.raw"
run typo sync create web --repo "$repo" --vm wbe
has "a machine that was never backed up is a typing mistake" "$dir/typo.err" "no recovery point of wbe"
run bad sync create web --repo "$repo" --vm web --keep sometimes
exits bad 2 "a retention rule that is none"
run create sync create web --repo "$repo" --vm web --keep last=2,hourly=3 --rpo 900
exits create 0 "a sync is created"
same "and nothing in the cloud" "$before" "$(cloud_state)"
run again sync create web --repo "$repo" --vm web
exits again 1 "its name is taken now"
run verify sync verify web
exits verify 2 "nothing to verify yet"
run seed sync run --json web
exits seed 0 "the first pass seeds"
holds "the replica is the disk" web "$dir/a.raw"
same "it is detached" 0 "$(attached)"
check "it is tagged" jq -e '.Volumes | length == 1' <(ec2 describe-volumes --filters Name=tag:hotadd:sync,Values=web)
run current sync run --json web
same "nothing new, nothing to do" current "$(jq -r .outcome "$dir/current.out")"
run verify sync verify --json web
exits verify 0 "verified by digest"
check "equal" jq -e '.equal and .disks[0].point_digest == .disks[0].volume_digest' "$dir/verify.out"

poke "$dir/a.raw" 7000000 251658 "$seed-1"
back_up web "$dir/a.raw"
run one sync run --json web
exits one 0 "1 % changed"
holds "the replica follows" web "$dir/a.raw"
check "about that much is written" jq -e '.written_bytes >= 251658 and .written_bytes <= 251658 + 65536' "$dir/one.out"
python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(2 << 20); f.write(bytes(3 << 20))' "$dir/a.raw"
back_up web "$dir/a.raw"
run zeros sync run web
holds "zeros are written too" web "$dir/a.raw"
check "lag and target are shown" jq -e '.state == "active" and .rpo_met and .lag_s < 900 and .error == null and
    .point == .newest and (.points | length) == 2 and .passes == 3' <("$hotadd" sync show --json web)
check "gc finds no orphan" jq -e '. == []' <("$hotadd" gc --json)
run jobs jobs
check "one job is left in the journal" test "$("$hotadd" jobs --json | jq length)" = 1

# ---- killed in every step ----

kills=$(("$(date +%s)" % 1000))
# killed STEP ACTION[/N] [OPTIONS]: a pass that dies in the step, held up there by the lab,
# which delays the call the first N times that it is made. Without one it has a change to
# write in every other MiB, for who slows it down by a rate.
killed() {
    local step=$1 action=${2%/*} times=1 i
    case $2 in */*) times=${2#*/} ;; esac
    shift 2
    poke "$dir/a.raw" $((RANDOM * 500)) 600000 "$seed-kill-$((kills += 1))"
    [ -n "$action" ] || for i in $(seq 0 11); do
        poke "$dir/a.raw" $(((i << 21) + RANDOM)) 5000 "$seed-kill-$kills-$i"
    done
    back_up web "$dir/a.raw"
    old=$(sync_field web .point)
    [ -z "$action" ] || fault add "$action" delay --ms 6000 --times "$times" >/dev/null
    "$hotadd" sync run "$@" web >"$dir/killed.out" 2>"$dir/killed.err" &
    pid=$!
    for i in $(seq 300); do
        "$hotadd" jobs --json | jq -e --arg s "$step" 'any(.kind == "sync" and .step == $s and .state == "running")' >/dev/null && break
        kill -0 $pid 2>/dev/null || break
    done
    [ -z "$action" ] || wait_until 20 faults_met_or_ended "$pid"
    sleep 0.1
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    fault clear >/dev/null
    same "killed in $step" "interrupted $step" "$("$hotadd" jobs --json | jq -r '.[] | select(.kind == "sync") | .state + " " + .step' | tail -n 1)"
}
# Every step with HOTADD_TEST_KILL=all.
pairs='snapshot:CreateSnapshot'
[ "${HOTADD_TEST_KILL-}" != all ] || pairs='protect-point:DescribeSnapshots create-volumes:DescribeVolumes/2
    attach-volumes:AttachVolume write-changes: snapshot:CreateSnapshot detach-volumes:DetachVolume
    retire-snapshots:DeleteSnapshot'
for pair in $pairs; do
    step=${pair%%:*}
    if [ "$step" = write-changes ]; then
        killed "$step" "" --max-rate 1M
        same "in the middle the old point is what is told" "$old" "$(sync_field web .point)"
        check "and its snapshot is there" jq -e --arg p "$old" \
            '.points[] | select(.point == $p) | .snapshots | length == 1' <("$hotadd" sync show --json web)
        run verify sync verify web
        exits verify 2 "and nothing is verified before the pass is finished"
    else
        killed "$step" "${pair#*:}"
    fi
    run go sync run --json web
    exits go 0 "the next run goes on ($step)"
    same "to the newest point ($step)" "$(sync_field web .newest)" "$(sync_field web .point)"
    holds "and the replica holds it ($step)" web "$dir/a.raw"
done
same "nothing is attached" 0 "$(attached)"
same "one volume is left" 1 "$(count volumes)"
same "snapshots as the record says" "$(sync_field web '[.points[].snapshots[]] | length')" "$(count snapshots)"

# An interrupted pass whose point is gone: another one takes its place.
if [ "${HOTADD_TEST_KILL-}" = all ]; then
    killed write-changes "" --max-rate 1M
    run forget forget --repo "$repo" "${point#vm/}"
    exits forget 0 "its point is removed"
    poke "$dir/a.raw" 9000000 100000 "$seed-rolled"
    back_up web "$dir/a.raw"
    run go sync run web
    exits go 0 "the next run rolls on to a newer point"
    holds "whatever the first one wrote" web "$dir/a.raw"
fi

# ---- disks that grow, come and go ----

disk "$dir/m-1.raw" 6 "$seed-m1"
disk "$dir/m-2.raw" 5 "$seed-m2"
vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw"
back_up m "$dir/m.vmx"
run create sync create m --repo "$repo" --vm m
run seed sync run m
holds "two disks" m "$dir/m-1.raw" "$dir/m-2.raw"
first=$(volume_file m 0)
# Beyond the volume's size (1 GiB): sparse.
truncate -s 1100M "$dir/m-1.raw"
poke "$dir/m-1.raw" 1090000000 4096 "$seed-grown"
disk "$dir/m-3.raw" 3 "$seed-m3"
vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw" "$dir/m-3.raw"
back_up m "$dir/m.vmx"
run grow sync run --json m
exits grow 0 "one grew beyond its volume, one was added"
holds "all three" m "$dir/m-1.raw" "$dir/m-2.raw" "$dir/m-3.raw"
check "the grown disk was not copied anew" jq -e '.written_bytes < 8000000' "$dir/grow.out"
check "its old volume is gone" test ! -e "$first"
vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw"
truncate -s 3M "$dir/m-2.raw"
vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw"
back_up m "$dir/m.vmx"
run gone sync run m
exits gone 0 "one was removed, one shrank"
holds "two are left" m "$dir/m-1.raw" "$dir/m-2.raw"
same "three volumes in all" 3 "$(count volumes)"

# ---- what cannot be trusted any more ----

volume=$(sync_field m '.disks[1].volume')
ec2 delete-volume --volume-id "$volume" >/dev/null
poke "$dir/m-2.raw" 100000 5000 "$seed-lost"
vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw"
back_up m "$dir/m.vmx"
run lost sync run m
exits lost 0 "a volume that was deleted is made again from its snapshot"
holds "and holds the point" m "$dir/m-1.raw" "$dir/m-2.raw"

run pause sync pause m
run paused sync run m
exits paused 2 "no pass while paused"
has "resume is what helps" "$dir/paused.err" "hotadd sync resume m"
run resume sync resume m

poke "$(volume_file web 0)" $(((1 << 20) + 1024)) 512 "$seed-foreign"
poke "$dir/a.raw" 3000000 5000 "$seed-2"
back_up web "$dir/a.raw"
run foreign sync run web
exits foreign 3 "a volume that somebody wrote to"
has "is noticed" "$dir/foreign.err" "somebody has written to it" "hotadd sync resync web"
same "and needs a resync" needs-resync "$(state_of web)"
run refused sync run web
exits refused 2 "before the next pass"
run resync sync resync --json web
exits resync 0 "resync reads it"
holds "and mends it" web "$dir/a.raw"
check "writing only what differs" jq -e '.written_bytes < 1000000' "$dir/resync.out"

held=$(sync_field web .point)
poke "$dir/a.raw" 4000000 5000 "$seed-3"
back_up web "$dir/a.raw"
run forget forget --repo "$repo" "${held#vm/}"
run base sync run web
exits base 3 "the point that the replica holds was removed from the repository"
has "resync is what helps" "$dir/base.err" "is gone from the repository" "hotadd sync resync web"
run resync sync resync web
holds "it does" web "$dir/a.raw"

image=$(ec2 describe-images --owners amazon | jq -r '.Images[0].ImageId')
other=$(ec2 run-instances --image-id "$image" --instance-type t3.micro | jq -r '.Instances[0].InstanceId')
stopped() { [ "$(ec2 describe-instances --instance-ids "$other" | jq -r '.Reservations[0].Instances[0].State.Name')" = "$1" ]; }
wait_until 20 stopped running
ec2 stop-instances --instance-ids "$other" >/dev/null
wait_until 20 stopped stopped
volume=$(sync_field web '.disks[0].volume')
ec2 attach-volume --volume-id "$volume" --instance-id "$other" --device /dev/sdf >/dev/null
poke "$dir/a.raw" 5000000 5000 "$seed-4"
back_up web "$dir/a.raw"
run elsewhere sync run web
exits elsewhere 3 "a volume that is attached elsewhere"
has "is named with its place" "$dir/elsewhere.err" "$volume" "$other"
same "and needs a resync, too" needs-resync "$(state_of web)"
ec2 detach-volume --volume-id "$volume" >/dev/null
ec2 terminate-instances --instance-ids "$other" >/dev/null
run resync sync resync web
exits resync 0 "which can be done once it is detached"
holds "and does" web "$dir/a.raw"

mv "$repo" "$repo.away"
run away sync run web
exits away 1 "a repository that is not there"
same "is no fault of the replica" active "$(state_of web)"
check "but is told" jq -e '.error.message | length > 10' <("$hotadd" sync show --json web)
mv "$repo.away" "$repo"
run back sync run web
exits back 0 "and forgotten when it is back"
check "wholly" jq -e '.error == null' <("$hotadd" sync show --json web)

printf 'correct horse\n' >"$dir/pw"
printf 'battery staple\n' >"$dir/pw2"
run key key create --key-password-file "$dir/pw" "$dir/k"
run key key create --key-password-file "$dir/pw2" "$dir/k2"
disk "$dir/secret.raw" 3 "$seed-secret"
run backup backup --quiet --repo "$repo" --vm secret --key "$dir/k" --key-password-file "$dir/pw" "$dir/secret.raw"
run create sync create secret --repo "$repo" --vm secret --key "$dir/k" --key-password-file "$dir/pw" --keep none
run seed sync run secret
exits seed 0 "an encrypted machine"
holds "is followed" secret "$dir/secret.raw"
same "without snapshots, as asked" 0 "$(sync_field secret '.points | length')"
cp "$dir/k" "$dir/k.good"
cp "$dir/k2" "$dir/k"
cp "$dir/pw2" "$dir/pw"
poke "$dir/secret.raw" 5000 5000 "$seed-7"
sleep 1
run backup backup --quiet --repo "$repo" --vm secret --key "$dir/k.good" --key-password-file <(echo correct horse) "$dir/secret.raw"
run wrong sync run secret
exits wrong 1 "with the wrong key nothing is written"
has "and both are named" "$dir/wrong.err" "key"
same "the replica is as it was" active "$(state_of secret)"
cp "$dir/k.good" "$dir/k"
printf 'correct horse\n' >"$dir/pw"
run right sync run secret
exits right 0 "with the right one it goes on"
holds "to the new point" secret "$dir/secret.raw"
same "and the snapshot that protected the old one is gone" 0 "$(ec2 describe-snapshots --filters Name=tag:hotadd:sync,Values=secret | jq '.Snapshots | length')"
run other sync run --to "one@2026-01-01T00:00:00Z" secret
check "another machine's point is no target" test "$code" != 0
run secret_gone sync delete secret
exits secret_gone 0 "it is deleted again"

# ---- many, from a file; watch ----

for id in one two; do
    disk "$dir/$id.raw" 2 "$seed-$id"
    back_up $id "$dir/$id.raw"
done
cat >"$dir/syncs.conf" <<CONF
[defaults]
repo = $repo
keep-attached = yes
[group db]
priority = 10
[group apps]
priority = 20
delay = 1
[sync one]
vm = one
group = apps
[sync two]
vm = two
group = db
rpo = 60
CONF
run file sync create --file "$dir/syncs.conf"
exits file 0 "syncs from a file"
run file sync create --file "$dir/syncs.conf"
exits file 0 "the same file again changes nothing"
run all sync run --json
exits all 0 "one pass of all"
same "by group, then name" "two one" "$(jq -r '[.[] | select(.outcome == "synced") | .sync] | join(" ")' "$dir/all.out")"
holds "one" one "$dir/one.raw"
holds "two" two "$dir/two.raw"
same "they stay attached, as asked" 2 "$(attached)"
poke "$dir/one.raw" 5000 5000 "$seed-5"
back_up one "$dir/one.raw"
run keep sync run one
exits keep 0 "a pass uses them where they are"
holds "and is right" one "$dir/one.raw"

"$hotadd" sync watch --poll 3600 >"$dir/watch.out" 2>"$dir/watch.err" &
server_pid=$!
wait_until 20 grep -q watching "$dir/watch.err"
sleep 2 # the first look at all of them
poke "$dir/two.raw" 5000 5000 "$seed-6"
back_up two "$dir/two.raw"
caught_up() { [ "$(sync_field two .point)" = "$point" ]; }
check "watch notices a new point by itself" wait_until 30 caught_up
holds "and brings the replica to it" two "$dir/two.raw"
kill "$server_pid"
wait "$server_pid"
same "and stops cleanly" 0 $?
server_pid=''

# ---- nothing leaks ----

passes=24
[ -z "${HOTADD_TEST_LONG-}" ] || passes=288
files_before=$(find "$lab_dir" -name '*.raw' | wc -l)
started=$SECONDS
for i in $(seq "$passes"); do
    poke "$dir/one.raw" $((i * 4096)) 3000 "$seed-day-$i"
    back_up one "$dir/one.raw"
    run pass sync run --quiet one
    [ "$code" = 0 ] || break
done
exits pass 0 "$passes passes one after the other"
say "$passes passes, each with its backup, in $((SECONDS - started)) s"
holds "the replica is the disk after all of them" one "$dir/one.raw"
same "no volume more" 5 "$(count volumes)"
same "snapshots as the records say" \
    "$("$hotadd" sync list --json | jq '[.[].points[].snapshots[]] | length')" "$(count snapshots)"
same "three points of it" 3 "$(sync_field one '.points | length')"
check "no file more in the lab" test "$(find "$lab_dir" -name '*.raw' | wc -l)" -le $((files_before + 3))
check "no job is kept but the last of each" test "$("$hotadd" jobs --json | jq length)" -le 4
check "gc finds no orphan" jq -e '. == []' <("$hotadd" gc --json)

# ---- the figure ----

truncate -s 64G "$dir/big.raw"
python3 - "$dir/big.raw" "$seed" <<'PYTHON'
import random, sys
r = random.Random(sys.argv[2])
with open(sys.argv[1], 'r+b') as f:
    for i in range(128):
        f.seek(i * (1 << 29) + (1 << 20))
        f.write(r.randbytes(1 << 20))
PYTHON
back_up big "$dir/big.raw"
run create sync create big --repo "$repo" --vm big
run seed sync run big
exits seed 0 "64 GiB, of which 128 MiB are data, are seeded"
python3 - "$dir/big.raw" "$seed" "${HOTADD_TEST_LONG-}" <<'PYTHON'
import random, sys
r = random.Random(sys.argv[2] + 'x')
each = (64 << 30) // 100 // 128 if sys.argv[3] else (1 << 20) // 100
with open(sys.argv[1], 'r+b') as f:
    for i in range(128):
        f.seek(i * (1 << 29) + (1 << 20) + 4096 * 7)
        f.write(r.randbytes(each // 4096 * 4096))
PYTHON
back_up big "$dir/big.raw"
start=$(date +%s%N)
run big sync run --json big
took=$((($(date +%s%N) - start) / 1000000))
exits big 0 "1 % changed"
say "a pass over 64 GiB with 1 % changed: $took ms, $(jq -r '"\(.written_bytes) bytes written of \(.changed_bytes) in chunks that differ"' "$dir/big.out")"
check "in time proportional to the change" test "$took" -lt 60000
check "byte for byte" same_data "$dir/big.raw" "$(volume_file big 0)"

# ---- the end ----

run delete sync delete web m one two big
exits delete 0 "syncs are deleted"
same "and the account is as it was" "$before" "$(cloud_state)"
run list sync list
has "none is left" "$dir/list.out" "no syncs"
finish
