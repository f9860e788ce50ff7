#!/bin/bash
# The lab's S3 against Debian's AWS command line and nothing of ours, and then our own
# client against the lab: whole trees, large files in parts, odd keys, pages, presigned
# URLs, wrong signatures, lost answers, a crash in the middle of an upload.
# shellcheck disable=SC2016,SC2317 # functions and sh -c texts are called by name
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
tour=$build/tests/e2e/s3-tour
need_commands aws jq curl
# Debian's first: its age is what makes the test worth having.
if [ -x /usr/bin/aws ]; then PATH=/usr/bin:$PATH; fi
lab_start --no-machines

s3() { aws --endpoint-url "$AWS_ENDPOINT_URL" --output json s3 "$@"; }
api() { aws --endpoint-url "$AWS_ENDPOINT_URL" --output json s3api "$@"; }

# refused NAME CODE COMMAND...: it fails with that error code.
refused() {
    local name=$1 code=$2 out
    shift 2
    if out=$("$@" 2>&1); then
        echo "it succeeded: $out" | fail "$name"
    elif [[ $out == *"$code"* ]]; then
        pass "$name"
    else
        printf '%s\n' "wanted $code" "$out" | fail "$name"
    fi
}

# ---- the AWS command line ----

check "mb" s3 mb s3://e2e-bucket
refused "a wrong name" InvalidBucketName s3 mb s3://E2E_bucket

head -c 20000003 /dev/urandom >"$dir/big"
check "cp of a large file, in parts" s3 cp --no-progress --content-type text/big "$dir/big" s3://e2e-bucket/dir/big
api head-object --bucket e2e-bucket --key dir/big >"$dir/head.json"
same "its size, its type, an ETag of three parts" "20000003 text/big 3" \
    "$(jq -r '"\(.ContentLength) \(.ContentType) \(.ETag | ltrimstr("\"") | split("-")[1] | rtrimstr("\""))"' "$dir/head.json")"
check "cp back, in ranges" s3 cp --no-progress s3://e2e-bucket/dir/big "$dir/back"
check "it is the same" cmp "$dir/big" "$dir/back"
check "cp within S3, by UploadPartCopy" s3 cp --no-progress s3://e2e-bucket/dir/big s3://e2e-bucket/copy
api get-object --bucket e2e-bucket --key copy --range bytes=19999993- "$dir/tail" >"$dir/range.json"
same "get-object of a range" "bytes 19999993-20000002/20000003" "$(jq -r .ContentRange "$dir/range.json")"
check "its bytes" cmp "$dir/tail" <(tail -c 10 "$dir/big")

mkdir -p "$dir/tree/a b/+"
for f in one 'a b/two%' 'a b/+/ä' 'a b/+/=&?#'; do echo "$f" >"$dir/tree/$f"; done
check "sync up a tree with odd names" s3 sync --no-progress "$dir/tree" s3://e2e-bucket/tree
same "sync again has nothing to do" "" "$(s3 sync --no-progress "$dir/tree" s3://e2e-bucket/tree 2>&1)"
check "sync down" s3 sync --no-progress s3://e2e-bucket/tree "$dir/tree2"
check "the trees are the same" diff -r "$dir/tree" "$dir/tree2"
same "ls shows folders and files" "PRE a b/ one" \
    "$(s3 ls s3://e2e-bucket/tree/ | awk '{ if ($1 != "PRE") $0 = $4; else $1 = $1; printf "%s%s", sep, $0; sep = " " }')"
same "list-objects-v2 in pages of two" "copy dir/big tree/a b/+/=&?# tree/a b/+/ä tree/a b/two% tree/one" \
    "$(api list-objects-v2 --bucket e2e-bucket --page-size 2 --query 'Contents[].Key' | jq -r 'join(" ")')"
check "rm --recursive" s3 rm --recursive s3://e2e-bucket/tree
refused "an absent object" 404 s3 cp s3://e2e-bucket/tree/one "$dir/none"

upload=$(api create-multipart-upload --bucket e2e-bucket --key half | jq -r .UploadId)
check "upload-part" api upload-part --bucket e2e-bucket --key half --part-number 1 --upload-id "$upload" --body "$dir/tail"
same "list-parts" "1 10" \
    "$(api list-parts --bucket e2e-bucket --key half --upload-id "$upload" | jq -r '.Parts[] | "\(.PartNumber) \(.Size)"')"
