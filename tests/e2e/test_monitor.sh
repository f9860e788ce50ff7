#!/bin/bash
# `hotadd serve`: who is let in, what is told, and the page in a real Chromium.
#
# HOTADD_TEST_PICTURES=DIR keeps the pictures of the page for docs/images.
# shellcheck disable=SC2317 # called at the end
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
many_folders=yes

begin "${1-}"
need_commands curl jq openssl
job=$build/tests/e2e/monitor-job
[ -x "$job" ] || bail "$job is not built"

# shellcheck source=tests/e2e/monitor_lib.sh
. "$here/monitor_lib.sh"

# status PATH CURL-OPTIONS...: of the answer, whose body is in $dir/body.
status() {
    local path=$1
    shift
    curl -sS -o "$dir/body" -w '%{http_code}' --max-time 20 "$@" "$url$path"
}
bearer=(-H "Authorization: Bearer $token")

# ---- what it refuses to be ----

refused() { # DESCRIPTION TEXT OPTIONS...
    local what=$1 words=$2
    shift 2
    run refused serve "$@"
    if [ "$code" = 2 ]; then has "$what" "$dir/refused.err" "$words"; else
        { echo "exit code $code, not 2"; show refused; } | fail "$what"
    fi
}

refused "other addresses need TLS and a token" "--tls-cert" --listen 0.0.0.0:0 --token-file "$dir/token"
refused "without a terminal there must be a token file" "--token-file"
refused "a certificate needs its key" "go together" --token-file "$dir/token" --tls-cert /dev/null
refused "a place is an address and a port" "ADDRESS:PORT" --listen somewhere --token-file "$dir/token"
chmod 644 "$dir/token"
refused "a token that others can read" "chmod 600" --token-file "$dir/token"
chmod 600 "$dir/token"

# ---- who is let in ----

