#!/bin/bash
# kill -9 in every step: `resume` ends with one booted instance and nothing made twice,
# `undo` leaves the account as it was.
#
# usage: tests/e2e/test_kill.sh [BUILD [STEP...]]
# Without steps: the two in which most happens, and the demo guest; with
# HOTADD_TEST_KILL=all every step, which takes three times as long.
# shellcheck disable=SC2016,SC2317 # jq's variables; called by wait_until and check
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
[ $# = 0 ] || shift
need_commands aws jq qemu-system-x86_64
steps=("$@")
demo=no
if [ ${#steps[@]} = 0 ]; then
    steps=(restore-data create-instance)
    [ "${HOTADD_TEST_KILL-}" != all ] ||
        steps=(create-volumes attach-volumes restore-data detach-volumes create-instance first-boot)
    [ "$(id -u)" != 0 ] || demo=yes
fi
RANDOM=${HOTADD_TEST_SEED:-$$}
say "seed ${HOTADD_TEST_SEED:-$$}; HOTADD_TEST_SEED repeats it"

# State changes take a while, so that there is a moment to kill in.
lab_start --delay-ms 900
tiny_guest "$dir/tiny.raw"

at_step() { # STEP: the only job of this journal is in it (or past the last look)
    "$hotadd" jobs --json 2>/dev/null |
        jq -e --arg step "$1" '.[0] | .step == $step and .state == "running"' >/dev/null
}
ended() { ! kill -0 "$pid" 2>/dev/null; }
at_step_or_ended() { at_step "$1" || ended; }

# kill_in STEP NAME ARGUMENTS...: starts hotadd and kills it a little after STEP began.
# Sets $job; fails the test when the step was not caught.
kill_in() {
    local step=$1 name=$2
    shift 2
    "$hotadd" "$@" >"$dir/$name.out" 2>"$dir/$name.err" &
    pid=$!
    wait_until 240 at_step_or_ended "$step"
    sleep "0.$((RANDOM % 7))"
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    code=$?
    job=$("$hotadd" jobs --json | jq -r '.[0].id // empty')
    if [ "$code" = 137 ] && [ "$(job_field "$job" .state)" = interrupted ]; then
        pass "killed in $(job_field "$job" .step) ($name)"
    else
        { echo "exit code $code, job is $(job_field "$job" '.state + " in " + (.step // "-")')"; show "$name"; } |
            fail "killed in $step ($name)"
    fi
}

# Of what the account shows, nothing was made twice for $job.
made_once() { # VOLUMES
    local instances volumes
    instances=$(ec2 describe-instances --filters "Name=tag:hotadd:job,Values=$job" |
        jq '[.Reservations[].Instances[] | select(.State.Name != "terminated")] | length')
    volumes=$(ec2 describe-volumes --filters "Name=tag:hotadd:job,Values=$job" --query 'length(Volumes)')
    [ "$instances $volumes" = "1 $1" ] ||
        { echo "$instances instances and $volumes volumes carry the tag of job $job"; return 1; }
}

resume_and_check() { # NAME VOLUMES
    run "$1-resume" resume --json "$job"
    exits "$1-resume" 0 "resume goes on to a booted instance ($1)"
    check "with status checks ok ($1)" \
        jq -e '.state == "done" and .instance.status_checks == "ok" and .instance.state == "running"' \
        "$dir/$1-resume.out"
    check "nothing was made twice ($1)" made_once "$2"
}

undo_and_check() { # NAME, the state before in $before
    run "$1-undo" undo "$job"
    exits "$1-undo" 0 "undo ($1)"
    same "the account is as before ($1)" "$before" "$(cloud_state)"
}

tiny=(restore --skip-check --format raw --name tiny --boot-timeout 150)
slow=(--max-rate 3M) # the image holds about 15 MiB of data

for step in "${steps[@]}"; do
    options=("${tiny[@]}")
    [ "$step" != restore-data ] || options+=("${slow[@]}")

    # The instance of a finished job is removed again: machines cost time and memory.
    before=$(cloud_state)
    HOTADD_JOURNAL=$dir/$step-resume.db
    kill_in "$step" "$step" "${options[@]}" "$dir/tiny.raw"
    resume_and_check "$step" 1
    run "$step-again" resume "$job"
    exits "$step-again" 0 "resuming a finished job does nothing ($step)"
    run "$step-done" undo --done --quiet "$job"
    same "undo --done leaves the account as before ($step)" "$before" "$(cloud_state)"

    HOTADD_JOURNAL=$dir/$step-undo.db
    kill_in "$step" "$step, to undo" "${options[@]}" "$dir/tiny.raw"
    undo_and_check "$step"
done

# Killed again and again at odd moments, until it is done.
if [ "$demo" = yes ]; then
    before=$(cloud_state)
    HOTADD_JOURNAL=$dir/many.db
    kill_in create-volumes many "${tiny[@]}" "${slow[@]}" "$dir/tiny.raw"
    for i in 1 2 3 4 5 6; do
        "$hotadd" resume "$job" >"$dir/many.out" 2>"$dir/many.err" &
        pid=$!
        sleep "$((RANDOM % 4)).$((RANDOM % 10))"
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
        say "kill $i: $(job_field "$job" '.state + " in " + (.step // "-")')"
    done
    resume_and_check many 1
    run many-done undo --done --quiet "$job"
    same "undo --done leaves the account as before (many)" "$before" "$(cloud_state)"
fi

# A real guest: in the middle of its data, and while the appliance works on its disks.
if [ "$demo" = yes ]; then
    guest=$(demo_guest) || exit 1
    before=$(cloud_state)
    HOTADD_JOURNAL=$dir/demo.db
    kill_in restore-data demo-data convert --max-rate 60M --boot-timeout 700 "$guest.ova"
    wait_until 10 sh -c '! pgrep -f "hotadd-guest.*$0" >/dev/null' "$dir"
    copied=$(job_field "$job" .done_bytes)
    "$hotadd" resume "$job" >"$dir/demo-inject.out" 2>"$dir/demo-inject.err" &
    pid=$!
    wait_until 240 at_step_or_ended inject-drivers
    sleep "$((RANDOM % 4 + 1))"
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    same "killed while drivers are injected" "interrupted inject-drivers" \
        "$(job_field "$job" '.state + " " + .step')"
    say "durable when killed first: $copied of $(job_field "$job" .total_bytes) bytes"
    resume_and_check demo 2
    run demo-done undo --done --quiet "$job"
    same "undo --done leaves the account as before (demo)" "$before" "$(cloud_state)"
fi
finish