check "abort-multipart-upload" api abort-multipart-upload --bucket e2e-bucket --key half --upload-id "$upload"
refused "it is gone" NoSuchUpload api list-parts --bucket e2e-bucket --key half --upload-id "$upload"
check "a checksum is checked" api put-object --bucket e2e-bucket --key sum --checksum-algorithm CRC32 --body "$dir/tail"

url=$(s3 presign s3://e2e-bucket/sum)
check "a presigned URL" sh -c 'curl -sf "$1" | cmp - "$2"' sh "$url" "$dir/tail"
same "changed, it is refused" 403 "$(curl -s -o /dev/null -w '%{http_code}' "${url/sum/copy}")"
same "unsigned, it is refused" 403 "$(curl -s -o /dev/null -w '%{http_code}' "${url%%\?*}")"
refused "a wrong secret" SignatureDoesNotMatch env AWS_SECRET_ACCESS_KEY=wrong \
    aws --endpoint-url "$AWS_ENDPOINT_URL" s3api put-object --bucket e2e-bucket --key sum --body "$dir/big"

# ---- our client ----

check "the table of objects" "$tour" table s3://e2e-bucket/our/store
check "by eight threads" "$tour" threads s3://e2e-bucket/our/store
check "parts" "$tour" parts s3://e2e-bucket/our/store
port=${AWS_ENDPOINT_URL##*:}
printf '[default]\ns3 =\n  addressing_style = virtual\n' >"$dir/virtual"
check "virtual-host style" env AWS_CONFIG_FILE="$dir/virtual" AWS_ENDPOINT_URL_S3="http://localhost:$port" \
    "$tour" table s3://e2e-bucket/virtual
has "which the lab saw" "$lab_dir/lab.log" PutObject
check "a bucket in another region" api create-bucket --bucket e2e-far \
    --create-bucket-configuration LocationConstraint=eu-west-1
check "is followed there" "$tour" table s3://e2e-far/x
refused "a bucket that is none" "NoSuchBucket" "$tour" put s3://e2e-none k

same "a put is new" new "$("$tour" put s3://e2e-bucket/our key)"
same "and then there" there "$("$tour" put s3://e2e-bucket/our key)"
fault add PutObject drop-reply --times 1 >/dev/null
same "a lost answer to a put does not make it another's" new "$("$tour" put s3://e2e-bucket/our lost)"
fault add PutObject SlowDown --times 2 >/dev/null
fault add PutObject InternalError --times 1 >/dev/null
same "throttling is waited out" new "$("$tour" put s3://e2e-bucket/our slow)"
fault add GetObject drop-body --times 2 >/dev/null
check "an answer cut off in the middle is asked for again" sh -c '"$1" get s3://e2e-bucket dir/big | cmp - "$2"' \
    sh "$tour" "$dir/big"
fault add GetObject deny --times 1 >/dev/null
refused "a missing permission is named" "allow s3:GetObject" "$tour" get s3://e2e-bucket copy

# ---- a crash ----

before=$(find "$lab_dir/s3/data" -type f | wc -l)
fault add PutObject delay --ms 30000 --times 1 >/dev/null
AWS_MAX_ATTEMPTS=1 aws --endpoint-url "$AWS_ENDPOINT_URL" s3api put-object --bucket e2e-bucket --key copy \
    --body "$dir/tail" >"$dir/late.out" 2>&1 &
late=$!
more_files() { [ "$(find "$lab_dir/s3/data" -type f | wc -l)" -gt "$before" ]; }
check "data of an upload are on the disk" wait_until 30 more_files
kill -9 "$("$lab" status --state "$lab_dir" --json | jq .pid)"
kill "$late" 2>/dev/null
wait "$late" 2>/dev/null
wait_until 10 flock -n "$lab_dir/lab.lock" true
lab_start --no-machines
same "after a crash they are swept" "$before" "$(find "$lab_dir/s3/data" -type f | wc -l)"
check "and the object is what it was" sh -c '"$1" get s3://e2e-bucket copy | cmp - "$2"' sh "$tour" "$dir/big"
same "the log holds no secret" 0 "$(grep -cF -e "$AWS_SECRET_ACCESS_KEY" -e Signature= "$lab_dir/lab.log")"
refused "rb of what is not empty" BucketNotEmpty s3 rb s3://e2e-bucket
check "rb --force" s3 rb --force s3://e2e-bucket
same "no data stay" 0 "$(find "$lab_dir/s3/data" -type f | wc -l)"
check "the lab stops" "$lab" stop --state "$lab_dir"
finish
