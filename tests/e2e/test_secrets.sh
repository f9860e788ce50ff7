#!/bin/bash
# Neither the secret access key nor a session token nor a metadata token shows up anywhere
# that hotadd or the lab write: not in logs at --debug, journals, output or errors.
# shellcheck disable=SC2317 # wait_until calls
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands aws jq qemu-img qemu-nbd
lab_start --no-machines
truncate -s 64M "$dir/disk.raw"
dd if=/dev/urandom of="$dir/disk.raw" bs=64K count=4 conv=notrunc status=none

restore=(restore --debug --skip-check --no-wait --format raw)

# The account's own key, then temporary ones of a role, which come with a token.
secrets=("$AWS_SECRET_ACCESS_KEY")
run plain "${restore[@]}" --name plain "$dir/disk.raw"
exits plain 0 "a restore with the account's key, at --debug"

role=$(curl -sf -H "X-aws-ec2-metadata-token: $(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/api/token")" \
    "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/iam/security-credentials/")
aws --endpoint-url "$AWS_ENDPOINT_URL" --output json sts assume-role --role-session-name e2e \
    --role-arn "arn:aws:iam::$(aws --endpoint-url "$AWS_ENDPOINT_URL" --output text sts get-caller-identity --query Account):role/$role" \
    >"$dir/role.json" 2>"$dir/role.err" || bail "assume-role: $(tail -n 1 "$dir/role.err")"
session_secret=$(jq -r .Credentials.SecretAccessKey "$dir/role.json")
session_token=$(jq -r .Credentials.SessionToken "$dir/role.json")
secrets+=("$session_secret" "$session_token")
session_id=$(jq -r .Credentials.AccessKeyId "$dir/role.json")

run_env session AWS_ACCESS_KEY_ID="$session_id" AWS_SECRET_ACCESS_KEY="$session_secret" \
    AWS_SESSION_TOKEN="$session_token" -- "${restore[@]}" --json --name session "$dir/disk.raw"
exits session 0 "a restore with a session token, as JSON"
run_env mixed AWS_SECRET_ACCESS_KEY="$session_secret" AWS_SESSION_TOKEN="$session_token" \
    -- "${restore[@]}" --name mixed "$dir/disk.raw"
exits mixed 1 "credentials that do not belong together are refused"
run_env proxy -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN \
    -- "${restore[@]}" --name proxy "$dir/disk.raw"
exits proxy 0 "a restore with the proxy's role, from the metadata service"
"$hotadd" jobs --json >"$dir/jobs.out"

# The program that parses images on our behalf, while it does.
dd if=/dev/urandom of="$dir/large.raw" bs=1M count=32 status=none
qemu-img convert -q -f raw -O qcow2 "$dir/large.raw" "$dir/disk.qcow2"
HOTADD_KEY_PASSWORD=not-for-you "$hotadd" copy --quiet --max-rate 512K "$dir/disk.qcow2" "$dir/slow.raw" 2>"$dir/slow.err" &
slow=$!
# reader_of PID: its hotadd-reader.
reader_of() {
    local p
    for p in /proc/[0-9]*; do
        case $(tr '\0' ' ' 2>/dev/null <"$p/cmdline") in *hotadd-reader*) ;; *) continue ;; esac
        [ "$(awk '{ print $4 }' "$p/stat" 2>/dev/null)" != "$1" ] || basename "$p"
    done
}
at_work() { [ "$(reader_of "$slow" | wc -l)" = 1 ]; }
check "an image is read by a reader" wait_until 20 at_work
reader=$(reader_of "$slow")
tr '\0' '\n' <"/proc/$reader/environ" >"$dir/seen.env"
has "which has an environment" "$dir/seen.env" "PATH="
same "but no credentials in it" "" "$(grep -E '^(AWS_|HOTADD_KEY)' "$dir/seen.env" | cut -d = -f 1)"
kill -KILL "$slow"
wait "$slow" 2>/dev/null
gone() { [ -z "$(tr '\0' ' ' 2>/dev/null <"/proc/$reader/cmdline")" ]; } # a zombie has no command line
check "and ends when hotadd is killed" wait_until 20 gone

# A check starts nbdkit: one that tells what it was given.
mkdir "$dir/bin"
printf '#!/bin/sh\nenv >>"%s"\nexit 1\n' "$dir/nbdkit.env" >"$dir/bin/nbdkit"
chmod +x "$dir/bin/nbdkit"
run_env nbdkit PATH="$dir/bin:$PATH" HOTADD_KEY_PASSWORD=not-for-you -- check --format raw "$dir/disk.raw"
has "nbdkit has an environment" "$dir/nbdkit.env" "PATH="
same "with no credentials either" "" "$(grep -E '^(AWS_|HOTADD_KEY)' "$dir/nbdkit.env" | cut -d = -f 1)"

for secret in "${secrets[@]}"; do
    [ ${#secret} -gt 20 ] || bail "there is no secret to look for"
    # The test's own copies, and the lab's own store of its keys, are no leaks.
    found=$(grep -rlaF -e "$secret" "$dir" --include='*.err' --include='*.out' --include='journal*' \
        --include='*.log' --include='*.json' --exclude=role.json --exclude=lab.json 2>/dev/null)
    same "secret $((i += 1)) is in no log, journal or output" "" "$found"
done
same "the lab's own record of its key is nobody else's to read" 600 "$(stat -c %a "$lab_dir/lab.json")"
found=$(grep -laiE 'signature=[0-9a-f]{64}|x-aws-ec2-metadata-token: [^ ]' "$dir"/*.err "$dir"/*.out)
same "no signature and no metadata token is shown either" "" "$found"
finish
