#!/bin/bash
# Backups: what is read back is what was backed up, only what is new is stored, and what
# is damaged or locked is never mistaken for good.
# shellcheck disable=SC2016 # jq's and nbdkit's variables
# shellcheck source=tests/e2e/backup_lib.sh
. "$(dirname "$0")/backup_lib.sh"

begin "${1-}"
need_commands jq nbdkit nbdcopy qemu-img qemu-nbd qemu-io python3
repo=$dir/repo
seed=${HOTADD_TEST_SEED-$$}
say "HOTADD_TEST_SEED=$seed"

# ---- the first backup ----

disk "$dir/web-1.raw" 40 "$seed-1"
disk "$dir/web-2.raw" 9 "$seed-2"
truncate -s $((9 * 1048576 + 512)) "$dir/web-2.raw" # the last chunk is a short one
vmx "$dir/web01.vmx" "$dir/web-1.raw" "$dir/web-2.raw"

run typo backup --repo "$repo" "$dir/web01.vmx"
exits typo 1 "a mistyped repository is no new one"
check "and nothing was made" test ! -e "$repo"
head -c 100000 "$dir/web-1.vmdk" >"$dir/cut.vmdk"
run cut backup --repo "$repo" --create "$dir/cut.vmdk" "$dir/absent.raw"
exits cut 1 "sources that cannot be read"
check "make no repository" test ! -e "$repo"
timeout 60 nbdkit -r -U - "$build/nbdkit/nbdkit-hotadd-plugin.so" source="$dir/cut.vmdk" \
    --run 'nbdcopy "$uri" null:' >"$dir/plugin.out" 2>&1
same "the plugin ends too, instead of waiting" 1 $?
qemu-img create -q -f qcow2 "$dir/large.qcow2" 1T
same "a client may ask for all extents at once" "1099511627776 hole,zero" \
    "$(serve_point source="$dir/large.qcow2" -- 'nbdinfo --map --totals "$uri"' | awk '{print $1, $4}')"
run cut backup --repo "$repo" --create --vm 'a b/c' "$dir/web01.vmx"
exits cut 2 "nor does a name that cannot be"
check "make one" test ! -e "$repo"

run first backup --json --repo "$repo" --create "$dir/web01.vmx"
exits first 0 "a machine is backed up"
point=$(backed first .point)
check "its point is named after the machine" sh -c 'case $1 in vm/web01@20*Z) ;; *) false ;; esac' sh "$point"
same "all of its bytes are in it" $((49 * 1048576 + 512)) "$(backed first .bytes)"
same "it has no base" null "$(backed first .base)"

run list list --json --repo "$repo"
exits list 0 "it is listed"
check "as finished, plain, with two disks" jq -e --arg p "$point" \
    'length == 1 and (.[0] | .point == $p and .finished and .readable and .disks == 2
        and .crypt == "plain" and .size_bytes == 51380736 and .verified == null)' "$dir/list.out"
run table list --repo "$repo" web01
has "the table has it too" "$dir/table.out" "vm/web01" "2 disks" "verified never"

same_disk "disk 1 reads as it was" "$dir/web-1.raw" source=web01 "repo=$repo" disk=1
same_disk "disk 2 reads as it was, to its odd end" "$dir/web-2.raw" "source=${point#vm/}" "repo=$repo" disk=2

run verify verify --json --repo "$repo"
exits verify 0 "it verifies"
check "completely" jq -e '.points == 1 and .points_bad == 0 and .chunks > 5 and .damages == []' "$dir/verify.out"
run list list --json --repo "$repo"
check "and the list knows" jq -e '.[0].verified != null and (.[0].damaged | not)' "$dir/list.out"
run again verify --json --repo "$repo" --skip-verified
check "a verified point may be skipped" jq -e '.points_skipped == 1 and .chunks == 0' "$dir/again.out"

# ---- increments ----

sleep 1 # a point's name is its second
run same backup --json --repo "$repo" "$dir/web01.vmx"
exits same 0 "the same once more"
same "stores no chunk" 0 "$(backed same .new_chunks)"
same "and compared with the first point" "$point" "$(backed same .base)"

poke "$dir/web-1.raw" $((13 * 1048576 + 77)) 100 "$seed"
qemu-img convert -q -f raw -O vmdk "$dir/web-1.raw" "$dir/web-1.vmdk"
sleep 1
run one backup --json --repo "$repo" "$dir/web01.vmx"
same "100 bytes that changed are one chunk" 1 "$(backed one .new_chunks)"
check "@latest lists that point alone" sh -c "'$hotadd' list --json --repo '$repo' web01@latest |
    jq -e --arg p '$(backed one .point)' 'length == 1 and (.[0].time as \$t | \$p | endswith(\$t))'"
run newest verify --json --repo "$repo" web01@latest
check "and verifies that point alone" jq -e '.points == 1' "$dir/newest.out"
same_disk "the new point has the new bytes" "$dir/web-1.raw" source=web01 "repo=$repo" disk=1

