#!/bin/bash
# The first-boot service under Wine: registered as a conversion registers it, started by
# the service manager at each "boot", with pnputil, msiexec, PowerShell and shutdown
# replaced by stand-ins that write down how they were called. Restarts are the end of all
# of Wine's processes. It proves registration, state machine and the Win32 layer as far as
# Wine goes; not that Windows takes a driver.
#
# Takes its turn with tests that have the same HOTADD_QEMU_LOCK.
#
# usage: test_firstboot.sh [BUILD]
set -u
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
begin "${1-}"

wine=${HOTADD_WINE:-/usr/lib/wine/wine64}
[ -x "$wine" ] || skip_all "Wine is missing: install wine64"
command -v x86_64-w64-mingw32-gcc >/dev/null ||
    skip_all "mingw-w64 is missing: install gcc-mingw-w64-x86-64"
program=$build/firstboot/hotadd-firstboot.exe
[ -f "$program" ] || skip_all "$program was not built"
exec 9>"${HOTADD_QEMU_LOCK:-$dir/lock}"
flock 9

export WINEPREFIX=$dir/prefix WINEARCH=win64 WINEDEBUG=-all
export WINESERVER=${HOTADD_WINESERVER:-/usr/lib/wine/wineserver64}
# The stand-ins lie where Wine has programs of its own.
export WINEDLLOVERRIDES='pnputil.exe,msiexec.exe,powershell.exe,shutdown.exe,ipconfig.exe=n'
unset DISPLAY
keeper=
# By an interrupt, after which Wine saves the registry: a bare -k kills it where that takes
# more than ten seconds, and the machine would have forgotten what RegFlushKey() promised.
power_off() {
    "$WINESERVER" -k2 9>&- 2>/dev/null
    timeout 120 "$WINESERVER" -w 9>&- 2>/dev/null || "$WINESERVER" -k9 9>&- 2>/dev/null
    [ -z "$keeper" ] || wait "$keeper" 2>/dev/null
    keeper=
}
# shellcheck disable=SC2317 # called by lib.sh
test_clean_up() { power_off; }

timeout 300 "$wine" wineboot -i 9>&- >"$dir/wineboot.log" 2>&1 ||
    { tail -n 3 "$dir/wineboot.log" | sed 's/^/# /'; skip_all "Wine does not start here"; }
power_off
c=$WINEPREFIX/drive_c
folder=$c/windows/HotAdd
staged=$dir/staged
log=$folder/firstboot.log
x86_64-w64-mingw32-gcc -O1 -s -o "$dir/stand-in.exe" "$here/firstboot-stand-in.c" || exit 1
for name in pnputil msiexec shutdown ipconfig WindowsPowerShell/v1.0/powershell; do
    mkdir -p "$(dirname "$c/windows/system32/$name")"
    rm -f "$c/windows/system32/$name.exe"
    cp "$dir/stand-in.exe" "$c/windows/system32/$name.exe"
done
cp "$dir/stand-in.exe" "$c/keeper.exe"

# ---- what a conversion leaves ----

put() { # PATH CONTENTS
    mkdir -p "$(dirname "$staged/$1")"
    printf '%s' "$2" >"$staged/$1"
    printf 'file\t%s\t%s\n' "$(printf '%s' "$2" | sha256sum | cut -d' ' -f1)" "$1" >>"$staged/plan.txt"
}


