#!/bin/bash
# The lab's EBS direct APIs against Debian's AWS command line and nothing of ours: a
# snapshot read block by block, one compared with an older one, one written; pages,
# tokens that expire, checksums, refusals. Boots nothing.
# shellcheck disable=SC2016,SC2317 # functions and sh -c texts are called by name
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands aws curl jq openssl
/usr/bin/python3 -c 'import awscli' 2>/dev/null || skip_all "Debian's awscli is not installed"

lab_start --delay-ms 50 --no-machines
cli_start

ec2() { cli --endpoint-url "$AWS_ENDPOINT_URL" --output json ec2 "$@"; }
ebs() { cli --endpoint-url "$AWS_ENDPOINT_URL_EBS" --output json ebs "$@"; }
as() { cli "$1" --endpoint-url "$AWS_ENDPOINT_URL_EBS" ebs "${@:2}"; }
once() { as AWS_MAX_ATTEMPTS=1 "${@:2}"; }
text() { ec2 "$@" --output text; }
block=$((512 << 10))

# ---- a volume with a few blocks of data ----

volume=$(text create-volume --availability-zone us-east-1a --size 1 --query VolumeId)
file=$lab_dir/volumes/$volume.raw
# write BLOCK: random data over the volume's block
write() { dd if=/dev/urandom of="$file" bs=$block count=1 seek="$1" conv=notrunc status=none; }
available() { [ "$(text describe-volumes --volume-ids "$volume" --query 'Volumes[0].State')" = available ]; }
snapshot() {
    local id
    id=$(text create-snapshot --volume-id "$volume" --query SnapshotId)
    wait_until 20 completed "$id"
    echo "$id"
}
completed() { [ "$(text describe-snapshots --snapshot-ids "$1" --query 'Snapshots[0].State')" = completed ]; }
wait_until 20 available
for i in 0 7 100 2047; do write $i; done
printf x | dd of="$file" bs=1 seek=$((300 * block + 777)) conv=notrunc status=none
dd if=/dev/zero of="$file" bs=$block count=1 seek=500 conv=notrunc status=none # data, but zeros
old=$(snapshot)

# ---- reading ----

list=$(ebs list-snapshot-blocks --snapshot-id "$old")
same "blocks with data are listed" "0 7 100 300 2047" "$(jq -r '[.Blocks[].BlockIndex] | join(" ")' <<<"$list")"
same "with the volume's size and theirs" "1 524288" "$(jq -r '"\(.VolumeSize) \(.BlockSize)"' <<<"$list")"
token() { jq -r ".Blocks[] | select(.BlockIndex == $1).BlockToken" <<<"$list"; }
for i in 7 300 2047; do
    dd if="$file" of="$dir/want" bs=$block count=1 skip=$i status=none
    got=$(ebs get-snapshot-block --snapshot-id "$old" --block-index $i --block-token "$(token $i)" "$dir/got")
    check "block $i is what was written" cmp "$dir/want" "$dir/got"
    same "its checksum too" "524288 SHA256 $(openssl dgst -sha256 -binary "$dir/want" | base64)" \
        "$(jq -r '"\(.DataLength) \(.ChecksumAlgorithm) \(.Checksum)"' <<<"$got")"
done
same "from a block on" "300 2047" \
    "$(ebs list-snapshot-blocks --snapshot-id "$old" --starting-block-index 101 | jq -r '[.Blocks[].BlockIndex] | join(" ")')"
get() { ebs get-snapshot-block --snapshot-id "$old" --block-index "$1" --block-token "$2" "$dir/got" "${@:3}"; }
refuses "another block's token" ValidationException "block token is not valid" get 7 "$(token 300)"
refuses "no token of ours" ValidationException "block token is not valid" get 7 AAAA
refuses "a block beyond the end" ValidationException "no block 2048" get 2048 "$(token 7)"
refuses "a snapshot that is not there" ResourceNotFoundException "does not exist" \
    ebs list-snapshot-blocks --snapshot-id snap-0123456789abcdef0
# The form of errors, which the command line does not show.
out=$(curl -s -D - --aws-sigv4 aws:amz:us-east-1:ebs -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    "$AWS_ENDPOINT_URL_EBS/snapshots/snap-1/blocks" | tr -d '\r')
check "an error's type is in a header, with its reason in the body" sh -c 'echo "$1" | grep -q "^HTTP/1.1 404" &&
    echo "$1" | grep -q "^x-amzn-ErrorType: ResourceNotFoundException$" &&
    echo "$1" | tail -n 1 | jq -e ".Reason == \"SNAPSHOT_NOT_FOUND\" and (.Message | length > 0)"' sh "$out"
