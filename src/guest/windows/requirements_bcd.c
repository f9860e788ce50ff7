/* What the boot configuration (BCD) says that matters on EC2. Elements and well-known
 * objects are numbered as in Microsoft's reference of the BCD WMI provider
 * (BcdBootMgrElementTypes, BcdOSLoaderElementTypes, BcdLibraryElementTypes). */
#include "guest/windows/windows.h"

#include "base/str.h"
#include "guest/windows/requirements.h"

#define BOOT_MANAGER "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"

#define DEFAULT_OBJECT "23000003"
#define BOOT_EMS       "16000020"
#define BOOT_DEBUG     "16000010"
#define EMS            "260000b0"
#define DEBUG          "260000a0"

/* Booleans are one byte. */
static int flag(struct hive *h, const char *object, const char *element, bool *ret,
                struct err *e)
{
    auto_free char *path = str_fmt(e, "Objects\\%s\\Elements\\%s", object, element);
    auto_buf struct buf data = BUF_INIT;
    uint32_t type;
    int r = path ? hive_get(h, path, "Element", &type, &data, e) : -1;

    *ret = r > 0 && data.len && data.data[0];
    return r < 0 ? -1 : 0;
}

static int who_has_com1(struct hive *h, const char *loader, struct buf *b, struct err *e)
{
    const struct {
        const char *object, *element, *what;
    } uses[] = {{BOOT_MANAGER, BOOT_EMS, "bootems"},
                {BOOT_MANAGER, BOOT_DEBUG, "bootdebug"},
                {loader, EMS, "ems"},
                {loader, DEBUG, "debug"}};

    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        bool on;

        if (flag(h, uses[i].object, uses[i].element, &on, e) < 0)
            return -1;
        if (on)
            buf_addf(b, "%s%s", b->len ? ", " : "", uses[i].what);
    }
    return buf_check(b, e);
}

static int check_ems(const struct subject *s, struct verdict *v, struct err *e)
{
    const struct hive_file *f = &s->windows->bcd;
    auto_free char *loader = NULL;
    auto_buf struct buf b = BUF_INIT;
    int r;

    if (s->options->purpose == GUEST_RESTORE)
        return verdict_not_needed(v, e, "a restore has no first boot to report");
    if (!f->hive)
        return f->fault
                   ? verdict_unknown(v, e, "%s: %s", f->path ? f->path : "BCD", f->fault)
                   : verdict_unknown(v, e, "no \\Boot\\BCD on the volume that starts");
    r = hive_get_str(f->hive, "Objects\\" BOOT_MANAGER "\\Elements\\" DEFAULT_OBJECT,
                     "Element", &loader, e);
    if (r < 0)
        return -1;
    if (!r)
        return verdict_unknown(v, e, "%s names no default", f->path);
    if (who_has_com1(f->hive, loader, &b, e) < 0)
        return -1;
    if (b.len)
        return verdict_unknown(v, e, "%s: %s is on", f->path, buf_str(&b));
    return verdict_met(v, e, "%s: neither EMS nor debugging of %s is on", f->path,
                       loader);
}

const struct requirement windows_ems = {
    .id = "windows-ems",
    .title = "The serial port is free",
    .why = "the first boot reports over COM1, which is the console that EC2 shows; "
           "Emergency "
           "Management Services and the kernel debugger keep the port to themselves, and "
           "the "
           "job would wait for a report in vain",
    .remedy =
        "bcdedit /ems off, /bootems off and /debug off in the source machine; switch "
        "EMS on again afterwards for EC2's serial console. Or give --no-wait and "
        "read %SystemRoot%\\HotAdd\\firstboot.log",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_ems,
};
