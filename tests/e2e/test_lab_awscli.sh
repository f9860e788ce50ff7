#!/bin/bash
# The lab against Debian's AWS command line and nothing of ours: a volume's life, a
# snapshot and an image, an instance from its launch over the swap of its root to its end,
# waiters, pages, errors, wrong and expired credentials, faults, a restart and a crash.
#
# HOTADD_TEST_NO_MACHINES=1 boots nothing: for machines that are too busy for that.
# shellcheck disable=SC2016,SC2317 # functions and sh -c texts are called by name
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands aws jq curl xxd
# Debian's first: its age is what makes the test worth having.
if [ -x /usr/bin/aws ]; then PATH=/usr/bin:$PATH; fi

zone=us-east-1a machines=()
[ -z "${HOTADD_TEST_NO_MACHINES-}" ] || machines=(--no-machines)
lab_start --delay-ms 150 --role-ttl-s 900 "${machines[@]}"

sts() { aws --endpoint-url "$AWS_ENDPOINT_URL" --output json sts "$@"; }
waits() { ec2 wait "$@"; } # the CLI's own pace: 15 seconds a look
text() { ec2 "$@" --output text; }

# refused NAME CODE ARGUMENTS...: the call fails with that error code.
refused() {
    local name=$1 code=$2 out
    shift 2
    if out=$(ec2 "$@" 2>&1); then
        echo "it succeeded: $out" | fail "$name"
    elif [[ $out == *"($code)"* ]]; then
        pass "$name"
    else
        printf '%s\n' "wanted $code" "$out" | fail "$name"
    fi
}

# volume_is ID STATE; image_is, snapshot_is likewise
volume_is() { [ "$(text describe-volumes --volume-ids "$1" --query 'Volumes[0].State')" = "$2" ]; }
instance_is() {
    [ "$(text describe-instances --instance-ids "$1" --query 'Reservations[0].Instances[0].State.Name')" = "$2" ]
}

same "the caller is the lab's account" 123456789012 "$(sts get-caller-identity --query Account --output text)"
proxy=$(text describe-instances --filters Name=tag:Name,Values=hotadd-proxy --query 'Reservations[0].Instances[0].InstanceId')
check "the proxy instance is there and healthy" waits instance-status-ok --instance-ids "$proxy"

# ---- a volume ----

refused "size 0" InvalidParameterValue create-volume --availability-zone $zone --size 0
refused "an unknown type" UnknownVolumeType create-volume --availability-zone $zone --size 1 --volume-type floppy
refused "an unknown zone" InvalidZone.NotFound create-volume --availability-zone us-east-1z --size 1
refused "a dry run that would do" DryRunOperation create-volume --availability-zone $zone --size 1 --dry-run
refused "a volume that is not there" InvalidVolume.NotFound describe-volumes --volume-ids vol-0123456789abcdef0
refused "a malformed id" InvalidVolumeID.Malformed describe-volumes --volume-ids vol-xyz
refused "a filter that is none" InvalidParameterValue describe-volumes --filters Name=smell,Values=x
refused "an action that is none of the lab's" InvalidAction describe-hosts
refused "what the lab cannot do is said so" UnsupportedOperation register-image --name x --image-location b/k

make_volume() {
    text create-volume --availability-zone $zone --size "$1" --volume-type gp3 --client-token "$2" \
        --tag-specifications 'ResourceType=volume,Tags=[{Key=hotadd:job,Value=j-1}]' --query VolumeId
}
volume=$(make_volume 1 token-1)
same "a client token makes one volume" "$volume" "$(make_volume 1 token-1)"
refused "a client token with other parameters" IdempotentParameterMismatch create-volume \
    --availability-zone $zone --size 2 --client-token token-1
check "waiter volume-available" waits volume-available --volume-ids "$volume"
same "found by its tag" "$volume" \
    "$(text describe-volumes --filters 'Name=tag:hotadd:job,Values=j-*' Name=status,Values=available --query 'Volumes[].VolumeId')"

