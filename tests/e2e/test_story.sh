#!/bin/bash
# The whole story, with machines that boot: a guest is backed up and followed; what changes
# in its disk is seen in a test boot; it fails over, something changes there, that comes
# back into the repository, and is seen in what is restored from it.
#
# The tiny guest counts its boots on its own disk and prints the count: 40 is written into
# the source's disk, so the test boot says 41 (in its clone); so does the failover, whose
# disk then says 41, which the failback brings home; restored from there it says 42.
# shellcheck disable=SC2016,SC2119,SC2317 # jq's variables; no options; check calls
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands aws jq qemu-system-x86_64 qemu-img
lab_start
tiny_guest "$dir/tiny.raw"
repo=$dir/repo
boots_at=$((2047 * 512))

# boots_on FILE: the count that its disk has.
boots_on() { dd if="$1" bs=512 skip=2047 count=1 status=none | head -n 1; }
sync_state() { "$hotadd" sync show --json tiny | jq -r .state; }
console() { ec2 get-console-output --latest --instance-id "$1" --output text --query Output; }
said() { console "$1" | grep -q "$2"; }

# ---- back up, follow ----

run backup backup --json --repo "$repo" --create --format raw --vm tiny "$dir/tiny.raw"
exits backup 0 "a guest is backed up"
run create sync create tiny --vm tiny --repo "$repo" --boot-timeout 400
exits create 0 "a sync is created"
run seed sync run --json tiny
exits seed 0 "the replica is seeded"
[ "$code" = 0 ] || bail "no replica"

# ---- change, back up, sync ----

same "the guest never booted" "tiny-guest-boots 0" "$(boots_on "$dir/tiny.raw")"
printf 'tiny-guest-boots 40\n' | dd of="$dir/tiny.raw" bs=1 seek=$boots_at conv=notrunc status=none
sleep 1
run again backup --json --repo "$repo" --format raw --vm tiny "$dir/tiny.raw"
exits again 0 "its disk changed and is backed up again"
run pass sync run --json tiny
exits pass 0 "the replica follows"
check "by writing little" jq -e '(if type == "array" then .[0] else . end) | .written_bytes <= 4194304' "$dir/pass.out"
before=$(cloud_state)

# ---- test boot ----

run test sync test --json --skip-check tiny
exits test 0 "a test boot"
check "in which it boots" jq -e '.booted' "$dir/test.out"
run evidence sync test --evidence --json tiny
has "the change is seen in the booted machine" "$dir/evidence.out" "tiny-guest: boot 41"
same "the test leaves nothing" "$before" "$(cloud_state)"
run verify sync verify tiny
exits verify 0 "and the replica as it was"

# ---- fail over, change something there ----

run over sync failover --json --skip-check tiny
exits over 0 "a failover"
instance=$(jq -r .instance "$dir/over.out")
same "the sync is failed over" failed-over "$(sync_state)"
same "its checks are ok" ok "$(jq -r .status_checks "$dir/over.out")"
check "it has the change, and changes something itself" said "$instance" "tiny-guest: boot 41"

# ---- fail back, restore ----

run back sync failback --json --stop tiny
exits back 0 "a failback"
point=$(jq -r .failback.point "$dir/back.out")
same "into the repository's machine" vm/tiny "${point%@*}"
run copy copy --quiet --repo "$repo" "${point#vm/}" "$dir/home.raw"
exits copy 0 "its point is restored at the source"
same "what the instance did is in it" "tiny-guest-boots 41" "$(boots_on "$dir/home.raw")"
run undo sync undo-failover tiny
exits undo 0 "the failover is undone"
same "and syncing goes on" active "$(sync_state)"
same "nothing of it is left" "$(grep -v '^snap-' <<<"$before")" "$(cloud_state | grep -v '^snap-')"

run restore restore --json --skip-check --boot-timeout 400 --name home --repo "$repo" "${point#vm/}"
exits restore 0 "the point boots, too"
check "from where the instance was" said "$(jq -r .instance.instance_id "$dir/restore.out")" "tiny-guest: boot 42"
finish
