#!/bin/bash
# What a user will meet: each refusal has its exit code, one clear message, and leaves
# nothing in the account and no job in the journal unless something was begun.
# shellcheck disable=SC2016,SC2317 # jq's variables; called by wait_until and check
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands aws jq qemu-img tar python3
RANDOM=${HOTADD_TEST_SEED:-$$}
say "seed ${HOTADD_TEST_SEED:-$$}; HOTADD_TEST_SEED repeats it"

# The lab's disk may be filled as root, on a small file system of its own.
small=
if [ "$(id -u)" = 0 ] && mkdir "$dir/small" && mount -t tmpfs -o size=96m tmpfs "$dir/small" 2>/dev/null; then
    small=$dir/small
fi
test_clean_up() {
    [ -z "$small" ] || umount -l "$small" 2>/dev/null
}
# Sessions of the proxy's role end soon: one is used after its end below.
lab_start --no-machines --delay-ms 100 --role-ttl-s 20

disk=$dir/disk.raw
truncate -s 200M "$disk"
dd if=/dev/urandom of="$disk" bs=1M count=40 seek=3 conv=notrunc status=none
restore=(restore --skip-check --no-wait --format raw)
before=$(cloud_state)

# refused NAME EXIT DESCRIPTION TEXT...: after a run: exit code, one error line with each
# TEXT in it, no job, nothing made.
refused() {
    local name=$1 expected=$2 what=$3 text lines
    shift 3
    lines=$(grep -c '^hotadd: ' "$dir/$name.err")
    for text; do
        if ! grep -qF -e "$text" "$dir/$name.err"; then
            { echo "\"$text\" is not in the message"; show "$name"; } | fail "$what: says why"
            return
        fi
    done
    if [ "$code" != "$expected" ]; then
        { echo "exit code $code, not $expected"; show "$name"; } | fail "$what"
    elif [ "$lines" -gt 1 ]; then
        { echo "$lines lines of talk where one would do"; show "$name"; } | fail "$what"
    elif [ -n "$(last_job)" ]; then
        echo "job $(last_job) was left" | fail "$what"
    elif [ "$(cloud_state)" != "$before" ]; then
        diff <(echo "$before") <(cloud_state) | fail "$what: leaves nothing"
    else
        pass "$what"
    fi
}

# ---- the command line ----

run option restore --no-such-option "$disk"
refused option 2 "an unknown option" "--no-such-option" "--help"
run none restore
refused none 2 "no source" "give one source"
run command_ frobnicate
refused command_ 2 "an unknown command" "frobnicate"
run value convert --finish sideways "$disk"
refused value 2 "a value that is none of the choices" "--finish sideways" "swap"
run missing convert "$dir/no-such.ova"
refused missing 1 "a file that is not there" "no-such.ova" "No such file"
run resume resume j-20200101-0000
refused resume 1 "resume of a job that is not there" "j-20200101-0000"

# ---- sources ----

make_ova() { # FILE: a package of one small disk, with a manifest
    truncate -s 16M "$dir/d.raw"
    dd if=/dev/urandom of="$dir/d.raw" bs=1M count=4 conv=notrunc status=none
    qemu-img convert -q -O vmdk -o subformat=streamOptimized "$dir/d.raw" "$dir/d.vmdk"
    cat >"$dir/d.ovf" <<-OVF
	<?xml version="1.0"?>
	<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
	<References><File ovf:id="f1" ovf:href="d.vmdk" ovf:size="$(stat -c %s "$dir/d.vmdk")"/></References>
	<DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="16777216" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
	<VirtualSystem ovf:id="d"><Info/><Name>d</Name><VirtualHardwareSection><Info/>
	<System><vssd:ElementName>v</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>
	<Item><rasd:ElementName>cpu</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
	<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>mem</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
	<Item><rasd:Address>0</rasd:Address><rasd:ElementName>scsi</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
	<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>disk</rasd:ElementName><rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
	</VirtualHardwareSection></VirtualSystem></Envelope>
	OVF
    (cd "$dir" && for f in d.ovf d.vmdk; do
        echo "SHA256($f)= $(sha256sum "$f" | cut -d ' ' -f 1)"
    done >d.mf && tar --format=ustar -cf "$1" d.ovf d.mf d.vmdk)
}
make_ova "$dir/good.ova"
run good restore --dry-run --skip-check "$dir/good.ova"
exits good 0 "(the package is good as it is)"
run bare restore --dry-run --skip-check --format raw "$disk"
has "(the plan of a disk image alone says that nobody knows what the machine had)" "$dir/bare.out" \
    "the source does not say what the machine had"

