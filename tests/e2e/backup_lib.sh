# shellcheck shell=bash
# What the tests of backups share: machines of random disks, looking into results, and
# reading a recovery point back through the nbdkit plugin.

# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck disable=SC2034 # read by lib.sh
many_folders=yes

# disk FILE MIB SEED: data with runs of zeros and repeats in it, the same for one seed.
disk() {
    python3 - "$@" <<-'PYTHON'
	import random, sys
	path, mib, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
	r = random.Random(seed)
	same = r.randbytes(1 << 20)
	with open(path, 'wb') as f:
	    f.truncate(mib << 20)
	    for i in range(mib):
	        kind = r.randrange(4)
	        f.seek(i << 20)
	        if kind == 0:
	            f.write(r.randbytes(1 << 20))
	        elif kind == 1:
	            f.write(same)
	        elif kind == 2:
	            f.write((r.randbytes(5000) + b'text ' * 210000)[:1 << 20])
	PYTHON
}

# poke FILE OFFSET BYTES SEED: overwrites a range with other random bytes.
poke() {
    python3 - "$@" <<-'PYTHON'
	import random, sys
	with open(sys.argv[1], 'r+b') as f:
	    f.seek(int(sys.argv[2]))
	    f.write(random.Random(sys.argv[4]).randbytes(int(sys.argv[3])))
	PYTHON
}

# vmx FILE: a machine of one disk per .raw argument behind it, as VMware describes it.
vmx() {
    local file=$1 n=0 raw
    shift
    printf '%s\n' 'config.version = "8"' 'virtualHW.version = "19"' "displayName = \"$(basename "$file" .vmx)\"" \
        'guestOS = "debian12-64"' 'memsize = "2048"' 'numvcpus = "2"' 'firmware = "efi"' \
        'scsi0.present = "TRUE"' 'scsi0.virtualDev = "pvscsi"' 'ethernet0.present = "TRUE"' \
        'ethernet0.virtualDev = "vmxnet3"' >"$file"
    for raw; do
        qemu-img convert -q -f raw -O vmdk "$raw" "${raw%.raw}.vmdk"
        printf '%s\n' "scsi0:$n.present = \"TRUE\"" "scsi0:$n.fileName = \"$(basename "${raw%.raw}").vmdk\"" >>"$file"
        n=$((n + 1))
    done
}

# backed NAME FILTER: of the first backup in the result $dir/NAME.out.
backed() { jq -r ".backups[0] | $2" "$dir/$1.out"; }

# serve_point WORDS... -- COMMAND: the plugin over a point, read by a shell command.
serve_point() {
    local words=()
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    nbdkit -r -U - "$build/nbdkit/nbdkit-hotadd-plugin.so" "${words[@]}" --run "$2"
}

# same_disk NAME RAW WORDS...: what the plugin serves is the file, byte for byte.
same_disk() {
    local name=$1 raw=$2
    shift 2
    rm -f "$dir/read.raw"
    # shellcheck disable=SC2016 # $uri is nbdkit's
    if serve_point "$@" -- 'nbdcopy "$uri" "'"$dir/read.raw"'"' >"$dir/serve.log" 2>&1 &&
        cmp "$raw" "$dir/read.raw" >>"$dir/serve.log" 2>&1; then
        pass "$name"
    else
        tail -n 5 "$dir/serve.log" | fail "$name"
    fi
}