far=$(text create-volume --availability-zone us-east-1b --size 1 --query VolumeId)
wait_until 10 volume_is "$far" available
refused "a volume of another zone" InvalidVolume.ZoneMismatch attach-volume --volume-id "$far" \
    --instance-id "$proxy" --device /dev/sdf
refused "a device name that is none" InvalidParameterValue attach-volume --volume-id "$volume" \
    --instance-id "$proxy" --device /dev/hda
check "attach-volume" ec2 attach-volume --volume-id "$volume" --instance-id "$proxy" --device /dev/sdf
check "waiter volume-in-use" waits volume-in-use --volume-ids "$volume"
device=$HOTADD_DEVICE_ROOT/disk/by-id/nvme-Amazon_Elastic_Block_Store_${volume/-/}
check "its device is there" test -e "$device"
refused "attached twice" VolumeInUse attach-volume --volume-id "$volume" --instance-id "$proxy" --device /dev/sdg
refused "deleted while attached" VolumeInUse delete-volume --volume-id "$volume"
check "its device can be written" dd if=/dev/urandom of="$device" bs=64K count=4 seek=3 conv=fsync,notrunc status=none

exec 9<"$device"
check "detach-volume without an instance, while held open" ec2 detach-volume --volume-id "$volume"
attachment_is() { [ "$(text describe-volumes --volume-ids "$volume" --query 'Volumes[0].Attachments[0].State')" = "$1" ]; }
check "it is busy" wait_until 15 attachment_is busy
exec 9<&-
check "and free when closed" wait_until 15 volume_is "$volume" available
check "its device is gone" test ! -e "$device"
refused "detached twice" IncorrectState detach-volume --volume-id "$volume"

# ---- pages ----

for i in 1 2 3 4 5 6 7; do ec2 create-volume --availability-zone $zone --size 1 --client-token "page-$i" >/dev/null; done
same "pages hold everything once" 10 \
    "$(ec2 describe-volumes --page-size 5 --query 'Volumes[].VolumeId' | jq 'unique | length')"
same "so do instance types" "$(ec2 describe-instance-types --query 'length(InstanceTypes)')" \
    "$(ec2 describe-instance-types --page-size 7 --query 'InstanceTypes[].InstanceType' | jq 'unique | length')"

# ---- a snapshot and an image ----

guest=$dir/guest.raw boots=no
if [ -z "${HOTADD_TEST_NO_MACHINES-}" ] && command -v qemu-system-x86_64 >/dev/null &&
    "$here/tiny-guest" --cache "$(cache_dir)" "$guest" >"$dir/tiny-guest.log" 2>&1; then
    boots=yes
fi
if [ $boots = yes ]; then
    check "attach it again" ec2 attach-volume --volume-id "$volume" --instance-id "$proxy" --device /dev/sdf
    wait_until 10 attachment_is attached
    check "write a guest to it" dd if="$guest" of="$device" bs=1M conv=fsync,notrunc,sparse status=none
    ec2 detach-volume --volume-id "$volume" --instance-id "$proxy" >/dev/null
    check "detach it" wait_until 15 volume_is "$volume" available
fi
snapshot=$(text create-snapshot --volume-id "$volume" --description moment --query SnapshotId)
check "waiter snapshot-completed" waits snapshot-completed --snapshot-ids "$snapshot"
mapping="[{\"DeviceName\":\"/dev/sda1\",\"Ebs\":{\"SnapshotId\":\"$snapshot\",\"VolumeType\":\"gp3\"}}]"
register() {
    text register-image --name "$1" --architecture x86_64 --virtualization-type hvm --boot-mode legacy-bios \
        --ena-support --root-device-name /dev/sda1 --block-device-mappings "$mapping" --query ImageId
}
image=$(register hotadd-e2e)
check "waiter image-available" waits image-available --image-ids "$image"
refused "an image name twice" InvalidAMIName.Duplicate register-image --name hotadd-e2e \
    --root-device-name /dev/sda1 --block-device-mappings "$mapping"
