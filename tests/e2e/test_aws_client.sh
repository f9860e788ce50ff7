#!/bin/sh
# The AWS client against the lab: a volume, its snapshot, its attachment, an image.
# $1 is aws-tour, $2 is hotadd-lab.
tour=$1 lab=$2
if ! [ -x "$lab" ]; then
    echo "1..0 # SKIP $lab is not built"
    exit 0
fi
state=$(mktemp -d /tmp/hotadd-tour-XXXXXX) || exit 1
trap '"$lab" stop --state "$state" >/dev/null 2>&1; rm -rf "$state"' EXIT
if ! "$lab" serve --state "$state" --daemon >&2; then
    echo "1..1"
    echo "not ok 1 - hotadd-lab serves"
    exit 1
fi
exports=$("$lab" env --state "$state") || exit 1
eval "$exports"
"$tour"
