/* The text descriptor of a VMDK: which extents make up the disk, and whether it is a
 * disk of its own. Pure: reads text, keeps nothing. */
#include "image/vmdk.h"

#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

#define MAX_EXTENTS 8192

void vmdk_desc_release(struct vmdk_desc *d)
{
    vec_foreach (x, &d->extents)
        free(x->file);
    vec_release(&d->extents);
    free(d->create_type);
    *d = (struct vmdk_desc){0};
}

/* Kinds of disks that are refused, with what the user can do. */
static const struct {
    const char *type, *why;
} refused_types[] = {
    {"vmfsSparse", "a snapshot delta of ESX; consolidate the VM's snapshots first"},
    {"seSparse", "a snapshot delta of ESXi; consolidate the VM's snapshots first"},
    {"vsanSparse", "a snapshot delta on vSAN; consolidate the VM's snapshots first"},
    {"vmfsRaw", "a raw device; clone it to a VMDK first"},
    {"vmfsRDM", "a raw device mapping; clone it to a VMDK first"},
    {"vmfsRDMP", "a raw device mapping; clone it to a VMDK first"},
    {"vmfsRawDeviceMap", "a raw device mapping; clone it to a VMDK first"},
    {"vmfsPassthroughRawDeviceMap", "a raw device mapping; clone it to a VMDK first"},
    {"fullDevice", "a whole device of its host, not an image; image the device itself"},
    {"partitionedDevice",
     "partitions of its host, not an image; image the device itself"},
};

static const char *const read_types[] = {
    "monolithicSparse", "streamOptimized",    "twoGbMaxExtentSparse",
    "monolithicFlat",   "twoGbMaxExtentFlat", "vmfs",
    "vmfsThin",         "vmfsPreallocated",   "vmfsEagerZeroedThick",
    "custom",
};

static int check_type(const char *type, const char *name, struct err *e)
{
    for (size_t i = 0; i < sizeof refused_types / sizeof refused_types[0]; i++)
        if (strcasecmp(type, refused_types[i].type) == 0)
            return err_set(e, ERR_UNSUPPORTED, "%s: VMDK of type %s: %s", name, type,
                           refused_types[i].why);
    for (size_t i = 0; i < sizeof read_types / sizeof read_types[0]; i++)
        if (strcasecmp(type, read_types[i]) == 0)
            return 0;
    return err_set(e, ERR_UNSUPPORTED,
                   "%s: VMDK of unknown type \"%s\"; export the VM as OVF or OVA", name,
                   type);
}

/* Next word of a line, ended in place; NULL at the end. */
static char *word(char **p)
{
    char *s = *p, *start;

    while (*s == ' ' || *s == '\t')
        s++;
    start = s;
    while (*s && *s != ' ' && *s != '\t')
        s++;
    if (*s)
        *s++ = 0;
    *p = s;
    return *start ? start : NULL;
}

/* A quoted file name. */
static char *quoted(char **p)
{
    char *s = *p, *end;

    while (*s == ' ' || *s == '\t')
        s++;
    if (*s != '"')
        return NULL;
    end = strchr(++s, '"');
    if (!end)
        return NULL;
    *end = 0;
    *p = end + 1;
    return s;
}

static int extent_kind(const char *type, const char *name, unsigned line,
                       enum vmdk_extent_kind *ret, struct err *e)
{
    if (str_eq(type, "FLAT") || str_eq(type, "VMFS"))
        *ret = VMDK_FLAT;
    else if (str_eq(type, "SPARSE"))
        *ret = VMDK_SPARSE;
    else if (str_eq(type, "ZERO"))
        *ret = VMDK_ZERO;
    else
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: line %u: extent of type %s; FLAT, VMFS, SPARSE and ZERO are "
                       "read%s",
                       name, line, type,
                       str_ends(type, "SPARSE")
                           ? ": this is a snapshot delta, consolidate the VM's snapshots "
                             "first"
                           : "");
    return 0;
}

static int sectors(const char *text, const char *name, unsigned line, uint64_t *ret_bytes,
                   struct err *e)
{
    uint64_t n;

    if (!text || str_to_u64(text, &n, e) < 0 || n > VMDK_MAX_BYTES / VMDK_SECTOR)
        return err_set(e, ERR_INPUT, "%s: line %u: \"%s\" is no number of sectors", name,
                       line, text ? text : "");
    *ret_bytes = n * VMDK_SECTOR;
    return 0;
}