refused "a snapshot that an image needs" InvalidSnapshot.InUse delete-snapshot --snapshot-id "$snapshot"
same "stock Windows images are found by owner and name" "Windows RunInstances:0002" \
    "$(text describe-images --owners amazon --filters 'Name=name,Values=Windows_Server-2019-English-Full-Base-*' \
        --query 'Images[0].[PlatformDetails,UsageOperation]' | tr '\t' ' ')"

# ---- an instance ----

run_one() {
    ec2 run-instances --image-id "$image" --count 1 --instance-type t3.micro --client-token "$1" \
        --private-ip-address 172.31.5.9 "${@:2}" \
        --metadata-options HttpTokens=required --tag-specifications \
        'ResourceType=instance,Tags=[{Key=Name,Value=e2e}]' 'ResourceType=volume,Tags=[{Key=hotadd:job,Value=j-2}]'
}
instance_ok() { waits instance-status-ok --instance-ids "$instance"; }

refused "an instance dry run" DryRunOperation run-instances --image-id "$image" --instance-type t3.micro --dry-run
refused "a type of another architecture" InvalidParameterValue run-instances --image-id "$image" --instance-type m6g.large
instance=$(run_one run-1 | jq -r '.Instances[0].InstanceId')
same "a launch repeated is one launch" "$instance" "$(run_one run-1 | jq -r '.Instances[0].InstanceId')"
check "waiter instance-running" waits instance-running --instance-ids "$instance"
same "its volume carries its tag" j-2 \
    "$(text describe-volumes --filters "Name=attachment.instance-id,Values=$instance" --query 'Volumes[0].Tags[0].Value')"
root=$(text describe-volumes --filters "Name=attachment.instance-id,Values=$instance" --query 'Volumes[0].VolumeId')
if [ $boots = yes ]; then
    check "waiter instance-status-ok, from what the guest does" instance_ok
    console_says() { text get-console-output --latest --instance-id "$instance" --query Output | grep -qF "$1"; }
    check "the console is there" wait_until 60 console_says "instance-id $instance"
    check "the guest has its private address" console_says 'address 172.31.5.9/20'
    check "its disk's serial is the volume id" console_says "serial=${root/-/}"
    text get-console-screenshot --instance-id "$instance" --wake-up --query ImageData | base64 -d >"$dir/screen.jpg"
    same "its display is shown as JPEG" ffd8ff "$(xxd -p -l 3 "$dir/screen.jpg")"
    check "its SSH port is reached" sh -c 'test "$1" -gt 0' sh "$(ssh_port "$instance")"
else
    skip "waiter instance-status-ok" "no tiny guest or no QEMU: $(tail -n 1 "$dir/tiny-guest.log" 2>/dev/null)"
fi
refused "an instance without a machine has no display" UnsupportedOperation \
    get-console-screenshot --instance-id "$proxy"
refused "its root while it runs" OperationNotPermitted detach-volume --volume-id "$root"
refused "its type while it runs" IncorrectInstanceState modify-instance-attribute --instance-id "$instance" \
    --instance-type t3.small
check "stop-instances" ec2 stop-instances --instance-ids "$instance"
check "waiter instance-stopped" waits instance-stopped --instance-ids "$instance"

# The swap: its root goes, ours comes.
check "its root can go now" ec2 detach-volume --volume-id "$root"
wait_until 10 volume_is "$root" available
refused "no start without a root" IncorrectInstanceState start-instances --instance-ids "$instance"
ec2 attach-volume --volume-id "$volume" --instance-id "$instance" --device /dev/sda1 >/dev/null
ec2 delete-volume --volume-id "$root"
check "waiter volume-deleted" waits volume-deleted --volume-ids "$root"
check "DeleteOnTermination can be set" ec2 modify-instance-attribute --instance-id "$instance" \
    --block-device-mappings '[{"DeviceName":"/dev/sda1","Ebs":{"DeleteOnTermination":true}}]'
