#!/bin/bash
# hotadd against an EC2 endpoint that is not ours: a server that judges every request by
# AWS's own service model and botocore's own signer. No request may be rejected.
# shellcheck disable=SC2016,SC2034 # jq's variables; lib.sh reads server_pid
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands python3 aws jq
python3 -c 'import botocore' 2>/dev/null || skip_all "python3-botocore is not installed"

mkdir "$dir/ec2"
python3 "$here/ec2_model_endpoint.py" "$dir/ec2" >"$dir/server.log" 2>&1 &
server_pid=$!
wait_until 30 test -e "$dir/ec2/env" || bail "the endpoint did not start: $(tail -n 1 "$dir/server.log")"
# shellcheck disable=SC1091
. "$dir/ec2/env"

# A disk of no whole GiB, with data at known places.
image=$dir/disk.raw
truncate -s 96M "$image"
printf 'hotadd was here' | dd of="$image" bs=1M seek=5 conv=notrunc status=none
dd if=/dev/urandom of="$image" bs=64K count=16 seek=100 conv=notrunc status=none

run identity restore --dry-run --json --skip-check --format raw "$image"
exits identity 0 "a dry run makes a plan"
check "the plan is for this region's zone, and JSON" \
    jq -e '.zone == "eu-north-1b" and .instance_type == "t3.nano"' "$dir/identity.out"
same "a dry run leaves no job" "" "$(last_job)"

before=$(AWS_DEFAULT_REGION=eu-north-1 cloud_state)

run restore restore --skip-check --verify --json --format raw --tag team=e2e \
    --key-name admin --name model "$image"
exits restore 0 "a restore runs through"
job=$(jq -r .id "$dir/restore.out")
instance=$(jq -r .instance.instance_id "$dir/restore.out")
check "its result names a running instance with status checks ok" \
    jq -e '.instance.state == "running" and .instance.status_checks == "ok"' "$dir/restore.out"
export AWS_DEFAULT_REGION=eu-north-1
ec2 describe-instances --instance-ids "$instance" >"$dir/instance.json"
check "the instance has the restored volume at its root device, kept on termination" \
    jq -e '.Reservations[0].Instances[0] | .RootDeviceName as $r
        | .BlockDeviceMappings | length == 1 and .[0].DeviceName == $r
        and (.[0].Ebs.DeleteOnTermination | not)' "$dir/instance.json"
volume=$(jq -r '.Reservations[0].Instances[0].BlockDeviceMappings[0].Ebs.VolumeId' "$dir/instance.json")
check "the volume holds the image, byte for byte" \
    cmp --bytes="$(stat -c %s "$image")" "$image" "$dir/ec2/volumes/$volume"
check "instance and volume carry the job's tag and the user's" \
    jq -e --arg job "$job" '[.Tags[] | {(.Key): .Value}] | add
        | ."hotadd:job" == $job and .team == "e2e" and .Name == "model"' \
    <(jq '.Reservations[0].Instances[0]' "$dir/instance.json")

# Again: the carrier is found, and given settings are sent as the model has them.
run second restore --skip-check --quiet --format raw --name second --imds optional \
    --private-ip 10.1.7.7 --instance-type m5.large --volume-type io2 --iops 4000 \
    --delete-on-termination --encrypted --security-group sg-0123456789abcdef0 \
    --subnet subnet-0123456789abcdef0 --iam-profile web "$image"
exits second 0 "a second restore uses the carrier, with every setting given"
same "there is one carrier" 1 "$(ec2 describe-images --owners self --query 'length(Images)')"
second=$(last_job)

run xen restore --skip-check --quiet --format raw --profile xen --no-wait "$image"
exits xen 0 "a guest for Xen"
xen=$(last_job)
same "gets a Xen instance type" t2.micro "$(ec2 describe-instances \
    --filters "Name=tag:hotadd:job,Values=$xen" | jq -r '.Reservations[].Instances[].InstanceType')"

# The whole conversion of a real guest; only its boot is the endpoint's own word.
converted=
if [ "$(id -u)" = 0 ] && [ -z "${HOTADD_TEST_FAST-}" ]; then
    demo=$(demo_guest) || exit 1
    run convert convert --json "$demo.ova"
    exits convert 0 "convert of a real guest runs through"
    converted=$(jq -r .id "$dir/convert.out")
    check "in the documented steps" \
        jq -e '[.steps[] | select(.state == "done") | .name] == ["create-volumes", "attach-volumes",
            "restore-data", "inject-drivers", "detach-volumes", "create-instance", "first-boot"]' \
        "$dir/convert.out"
    check "and has changed the guest" \
        sh -c '"$0" jobs "$1" | grep -q "inject-drivers.*/etc/fstab"' "$hotadd" "$converted"
else
    skip "convert of a real guest" "making the guest needs root"
fi

run gc gc --json
exits gc 0 "gc lists"
same "gc finds nothing that no job accounts for" "[]" "$(jq -c . "$dir/gc.out")"

for j in $converted $xen $second $job; do
    run undo undo --done "$j"
    exits undo 0 "undo of $j"
done
same "the account is as it was" "$before" "$(cloud_state)"

# The endpoint's own account of it.
log=$dir/ec2/requests.jsonl
same "the model rejected no request" "" "$(jq -r 'select(.rejected) | "\(.action): \(.rejected)"' "$log" | sort | uniq -c)"
say "actions: $(jq -r .action "$log" | sort | uniq -c | awk '{ printf "%s%s x%d", sep, $2, $1; sep = ", " }')"
say "answers other than success: $(jq -r 'select(.code) | "\(.action) \(.code)"' "$log" | sort | uniq -c | awk '{ printf "%s%s %s x%d", sep, $2, $3, $1; sep = ", " }')"
finish
