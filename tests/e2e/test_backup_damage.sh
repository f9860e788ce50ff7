#!/bin/bash
# What goes wrong with backups: damage, keys, kills, and two at once.
# shellcheck disable=SC2016 # jq's and nbdkit's variables
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands jq nbdkit nbdcopy qemu-img python3
repo=$dir/repo
seed=${HOTADD_TEST_SEED-$$}
say "HOTADD_TEST_SEED=$seed"

# ---- keys ----

printf 'correct horse\n' >"$dir/pw"
printf 'battery staple\n' >"$dir/wrong"
disk "$dir/a.raw" 12 "$seed-a"
for kdf in none scrypt pbkdf2; do
    secret=()
    [ "$kdf" = none ] || secret=(--key-password-file "$dir/pw")
    run key key create --json --kdf "$kdf" "${secret[@]}" "$dir/$kdf.key"
    exits key 0 "$kdf: a key is made"
    print=$(jq -r .fingerprint "$dir/key.out")
    run show key show --json "${secret[@]}" "$dir/$kdf.key"
    same "$kdf: its fingerprint is shown" "$print" "$(jq -r .fingerprint "$dir/show.out")"
    same "$kdf: nobody else reads it" 600 "$(stat -c %a "$dir/$kdf.key")"
    run enc backup --json --repo "$dir/enc" --create --key "$dir/$kdf.key" "${secret[@]}" --vm "$kdf" "$dir/a.raw"
    exits enc 0 "$kdf: an encrypted backup"
    words=("source=$kdf" "repo=$dir/enc" "key=$dir/$kdf.key")
    [ "$kdf" = none ] || words+=("key-password-file=$dir/pw")
    same_disk "$kdf: reads back" "$dir/a.raw" "${words[@]}"
    run verify verify --json --repo "$dir/enc" --key "$dir/$kdf.key" "${secret[@]}" "$kdf"
    exits verify 0 "$kdf: verifies"
done
run exists key create --kdf none "$dir/none.key"
exists=$code
check "a key file is never overwritten" test "$exists" = 1
check "the password may come from the environment" env HOTADD_KEY_PASSWORD='correct horse' \
    "$hotadd" key show "$dir/scrypt.key"
run_env bad HOTADD_KEY_PASSWORD=guess -- key show "$dir/scrypt.key"
exits bad 1 "a wrong password is refused"
check "the plain data is nowhere" python3 - "$dir/a.raw" "$dir/enc" <<'PYTHON'
import pathlib, sys
disk = open(sys.argv[1], 'rb').read()
runs = [disk[i:i + 64] for i in range(0, len(disk), 1 << 20) if any(disk[i:i + 64])]
for f in pathlib.Path(sys.argv[2]).rglob('*'):
    if f.is_file():
        data = f.read_bytes()
        assert not any(r in data for r in runs), f
PYTHON
run list list --json --repo "$dir/enc"
check "the list says encrypted" jq -e 'length == 3 and all(.crypt == "encrypted")' "$dir/list.out"

run keyless verify --repo "$dir/enc"
exits keyless 0 "without the key checksums are verified"
has "and the report says so" "$dir/keyless.out" "3 of them without the key"
run keyed verify --json --skip-verified --repo "$dir/enc" --key "$dir/none.key" none
check "which does not stand for a verification with it" jq -e '.points == 1 and .points_without_key == 0' "$dir/keyed.out"
run check check --repo "$dir/enc" none
exits check 1 "without a key an encrypted point is refused"
has "and the message says so" "$dir/check.err" "key"
run check check --repo "$dir/enc" --key "$dir/none.key" scrypt
exits check 1 "another key is refused"
run check check --repo "$dir/enc" --key "$dir/scrypt.key" --key-password-file "$dir/wrong" scrypt
exits check 1 "a wrong password is refused"
check "no password is in any message" sh -c '! grep -rq -e "correct horse" -e "battery staple" "$1"/*.err "$1"/*.out' sh "$dir"

run sign backup --json --repo "$dir/enc" --key "$dir/none.key" --sign-only --vm signed "$dir/a.raw"
exits sign 0 "a backup that is signed only"
same_disk "reads without the key" "$dir/a.raw" source=signed "repo=$dir/enc"
run list list --json --repo "$dir/enc" signed
check "and is listed as signed" jq -e '.[0].crypt == "signed"' "$dir/list.out"

# ---- damage ----

disk "$dir/b.raw" 16 "$seed-b"
poke "$dir/b.raw" 8388608 4194304 "$seed-unique" # chunk 2 is like no other
run plain backup --json --repo "$repo" --create --vm b "$dir/b.raw"
exits plain 0 "a plain backup"
digest=$(dd if="$dir/b.raw" bs=4M skip=2 count=1 status=none | sha256sum | cut -d ' ' -f 1)
chunk=$repo/.chunks/${digest:0:4}/$digest
check "chunk 2 is stored under its digest" test -s "$chunk"
cp -p "$chunk" "$dir/chunk.good"

