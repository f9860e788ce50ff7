#!/bin/bash
# A recovery point becomes a booted instance, and libguestfs looks into one through the
# plugin: the daily path of a restore, from a repository.
# shellcheck disable=SC2016,SC2119 # jq's variables; no options
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands aws jq qemu-system-x86_64 qemu-img
lab_start
tiny_guest "$dir/tiny.raw"
printf 'correct horse\n' >"$dir/pw"
run key key create --key-password-file "$dir/pw" "$dir/k"
at=(--repo "$dir/repo" --key "$dir/k" --key-password-file "$dir/pw")
run backup backup --json "${at[@]}" --create --format raw --vm tiny "$dir/tiny.raw"
exits backup 0 "a machine is backed up, encrypted"
before=$(cloud_state)

run restore restore --json --skip-check --boot-timeout 400 --name tiny "${at[@]}" tiny
exits restore 0 "its point becomes a booted instance"
check "which is well" jq -e '.state == "done" and .instance.status_checks == "ok"' "$dir/restore.out"
run undo undo --done "$(jq -r .id "$dir/restore.out")"
same "undone, the lab is as before" "$before" "$(cloud_state)"

# No system is in it that could be converted: seen from inside, through nbdkit.
run check check --json "${at[@]}" tiny
exits check 3 "check looks into the point"
check "and tells what it found" jq -e '.convertible == false and (.machine.disks | length) == 1 and has("guest")' "$dir/check.out"
finish
