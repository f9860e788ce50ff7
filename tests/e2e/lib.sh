# shellcheck shell=bash
# What the end-to-end tests share: TAP, a directory and a lab of their own, hotadd and the
# AWS command line pointed at it, and a clean end however they end.
#
# A test is run as `tests/e2e/test_NAME.sh [BUILD]`; BUILD is the build tree, build/ of the
# repository by default. It begins with `begin` (and `lab_start`) and ends with `finish`.
# HOTADD_TEST_KEEP=1 keeps its directory for a look.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
test_n=0 test_bad=0 dir='' lab_dir='' server_pid=''
export LC_ALL=C
shopt -s lastpipe # `… | fail` counts in this shell

# ---- TAP ----

pass() { echo "ok $((test_n += 1)) - $1"; }

fail() { # NAME, why on standard input
    echo "not ok $((test_n += 1)) - $1"
    sed 's/^/# /'
    test_bad=1
}

# check NAME COMMAND...: passes if COMMAND succeeds; its output explains a failure.
check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then pass "$name"; else printf '%s\n' "$*" "$out" | fail "$name"; fi
}

# same NAME EXPECTED GOT
same() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | fail "$1"
    fi
}

# has NAME FILE FIXED-STRING...: each is somewhere in FILE.
has() {
    local name=$1 file=$2 text
    shift 2
    for text; do
        if ! grep -qF -e "$text" "$file"; then
            { echo "\"$text\" is not in $file, whose last lines are:"; tail -n 15 "$file"; } |
                fail "$name"
            return
        fi
    done
    pass "$name"
}

skip() { echo "ok $((test_n += 1)) - $1 # SKIP $2"; }

skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

say() { echo "# $*"; }

# What cannot go on ends the test as failed, with the reason where TAP readers see it.
bail() {
    echo "Bail out! $*"
    exit 1
}

finish() {
    echo "1..$test_n"
    exit "$test_bad"
}

# ---- beginning and end ----

# Set by tests of repositories: each has 65,536 folders, which the file system of a disk
# makes and removes in minutes.
many_folders=no

scratch() {
    local free_kib
    if [ -z "${TMPDIR-}" ] && [ "$many_folders" = yes ] &&
        [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ]; then
        free_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
        [ "$free_kib" -lt 8000000 ] || [ "$(df -k --output=avail /dev/shm | tail -n 1)" -lt 6000000 ] || {
            echo /dev/shm
            return
        }
    fi
    echo "${TMPDIR:-/var/tmp}"
}

begin() {
    build=$(cd "${1:-$root/build}" 2>/dev/null && pwd) || bail "there is no build tree; build first"
    hotadd=$build/src/cli/hotadd lab=$build/lab/hotadd-lab
    [ -x "$hotadd" ] || bail "$hotadd is not built"
    dir=$(mktemp -d "$(scratch)/hotadd-e2e.XXXXXX") || exit 1
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    mkdir "$dir/home"
    # Nothing of the user's: no profile, no configuration, no journal.
    local v
    for v in "${!AWS_@}" "${!HOTADD_@}"; do
        case $v in HOTADD_TEST_* | HOTADD_LAB_*) ;; *) unset "$v" ;; esac
    done
    export HOME=$dir/home HOTADD_CONFIG='' HOTADD_JOURNAL=$dir/journal.db AWS_PAGER=''
}

clean_up() {
    trap '' INT TERM HUP
    if [ -n "$server_pid" ]; then
        kill "$server_pid" 2>/dev/null
        wait "$server_pid" 2>/dev/null
    fi
    [ -z "$lab_dir" ] || "$lab" stop --state "$lab_dir" >/dev/null 2>&1
    if declare -f test_clean_up >/dev/null; then test_clean_up; fi
    [ -z "$dir" ] || [ -n "${HOTADD_TEST_KEEP-}" ] || rm -rf --one-file-system -- "$dir"
}

need_commands() {
    local c
    for c; do
        command -v "$c" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$c" >/dev/null ||
            skip_all "$c is not installed"
    done
}

need_root() { [ "$(id -u)" = 0 ] || skip_all "needs root: $1"; }

# ---- the lab ----

# shellcheck disable=SC2120 # options are for some tests only
# lab_start [OPTIONS...]: a lab of our own, this shell pointed at it.
lab_start() {
    local exports
    [ -x "$lab" ] || bail "$lab is not built"
    lab_dir=$dir/lab
    "$lab" serve --state "$lab_dir" --daemon "$@" >"$dir/lab.out" 2>&1 ||
        bail "the lab did not start: $(tail -n 3 "$dir/lab.out")"
    exports=$("$lab" env --state "$lab_dir") || bail "hotadd-lab env failed"
    eval "$exports"
}

fault() { "$lab" faults --state "$lab_dir" "$@"; }

# For wait_until: the faults with --times have all come to pass, or the process $1 ended.
faults_met_or_ended() { [ "$(fault list --json | jq length)" = 0 ] || ! kill -0 "$1" 2>/dev/null; }

# ec2 ARGUMENTS...: Debian's AWS command line, which knows no AWS_ENDPOINT_URL yet.
ec2() { aws --endpoint-url "$AWS_ENDPOINT_URL" --output json ec2 "$@"; }