cp "$dir/good.ova" "$dir/bad.ova"
at=$(($(stat -c %s "$dir/bad.ova") / 2))
printf 'X%.0s' {1..64} | dd of="$dir/bad.ova" bs=1 seek="$at" conv=notrunc status=none
run digest restore --skip-check "$dir/bad.ova"
refused digest 1 "an OVA with a bad digest" "d.vmdk" "bad.ova"

head -c "$at" "$dir/good.ova" >"$dir/short.ova"
run short restore --skip-check "$dir/short.ova"
refused short 1 "a truncated OVA" "short.ova"

head -c "$(($(stat -c %s "$dir/d.vmdk") * 2 / 3))" "$dir/d.vmdk" >"$dir/short.vmdk"
run vmdk restore --skip-check "$dir/short.vmdk"
refused vmdk 1 "a truncated VMDK" "short.vmdk"

echo "no disk at all" >"$dir/text.raw"
run odd "${restore[@]}" "$dir/text.raw"
refused odd 1 "an image of no whole sectors" "sectors" "complete"

run guest convert --format raw "$disk"
refused guest 3 "a disk without a system, before any volume exists" "remedy"

# ---- credentials and rights ----

run_env secret AWS_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY}x" -- "${restore[@]}" "$disk"
refused secret 1 "a wrong secret key" "credentials"
run_env key AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE -- "${restore[@]}" "$disk"
refused key 1 "an unknown access key" "credentials"
run_env token AWS_SESSION_TOKEN=no-such-token -- "${restore[@]}" "$disk"
refused token 1 "a wrong session token" "credentials"
# A role's credentials, copied out of the metadata service as users do, after their time.
metadata=$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest
imds_token=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$metadata/api/token")
imds() { curl -sf -H "X-aws-ec2-metadata-token: $imds_token" "$metadata/meta-data/$1"; }
imds "iam/security-credentials/$(imds iam/security-credentials/)" >"$dir/role.json"
role_says() { jq -r "$1" "$dir/role.json"; }
role=(AWS_ACCESS_KEY_ID="$(role_says .AccessKeyId)" AWS_SECRET_ACCESS_KEY="$(role_says .SecretAccessKey)"
    AWS_SESSION_TOKEN="$(role_says .Token)")
run_env fresh "${role[@]}" -- restore --dry-run --skip-check --format raw "$disk"
exits fresh 0 "(a role's session is good while it lasts)"
over() { [ "$(date +%s)" -gt "$(date -d "$(role_says .Expiration)" +%s)" ]; }
wait_until 60 over
run_env expired "${role[@]}" -- "${restore[@]}" "$disk"
refused expired 1 "an expired session token" "have expired" "AWS_ACCESS_KEY_ID"
run_env nobody -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN \
    AWS_EC2_METADATA_DISABLED=true -- "${restore[@]}" "$disk"
refused nobody 1 "no credentials at all" "AWS_ACCESS_KEY_ID"
run_env down AWS_ENDPOINT_URL_STS=http://127.0.0.1:9 -- "${restore[@]}" "$disk"
refused down 1 "an endpoint that does not answer" "127.0.0.1:9"

fault add CreateVolume deny >/dev/null
run deny "${restore[@]}" "$disk"
refused deny 1 "a missing permission" "ec2:CreateVolume" "hotadd-proxy.json"
fault clear >/dev/null

# ---- places ----

run zone "${restore[@]}" --zone us-east-1c "$disk"
refused zone 3 "another zone than the proxy's" "us-east-1c"
run subnet "${restore[@]}" --subnet subnet-00000000000000000 "$disk"
refused subnet 1 "an unknown subnet" "subnet-00000000000000000"
run type "${restore[@]}" --instance-type z9.nano "$disk"
refused type 1 "an unknown instance type" "z9.nano"

