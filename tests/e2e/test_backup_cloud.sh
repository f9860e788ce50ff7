#!/bin/bash
# Recovery points and the cloud: a repository in S3, and volumes straight from points.
# shellcheck disable=SC2016,SC2119,SC2317 # jq's and nbdkit's variables; no options; wait_until calls
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands aws jq nbdkit nbdcopy qemu-img python3
lab_start --no-machines
seed=${HOTADD_TEST_SEED-$$}
say "HOTADD_TEST_SEED=$seed"
repo=s3://backups/far/store
aws --endpoint-url "$AWS_ENDPOINT_URL" s3api create-bucket --bucket backups >"$dir/bucket.out" 2>&1 ||
    bail "no bucket: $(cat "$dir/bucket.out")"

# ---- a repository in S3 ----

disk "$dir/m-1.raw" 20 "$seed-1"
disk "$dir/m-2.raw" 6 "$seed-2"
vmx "$dir/m.vmx" "$dir/m-1.raw" "$dir/m-2.raw"
run none list --repo "$repo"
exits none 1 "a bucket without repository is none"
run first backup --json --repo "$repo" --create "$dir/m.vmx"
exits first 0 "a backup to S3"
point=$(backed first .point)
run list list --json --repo "$repo" m
check "it is listed" jq -e --arg p "$point" 'length == 1 and .[0].point == $p and .[0].disks == 2' "$dir/list.out"
run verify verify --json --repo "$repo"
exits verify 0 "it verifies"
same_disk "disk 1 reads as it was" "$dir/m-1.raw" source=m "repo=$repo" disk=1
same_disk "disk 2 reads as it was" "$dir/m-2.raw" source=m "repo=$repo" disk=2
sleep 1
run same backup --json --repo "$repo" "$dir/m.vmx"
same "the same once more stores nothing" 0 "$(backed same .new_chunks)"
run copy copy --quiet --repo "$repo" "m#2" "$dir/copy.raw"
exits copy 0 "one disk is copied to a file"
check "and is the same" cmp "$dir/m-2.raw" "$dir/copy.raw"

# ---- volumes from a point ----

volumes() { # JOB: the files of its volumes, in the order of the disks
    job_field "$1" '[.resources[] | select(.key | test("^volume/[0-9]+$"))] | sort_by(.key)[].id' |
        sed "s|.*|$lab_dir/volumes/&.raw|"
}
# holds NAME JOB RAW...: its volumes begin with the disks' bytes.
holds() {
    local name=$1 job=$2 files i=0
    shift 2
    mapfile -t files < <(volumes "$job")
    for raw; do
        if ! cmp --bytes="$(stat -c %s "$raw")" "$raw" "${files[i]}" >"$dir/cmp" 2>&1; then
            fail "$name" <"$dir/cmp"
            return
        fi
        i=$((i + 1))
    done
    pass "$name"
}
restore=(restore --skip-check --no-wait)

run far "${restore[@]}" --json --repo "$repo" m
exits far 0 "a restore from S3"
holds "the volumes hold the disks" "$(jq -r .id "$dir/far.out")" "$dir/m-1.raw" "$dir/m-2.raw"

# ---- a job keeps to the point it was planned from ----

near=$dir/near
printf 'correct horse\n' >"$dir/pw"
run key key create --key-password-file "$dir/pw" "$dir/k"
key=(--key "$dir/k" --key-password-file "$dir/pw")
run near backup --json --repo "$near" --create "${key[@]}" "$dir/m.vmx"
point=$(backed near .point)
at_data() { "$hotadd" jobs --json | jq -e 'any(.state == "running" and .step == "restore-data")' >/dev/null; }
killed() { # WORDS...: a restore that is killed while it writes; its job in $job
    "$hotadd" "${restore[@]}" --max-rate 1M --repo "$near" "$@" >"$dir/killed.out" 2>"$dir/killed.err" &
    server_pid=$!
    wait_until 60 at_data
    kill -9 "$server_pid"
    wait "$server_pid" 2>/dev/null
    server_pid=''
    job=$("$hotadd" jobs --json | jq -r '.[] | select(.state == "interrupted") | .id')
    check "a restore is killed while it writes" test -n "$job"
}
killed "${key[@]}" m
cp "$dir/m-1.raw" "$dir/old-1.raw"
poke "$dir/m-1.raw" 5000000 100000 "$seed-later"
qemu-img convert -q -f raw -O vmdk "$dir/m-1.raw" "$dir/m-1.vmdk"
sleep 1
run later backup --json --repo "$near" "${key[@]}" "$dir/m.vmx"
run go resume "$job"
exits go 0 "is resumed after a newer backup"
holds "from the older point" "$job" "$dir/old-1.raw" "$dir/m-2.raw"
check "the journal has no password" sh -c '! grep -q "correct horse" "$1"*' sh "$HOTADD_JOURNAL"

killed "${key[@]}" "${point#vm/}"
run forget forget --repo "$near" "${point#vm/}"
run go resume "$job"
exits go 1 "a resume whose point is gone"
has "says so" "$dir/go.err" "${point#vm/}" "is gone" "hotadd undo"
run undo undo "$job"
exits undo 0 "and can be undone"

# ---- damage ----

digest=$(python3 - "$dir/m-1.raw" <<'PYTHON'
import hashlib, sys
disk = open(sys.argv[1], 'rb').read()
print(hashlib.sha256(disk[4 << 20:8 << 20]).hexdigest())
PYTHON
)
run plain backup --json --repo "$near" --vm plain "$dir/m.vmx"
exits plain 0 "a plain backup beside it"
chunk=$near/.chunks/${digest:0:4}/$digest
chmod u+w "$chunk"
python3 -c '
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(2000); b = f.read(1); f.seek(2000); f.write(bytes([b[0] ^ 1]))' "$chunk"
run bad "${restore[@]}" --repo "$near" plain
exits bad 1 "a damaged chunk ends a restore"
has "and is named" "$dir/bad.err" "$digest"
check "no wrong byte was written" python3 - "$dir/m-1.raw" "$(volumes "$(last_job)" | head -n 1)" <<'PYTHON'
import sys
disk = open(sys.argv[1], 'rb').read()
volume = open(sys.argv[2], 'rb').read(len(disk))
for i in range(0, len(disk), 4096):
    a, b = disk[i:i + 4096], volume[i:i + 4096]
    assert a == b or not any(b), f'byte {i}'
assert not any(volume[4 << 20:8 << 20])
PYTHON
finish