stage() {
    power_off
    rm -rf "$folder" "$staged" "$c"/*.exit "$c"/*.hang "$c/record.txt" "$c/placed"
    mkdir -p "$staged"
    cp "$program" "$staged/"
    printf 'hotadd-first-boot\t1\nboots\t4\n' >"$staged/plan.txt"
    put drivers/ena/ena.inf inf
    put drivers/ena/ena.sys sys
    put packages/pv/AWSPVDriverSetup.msi msi
    put packages/ec2launch/install.ps1 script
    put config/LaunchConfig.json '{}'
    cat >>"$staged/plan.txt" <<END
driver	drivers/ena/ena.inf
msi	packages/pv/AWSPVDriverSetup.msi
copy	config/LaunchConfig.json	%SystemDrive%\\placed\\deep\\LaunchConfig.json
script	packages/ec2launch/install.ps1
dhcp
disks
dword	SYSTEM\\CurrentControlSet\\Control\\CrashControl	AutoReboot	1
device-path	%SystemRoot%\\HotAdd\\drivers\\ena
end
END
    cat >"$dir/service.reg" <<END
REGEDIT4

[-HKEY_LOCAL_MACHINE\\System\\CurrentControlSet\\Services\\HotAddFirstBoot]

[HKEY_LOCAL_MACHINE\\System\\CurrentControlSet\\Services\\HotAddFirstBoot]
"Type"=dword:00000010
"Start"=dword:00000002
"ErrorControl"=dword:00000001
"ObjectName"="LocalSystem"
"DisplayName"="hotadd first boot"
"ImagePath"="\\"C:\\\\windows\\\\HotAdd\\\\hotadd-firstboot.exe\\""

[HKEY_LOCAL_MACHINE\\System\\CurrentControlSet\\Services\\HotAddFirstBoot\\Parameters]
"PlanSha256"="$(sha256sum <"$staged/plan.txt" | cut -d' ' -f1)"

[HKEY_LOCAL_MACHINE\\System\\CurrentControlSet\\Control\\CrashControl]
"AutoReboot"=dword:00000000

[HKEY_LOCAL_MACHINE\\System\\CurrentControlSet\\Services\\Tcpip\\Parameters\\Interfaces\\{aaaa}]
"EnableDHCP"=dword:00000000
"IPAddress"="10.1.2.3"

[HKEY_LOCAL_MACHINE\\Software\\Microsoft\\Windows\\CurrentVersion]
END
    cat >>"$dir/service.reg" <<END
"DevicePath"="%SystemRoot%\\\\inf;%SystemRoot%\\\\HotAdd\\\\drivers\\\\ena"
END
    timeout 120 "$wine" regedit /S "$(path_of "$dir/service.reg")" 9>&- >/dev/null 2>&1
    power_off
    # Last: the service manager ran for regedit, and shall not have found a service.
    mv "$staged" "$folder"
}

path_of() { printf 'Z:%s' "${1//\//\\}"; }

# Starts the service manager, and with it what starts by itself.
power_on() {
    touch "$c/keeper.hang"
    "$wine" 'C:\keeper.exe' 9>&- >/dev/null 2>&1 &
    keeper=$!
}

# Powers on and waits for a line. Where Wine hangs before the service had its turn, which
# it says first of all, the machine is powered on once more.
boot() { # TEXT
    local said
    said=$(log_lines)
    power_on
    await "$1" && return 0
    [ "$(log_lines)" = "$said" ] || return 1
    say "Wine did not start the service; once more"
    power_off
    power_on
    await "$1"
}

log_lines() { grep -c '' "$log" 2>/dev/null; }

# Waits until a stand-in hangs, as it was told to.
hung() { # NAME
    for _ in $(seq 80); do
        [ -e "$c/$1.hang" ] || return 0
        sleep 0.25
    done
    return 1
}

await() { # TEXT
    for _ in $(seq 240); do
        grep -qsF -e "$1" "$log" && return 0
        sleep 0.25
    done
    return 1
}

registry() { # KEY VALUE
    timeout 60 "$wine" reg query "$1" /v "$2" 9>&- 2>/dev/null | tr -d '\r' | sed -n "s/^ *$2 *REG_[A-Z_]* *//p"
}

services='HKLM\System\CurrentControlSet\Services'
calls() { grep -v '^keeper' "$c/record.txt" 2>/dev/null | tr -d '\r' | sed 's/  */ /g; s/ $//'; }

# ---- from one end to the other ----