poke "$dir/web-1.raw" 20971520 4096 "$seed"
qemu-img convert -q -f raw -O vmdk "$dir/web-1.raw" "$dir/web-1.vmdk"
printf '%s\n' '{"disk":1,"offset":20971520,"length":4096}' '{"disk":2,"offset":0,"length":0}' >"$dir/changes"
sleep 1
run nobase backup --json --repo "$repo" --changed "$dir/changes" "$dir/web01.vmx"
exits nobase 2 "a file of changes wants to know since when"
run told backup --json --repo "$repo" --base latest --changed "$dir/changes" "$dir/web01.vmx"
exits told 0 "a backup that is told what changed"
same "reads only that" 4194304 "$(backed told '.bytes - .reused_bytes')"
same "and stores it" 1 "$(backed told .new_chunks)"
same_disk "the point is whole: disk 1" "$dir/web-1.raw" source=web01 "repo=$repo" disk=1
same_disk "the point is whole: disk 2" "$dir/web-2.raw" source=web01 "repo=$repo" disk=2
printf '%s\n' '{"disk":2,"offset":20971520,"length":4096}' >"$dir/changes"
run wrong backup --repo "$repo" --base latest --changed "$dir/changes" "$dir/web01.vmx"
exits wrong 1 "changes of another disk are refused"
has "by name" "$dir/wrong.err" "is it another disk's?"

# ---- a dirty bitmap ----

disk "$dir/db.raw" 24 "$seed-db"
qemu-img convert -q -f raw -O qcow2 "$dir/db.raw" "$dir/db.qcow2"
run db backup --json --repo "$repo" --vm db01 "$dir/db.qcow2"
exits db 0 "a qcow2 is backed up"
base=$(backed db .point)
qemu-img bitmap --add -g 65536 "$dir/db.qcow2" night
qemu-io -f qcow2 -c 'write -q -P 7 9M 64k' -c 'write -q -P 0 17M 64k' "$dir/db.qcow2" >/dev/null
qemu-img convert -q -f qcow2 -O raw "$dir/db.qcow2" "$dir/db.raw"
qemu-nbd -r -t -e 1 -f qcow2 --bitmap=night -k "$dir/db.sock" "$dir/db.qcow2" &
server_pid=$!
wait_until 20 test -S "$dir/db.sock"
sleep 1
run bitmap backup --json --repo "$repo" --vm db01 --base "${base#*@}" --bitmap night "nbd+unix:///?socket=$dir/db.sock"
exits bitmap 0 "a backup by dirty bitmap"
same "reads two chunks" 8388608 "$(backed bitmap '.bytes - .reused_bytes')"
same_disk "its point is whole" "$dir/db.raw" source=db01 "repo=$repo"
run nomap backup --repo "$repo" --vm db01 --base latest --bitmap day "nbd+unix:///?socket=$dir/db.sock"
exits nomap 1 "a bitmap that is not there is no empty one"
kill "$server_pid"
server_pid=''

# ---- several at once ----

sleep 1
run several backup --json --repo "$repo" "web01=$dir/web01.vmx" "eu/vm/db02=$dir/db.qcow2" "gone=$dir/changes"
exits several 1 "of three machines one cannot be read"
same "the two others have their points" "vm/web01 eu/vm/db02 null" \
    "$(jq -r '[.backups[].point | if . then split("@")[0] else "null" end] | join(" ")' "$dir/several.out")"
has "the failure names the source" "$dir/several.err" "$dir/changes"
same_disk "a point in a namespace reads" "$dir/db.raw" source=db02 ns=eu "repo=$repo"
run ns list --json --repo "$repo" --ns eu
same "a namespace is listed by itself" "db02" "$(jq -r '[.[].id] | join(" ")' "$dir/ns.out")"

# ---- from point to point ----

run away backup --json --repo "$dir/away" --create --from "$repo" web01
exits away 0 "a point goes to another repository"
same_disk "and is the same there" "$dir/web-1.raw" source=web01 "repo=$dir/away" disk=1
poke "$dir/web-1.raw" 100 1 "$seed-again"
qemu-img convert -q -f raw -O vmdk "$dir/web-1.raw" "$dir/web-1.vmdk"
sleep 1
run one backup --json --repo "$repo" "$dir/web01.vmx"
run away backup --json --repo "$dir/away" --from "$repo" web01
same "the next copy reads what differs" 4194304 "$(backed away '.bytes - .reused_bytes')"
same_disk "and is the same again" "$dir/web-1.raw" source=web01 "repo=$dir/away" disk=1
same "the machine's description travels" "$(backed one .bytes)" "$(backed away .bytes)"

run clone backup --json --repo "$repo" --from "$repo" --vm web02 web01
exits clone 0 "a point becomes another machine's in the same repository"
same "without a byte being read" "0 0" "$(backed clone '"\(.bytes - .reused_bytes) \(.new_chunks)"')"
same_disk "and is the same there" "$dir/web-1.raw" source=web02 "repo=$repo" disk=1

# ---- what differs between two points ----

mapfile -t points < <(run points list --json --repo "$repo" web01; jq -r 'sort_by(.time) | .[].point' "$dir/points.out")
run older copy --quiet --repo "$repo" "${points[0]#vm/}#1" "$dir/replica.raw"
run delta copy --json --verify --repo "$repo" --base "${points[0]#vm/}#1" web01#1 "$dir/replica.raw"
exits delta 0 "an older point becomes the newest"
check "and is it" cmp "$dir/web-1.raw" "$dir/replica.raw"
check "by what changed" jq -e '.data_bytes <= 12582912 and .written_bytes <= 16384' "$dir/delta.out"

# ---- removing ----

run forget forget --repo "$repo" web01
exits forget 2 "what is forgotten is named exactly"
run forget forget --repo "$repo" "${point#vm/}"
exits forget 0 "a point is forgotten"
run gone list --json --repo "$repo" web01
check "and gone" jq -e --arg p "$point" 'all(.point != $p)' "$dir/gone.out"
run verify verify --json --repo "$repo"
exits verify 0 "all others are whole"
finish