public=$(text describe-snapshots --owner-ids amazon --query 'Snapshots[0].SnapshotId')
refuses "a public snapshot" AccessDeniedException "not yours" ebs list-snapshot-blocks --snapshot-id "$public"

# ---- comparing ----

write 7
write 600
dd if=/dev/zero of="$file" bs=$block count=1 seek=100 conv=notrunc status=none
new=$(snapshot)
changed=$(ebs list-changed-blocks --first-snapshot-id "$old" --second-snapshot-id "$new")
same "what differs is listed" "7 100 600" "$(jq -r '[.ChangedBlocks[].BlockIndex] | join(" ")' <<<"$changed")"
same "with tokens of both where both have data" "true true false" \
    "$(jq -r '[.ChangedBlocks[] | has("FirstBlockToken")] | join(" ")' <<<"$changed")"
changed_token() { jq -r ".ChangedBlocks[] | select(.BlockIndex == $1).$2" <<<"$changed"; }
ebs get-snapshot-block --snapshot-id "$new" --block-index 100 --block-token "$(changed_token 100 SecondBlockToken)" \
    "$dir/got" >/dev/null
check "a block overwritten with zeros reads so" cmp -n $block "$dir/got" /dev/zero
ebs get-snapshot-block --snapshot-id "$old" --block-index 7 --block-token "$(changed_token 7 FirstBlockToken)" \
    "$dir/got" >/dev/null
check "the older data are read by the first token" sh -c '! cmp -s "$1" "$2"' sh "$dir/got" "$dir/want"
same "without a first snapshot all blocks are" "0 7 300 600 2047" \
    "$(ebs list-changed-blocks --second-snapshot-id "$new" | jq -r '[.ChangedBlocks[].BlockIndex] | join(" ")')"
same "nothing differs from itself" 0 \
    "$(ebs list-changed-blocks --first-snapshot-id "$new" --second-snapshot-id "$new" | jq '.ChangedBlocks | length')"

# A volume made of a snapshot goes on with its lineage; another volume is a stranger.
first_volume=$volume
volume=$(text create-volume --availability-zone us-east-1a --snapshot-id "$new" --query VolumeId)
wait_until 20 available
file=$lab_dir/volumes/$volume.raw
write 1000
later=$(snapshot)
same "over a volume made of a snapshot" 1000 \
    "$(ebs list-changed-blocks --first-snapshot-id "$new" --second-snapshot-id "$later" | jq -r '.ChangedBlocks[].BlockIndex')"
volume=$(text create-volume --availability-zone us-east-1a --size 1 --query VolumeId)
wait_until 20 available
stranger=$(snapshot)
refuses "snapshots of two volumes" ValidationException "not of one lineage" \
    ebs list-changed-blocks --first-snapshot-id "$old" --second-snapshot-id "$stranger"
same "an empty volume has no blocks" 0 "$(ebs list-snapshot-blocks --snapshot-id "$stranger" | jq '.Blocks | length')"

# ---- pages ----

file=$lab_dir/volumes/$volume.raw
for i in $(seq 0 3 899); do printf x | dd of="$file" bs=1 seek=$((i * block)) conv=notrunc status=none; done
many=$(snapshot)
page=$(ebs list-snapshot-blocks --snapshot-id "$many" --max-results 100)
same "a page has so many" "100 0 297" \
    "$(jq -r '"\(.Blocks | length) \(.Blocks[0].BlockIndex) \(.Blocks[-1].BlockIndex)"' <<<"$page")"
next=$(jq -r .NextToken <<<"$page")
page=$(ebs list-snapshot-blocks --snapshot-id "$many" --max-results 250 --next-token "$next")
same "the next goes on, and is the last" "200 300 897 null" \
    "$(jq -r '"\(.Blocks | length) \(.Blocks[0].BlockIndex) \(.Blocks[-1].BlockIndex) \(.NextToken)"' <<<"$page")"
refuses "another snapshot's page" ValidationException "page token is not valid" \
    ebs list-snapshot-blocks --snapshot-id "$new" --next-token "$next"

# ---- writing ----

sum() { openssl dgst -sha256 -binary "$1" | base64; }
put() { # SNAPSHOT BLOCK FILE [ARGUMENTS]
    ebs put-snapshot-block --snapshot-id "$1" --block-index "$2" --block-data "$3" --data-length "$block" \
        --checksum "$(sum "$3")" --checksum-algorithm SHA256 "${@:4}"
}
head -c $block /dev/urandom >"$dir/b1"
head -c $block /dev/urandom >"$dir/b2"
started=$(ebs start-snapshot --volume-size 1 --parent-snapshot-id "$new" --description written \
    --tags Key=hotadd:job,Value=j-3 --client-token w1)
