/* The requirements of Windows guests, one for each id; see the files named
 * requirements_*.c. */
#ifndef HOTADD_GUEST_WINDOWS_REQUIREMENTS_H
#define HOTADD_GUEST_WINDOWS_REQUIREMENTS_H

#include "guest/subject.h"

extern const struct requirement windows_supported, windows_arch, windows_hives,
    windows_hibernation, windows_fs_clean, windows_encryption, windows_space,
    windows_boot_disk, windows_boot_storage, windows_san_policy, windows_drivers,
    windows_launch_agent, windows_first_boot, windows_dotnet, windows_device_policy,
    windows_antivirus, windows_pending_reboot, windows_domain_controller, windows_vmware,
    windows_clock, windows_dhcp, windows_rdp, windows_firewall, windows_uac,
    windows_autologon, windows_banner, windows_ems, windows_routes;

#endif