check "a larger type" ec2 modify-instance-attribute --instance-id "$instance" --instance-type t3.small
ec2 start-instances --instance-ids "$instance" >/dev/null
check "it runs from our volume" waits instance-running --instance-ids "$instance"

# ---- restart and crash ----

pid=$("$lab" status --state "$lab_dir" --json | jq .pid)
kill -9 "$pid"
wait_until 10 sh -c '! kill -0 "$1" 2>/dev/null' sh "$pid"
lab_start --delay-ms 150 --role-ttl-s 20 "${machines[@]}"
check "after a crash the instance runs again" waits instance-running --instance-ids "$instance"
if [ $boots = yes ]; then
    check "its machine too" instance_ok
else
    skip "its machine too" "nothing boots here"
fi
check "terminate-instances" ec2 terminate-instances --instance-ids "$instance"
check "waiter instance-terminated" waits instance-terminated --instance-ids "$instance"
refused "its volume went with it" InvalidVolume.NotFound describe-volumes --volume-ids "$volume"
refused "the proxy is protected" OperationNotPermitted terminate-instances --instance-ids "$proxy"
check "deregister-image" ec2 deregister-image --image-id "$image"
check "delete-snapshot" ec2 delete-snapshot --snapshot-id "$snapshot"

# ---- credentials ----

as() { env AWS_ACCESS_KEY_ID="$1" AWS_SECRET_ACCESS_KEY="$2" AWS_SESSION_TOKEN="$3" aws \
    --endpoint-url "$AWS_ENDPOINT_URL" ec2 describe-regions 2>&1; }
denied() { # NAME CODE KEY SECRET [TOKEN]
    local out
    out=$(as "$3" "$4" "${5-}")
    if [[ $out == *"($2)"* ]]; then pass "$1"; else echo "$out" | fail "$1"; fi
}
denied "a wrong secret" SignatureDoesNotMatch "$AWS_ACCESS_KEY_ID" wrong
denied "an unknown key" AuthFailure AKIANOBODY wrong
imds=$AWS_EC2_METADATA_SERVICE_ENDPOINT
same "metadata needs a token" 401 "$(curl -s -o /dev/null -w '%{http_code}' "$imds/latest/meta-data/instance-id")"
token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$imds/latest/api/token")
meta() { curl -sf -H "X-aws-ec2-metadata-token: $token" "$imds/latest/meta-data/$1"; }
same "metadata knows the proxy" "$proxy" "$(meta instance-id)"
role=$(meta iam/security-credentials/)
creds=$(meta "iam/security-credentials/$role")
role_key=$(jq -r .AccessKeyId <<<"$creds")
role_secret=$(jq -r .SecretAccessKey <<<"$creds")
role_token=$(jq -r .Token <<<"$creds")
check "the role's credentials work" as "$role_key" "$role_secret" "$role_token"
denied "but not without their token" AuthFailure "$role_key" "$role_secret"
sleep 20.5
denied "nor once they have expired" RequestExpired "$role_key" "$role_secret" "$role_token"
same "the log holds no secret" 0 "$(grep -cF -e "$AWS_SECRET_ACCESS_KEY" -e "$role_secret" "$lab_dir/lab.log")"

# ---- faults ----

export AWS_MAX_ATTEMPTS=1
fault add DescribeRegions RequestLimitExceeded --times 1 >/dev/null
refused "throttled on demand" RequestLimitExceeded describe-regions
check "once only" ec2 describe-regions
fault add CreateVolume deny >/dev/null
refused "a missing permission shows in a dry run" UnauthorizedOperation create-volume \
    --availability-zone $zone --size 1 --dry-run
fault clear
export AWS_MAX_ATTEMPTS=3
fault add CreateVolume drop-reply --times 1 >/dev/null
check "a lost reply is made good by the CLI's own client token" ec2 create-volume \
    --availability-zone $zone --size 9 --client-token lost
same "and made one volume" 1 "$(text describe-volumes --filters Name=size,Values=9 --query 'length(Volumes)')"

check "the lab stops" "$lab" stop --state "$lab_dir"
finish