stage
boot 'finished: '
has 'all steps are done at the first start' "$log" 'finished: ok: 8 steps, 1 starts'
same 'the tools are called as they should be' "pnputil -i -a C:\\windows\\HotAdd\\drivers\\ena\\ena.inf
msiexec /i C:\\windows\\HotAdd\\packages\\pv\\AWSPVDriverSetup.msi /quiet /norestart
powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -File C:\\windows\\HotAdd\\packages\\ec2launch\\install.ps1
ipconfig /renew" "$(calls)"
same 'a file is copied to its place' '{}' "$(cat "$c/placed/deep/LaunchConfig.json" 2>&1)"
same 'a value is set back' 0x1 "$(registry 'HKLM\System\CurrentControlSet\Control\CrashControl' AutoReboot)"
same 'an interface is set to DHCP' 0x1 \
    "$(registry "$services\\Tcpip\\Parameters\\Interfaces\\{aaaa}" EnableDHCP)"
same 'the folder is taken out of DevicePath' '%SystemRoot%\inf' \
    "$(registry 'HKLM\Software\Microsoft\Windows\CurrentVersion' DevicePath)"
same 'the payload is gone, the log stays' 'firstboot.log
hotadd-firstboot.exe' "$(ls "$folder")"
power_off
power_on
sleep 5
same 'the service has removed itself' '' "$(registry "$services\\HotAddFirstBoot" Start)"

# ---- an installer that restarts the machine ----

stage
touch "$c/msiexec.hang"
boot 'step 2 of 8'
hung msiexec
sleep 1
power_off
has 'the machine went down in the installer' "$log" 'step 2 of 8: msi'
boot 'finished: '
has 'the next start goes on' "$log" 'finished: ok: 8 steps, 2 starts'
has 'and takes the restart for the end of the installer' "$log" 'step 2: the machine was restarted by it'
same 'each tool ran once' 'ipconfig
msiexec
pnputil
powershell' "$(calls | cut -d' ' -f1 | sort)"

# ---- a machine that goes down while a driver is installed ----

stage
touch "$c/pnputil.hang"
boot 'step 1 of 8'
hung pnputil
sleep 1
power_off
boot 'finished: '
has 'a driver that was interrupted is installed again' "$log" 'finished: ok: 8 steps, 2 starts'
same 'by a second call' 2 "$(calls | grep -c '^pnputil')"

# ---- a driver that wants a restart, a step that fails ----

stage
echo 3010 >"$c/pnputil.exit"
echo 5 >"$c/powershell.exit"
boot 'restarting'
sleep 2
has 'the restart is asked for' "$c/record.txt" 'shutdown /r /t 5 /f'
power_off
boot 'finished: '
has 'a failed step is told and is not the end' "$log" 'finished: 1 of 8 steps failed'

# ---- by automatic logon ----

winlogon='HKLM\Software\Microsoft\Windows NT\CurrentVersion\Winlogon'
policies='HKLM\Software\Microsoft\Windows\CurrentVersion\Policies\System'
run='HKLM\Software\Microsoft\Windows\CurrentVersion\Run'

# What src/guest/windows/convert_logon.c leaves instead of a service.
stage_logon() {
    stage
    mv "$folder" "$staged"
    local prefix='HKEY_LOCAL_MACHINE\System\CurrentControlSet\Services\HotAddFirstBoot'
    {
        printf 'REGEDIT4\n\n[-%s]\n\n[%s\\Parameters]\n' "$prefix" "$prefix"
        printf '"PlanSha256"="%s"\n' "$(sha256sum <"$staged/plan.txt" | cut -d' ' -f1)"
        local slot=0 name data
        while IFS='|' read -r key name data; do
            printf '\n[%s\\Parameters\\Saved\\%d]\n"Key"="%s"\n"Name"="%s"\n%s\n' "$prefix" "$slot" \
                "SOFTWARE\\\\Microsoft\\\\$key" "$name" "${data:+\"Data\"=$data}"
            slot=$((slot + 1))
        done <<'END'
Windows NT\\CurrentVersion\\Winlogon|AutoAdminLogon|"0"
Windows NT\\CurrentVersion\\Winlogon|DefaultUserName|"somebody"
Windows NT\\CurrentVersion\\Winlogon|DefaultDomainName|
Windows NT\\CurrentVersion\\Winlogon|DefaultPassword|
Windows NT\\CurrentVersion\\Winlogon|AutoLogonCount|
Windows\\CurrentVersion\\Policies\\System|EnableLUA|dword:00000001
END
        cat <<'END'

[HKEY_LOCAL_MACHINE\Software\Microsoft\Windows NT\CurrentVersion\Winlogon]
"AutoAdminLogon"="1"
"DefaultUserName"="Administrator"
"DefaultDomainName"="."
"DefaultPassword"="Swordfish 7"
"AutoLogonCount"=dword:00000009

[HKEY_LOCAL_MACHINE\Software\Microsoft\Windows\CurrentVersion\Policies\System]
"EnableLUA"=dword:00000000

[HKEY_LOCAL_MACHINE\Software\Microsoft\Windows\CurrentVersion\Run]
"HotAddFirstBoot"="\"C:\\windows\\HotAdd\\hotadd-firstboot.exe\" --logon"
END
    } >"$dir/logon.reg"
    timeout 120 "$wine" regedit /S "$(path_of "$dir/logon.reg")" 9>&- >/dev/null 2>&1
    power_off
    mv "$staged" "$folder"
}

