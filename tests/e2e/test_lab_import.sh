#!/bin/bash
# The lab's VM Import and the role it needs against Debian's AWS command line and nothing
# of ours: formats, what becomes of them, failures, cancelling, a crash in between. Boots
# nothing.
# shellcheck disable=SC2016,SC2317 # functions and sh -c texts are called by name
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands aws jq qemu-img sfdisk xxd
/usr/bin/python3 -c 'import awscli' 2>/dev/null || skip_all "Debian's awscli is not installed"

lab_start --delay-ms 50 --no-machines
cli_start

ec2() { cli --endpoint-url "$AWS_ENDPOINT_URL" --output json ec2 "$@"; }
iam() { cli --endpoint-url "$AWS_ENDPOINT_URL_IAM" --output json iam "$@"; }
s3() { cli --endpoint-url "$AWS_ENDPOINT_URL_S3" s3 "$@"; }
text() { ec2 "$@" --output text; }

# ---- disks: a partition table and data that can be told from anything else ----

truncate -s 80M "$dir/disk.raw"
sfdisk -q "$dir/disk.raw" <<<'start=2048, type=83, bootable'
head -c 3000000 /dev/urandom >"$dir/data"
dd if="$dir/data" of="$dir/disk.raw" bs=1M seek=1 conv=notrunc status=none
dd if="$dir/data" of="$dir/disk.raw" bs=1M seek=70 conv=notrunc status=none
to() { qemu-img convert -f raw -O "$@" "$dir/disk.raw" "$dir/disk.$name"; }
name=fixed.vhd to vpc -o subformat=fixed,force_size
name=dynamic.vhd to vpc -o subformat=dynamic,force_size
name=vhdx to vhdx
name=vmdk to vmdk -o subformat=streamOptimized
name=sparse.vmdk to vmdk
name=flat.vmdk to vmdk -o subformat=monolithicFlat
# A description that would have qemu-img read a file of this machine.
printf '%s\n' '# Disk DescriptorFile' version=1 CID=fffffffe parentCID=ffffffff \
    'createType="monolithicFlat"' 'RW 1 FLAT "/etc/passwd" 0' >"$dir/disk.evil.vmdk"
# One that names a parent.
cp "$dir/disk.sparse.vmdk" "$dir/disk.child.vmdk"
sed -i 's/parentCID=ffffffff/parentCID=00000001/' "$dir/disk.child.vmdk"
truncate -s 8M "$dir/disk.bare.raw"
qemu-img create -q -f vhdx "$dir/disk.large.vhdx" 9T

# The guest's disk, as GPT with what UEFI boots.
truncate -s 80M "$dir/uefi.raw"
sfdisk -q "$dir/uefi.raw" <<<$'label: gpt\nsize=20M, type=U\ntype=L'

s3 mb s3://imports >/dev/null
for f in "$dir"/disk.* "$dir/uefi.raw"; do
    s3 cp --quiet "$f" "s3://imports/in/${f##*/}"
done

# ---- what reads them is confined ----

confine=$build/lab/hotadd-lab-confine
same "a program reads the file that it is given" "$(head -c 16 "$dir/data" | xxd -p)" \
    "$("$confine" 0 1 head -c 16 /proc/self/fd/3 3<"$dir/data" | xxd -p)"
check "it writes no more than it may" sh -c '"$1" 4096 2 sh -c "cat <&3 >&4" 3<"$2" 4<>"$3"
    test "$(stat -c %s "$3")" = 4096' sh "$confine" "$dir/data" "$dir/written"
if python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, 0, 0, 1) < 1)'; then
    check "it reads no other file" sh -c '! "$1" 0 1 cat "$2" 3</dev/null' sh "$confine" "$dir/disk.raw"
    check "nor writes one" sh -c '! "$1" 4096 1 sh -c "echo x >$2" 3</dev/null && test ! -e "$2"' sh \
        "$confine" "$dir/new"
else
    skip "it reads no other file" "this kernel has no Landlock"
fi

# ---- the role ----

trust='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
  "Principal": {"Service": "vmie.amazonaws.com"}, "Action": "sts:AssumeRole",
  "Condition": {"StringEquals": {"sts:Externalid": "vmimport"}}}]}'
