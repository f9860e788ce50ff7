#!/bin/bash
# `meson install` puts everything where Debian looks for it, and what is installed runs.
# shellcheck disable=SC2016 # sh -c gets its own words
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

begin "${1-}"
need_commands meson mandoc
dest=$dir/dest

# What the build tree holds is installed, without relinking, as a packager would.
meson install -C "$build" --no-rebuild --quiet --destdir "$dest" >"$dir/install.log" 2>&1 ||
    { tail -n 5 "$dir/install.log"; bail "meson install failed"; }
options=$(meson introspect "$build" --buildoptions)
option() { printf '%s' "$options" | jq -r --arg n "$1" '.[] | select(.name == $n) | .value'; }
prefix=$(option prefix)
at=$dest$prefix
libexec=$at/$(option libexecdir)/hotadd

installed() { # NAME PATH [MODE]
    if [ ! -e "$2" ]; then
        { echo "$2 is not there; installed are:"; (cd "$dest" && find . -type f); } | fail "$1"
    elif [ -n "${3-}" ] && [ "$(stat -c %a "$2")" != "$3" ]; then
        echo "$2 has mode $(stat -c %a "$2"), not $3" | fail "$1"
    else
        pass "$1"
    fi
}

installed "hotadd is a command" "$at/bin/hotadd" 755
installed "hotadd-lab is a command" "$at/bin/hotadd-lab" 755
installed "the guest's helper is in libexec" "$libexec/hotadd-guest" 755
installed "so is the reader of images" "$libexec/hotadd-reader" 755
installed "the lab's helper is in libexec" "$libexec/hotadd-lab-netns" 755
installed "so is what confines its imports" "$libexec/hotadd-lab-confine" 755
installed "the nbdkit plugin is found by nbdkit" \
    "$dest$(pkg-config --variable=plugindir nbdkit)/nbdkit-hotadd-plugin.so"
installed "the udev rule" "$at/lib/udev/rules.d/61-hotadd.rules" 644
installed "the systemd unit" "$at/lib/systemd/system/hotadd-resume@.service" 644
installed "the monitor's unit" "$at/lib/systemd/system/hotadd-monitor.service" 644
installed "the unit of Live Sync" "$at/lib/systemd/system/hotadd-sync.service" 644
installed "the sample configuration" "$at/share/doc/hotadd/examples/hotadd.conf" 644
installed "the IAM policy" "$at/share/hotadd/iam/hotadd-proxy.json" 644
installed "the IAM policy of repositories" "$at/share/hotadd/iam/hotadd-repository.json" 644

for page in "$root"/docs/man/*.[1-8]; do
    name=${page##*/}
    [ -e "$at/share/man/man${name##*.}/$name" ] || missing="${missing-} $name"
done
same "every manual page is installed" "" "${missing-}"

check "the unit starts the installed hotadd" \
    grep -q "^ExecStart=$prefix/bin/hotadd resume %i$" "$at/lib/systemd/system/hotadd-resume@.service"
check "the unit of Live Sync starts it" \
    grep -q "^ExecStart=$prefix/bin/hotadd sync watch$" "$at/lib/systemd/system/hotadd-sync.service"
check "the IAM policy is JSON" jq -e .Statement "$at/share/hotadd/iam/hotadd-proxy.json"

version=$(meson introspect "$build" --projectinfo | jq -r .version)
same "the installed hotadd says its version" "hotadd $version" "$("$at/bin/hotadd" version 2>&1)"
check "--help lists the commands" sh -c '"$0" --help | grep -q "^  convert "' "$at/bin/hotadd"
check "hotadd-lab --help runs" "$at/bin/hotadd-lab" --help
for command in $("$at/bin/hotadd" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    "$at/bin/hotadd" "$command" --help >/dev/null 2>&1 || unhelpful="${unhelpful-} $command"
done
same "every command has --help" "" "${unhelpful-}"

# The sample must be taken as it is, and with every line switched on.
sed -n 's/^#\([a-z][a-z-]* = .*\)/\1/p; /^\[/p' "$at/share/doc/hotadd/examples/hotadd.conf" >"$dir/all.conf"
mkdir "$HOME/.aws"
printf '[profile restores]\nregion = eu-central-1\n' >"$HOME/.aws/config"
export AWS_REGION=eu-central-1 AWS_EC2_METADATA_DISABLED=true
for conf in "$at/share/doc/hotadd/examples/hotadd.conf" "$dir/all.conf"; do
    code=0
    HOTADD_CONFIG=$conf "$hotadd" convert "$dir/no-such-file.ova" >/dev/null 2>"$dir/conf.err" || code=$?
    has "the sample configuration is understood (${conf##*/})" "$dir/conf.err" no-such-file.ova
done
finish