/* RW 4192256 SPARSE "disk-s001.vmdk"        RW 16384 FLAT "disk-flat.vmdk" 0 */
static int extent_line(struct vmdk_desc *d, char *access, char *rest, const char *name,
                       unsigned line, struct err *e)
{
    struct vmdk_extent_line x = {0};
    char *type, *file, *offset;

    if (str_eq(access, "NOACCESS"))
        return err_set(e, ERR_UNSUPPORTED, "%s: line %u: an extent without access", name,
                       line);
    if (sectors(word(&rest), name, line, &x.len_bytes, e) < 0)
        return -1;
    type = word(&rest);
    if (extent_kind(type ? type : "(none)", name, line, &x.kind, e) < 0)
        return -1;
    file = quoted(&rest);
    if (x.kind != VMDK_ZERO && (!file || !*file))
        return err_set(e, ERR_INPUT, "%s: line %u: the extent names no file", name, line);
    offset = word(&rest);
    if (x.kind == VMDK_FLAT && offset &&
        sectors(offset, name, line, &x.offset_bytes, e) < 0)
        return -1;
    if (x.len_bytes == 0)
        return err_set(e, ERR_INPUT, "%s: line %u: an extent of no sectors", name, line);
    d->len_bytes += x.len_bytes;
    if (d->len_bytes > VMDK_MAX_BYTES || d->extents.n >= MAX_EXTENTS)
        return err_set(e, ERR_INPUT, "%s: line %u: more than %u extents or 128 TiB", name,
                       line, MAX_EXTENTS);
    if (x.kind != VMDK_ZERO) {
        x.file = str_dup(file, e);
        if (!x.file)
            return -1;
    }
    if (vec_push(&d->extents, x, e) < 0) {
        free(x.file);
        return -1;
    }
    return 0;
}

static int check_setting(struct vmdk_desc *d, const char *key, const char *value,
                         const char *name, unsigned line, struct err *e)
{
    uint64_t version;

    if (strcasecmp(key, "parentCID") == 0 && strcasecmp(value, "ffffffff") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a snapshot delta (its parent is %s): consolidate the VM's "
                       "snapshots first",
                       name, value);
    if (strcasecmp(key, "version") == 0 &&
        (str_to_u64(value, &version, e) < 0 || version < 1 || version > 4))
        return err_set(e, ERR_UNSUPPORTED, "%s: descriptor of version \"%s\"", name,
                       value);
    /* Workstation keeps keys in the descriptor; vSphere names its encryption filter. */
    if (strncasecmp(key, "encryption", 10) == 0 || strcasestr(key, "vmcrypt") ||
        (strcasestr(key, "iofilter") && strcasestr(value, "crypt")))
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: line %u: the disk is encrypted; decrypt the VM in VMware first", name,
            line);
    if (strcasecmp(key, "createType") == 0) {
        if (check_type(value, name, e) < 0)
            return -1;
        return str_set(&d->create_type, value, e);
    }
    return 0;
}

static int parse_line(struct vmdk_desc *d, char *s, const char *name, unsigned line,
                      struct err *e)
{
    char *eq, *value, *end, *rest = s, *first;

    s = str_trim(s);
    if (!*s || *s == '#')
        return 0;
    if (str_starts(s, "RW ") || str_starts(s, "RDONLY ") || str_starts(s, "NOACCESS ") ||
        str_starts(s, "RW\t") || str_starts(s, "RDONLY\t")) {
        rest = s;
        first = word(&rest);
        return extent_line(d, first, rest, name, line, e);
    }
    eq = strchr(s, '=');
    if (!eq)
        return err_set(e, ERR_INPUT,
                       "%s: line %u is no line of a VMDK descriptor: \"%.60s\"", name,
                       line, s);
    *eq = 0;
    value = str_trim(eq + 1);
    if (*value == '"') {
        value++;
        end = strchr(value, '"');
        if (end)
            *end = 0;
    }
    return check_setting(d, str_trim(s), value, name, line, e);
}

int vmdk_desc_parse(const char *text, size_t len, const char *name, struct vmdk_desc *ret,
                    struct err *e)
{
    struct vmdk_desc d = {0};
    auto_free char *copy = str_ndup(text, len, e);
    char *next = copy;
    unsigned line = 0;

    if (!copy)
        return -1;
    if (!str_starts(copy, "# Disk DescriptorFile"))
        return err_set(e, ERR_INPUT,
                       "%s: no VMDK descriptor: \"# Disk DescriptorFile\" is missing",
                       name);
    while (next) {
        char *s = strsep(&next, "\n");

        if (parse_line(&d, s, name, ++line, e) < 0) {
            vmdk_desc_release(&d);
            return -1;
        }
    }
    if (d.extents.n == 0) {
        vmdk_desc_release(&d);
        return err_set(e, ERR_INPUT, "%s: the VMDK descriptor lists no extents", name);
    }
    *ret = d;
    return 0;
}
