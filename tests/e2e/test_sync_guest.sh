#!/bin/bash
# Live Sync of a real guest whose backups are in S3: the demo guest, which cannot boot on EC2
# as it is. A file in its disk changes between two passes; a test boots a converted clone, a
# failover does, both without a change to the replica; the failback holds what was done there.
# The test is asked for in the monitor's page, in a real Chromium where there is one.
#
# Takes about ten minutes under emulation: it is in `./check long`.
# shellcheck disable=SC2016,SC2119,SC2317 # the guest's shell; no options; check calls
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands aws jq openssl ssh qemu-system-x86_64 qemu-img guestfish
need_root "making the demo guest, and volumes as loop devices"
# shellcheck source=tests/e2e/monitor_lib.sh
. "$here/monitor_lib.sh"
lab_start
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg
demo=$(demo_guest) || exit 1
aws --endpoint-url "$AWS_ENDPOINT_URL" s3api create-bucket --bucket backups >"$dir/bucket.out" 2>&1 ||
    bail "no bucket: $(cat "$dir/bucket.out")"
repo=s3://backups/store

cp --sparse=always "$demo-disk1.raw" "$dir/m-1.raw"
cp --sparse=always "$demo-disk2.raw" "$dir/m-2.raw"
# The machine's disks are VMDKs, made anew of the raw ones.
export_machine() {
    vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw"
    sed -i '/^firmware/s/efi/bios/' "$dir/m.vmx"
}
export_machine
state() { "$hotadd" sync show --json web | jq -r .state; }

run first backup --json --repo "$repo" --create --vm web "$dir/m.vmx"
exits first 0 "a guest is backed up into S3"
run create sync create web --vm web --repo "$repo" --boot-timeout 900
exits create 0 "a sync is created"
run seed sync run --json web
exits seed 0 "the replica is seeded"
[ "$code" = 0 ] || bail "no replica"

write_file() { guestfish --rw --format=raw -a "$dir/m-1.raw" -m /dev/sda1 write "/root/$1" "$2"; }
check "(a file is written in the source's disk)" write_file followed "second point"
export_machine
run second backup --json --repo "$repo" --vm web "$dir/m.vmx"
exits second 0 "backed up again"
run pass sync run --json web
exits pass 0 "the replica follows"
check "by writing little" jq -e '(if type == "array" then .[0] else . end) | .written_bytes > 0 and .written_bytes < 33554432' "$dir/pass.out"
say "$(jq -c '(if type == "array" then .[0] else . end) | {written_bytes, seconds}' "$dir/pass.out")"
before=$(cloud_state)

# ---- test ----

if browser_ready >"$dir/why"; then
    monitor page --listen 127.0.0.1:0
    browser 1200 test-failover.mjs "$url" "$token" web "${HOTADD_TEST_PICTURES:-$dir}"
    ends page
else
    skip "a test failover asked for in the page" "$(cat "$dir/why")"
    run test sync test --json web
    exits test 0 "a test converts a clone and boots it"
fi
run evidence sync test --evidence --json web
has "it booted to a login" <(jq -r .console "$dir/evidence.out") "login:"
same "it leaves nothing" "$before" "$(cloud_state)"
run verify sync verify web
exits verify 0 "the replica is what the point is: not converted"

# ---- failover, failback ----

run over sync failover --json web
exits over 0 "a failover"
instance=$(jq -r .instance "$dir/over.out")
same "its checks are ok" ok "$(jq -r .status_checks "$dir/over.out")"
same "what changed between two passes is there" "second point" \
    "$(in_guest "$instance" "$demo.key" 'cat /root/followed' 2>&1)"
check "both disks are, by UUID on NVMe" in_guest "$instance" "$demo.key" \
    'findmnt -no SOURCE / | grep -q nvme && findmnt -no SOURCE /srv/data | grep -q nvme && cd /srv/data && sha256sum --quiet -c SHA256SUMS'
check "(a file is written in the instance)" in_guest "$instance" "$demo.key" \
    'echo "from EC2" >/root/there && sync'
run back sync failback --json --stop web
exits back 0 "a failback"
point=$(jq -r .failback.point "$dir/back.out")
run home copy --quiet --repo "$repo" "${point#vm/}#1" "$dir/home.raw"
exits home 0 "its first disk comes out of S3"
read_file() { guestfish --ro --format=raw -a "$dir/home.raw" -m /dev/sda1 cat "/root/$1"; }
same "with what was done on EC2" "from EC2" "$(read_file there)"
same "and what was there before" "second point" "$(read_file followed)"
run undo sync undo-failover web
exits undo 0 "the failover is undone"
same "and syncing goes on" active "$(state)"
finish
