/* Converting a Linux guest: the steps in their order; see convert.h. A step whose files a
 * family does not have does nothing, so that one list serves all; what is particular to a
 * family stands in its own file. */
#include "guest/linux/convert.h"

int convert_linux(struct conversion *c, struct err *e)
{
    bool eth_names;

    if (convert_initramfs(c, e) < 0 || convert_initramfs_config(c, e) < 0 ||
        convert_fstab(c, e) < 0 || convert_crypttab(c, e) < 0 || convert_raid(c, e) < 0 ||
        convert_lvm(c, e) < 0 || convert_network(c, &eth_names, e) < 0 ||
        convert_udev_names(c, e) < 0 || convert_grub(c, eth_names, e) < 0 ||
        convert_getty(c, e) < 0 || convert_uefi(c, e) < 0)
        return -1;
    if (c->s->options->fix && (convert_ssh(c, e) < 0 || convert_firewall(c, e) < 0))
        return -1;
    if (convert_vmware_tools(c, e) < 0)
        return -1;
    return convert_cloud_init(c, e);
}