# Starts what Run names, as a logon does; waits for a line.
log_on() { # TEXT
    local line
    line=$(registry "$run" HotAddFirstBoot)
    case $line in
    '"C:\windows\HotAdd\hotadd-firstboot.exe" --logon') ;;
    *) return 1 ;;
    esac
    "$wine" 'C:\windows\HotAdd\hotadd-firstboot.exe' --logon 9>&- >/dev/null 2>&1 &
    keeper=$!
    await "$1"
}

stage_logon
log_on 'finished: '
has 'a logon does all steps, too' "$log" 'finished: ok: 8 steps, 1 starts' '6 settings put back'
power_off
same 'nobody is logged on automatically any more' '0 somebody' \
    "$(registry "$winlogon" AutoAdminLogon) $(registry "$winlogon" DefaultUserName)"
same 'no password is left' '' "$(registry "$winlogon" DefaultPassword)$(registry "$winlogon" AutoLogonCount)"
check 'nor its text in the registry' sh -c "! grep -qa 'Swordfish' '$WINEPREFIX'/*.reg"
same 'User Account Control is on again' 0x1 "$(registry "$policies" EnableLUA)"
same 'nothing starts it again' '' "$(registry "$run" HotAddFirstBoot)$(registry "$services\\HotAddFirstBoot\\Parameters" PlanSha256)"

stage_logon
touch "$c/msiexec.hang"
log_on 'step 2 of 8'
hung msiexec
sleep 1
power_off
log_on 'finished: '
has 'the logon after a restart goes on' "$log" 'finished: ok: 8 steps, 2 starts'
power_off

stage_logon
printf 'evil' >"$folder/packages/pv/AWSPVDriverSetup.msi"
log_on 'finished: '
has 'a changed file is refused in a logon, too' "$log" 'finished: refused: a staged file was changed'
power_off
same 'and the password is taken away' '0' "$(registry "$winlogon" AutoAdminLogon)$(registry "$winlogon" DefaultPassword)"

# ---- what is not what was staged ----

stage
printf 'evil' >"$folder/packages/pv/AWSPVDriverSetup.msi"
boot 'finished: '
has 'a changed file is refused' "$log" 'finished: refused: a staged file was changed'
same 'and nothing is run' '' "$(calls)"

stage
sed -i 's/boots	4/boots	9/' "$folder/plan.txt"
boot 'finished: '
has 'a changed plan is refused' "$log" 'finished: refused: the plan is not the one that was staged'
same 'and nothing is run' '' "$(calls)"

stage
rm "$folder/drivers/ena/ena.sys"
boot 'finished: '
has 'a missing file is refused' "$log" 'finished: refused: a staged file is missing'

# ---- a machine that never gets through ----

stage
for i in 1 2 3 4; do
    touch "$c/pnputil.hang"
    boot "start $i"
    hung pnputil
    power_off
done
boot 'finished: '
has 'it gives up after the starts that the plan allows' "$log" 'finished: gave up after 4 starts, at step 1'

finish
