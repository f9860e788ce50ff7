# shellcheck shell=bash
# The OVA: a tar of the descriptor, the manifest and the disks, as vSphere
# exports a machine.
#
# Sourced by make-guest, whose options are read here as variables.
# shellcheck disable=SC2154

# make_ova FILE RAW...
make_ova() {
	local ova=$1 raw dir=$work/ova number=0 disk files=()
	shift
	mkdir "$dir"
	for raw; do
		number=$((number + 1))
		disk=$name-disk$number.vmdk
		run qemu-img convert -f raw -O vmdk -o subformat=streamOptimized,adapter_type=lsilogic \
			"$raw" "$dir/$disk"
		files+=("$disk")
	done
	descriptor "$dir" "${files[@]}" >"$dir/$name.ovf"
	manifest "$dir" "$name.ovf" "${files[@]}" >"$dir/$name.mf"
	# The order is the standard's: a reader of a stream meets the descriptor
	# first.  The owner is what VMware's tool writes.
	run tar -C "$dir" --format=ustar --owner=someone:64 --group=someone:64 --mode=644 \
		-cf "$ova" "$name.ovf" "$name.mf" "${files[@]}"
	rm -r "$dir"
}

manifest() {
	local dir=$1 file sum
	shift
	for file; do
		sum=$(sha256sum "$dir/$file")
		printf 'SHA256(%s)= %s\n' "$file" "${sum%% *}"
	done
}

# The element names and their order within an Item are those of vSphere 7.
descriptor() {
	cat <<-EOF
	<?xml version="1.0" encoding="UTF-8"?>
	<!--Made by make-guest of hotadd in the form of a vSphere export-->
	<Envelope vmw:buildId="build-17327517" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
	$(references "$@")
	  <NetworkSection>
	    <Info>The list of logical networks</Info>
	    <Network ovf:name="VM Network">
	      <Description>The VM Network network</Description>
	    </Network>
	  </NetworkSection>
	  <VirtualSystem ovf:id="$name">
	    <Info>A virtual machine</Info>
	    <Name>$name</Name>
	    <OperatingSystemSection ovf:id="96" vmw:osType="debian12_64Guest">
	      <Info>The kind of installed guest operating system</Info>
	      <Description>Debian GNU/Linux 12 (64-bit)</Description>
	    </OperatingSystemSection>
	    <VirtualHardwareSection>
	      <Info>Virtual hardware requirements</Info>
	      <System>
	        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
	        <vssd:InstanceID>0</vssd:InstanceID>
	        <vssd:VirtualSystemIdentifier>$name</vssd:VirtualSystemIdentifier>
	        <vssd:VirtualSystemType>vmx-19</vssd:VirtualSystemType>
	      </System>
	$(processor_and_memory)
	$(controllers)
	$(disk_items "$@")
	$(network_item)
	$(settings)
	    </VirtualHardwareSection>
	  </VirtualSystem>
	</Envelope>
	EOF
}

# The files and, of each, the disk in it.  populatedSize counts what the raw
# image really holds.
references() {
	local dir=$1 file number=0 disks='' raw
	shift
	echo '  <References>'
	for file; do
		number=$((number + 1))
		raw=$work/${file%.vmdk}.raw
		echo "    <File ovf:href=\"$file\" ovf:id=\"file$number\" ovf:size=\"$(stat -c %s "$dir/$file")\"/>"
		disks+="    <Disk ovf:capacity=\"$(stat -c %s "$raw")\" ovf:capacityAllocationUnits=\"byte\" ovf:diskId=\"vmdisk$number\" ovf:fileRef=\"file$number\" ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\" ovf:populatedSize=\"$(($(stat -c %b "$raw") * 512))\"/>"$'\n'
	done
	echo '  </References>'
	echo '  <DiskSection>'
	echo '    <Info>Virtual disk information</Info>'
	printf '%s' "$disks"
	echo '  </DiskSection>'
}