mine=$(jq -r .SnapshotId <<<"$started")
same "a snapshot is begun on another" "pending 524288 $new" \
    "$(jq -r '"\(.Status) \(.BlockSize) \(.ParentSnapshotId)"' <<<"$started")"
same "once for a client token" "$mine" "$(ebs start-snapshot --volume-size 1 --parent-snapshot-id "$new" \
    --description written --tags Key=hotadd:job,Value=j-3 --client-token w1 | jq -r .SnapshotId)"
refuses "with the same words" ConflictException '' ebs start-snapshot --volume-size 2 --client-token w1
refuses "smaller than its parent, or no size" ValidationException "from 1 to 65536 GiB" ebs start-snapshot --volume-size 70000
refuses "it cannot be read yet" ValidationException "not completed" ebs list-snapshot-blocks --snapshot-id "$mine"
check "a block is written" put "$mine" 7 "$dir/b1"
check "another" put "$mine" 1500 "$dir/b2"
check "one again" put "$mine" 1500 "$dir/b2"
refuses "with a wrong checksum" ValidationException checksum ebs put-snapshot-block --snapshot-id "$mine" \
    --block-index 8 --block-data "$dir/b1" --data-length $block --checksum "$(sum "$dir/b2")" --checksum-algorithm SHA256
refuses "beyond the end" ValidationException "no block 2048" put "$mine" 2048 "$dir/b1"

pid=$("$lab" status --state "$lab_dir" --json | jq .pid)
kill -9 "$pid"
wait_until 10 sh -c '! kill -0 "$1" 2>/dev/null' sh "$pid"
lab_start --delay-ms 50 --no-machines --block-token-s 2

complete() { ebs complete-snapshot --snapshot-id "$mine" "$@"; }
both=$({ openssl dgst -sha256 -binary "$dir/b1"; openssl dgst -sha256 -binary "$dir/b2"; } | openssl dgst -sha256 -binary | base64)
refuses "after a crash the count must be right" ValidationException "2 blocks were written" complete --changed-blocks-count 3
refuses "and the checksum" ValidationException checksum complete --changed-blocks-count 2 \
    --checksum "$(sum "$dir/b1")" --checksum-algorithm SHA256 --checksum-aggregation-method LINEAR
check "to seal it" complete --changed-blocks-count 2 --checksum "$both" --checksum-algorithm SHA256 \
    --checksum-aggregation-method LINEAR
check "it is completed" wait_until 20 completed "$mine"
same "with its tag" j-3 "$(text describe-snapshots --snapshot-ids "$mine" --query 'Snapshots[0].Tags[0].Value')"
refuses "then no block is written" ValidationException "it is completed" put "$mine" 9 "$dir/b1"
same "it differs from its parent by what was written" "7 1500" \
    "$(ebs list-changed-blocks --first-snapshot-id "$new" --second-snapshot-id "$mine" | jq -r '[.ChangedBlocks[].BlockIndex] | join(" ")')"
cp --sparse=always "$lab_dir/snapshots/$new.raw" "$dir/expected"
dd if="$dir/b1" of="$dir/expected" bs=$block seek=7 conv=notrunc status=none
dd if="$dir/b2" of="$dir/expected" bs=$block seek=1500 conv=notrunc status=none
check "byte by byte" cmp "$dir/expected" "$lab_dir/snapshots/$mine.raw"

# ---- tokens that expire, faults ----

list=$(ebs list-snapshot-blocks --snapshot-id "$old")
sleep 3
refuses "a token has its time" ValidationException "block token is not valid" get 7 "$(token 7)"
fault add ListSnapshotBlocks RequestThrottledException --times 1 >/dev/null
refuses "throttled on demand" RequestThrottledException "" once ebs list-snapshot-blocks --snapshot-id "$old"
check "once" ebs list-snapshot-blocks --snapshot-id "$old"
fault add GetSnapshotBlock deny --times 1 >/dev/null
refuses "denied on demand" AccessDeniedException "ebs:GetSnapshotBlock" get 7 "$(token 7)"
out=$(as AWS_SECRET_ACCESS_KEY=wrong list-snapshot-blocks --snapshot-id "$old" 2>&1)
check "a wrong secret" grep -qF '(InvalidSignatureException)' <<<"$out"
out=$(as AWS_ACCESS_KEY_ID=AKIANOBODY list-snapshot-blocks --snapshot-id "$old" 2>&1)
check "an unknown key" grep -qF '(UnrecognizedClientException)' <<<"$out"

for s in "$mine" "$many" "$old"; do ec2 delete-snapshot --snapshot-id "$s"; done
check "a deleted snapshot leaves no file" sh -c '! ls "$1"/snapshots/"$2".*' sh "$lab_dir" "$mine"
check "the volume is still there" ec2 describe-volumes --volume-ids "$first_volume"
cli_stop
finish