proxy=$(ec2 describe-instances --query 'Reservations[0].Instances[0].InstanceId' | jq -r .)
zone=$(ec2 describe-instances --query 'Reservations[0].Instances[0].Placement.AvailabilityZone' | jq -r .)
# One process for many calls: the command line takes a second for each.
slots() {
    python3 - "$AWS_ENDPOINT_URL" "$@" <<-'PYTHON'
	import sys, time
	import botocore.session
	url, what, proxy, zone = sys.argv[1:]
	ec2 = botocore.session.get_session().create_client('ec2', endpoint_url=url)
	def states():
	    return {v['VolumeId']: v['State'] for v in ec2.describe_volumes(
	        Filters=[{'Name': 'tag-key', 'Values': ['held']}])['Volumes']}
	def settle(state):
	    for _ in range(100):
	        if set(states().values()) <= {state}:
	            return
	        time.sleep(0.1)
	    sys.exit(f'volumes do not become {state}: {states()}')
	if what == 'fill':
	    for _ in range(30):
	        ec2.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=[
	            {'ResourceType': 'volume', 'Tags': [{'Key': 'held', 'Value': 'yes'}]}])
	    settle('available')
	    names = ['/dev/sd' + c for c in 'fghijklmnop'] + ['/dev/xvdb' + c for c in 'abcdefghijklmnopqrs']
	    for name, volume in zip(names, sorted(states())):
	        try:
	            ec2.attach_volume(VolumeId=volume, InstanceId=proxy, Device=name)
	        except Exception as e:
	            print(e)
	            break
	    time.sleep(1)
	else:
	    for volume, state in states().items():
	        if state == 'in-use':
	            ec2.detach_volume(VolumeId=volume)
	    settle('available')
	    for volume in states():
	        ec2.delete_volume(VolumeId=volume)
	    time.sleep(1)
	PYTHON
}
say "the lab: $(slots fill "$proxy" "$zone")"
full=$(cloud_state) empty=$before before=$full
run slots "${restore[@]}" "$disk"
refused slots 3 "no free attachment on the proxy" "$proxy"
slots empty "$proxy" "$zone"
before=$empty

# ---- Ctrl-C ----

begun() { [ -n "$(last_job)" ]; }
for round in 1 2 3; do
    HOTADD_JOURNAL=$dir/int-$round.db
    "$hotadd" "${restore[@]}" --max-rate 20M "$disk" >"$dir/int.out" 2>"$dir/int.err" &
    pid=$!
    wait_until 20 begun
    sleep "$((RANDOM % 3)).$((RANDOM % 10))"
    kill -INT "$pid"
    code=0
    wait "$pid" || code=$?
    job=$(last_job) where=$(job_field "$(last_job)" '.step // .state')
    exits int 130 "Ctrl-C ends a job with 130 (in $where)"
    has "and says how to go on (in $where)" "$dir/int.err" "hotadd resume $job" "hotadd undo $job"
    run resumed resume "$job"
    exits resumed 0 "it can be resumed (from $where)"
    run undone undo --done "$job"
    same "and undone" "$before" "$(cloud_state)"
done
HOTADD_JOURNAL=$dir/on-failure.db
"$hotadd" "${restore[@]}" --max-rate 20M --on-failure undo "$disk" >"$dir/int.out" 2>"$dir/int.err" &
pid=$!
wait_until 20 begun
sleep 1
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
exits int 130 "SIGTERM with --on-failure undo ends with 130"
same "and has removed everything" "$before" "$(cloud_state)"

# ---- a full disk under the volumes ----

if [ -z "$small" ]; then
    skip "the lab's disk is full" "needs root and mount"
else
    "$lab" stop --state "$lab_dir" >/dev/null
    rm -rf "${small:?}"/* "$dir/lab"
    lab_dir=$small/lab
    "$lab" serve --state "$lab_dir" --daemon --no-machines >"$dir/lab2.out" 2>&1 ||
        bail "the second lab did not start: $(tail -n 1 "$dir/lab2.out")"
    eval "$("$lab" env --state "$lab_dir")"
    before=$(cloud_state)
    HOTADD_JOURNAL=$dir/full.db
    truncate -s 300M "$dir/big.raw"
    dd if=/dev/urandom of="$dir/big.raw" bs=1M count=200 conv=notrunc status=none
    run full "${restore[@]}" "$dir/big.raw"
    exits full 1 "a volume that cannot be written fails the job"
    job=$(last_job)
    has "it says where and how to go on" "$dir/full.err" "hotadd resume $job"
    same "in restore-data" restore-data "$(job_field "$job" .error.step)"
    # The lab keeps its own books on that disk too.
    mount -o remount,size=400m "$small"
    run full-undo undo "$job"
    exits full-undo 0 "undo works once there is room"
    same "the account is as before" "$before" "$(cloud_state)"
fi
finish
