#!/bin/bash
# What the finishers image and import make does boot: the tiny guest, in the lab.
# shellcheck disable=SC2119 # no options
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands aws jq qemu-system-x86_64
lab_start
tiny_guest "$dir/tiny.raw"
cli_start
before=$(cloud_state)
common=(--skip-check --format raw --name tiny --boot-timeout 400 --json)
cli --endpoint-url "$AWS_ENDPOINT_URL_S3" s3 mb s3://imports >/dev/null
run setup import --setup --apply --bucket imports

booted() { # NAME WORDS...
    local name=$1
    shift
    run "$name" "$@" "${common[@]}" "$dir/tiny.raw"
    exits "$name" 0 "$name ends with an instance"
    check "which booted: status checks ok ($name)" jq -e \
        '.state == "done" and .instance.state == "running" and .instance.status_checks == "ok"' "$dir/$name.out"
    check "and wrote to its console ($name)" jq -e '.instance.console | contains("tiny")' "$dir/$name.out"
    run "$name-undo" undo --done --quiet "$(jq -r .id "$dir/$name.out")"
    same "undo --done leaves the account as before ($name)" "$before" "$(cloud_state)"
}

booted image restore --finish image
booted import import --bucket imports
finish