# cli ARGUMENTS...: the same as aws, by one process for all calls (tests/e2e/aws-loop), which
# is begun by cli_start, once the environment is what it shall be. Arguments NAME=VALUE that
# come first set the environment of that call.
cli_start() {
    coproc AWS_LOOP { exec "$here/aws-loop" 2>>"$dir/aws-loop.err"; }
    exec 7>&"${AWS_LOOP[1]}" 8<&"${AWS_LOOP[0]}" || bail "aws-loop did not start"
}
cli_stop() { exec 7>&- 8<&-; }
cli() {
    local status bytes
    printf '%s\0' $# "$@" >&7
    read -r -u 8 status bytes || { cat "$dir/aws-loop.err"; return 1; }
    head -c "$bytes" <&8
    return "$status"
}

# refuses NAME CODE WORDS COMMAND...: the call fails with that code and says that.
refuses() {
    local name=$1 code=$2 words=$3 out
    shift 3
    if out=$("$@" 2>&1); then
        echo "it succeeded: $out" | fail "$name"
    elif [[ $out == *"($code)"*"$words"* ]]; then
        pass "$name"
    else
        printf '%s\n' "wanted $code $words" "$out" | fail "$name"
    fi
}

# What the account holds, without what is on its way out and what time changes.
# One process of botocore: four of the command line take ten seconds on a busy machine.
cloud_state() {
    python3 - "$AWS_ENDPOINT_URL" <<-'PYTHON'
	import sys
	import botocore.session
	ec2 = botocore.session.get_session().create_client('ec2', endpoint_url=sys.argv[1])
	for v in ec2.describe_volumes()['Volumes']:
	    if v['State'] not in ('deleting', 'deleted'):
	        print(v['VolumeId'], v['State'], v['Size'], *[a['InstanceId'] for a in v['Attachments']])
	for r in ec2.describe_instances()['Reservations']:
	    for i in r['Instances']:
	        if i['State']['Name'] not in ('terminated', 'shutting-down'):
	            print(i['InstanceId'], i['State']['Name'])
	for i in ec2.describe_images(Owners=['self'])['Images']:
	    print(i['ImageId'], i['State'])
	for s in ec2.describe_snapshots(OwnerIds=['self'])['Snapshots']:
	    print(s['SnapshotId'], s['State'])
	PYTHON
}

# ssh_port INSTANCE: where the lab forwards its port 22 to.
ssh_port() {
    "$lab" status --state "$lab_dir" --json | jq -r --arg i "$1" \
        '.instances[] | select(.instanceId == $i and .sshPort > 0) | .sshPort'
}

# in_guest INSTANCE KEY COMMAND...: by SSH, as root.
in_guest() {
    local port key=$2
    port=$(ssh_port "$1")
    shift 2
    [ -n "$port" ] || { echo "the lab forwards no port"; return 1; }
    ssh -q -i "$key" -p "$port" -o BatchMode=yes -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null -o ConnectTimeout=20 root@127.0.0.1 "$@"
}

# ---- guests ----

cache_dir() {
    if [ -n "${HOTADD_TEST_CACHE-}" ]; then
        echo "$HOTADD_TEST_CACHE"
    elif [ "$(id -u)" = 0 ]; then
        echo /var/cache/hotadd
    else
        echo "$root/build/cache"
    fi
}

# The demo guest's path without suffix; built when it is not there (minutes, needs root).
demo_guest() {
    local out
    out=$(cache_dir)/guests
    "$root/tools/make-guest" --cache "$(cache_dir)" --output "$out" >"$dir/make-guest.log" 2>&1 ||
        bail "the demo guest could not be made: $(tail -n 2 "$dir/make-guest.log")"
    echo "$out/demo"
}

tiny_guest() { # FILE
    "$here/tiny-guest" --cache "$(cache_dir)" "$1" >"$dir/tiny-guest.log" 2>&1 ||
        bail "the tiny guest could not be made: $(tail -n 2 "$dir/tiny-guest.log")"
}

# ---- hotadd ----

# run NAME ARGUMENTS...: runs hotadd, with its words in $dir/NAME.out and .err, its exit
# code in $code.
run() {
    local name=$1
    shift
    code=0
    "$hotadd" "$@" >"$dir/$name.out" 2>"$dir/$name.err" || code=$?
}

# run_env NAME ENV-ARGUMENTS... -- ARGUMENTS...: the same in a changed environment.
run_env() {
    local name=$1 changes=()
    shift
    while [ "$1" != -- ]; do
        changes+=("$1")
        shift
    done
    shift
    code=0
    env "${changes[@]}" "$hotadd" "$@" >"$dir/$name.out" 2>"$dir/$name.err" || code=$?
}

# show NAME: what a run said, for failures.
show() { tail -n 12 "$dir/$1.out" "$dir/$1.err"; }

# exits NAME EXPECTED DESCRIPTION
exits() {
    if [ "$code" = "$2" ]; then
        pass "$3"
    else
        { echo "exit code $code, not $2"; show "$1"; } | fail "$3"
    fi
}

# The newest job of the journal, "" when there is none.
last_job() { "$hotadd" jobs --json 2>/dev/null | jq -r 'sort_by(.created, .id) | last | .id // empty'; }

job_field() { "$hotadd" jobs --json "$1" 2>/dev/null | jq -r "$2"; }

# wait_until SECONDS COMMAND...: looks five times a second.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}
