# shellcheck shell=bash
# What the tests of hotadd-guest share. The test sets $guest, the program, $work, a directory
# of its own, and $lock: tests that are given the same file as HOTADD_QEMU_LOCK take turns
# with their appliances and boots.
#
# shellcheck disable=SC2034,SC2154 # used by, and set by, the tests

# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export PATH=$PATH:/usr/sbin:/sbin

# ask NAME OP OPTIONS DISK...: hotadd-guest's last line in $work/NAME, the seconds it took
# in $seconds. Its standard input stays open for as long as it is wanted.
ask() {
    local name=$1 op=$2 options=$3 disks start
    shift 3
    disks=$(printf '%s\n' "$@" | jq -R '{path: .}' | jq -sc .)
    mkfifo "$work/ask"
    flock "$lock" true
    start=$EPOCHREALTIME
    flock "$lock" timeout 600 "$guest" <"$work/ask" >"$work/$name.out" 2>"$work/$name.err" &
    exec 7>"$work/ask"
    rm "$work/ask"
    jq -nc --arg op "$op" --argjson d "$disks" --argjson o "$options" \
        '{op: $op, disks: $d, options: $o}' >&7
    wait $!
    exec 7>&-
    seconds=$(printf '%.0f' "$(jq -n "$EPOCHREALTIME - $start")")
    tail -n 1 "$work/$name.out" >"$work/$name"
}

free_port() {
    local port
    for ((port = 20400; port < 20500; port++)); do
        (: </dev/tcp/127.0.0.1/$port) 2>/dev/null || { echo "$port"; return; }
    done
}