damage() { # NAME COMMAND...: damages the chunk, looks, mends it
    local name=$1
    shift
    chmod u+w "$chunk"
    "$@"
    run bad verify --json --repo "$repo"
    exits bad 1 "$name: verify finds damage"
    check "$name: and names point, disk, offset and chunk" jq -e --arg d "$digest" \
        '.points_bad == 1 and .chunks_bad == 1 and (.damages | length == 1)
         and (.damages[0] | .disk == "drive-scsi0.img" and .offset == 8388608
              and (.point | startswith("vm/b/")) and (.file | contains($d)))' "$dir/bad.out"
    rm -f "$dir/read.raw"
    if serve_point source=b "repo=$repo" -- 'nbdcopy "$uri" "'"$dir/read.raw"'"' >"$dir/serve.log" 2>&1; then
        echo "nbdcopy succeeded" | fail "$name: reading is an error"
    else
        pass "$name: reading is an error"
    fi
    cp -p "$dir/chunk.good" "$chunk"
}
damage "a flipped bit" python3 -c '
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(1000); b = f.read(1); f.seek(1000); f.write(bytes([b[0] ^ 4]))' "$chunk"
damage "a cut chunk" truncate -s 1000 "$chunk"
damage "an empty chunk" truncate -s 0 "$chunk"
damage "a missing chunk" rm "$chunk"
other=$(find "$repo/.chunks" -type f -size +1k ! -name "$digest" | head -n 1)
damage "another chunk in its place" cp "$other" "$chunk"
run good verify --json --repo "$repo"
exits good 0 "mended, it verifies"

chmod u+w "$chunk"
truncate -s 1000 "$chunk"
run mark verify --repo "$repo" --mark-bad
exits mark 1 "a damaged chunk is put aside"
has "in words" "$dir/mark.out" "drive-scsi0.img at byte 8388608"
check "as .bad" test -e "$chunk.0.bad"
sleep 1
run heal backup --json --repo "$repo" --vm b "$dir/b.raw"
exits heal 0 "the next backup stores it anew"
run good verify --json --repo "$repo"
exits good 0 "and the old point is whole again"

# ---- a source that cannot be read to its end ----

disk "$dir/d.raw" 24 "$seed-d"
qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized "$dir/d.raw" "$dir/d.vmdk"
printf 'X%.0s' {1..64} | dd of="$dir/d.vmdk" bs=1 seek=$(($(stat -c %s "$dir/d.vmdk") / 2)) conv=notrunc status=none
run half backup --json --repo "$repo" "d=$dir/d.vmdk" "e=$dir/a.raw"
exits half 1 "of two machines one has a damaged source"
check "the other has its point" jq -e \
    '(.backups[0] | .point == null and (.error | contains("d.vmdk"))) and (.backups[1].point | startswith("vm/e@"))' \
    "$dir/half.out"
same_disk "which is whole" "$dir/a.raw" source=e "repo=$repo"
run list list --json --repo "$repo" d
check "and nothing is left of the first" jq -e 'length == 0' "$dir/list.out"

# ---- kill -9, and two at once ----

disk "$dir/c.raw" 64 "$seed-c"
slow() { # runs a backup that takes long, and is at work when this returns
    "$hotadd" backup --repo "$repo" --vm c --max-rate 4M "$dir/c.raw" >"$dir/slow.out" 2>"$dir/slow.err" &
    server_pid=$!
    wait_until 20 sh -c 'ls "$1"/vm/c/*/ >/dev/null 2>&1' sh "$repo"
    sleep 1
}
slow
run second backup --repo "$repo" --vm c "$dir/c.raw"
exits second 1 "a second writer is refused"
run list list --json --repo "$repo" c
check "what is being written is unfinished" jq -e 'length == 1 and (.[0].finished | not)' "$dir/list.out"
kill -9 "$server_pid"
wait "$server_pid" 2>/dev/null
server_pid=''
run list list --json --repo "$repo" c
check "after kill -9 it stays unfinished" jq -e 'length == 1 and (.[0].finished | not)' "$dir/list.out"
run latest check --repo "$repo" c
exits latest 1 "and is no source"
run next backup --json --repo "$repo" --vm c "$dir/c.raw"
exits next 0 "the next backup goes through"
run list list --json --repo "$repo" c
check "and has removed it" jq -e 'length == 1 and .[0].finished' "$dir/list.out"
same_disk "its point is whole" "$dir/c.raw" source=c "repo=$repo"

sleep 1
poke "$dir/c.raw" 0 33554432 "$seed-more"
slow
kill -INT "$server_pid"
wait "$server_pid"
code=$?
server_pid=''
same "an interrupted backup says so" 130 "$code"
run list list --json --repo "$repo" c
check "and leaves nothing" jq -e 'length == 1 and .[0].finished' "$dir/list.out"
run good verify --json --repo "$repo"
exits good 0 "everything verifies"
finish