policy() { # BUCKET
    printf '%s' '{"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"],
       "Resource": ["arn:aws:s3:::'"$1"'", "arn:aws:s3:::'"$1"'/*"]},
      {"Effect": "Allow", "Resource": "*", "Action": ["ec2:ModifySnapshotAttribute",
       "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*"]}]}'
}
container() { printf '{"Format": "%s", "UserBucket": {"S3Bucket": "imports", "S3Key": "in/%s"}}' "$1" "$2"; }
snapshot_of() { # FORMAT FILE [ARGUMENTS...]: the new task's id
    local c out
    c=$(container "$1" "$2")
    shift 2
    out=$(ec2 import-snapshot --disk-container "$c" "$@") && jq -r .ImportTaskId <<<"$out" && return
    echo "$out"
    return 1
}
image_of() { # FORMAT FILE [ARGUMENTS...]
    local c out
    c="[$(container "$1" "$2")]"
    shift 2
    out=$(ec2 import-image --disk-containers "$c" "$@") && jq -r .ImportTaskId <<<"$out" && return
    echo "$out"
    return 1
}
no_role='does not exist or does not have sufficient permissions'

refuses "no role, no import" InvalidParameter "The service role vmimport provided $no_role" snapshot_of RAW disk.raw
refuses "a role that is not there" NoSuchEntity 'cannot be found' iam get-role --role-name vmimport
refuses "a trust policy must be JSON" MalformedPolicyDocument '' \
    iam create-role --role-name vmimport --assume-role-policy-document 'no policy'
refuses "and name a principal" MalformedPolicyDocument Principal \
    iam create-role --role-name vmimport --assume-role-policy-document "$(policy imports | jq -c 'del(.Statement[].Resource)')"
same "a role is made" "arn:aws:iam::123456789012:role/vmimport" \
    "$(iam create-role --role-name vmimport --assume-role-policy-document "${trust/vmie/ec2}" --query Role.Arn --output text)"
refuses "once" EntityAlreadyExists '' iam create-role --role-name vmimport --assume-role-policy-document "$trust"
check "it gets a policy" iam put-role-policy --role-name vmimport --policy-name p --policy-document "$(policy imports)"
refuses "a role that trusts another service is none" InvalidParameter "$no_role" snapshot_of RAW disk.raw
check "its trust is mended" iam update-assume-role-policy --role-name vmimport --policy-document "$trust"
same "and read back" "$(jq -Sc . <<<"$trust")" \
    "$(iam get-role --role-name vmimport | jq -Sc .Role.AssumeRolePolicyDocument)"
same "so is its policy" "$(policy imports | jq -Sc .)" \
    "$(iam get-role-policy --role-name vmimport --policy-name p | jq -Sc .PolicyDocument)"
iam put-role-policy --role-name vmimport --policy-name p --policy-document "$(policy other)"
refuses "a policy for another bucket does not do" InvalidParameter "$no_role" snapshot_of RAW disk.raw
iam put-role-policy --role-name vmimport --policy-name deny --policy-document \
    '{"Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::imports/in/*"}}'
iam put-role-policy --role-name vmimport --policy-name p --policy-document "$(policy imports)"
refuses "nor one against a denial" InvalidParameter "$no_role" snapshot_of RAW disk.raw
same "policies are listed" "deny p" "$(iam list-role-policies --role-name vmimport | jq -r '.PolicyNames | sort | join(" ")')"
refuses "a role with policies stays" DeleteConflict '' iam delete-role --role-name vmimport
check "a policy is deleted" iam delete-role-policy --role-name vmimport --policy-name deny
refuses "once" NoSuchEntity '' iam delete-role-policy --role-name vmimport --policy-name deny

# ---- snapshots ----

task() { ec2 describe-import-snapshot-tasks --import-task-ids "$1" | jq -r ".ImportSnapshotTasks[0].SnapshotTaskDetail.$2"; }
is_over() { [ "$(task "$1" Status)" != active ] && [ "$(task "$1" Status)" != deleting ]; }
# What the snapshot holds, by way of the lab's own file.
snapshot_file() { echo "$lab_dir/snapshots/$1.raw"; }