processor_and_memory() {
	cat <<-EOF
	      <Item>
	        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
	        <rasd:Description>Number of Virtual CPUs</rasd:Description>
	        <rasd:ElementName>$cpus virtual CPU(s)</rasd:ElementName>
	        <rasd:InstanceID>1</rasd:InstanceID>
	        <rasd:ResourceType>3</rasd:ResourceType>
	        <rasd:VirtualQuantity>$cpus</rasd:VirtualQuantity>
	        <vmw:CoresPerSocket ovf:required="false">1</vmw:CoresPerSocket>
	      </Item>
	      <Item>
	        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
	        <rasd:Description>Memory Size</rasd:Description>
	        <rasd:ElementName>${memory_mib}MB of memory</rasd:ElementName>
	        <rasd:InstanceID>2</rasd:InstanceID>
	        <rasd:ResourceType>4</rasd:ResourceType>
	        <rasd:VirtualQuantity>$memory_mib</rasd:VirtualQuantity>
	      </Item>
	EOF
}

# slotInfo.pciSlotNumber is what makes the guest's names ens160, ens192, ...
controllers() {
	cat <<-'EOF'
	      <Item>
	        <rasd:Address>0</rasd:Address>
	        <rasd:Description>SCSI Controller</rasd:Description>
	        <rasd:ElementName>SCSI Controller 0</rasd:ElementName>
	        <rasd:InstanceID>3</rasd:InstanceID>
	        <rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType>
	        <rasd:ResourceType>6</rasd:ResourceType>
	        <vmw:Config ovf:required="false" vmw:key="slotInfo.pciSlotNumber" vmw:value="160"/>
	      </Item>
	      <Item ovf:required="false">
	        <rasd:AutomaticAllocation>false</rasd:AutomaticAllocation>
	        <rasd:ElementName>Video card</rasd:ElementName>
	        <rasd:InstanceID>4</rasd:InstanceID>
	        <rasd:ResourceType>24</rasd:ResourceType>
	        <vmw:Config ovf:required="false" vmw:key="numDisplays" vmw:value="1"/>
	        <vmw:Config ovf:required="false" vmw:key="videoRamSizeInKB" vmw:value="8192"/>
	      </Item>
	EOF
}

disk_items() {
	local number
	for ((number = 1; number < $#; number++)); do
		cat <<-EOF
		      <Item>
		        <rasd:AddressOnParent>$((number - 1))</rasd:AddressOnParent>
		        <rasd:ElementName>Hard Disk $number</rasd:ElementName>
		        <rasd:HostResource>ovf:/disk/vmdisk$number</rasd:HostResource>
		        <rasd:InstanceID>$((9 + number))</rasd:InstanceID>
		        <rasd:Parent>3</rasd:Parent>
		        <rasd:ResourceType>17</rasd:ResourceType>
		        <vmw:Config ovf:required="false" vmw:key="backing.writeThrough" vmw:value="false"/>
		      </Item>
		EOF
	done
}

network_item() {
	cat <<-EOF
	      <Item>
	        <rasd:AddressOnParent>7</rasd:AddressOnParent>
	        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
	        <rasd:Connection>VM Network</rasd:Connection>
	        <rasd:Description>VmxNet3 ethernet adapter on &quot;VM Network&quot;</rasd:Description>
	        <rasd:ElementName>Ethernet 1</rasd:ElementName>
	        <rasd:InstanceID>30</rasd:InstanceID>
	        <rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>
	        <rasd:ResourceType>10</rasd:ResourceType>
	        <vmw:Config ovf:required="false" vmw:key="slotInfo.pciSlotNumber" vmw:value="${interface#ens}"/>
	        <vmw:Config ovf:required="false" vmw:key="wakeOnLanEnabled" vmw:value="true"/>
	      </Item>
	EOF
}

settings() {
	cat <<-EOF
	      <vmw:Config ovf:required="false" vmw:key="cpuHotAddEnabled" vmw:value="false"/>
	      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="$firmware"/>
	      <vmw:Config ovf:required="false" vmw:key="memoryHotAddEnabled" vmw:value="false"/>
	      <vmw:Config ovf:required="false" vmw:key="powerOpInfo.powerOffType" vmw:value="soft"/>
	      <vmw:Config ovf:required="false" vmw:key="tools.syncTimeWithHost" vmw:value="false"/>
	      <vmw:Config ovf:required="false" vmw:key="tools.toolsUpgradePolicy" vmw:value="manual"/>
	EOF
}
