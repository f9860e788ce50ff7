/* What only Debian and Ubuntu have to change; see convert.h. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/text/text.h"

#include <string.h>

/* A question's record: lines "Name: …", "Value: …", ended by an empty line. */
int debconf_set(const char *text, const char *question, const char *value,
                struct buf *out, struct err *e)
{
    const char *at = text;
    struct text_line l;
    bool ours = false, found = false, valued = false;

    while (text_next(&at, &l)) {
        if (l.len > 6 && !strncmp(l.s, "Name: ", 6)) {
            ours =
                strlen(question) == l.len - 6 && !strncmp(l.s + 6, question, l.len - 6);
            found |= ours;
            valued = false;
        }
        /* A record without value: it goes before the list of owners. */
        if (ours && !valued &&
            ((l.len >= 6 && !strncmp(l.s, "Value:", 6)) || !l.len ||
             (l.len >= 7 && !strncmp(l.s, "Owners:", 7)))) {
            buf_addf(out, "Value: %s\n", value);
            valued = true;
            if (l.len && l.s[0] == 'V')
                continue;
        }
        if (!l.len)
            ours = false;
        buf_add(out, l.s, l.len);
        buf_addc(out, '\n');
    }
    if (!found)
        buf_addf(out,
                 "%sName: %s\nTemplate: %s\nValue: %s\nOwners: grub-pc\nFlags: seen\n\n",
                 text[0] ? "" : "", question, question, value);
    return buf_check(out, e);
}

/* grub-pc's upgrades write the boot loader to the devices named here; /dev/sda would make
 * them fail, and no name is right before the volume exists. */
static int forget_install_devices(struct conversion *c, struct err *e)
{
    static const char path[] = "/var/cache/debconf/config.dat";
    auto_buf struct buf text = BUF_INIT, first = BUF_INIT, second = BUF_INIT;
    const char *at;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    at = strstr(buf_str(&text), "Name: grub-pc/install_devices\n");
    if (!at)
        return 0;
    if (debconf_set(buf_str(&text), "grub-pc/install_devices", "", &first, e) < 0 ||
        debconf_set(buf_str(&first), "grub-pc/install_devices_empty", "true", &second,
                    e) < 0)
        return -1;
    return convert_write(c, path, &second, 0600, "no device for GRUB's upgrades",
                         "they would aim at VMware's disk and fail", e);
}

int convert_debian(struct conversion *c, struct err *e)
{
    return convert_linux(c, e) < 0 ? -1 : forget_install_devices(c, e);
}