"$job" "$HOTADD_JOURNAL" web00.ova "done" >"$dir/done.id"
"$job" "$HOTADD_JOURNAL" db00.ova fail >"$dir/failed.id" 2>/dev/null
failed=$(cat "$dir/failed.id")
monitor loop --listen 127.0.0.1:0
port=${url##*:} port=${port%/}

same "no token: refused" 401 "$(status api/v1/jobs)"
same "a wrong one: refused" 401 "$(status api/v1/jobs -H 'Authorization: Bearer 0123456789012345678901234567890123456789')"
same "the right one: let in" 200 "$(status api/v1/jobs "${bearer[@]}")"
same "both jobs are told" "db00.ova web00.ova" "$(jq -r '[.jobs[].title] | sort | join(" ")' "$dir/body")"
same "another name in Host: refused" 421 "$(status '' -H 'Host: evil.example')"
same "a POST from another site: refused" 403 \
    "$(status "api/v1/jobs/$failed/actions/undo" "${bearer[@]}" -H 'Origin: http://evil.example' --json "{\"confirm\":\"$failed\"}")"
same "a body over 16 KiB: refused" 413 \
    "$(head -c 20000 /dev/zero | tr '\0' x | status api/v1/session --json @-)"
same "a path with dots: not found" 400 "$(status ..%2f..%2fetc/passwd)"
same "healthz is open" "200 ok" "$(status healthz) $(cat "$dir/body")"
curl -sS -D "$dir/headers" -o /dev/null "$url"
has "the page forbids inline scripts, frames and sniffing" "$dir/headers" \
    "script-src 'self'" "frame-ancestors 'none'" "nosniff" "require-trusted-types-for 'script'"

same "metrics are told" 200 "$(status metrics "${bearer[@]}")"
has "with the jobs by state" "$dir/body" 'hotadd_jobs{state="done"} 1' 'hotadd_jobs{state="failed"} 1'
if command -v promtool >/dev/null; then
    check "and promtool finds no fault" promtool check metrics <"$dir/body"
fi

# listen NAME SECONDS: a stream in the background, which has begun when this returns.
listen() {
    curl -sSN --max-time "$2" "${bearer[@]}" "${url}api/v1/stream" >"$dir/$1" 2>/dev/null &
    listener=$!
    wait_until 10 grep -q "event: syncs" "$dir/$1" || bail "the stream does not begin"
}

listen stream 4
"$job" "$HOTADD_JOURNAL" later.ova "done" >/dev/null
wait "$listener"
has "the stream begins with the picture and goes on with what changes" "$dir/stream" \
    "event: hello" "event: jobs" "event: job" "later.ova" "event: line"

# Clients that hang up leave nothing behind, and nobody waits for them. There are more of
# them than places.
for _ in $(seq 70); do
    curl -sSN --max-time 0.2 "${bearer[@]}" "${url}api/v1/stream" >/dev/null 2>&1
    # What is told meets those that are gone.
    "$job" "$HOTADD_JOURNAL" filler.ova "done" >/dev/null
done
listen after 4
"$job" "$HOTADD_JOURNAL" afterwards.ova "done" >/dev/null
wait "$listener"
has "seventy streams later there is room, and changes are told" "$dir/after" \
    "event: line" "afterwards.ova"

ends loop
same "it stops in order" 0 "$code"
check "and its port is free" sh -c "! curl -s --max-time 2 http://127.0.0.1:$port/healthz"
if grep -qF "$token" "$dir"/*.out "$dir"/*.err "$dir"/journal.db*; then
    echo "the token is in what it wrote" | fail "the token is nowhere"
else
    pass "the token is nowhere"
fi

# ---- TLS, a socket, reading only ----

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=proxy.test -addext subjectAltName=DNS:proxy.test \
    -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
monitor tls --listen 0.0.0.0:0 --host proxy.test --tls-cert "$dir/cert.pem" --tls-key "$dir/key.pem"
port=${url##*:} port=${port%/} url=https://proxy.test:$port/
same "TLS on all addresses, by its name" 200 \
    "$(status api/v1/jobs "${bearer[@]}" --cacert "$dir/cert.pem" --resolve "proxy.test:$port:127.0.0.1")"
same "TLS 1.1 is refused" 000 \
    "$(status '' --cacert "$dir/cert.pem" --resolve "proxy.test:$port:127.0.0.1" --tls-max 1.1 2>/dev/null)"
ends tls

"$hotadd" serve --read-only --listen "unix:$dir/m.sock" >"$dir/sock.out" 2>"$dir/sock.err" &
echo $! >"$dir/sock.pid"
wait_until 20 grep -q '^monitor: ' "$dir/sock.out"
url=http://anything/
same "a socket asks for no token" 200 "$(status api/v1/jobs --unix-socket "$dir/m.sock")"
same "its mode says who may" 660 "$(stat -c %a "$dir/m.sock")"
same "reading only starts nothing" 403 \
    "$(status "api/v1/jobs/$failed/actions/undo" --unix-socket "$dir/m.sock" --json "{\"confirm\":\"$failed\"}")"
ends sock
same "the socket is gone with it" no "$([ -e "$dir/m.sock" ] && echo yes || echo no)"

# ---- the page ----

if ! browser_ready >"$dir/why"; then
    skip "the page in Chromium" "$(cat "$dir/why")"
    finish
fi

export HOTADD_JOURNAL=$dir/page.db
lab_start --no-machines --delay-ms 0

# A replica with two passes behind it, and a backup that the third is to bring.
disk=$dir/web01.raw
last=0
back_up() { # OFFSET: after a change there, a second after the last
    dd if=/dev/urandom of="$disk" bs=1M count=1 seek="$1" conv=notrunc status=none
    while [ "$(date +%s)" -le "$last" ]; do sleep 0.1; done
    run backup backup --quiet --repo "$dir/repo" --create --vm web01 "$disk"
    [ "$code" = 0 ] || { show backup; bail "the backup failed"; }
    last=$(date +%s)
}
truncate -s 32M "$disk"
back_up 0
run create sync create web01 --repo "$dir/repo" --vm web01 --rpo 900 --keep last=3
exits create 0 "a sync to look at"
for at in 4 8; do
    run pass sync run web01
    exits pass 0 "its pass"
    back_up "$at"
done
monitor page --listen 127.0.0.1:0
port=${url##*:} port=${port%/}
cat >"$dir/ctl" <<CTL
#!/bin/bash
# stop and start of the same monitor, for the browser's test
pid=\$(cat "$dir/page.pid")
if [ "\$1" = stop ]; then
    kill -TERM "\$pid"
    while kill -0 "\$pid" 2>/dev/null && [ "\$(ps -o stat= -p "\$pid" | head -c 1)" != Z ]; do sleep 0.1; done
else
    setsid "$hotadd" serve --listen 127.0.0.1:$port --token-file "$dir/token" >>"$dir/page.out" 2>>"$dir/page.err" </dev/null &
    echo \$! >"$dir/page.pid"
fi
CTL
chmod 700 "$dir/ctl"
pictures=${HOTADD_TEST_PICTURES:-$dir}
export HOTADD_TEST_MONITOR_CTL=$dir/ctl
browser 900 browser.mjs "$url" "$token" "$HOTADD_JOURNAL" "$job" "$pictures"
finish
