# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is read by the tests
# What the tests of `hotadd serve` share: a token, monitors, and the page in a real Chromium.
# Needs lib.sh and `begin`. The token is in $token and $dir/token.

token=$(openssl rand -hex 24)
# shellcheck disable=SC2154 # set by lib.sh
(umask 077 && echo "$token" >"$dir/token")

test_clean_up() {
    local f
    for f in "$dir"/*.pid; do [ ! -e "$f" ] || kill "$(cat "$f")" 2>/dev/null; done
}

# monitor NAME OPTIONS...: starts one; $url is where it is.
monitor() {
    local name=$1
    shift
    # shellcheck disable=SC2154 # set by lib.sh
    "$hotadd" serve --token-file "$dir/token" "$@" >"$dir/$name.out" 2>"$dir/$name.err" &
    echo $! >"$dir/$name.pid"
    wait_until 20 grep -q '^monitor: ' "$dir/$name.out" || bail "no monitor: $(cat "$dir/$name.err")"
    url=$(sed -n 's/^monitor: //p' "$dir/$name.out")
}

# ends NAME: asks it to end; $code is how it did.
ends() {
    kill -TERM "$(cat "$dir/$1.pid")"
    code=0
    wait "$(cat "$dir/$1.pid")" || code=$?
    rm -f "$dir/$1.pid"
}

# browser_ready: Chromium and playwright-core are there; says why not, if not.
browser_ready() {
    HOTADD_TEST_CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
        echo "chromium is not installed"
        return 1
    }
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        echo "node and npm are not installed"
        return 1
    fi
    # Pinned, with its digest, by package-lock.json; kept in the build tree.
    # shellcheck disable=SC2154 # set by lib.sh
    HOTADD_TEST_NODE_MODULES=$build/tests/e2e/monitor
    export HOTADD_TEST_CHROMIUM HOTADD_TEST_NODE_MODULES
    mkdir -p "$HOTADD_TEST_NODE_MODULES"
    # shellcheck disable=SC2154 # set by lib.sh
    if ! cmp -s "$here/monitor/package-lock.json" "$HOTADD_TEST_NODE_MODULES/package-lock.json" ||
        [ ! -d "$HOTADD_TEST_NODE_MODULES/node_modules" ]; then
        cp "$here/monitor/package.json" "$here/monitor/package-lock.json" "$HOTADD_TEST_NODE_MODULES/"
        (cd "$HOTADD_TEST_NODE_MODULES" && npm ci --ignore-scripts --no-audit --no-fund) >"$dir/npm.out" 2>&1 || {
            rm -rf "$HOTADD_TEST_NODE_MODULES/node_modules"
            echo "playwright-core cannot be had from npm: $(tail -n 1 "$dir/npm.out")"
            return 1
        }
    fi
}

# browser SECONDS SCRIPT ARGUMENTS...: runs monitor/SCRIPT; its checks are ours.
browser() {
    local limit=$1 script=$2 status=0 line name='' why=''
    shift 2
    timeout "$limit" node "$here/monitor/$script" "$@" >"$dir/browser.out" 2>"$dir/browser.err" || status=$?
    while IFS= read -r line; do
        case $line in
        'ok '* | 'not ok '*)
            browser_check
            name=$line why=''
            ;;
        '# '*) why+=${line#\# }$'\n' ;;
        esac
    done <"$dir/browser.out"
    browser_check
    if [ "$status" -gt 1 ]; then
        { echo "exit code $status"; tail -n 8 "$dir/browser.err"; } | fail "the browser's test ran to its end"
    fi
}

# browser_check: tells the last check that browser() read.
browser_check() {
    case $name in
    '') ;;
    'not ok '*) printf '%s\n' "$why" | fail "page: ${name#not ok }" ;;
    *) pass "page: ${name#ok }" ;;
    esac
}