for kind in RAW:raw VHD:fixed.vhd vhd:dynamic.vhd VHDX:vhdx VMDK:vmdk VMDK:sparse.vmdk; do
    id=$(snapshot_of "${kind%%:*}" "disk.${kind#*:}")
    check "$kind is imported" wait_until 60 is_over "$id"
    same "$kind: completed" completed "$(task "$id" Status)"
    snapshot=$(task "$id" SnapshotId)
    same "$kind: 1 GiB" 1 "$(text describe-snapshots --snapshot-ids "$snapshot" --query 'Snapshots[0].VolumeSize')"
    check "$kind: the same bytes" cmp -n $((80 << 20)) "$dir/disk.raw" "$(snapshot_file "$snapshot")"
done
check "a snapshot is sparse" sh -c 'test "$(du -k "$1" | cut -f 1)" -lt 20000' sh "$(snapshot_file "$snapshot")"
check "a volume is made of it" ec2 create-volume --availability-zone us-east-1a --snapshot-id "$snapshot"

refuses "a format that is none" InvalidParameter '' snapshot_of QCOW2 disk.raw
refuses "OVA is said not to be here" UnsupportedOperation '' snapshot_of OVA disk.raw
refuses "an import that is not there" InvalidConversionTaskId.Malformed '' \
    ec2 describe-import-snapshot-tasks --import-task-ids import-snap-0123456789abcdef0
refuses "a dry run" DryRunOperation '' snapshot_of RAW disk.raw --dry-run

fails() { # NAME MESSAGE FORMAT FILE
    local id
    id=$(snapshot_of "$3" "$4")
    wait_until 60 is_over "$id"
    same "$1" "deleted ClientError: Disk validation failed [$2]" "$(task "$id" Status) $(task "$id" StatusMessage)"
}
fails "what is of another format" "Unsupported specified file format" VHDX disk.raw
fails "a disk that is too large" "The disk is larger than 8 TiB" VHDX disk.large.vhdx
fails "what is not there" "We do not have access to the given resource. Reason 404 Not Found" RAW nothing.raw
fails "a VMDK that describes other files" "Unsupported VMDK File Format" VMDK disk.evil.vmdk
fails "a VMDK without its data" "Unsupported VMDK File Format" VMDK disk.flat.vmdk
id=$(snapshot_of VMDK disk.child.vmdk)
wait_until 60 is_over "$id"
check "a VMDK's parent is not looked for" test "$(task "$id" Status)" = completed -o \
    "$(task "$id" StatusMessage)" = "ClientError: Disk validation failed [Unsupported specified file format]"

first=$(snapshot_of RAW disk.raw --client-token t1)
same "a client token makes one task" "$first" "$(snapshot_of RAW disk.raw --client-token t1)"
refuses "with the same words" IdempotentParameterMismatch '' snapshot_of VHD disk.fixed.vhd --client-token t1
same "tasks are found by their state" "$first" \
    "$(wait_until 60 is_over "$first" && ec2 describe-import-snapshot-tasks --filters Name=task-state,Values=completed |
        jq -r '.ImportSnapshotTasks[-1].ImportTaskId')"

# ---- images ----

task_of_image() { ec2 describe-import-image-tasks --import-task-ids "$1" | jq -r ".ImportImageTasks[0].$2"; }
image_is_over() { case $(task_of_image "$1" Status) in completed | deleted) ;; *) false ;; esac; }
image() { ec2 describe-images --image-ids "$1" | jq -r ".Images[0] | $2"; }

id=$(image_of raw disk.raw --description 'first one' --tag-specifications \
    'ResourceType=import-image-task,Tags=[{Key=hotadd:job,Value=j-1}]')
same "an image's task says where it is" active "$(task_of_image "$id" Status)"
check "an image is made" wait_until 60 image_is_over "$id"
same "its task is tagged" "completed j-1" "$(task_of_image "$id" Status) $(task_of_image "$id" 'Tags[0].Value')"
ami=$(task_of_image "$id" ImageId)
same "it is what it should be" "available x86_64 hvm legacy-bios RunInstances true /dev/sda1 $id" \
    "$(image "$ami" '[.State, .Architecture, .VirtualizationType, .BootMode, .UsageOperation, .EnaSupport, .RootDeviceName, .Name] | map(tostring) | join(" ")')"
snapshot=$(image "$ami" '.BlockDeviceMappings[0].Ebs.SnapshotId')
same "its snapshot is in the task" "$snapshot" "$(task_of_image "$id" 'SnapshotDetails[0].SnapshotId')"
check "and holds the disk" cmp -n $((80 << 20)) "$dir/disk.raw" "$(snapshot_file "$snapshot")"
check "an instance starts of it" ec2 run-instances --image-id "$ami" --instance-type t3.micro

id=$(ec2 import-image --platform Linux --boot-mode uefi --disk-containers \
    "[{\"SnapshotId\": \"$snapshot\"}, {\"DeviceName\": \"/dev/sdg\", \"SnapshotId\": \"$snapshot\"}]" | jq -r .ImportTaskId)
check "an image is made of snapshots" wait_until 60 image_is_over "$id"
ami=$(task_of_image "$id" ImageId)
same "with their disks, as UEFI" "uefi /dev/sda1 /dev/sdg" \
    "$(image "$ami" '[.BootMode, .BlockDeviceMappings[].DeviceName] | join(" ")')"
check "which are snapshots of its own" test "$(image "$ami" '.BlockDeviceMappings[0].Ebs.SnapshotId')" != "$snapshot"

id=$(image_of raw uefi.raw --platform Windows --license-type BYOL)
wait_until 60 image_is_over "$id"
same "licence and boot mode" "windows RunInstances:0800 uefi" \
    "$(image "$(task_of_image "$id" ImageId)" '[.Platform, .UsageOperation, .BootMode] | join(" ")')"

id=$(image_of raw disk.bare.raw)
wait_until 60 image_is_over "$id"
same "no partitions" "deleted ClientError: No valid partitions. Not a valid volume." \
    "$(task_of_image "$id" Status) $(task_of_image "$id" StatusMessage)"
refuses "licence and usage together" InvalidParameterCombination '' image_of raw disk.raw \
    --license-type BYOL --usage-operation RunInstances
refuses "UEFI and a snapshot want a platform" InvalidParameterCombination Platform ec2 import-image \
    --boot-mode uefi --disk-containers "[{\"SnapshotId\": \"$snapshot\"}]"
refuses "a boot mode that is none" InvalidParameter BootMode image_of raw disk.raw --boot-mode bios
refuses "a snapshot that is not there" InvalidSnapshot.NotFound '' ec2 import-image \
    --disk-containers '[{"SnapshotId": "snap-0123456789abcdef0"}]'

# ---- on demand: failures, cancelling, a crash ----

fault add ImportImage fail --times 1 --message 'ClientError: Unsupported kernel version 2.6.9' >/dev/null
id=$(image_of raw disk.raw)
wait_until 60 image_is_over "$id"
same "a failure on demand" "deleted ClientError: Unsupported kernel version 2.6.9" \
    "$(task_of_image "$id" Status) $(task_of_image "$id" StatusMessage)"
id=$(image_of raw disk.raw)
wait_until 60 image_is_over "$id"
same "once" completed "$(task_of_image "$id" Status)"

"$lab" stop --state "$lab_dir"
lab_start --delay-ms 600 --no-machines
before=$(find "$lab_dir/snapshots" -name '*.raw' | wc -l)
id=$(image_of raw disk.raw)
same "cancelling" "active deleting" \
    "$(ec2 cancel-import-task --import-task-id "$id" --cancel-reason 'too slow' | jq -r '[.PreviousState, .State] | join(" ")')"
wait_until 60 image_is_over "$id"
same "tells its reason" "deleted too slow" "$(task_of_image "$id" Status) $(task_of_image "$id" StatusMessage)"
refuses "what is over cannot be cancelled" IncorrectState '' ec2 cancel-import-task --import-task-id "$id"
same "and leaves nothing" "$before" "$(find "$lab_dir/snapshots" -name '*.raw' | wc -l)"

is_on_its_way() { [ "$(task_of_image "$1" StatusMessage)" != pending ]; }
id=$(image_of raw disk.raw)
wait_until 20 is_on_its_way "$id"
pid=$("$lab" status --state "$lab_dir" --json | jq .pid)
kill -9 "$pid"
wait_until 10 sh -c '! kill -0 "$1" 2>/dev/null' sh "$pid"
lab_start --delay-ms 50 --no-machines
check "after a crash the import goes on" wait_until 60 image_is_over "$id"
same "and ends well" completed "$(task_of_image "$id" Status)"
same "with one snapshot more" $((before + 1)) "$(find "$lab_dir/snapshots" -name '*.raw' | wc -l)"
check "the role is still there" iam get-role --role-name vmimport

iam delete-role-policy --role-name vmimport --policy-name p
check "and goes" iam delete-role --role-name vmimport
cli_stop
finish
