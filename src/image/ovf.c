/* Parsing of OVF descriptions. Pure: text in, struct out. The text is foreign: counts
 * are bounded, numbers checked, and what would be guessed is refused. */
#include "image/ovf.h"

#include "base/str.h"
#include "base/xml.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

#define MAX_OVF   (8u << 20)
#define MAX_ITEMS 4096u

static void free_all(char **const *strings)
{
    for (; *strings; strings++) {
        free(**strings);
        **strings = NULL;
    }
}
#define FREE_ALL(...) free_all((char **const[]){__VA_ARGS__, NULL})

static void item_release(struct ovf_item *i)
{
    FREE_ALL(&i->instance, &i->parent, &i->subtype, &i->connection, &i->address, &i->host,
             &i->name, &i->units);
}

void ovf_release(struct ovf *o)
{
    vec_foreach (f, &o->files)
        FREE_ALL(&f->id, &f->href, &f->compression);
    vec_foreach (d, &o->disks)
        FREE_ALL(&d->id, &d->file);
    vec_foreach (i, &o->items)
        item_release(i);
    vec_release(&o->files);
    vec_release(&o->disks);
    vec_release(&o->items);
    FREE_ALL(&o->name, &o->guest_id, &o->system_type);
    *o = (struct ovf){0};
}

struct parse {
    const char *name; /* of the document, for errors */
    struct ovf *out;
    char *config; /* owned: the deployment option that applies; NULL: none */
};

static int bad(const struct parse *p, const xmlNode *n, struct err *e, const char *what)
{
    return err_set(e, ERR_INPUT, "%s: line %ld: %s", p->name, xmlGetLineNo(n), what);
}

/* ----------------------------------------------------------------------- units */

/* "2^20" or "1024" */
static int factor(const char *s, uint64_t *ret, struct err *e)
{
    char *end;
    uint64_t base = strtoull(s, &end, 10), power = 1, v = 1;

    if (end == s || !isdigit((unsigned char)*s))
        return err_set(e, ERR_INPUT, "no unit: \"%s\"", s);
    if (*end == '^') {
        s = end + 1;
        power = strtoull(s, &end, 10);
        if (end == s || !isdigit((unsigned char)*s))
            return err_set(e, ERR_INPUT, "no unit: \"%s\"", s);
    }
    if (*end || base == 0 || power > 60)
        return err_set(e, ERR_INPUT, "no unit: \"%s\"", s);
    for (uint64_t i = 0; i < power; i++)
        if (__builtin_mul_overflow(v, base, &v))
            return err_set(e, ERR_INPUT, "a unit of too many bytes: \"%s\"", s);
    *ret = v;
    return 0;
}

static const struct {
    const char *name;
    uint64_t bytes;
} named_units[] = {
    {"byte", 1},        {"bytes", 1},
    {"b", 1},           {"kilobytes", 1 << 10},
    {"kb", 1 << 10},    {"megabytes", 1 << 20},
    {"mb", 1 << 20},    {"gigabytes", 1 << 30},
    {"gb", 1 << 30},    {"terabytes", 1ull << 40},
    {"tb", 1ull << 40},
};

int ovf_units(const char *units, uint64_t *ret_bytes, struct err *e)
{
    auto_free char *copy = str_dup(units ? units : "", e);
    char *next = copy, *word;
    uint64_t v = 0, f = 0;

    if (!copy)
        return -1;
    word = str_trim(strsep(&next, "*"));
    for (size_t i = 0; i < sizeof named_units / sizeof named_units[0]; i++)
        if (strcasecmp(word, named_units[i].name) == 0)
            v = named_units[i].bytes;
    if (!*word && !next)
        v = 1;
    if (v == 0)
        return err_set(e, ERR_INPUT, "\"%s\" is no unit of bytes", units);
    while (next) {
        if (factor(str_trim(strsep(&next, "*")), &f, e) < 0)
            return -1;
        if (__builtin_mul_overflow(v, f, &v))
            return err_set(e, ERR_INPUT, "a unit of too many bytes: \"%s\"", units);
    }
    *ret_bytes = v;
    return 0;
}

/* ------------------------------------------------------------- files and disks */

/* An attribute that is a number, or 0 when it is absent. */
static int number_attr(const struct parse *p, xmlNode *n, const char *attr, uint64_t *ret,
                       struct err *e)
{
    auto_free char *text = NULL;

    if (xml_attr(n, attr, &text, e) < 0)
        return -1;
    *ret = 0;
    if (text && *text && str_to_u64(text, ret, e) < 0)
        return err_prefix(e, "%s: line %ld: %s", p->name, xmlGetLineNo(n), attr);
    return 0;
}

static int parse_file(struct parse *p, xmlNode *n, struct err *e)
{
    struct ovf_file f = {0};

    if (xml_attr(n, "id", &f.id, e) < 0 || xml_attr(n, "href", &f.href, e) < 0 ||
        xml_attr(n, "compression", &f.compression, e) < 0 ||
        number_attr(p, n, "size", &f.size, e) < 0 ||
        number_attr(p, n, "chunkSize", &f.chunk, e) < 0)
        goto fail;
    if (!f.id || !f.href || !*f.href) {
        bad(p, n, e, "a File without id or href");
        goto fail;
    }
    if (p->out->files.n >= MAX_ITEMS) {
        bad(p, n, e, "too many files");
        goto fail;
    }
    if (vec_push(&p->out->files, f, e) < 0)
        goto fail;
    return 0;

fail:
    FREE_ALL(&f.id, &f.href, &f.compression);
    return -1;
}

/* The capacity may be a property ("${disk.size}"); then the file's own size counts. */
static int disk_capacity(const struct parse *p, xmlNode *n, uint64_t *ret, struct err *e)
{
    auto_free char *text = NULL, *units = NULL;
    uint64_t v, unit;

    if (xml_attr(n, "capacity", &text, e) < 0 ||
        xml_attr(n, "capacityAllocationUnits", &units, e) < 0)
        return -1;
    *ret = 0;
    if (!text || !*text || *text == '$')
        return 0;
    if (str_to_u64(text, &v, e) < 0 || ovf_units(units, &unit, e) < 0)
        return err_prefix(e, "%s: line %ld: capacity", p->name, xmlGetLineNo(n));
    if (__builtin_mul_overflow(v, unit, ret) || *ret > (uint64_t)1 << 60)
        return bad(p, n, e, "a disk of more than 2^60 bytes");
    return 0;
}

static int parse_disk(struct parse *p, xmlNode *n, struct err *e)
{
    auto_free char *parent = NULL;
    struct ovf_disk d = {0};

    if (xml_attr(n, "diskId", &d.id, e) < 0 || xml_attr(n, "fileRef", &d.file, e) < 0 ||
        xml_attr(n, "parentRef", &parent, e) < 0 ||
        disk_capacity(p, n, &d.capacity_bytes, e) < 0)
        goto fail;
    d.is_delta = parent != NULL;
    if (!d.id) {
        bad(p, n, e, "a Disk without diskId");
        goto fail;
    }
    if (p->out->disks.n >= MAX_ITEMS) {
        bad(p, n, e, "too many disks");
        goto fail;
    }
    if (vec_push(&p->out->disks, d, e) < 0)
        goto fail;
    return 0;

fail:
    FREE_ALL(&d.id, &d.file);
    return -1;
}

/* ------------------------------------------------------------------- hardware */

/* Does the element apply to the deployment option in force, and as itself rather than
 * as a bound? */
static int applies(const struct parse *p, xmlNode *n, bool *ret, struct err *e)
{
    auto_free char *configs = NULL, *bound = NULL;
    char *next, *word;

    if (xml_attr(n, "configuration", &configs, e) < 0 ||
        xml_attr(n, "bound", &bound, e) < 0)
        return -1;
    *ret = false;
    if (bound && *bound && !str_eq(bound, "normal"))
        return 0;
    if (!configs || !*configs) {
        *ret = true;
        return 0;
    }
    for (next = configs; (word = strsep(&next, " \t\n"));)
        if (p->config && str_eq(word, p->config))
            *ret = true;
    return 0;
}

static int child_number(const struct parse *p, xmlNode *n, const char *child,
                        uint64_t *ret, bool *ret_there, struct err *e)
{
    auto_free char *text = NULL;

    *ret = 0;
    *ret_there = false;
    if (xml_child_text(n, child, &text, e) < 0)
        return -1;
    if (!text || !*text)
        return 0;
    if (str_to_u64(text, ret, e) < 0)
        return err_prefix(e, "%s: line %ld: %s", p->name, xmlGetLineNo(n), child);
    *ret_there = true;
    return 0;
}

static int item_fields(const struct parse *p, xmlNode *n, struct ovf_item *i,
                       struct err *e)
{
    uint64_t type, position;
    bool there;

    if (child_number(p, n, "ResourceType", &type, &there, e) < 0)
        return -1;
    if (!there || type > 65535)
        return bad(p, n, e, "a hardware item without a ResourceType");
    i->type = (unsigned)type;
    /* VMware writes -1 for "anywhere" on devices that are no disks. */
    if (i->type == OVF_DISK) {
        if (child_number(p, n, "AddressOnParent", &position, &i->has_position, e) < 0)
            return -1;
        if (position > 65535)
            return bad(p, n, e, "AddressOnParent out of range");
        i->position = (unsigned)position;
    }
    if ((i->type == OVF_CPU || i->type == OVF_MEMORY) &&
        child_number(p, n, "VirtualQuantity", &i->quantity, &there, e) < 0)
        return -1;
    if (xml_child_text(n, "InstanceID", &i->instance, e) < 0 ||
        xml_child_text(n, "Parent", &i->parent, e) < 0 ||
        xml_child_text(n, "ResourceSubType", &i->subtype, e) < 0 ||
        xml_child_text(n, "Connection", &i->connection, e) < 0 ||
        xml_child_text(n, "Address", &i->address, e) < 0 ||
        xml_child_text(n, "HostResource", &i->host, e) < 0 ||
        xml_child_text(n, "ElementName", &i->name, e) < 0)
        return -1;
    return xml_child_text(n, "AllocationUnits", &i->units, e);
}

/* An item for a deployment option replaces the general one of the same id. */
static struct ovf_item *same_instance(struct ovf *o, const struct ovf_item *i)
{
    if (i->instance)
        vec_foreach (x, &o->items)
            if (x->instance && str_eq(x->instance, i->instance))
                return x;
    return NULL;
}

static int parse_item(struct parse *p, xmlNode *n, struct err *e)
{
    struct ovf_item i = {0}, *old;
    bool use;

    if (applies(p, n, &use, e) < 0)
        return -1;
    if (!use)
        return 0;
    if (item_fields(p, n, &i, e) < 0)
        goto fail;
    if (p->out->items.n >= MAX_ITEMS) {
        bad(p, n, e, "too many hardware items");
        goto fail;
    }
    old = same_instance(p->out, &i);
    if (old) {
        item_release(old);
        *old = i;
        return 0;
    }
    if (vec_push(&p->out->items, i, e) < 0)
        goto fail;
    return 0;

fail:
    item_release(&i);
    return -1;
}

static int parse_config(struct parse *p, xmlNode *n, struct err *e)
{
    auto_free char *key = NULL, *value = NULL;

    if (xml_attr(n, "key", &key, e) < 0 || xml_attr(n, "value", &value, e) < 0)
        return -1;
    if (!key || !value)
        return 0;
    if (strcasecmp(key, "firmware") == 0)
        p->out->firmware = strcasecmp(value, "efi") == 0 ? FIRMWARE_UEFI : FIRMWARE_BIOS;
    if (strcasecmp(key, "bootOptions.efiSecureBootEnabled") == 0)
        p->out->secure_boot = strcasecmp(value, "true") == 0;
    return 0;
}

static int parse_hardware(struct parse *p, xmlNode *hw, struct err *e)
{
    xmlNode *vs = xml_child(hw, "System");

    if (vs && xml_child_text(vs, "VirtualSystemType", &p->out->system_type, e) < 0)
        return -1;
    for (xmlNode *n = hw->children; n; n = n->next) {
        int r = 0;

        if (xml_is(n, "Item") || xml_is(n, "StorageItem") ||
            xml_is(n, "EthernetPortItem"))
            r = parse_item(p, n, e);
        else if (xml_is(n, "Config"))
            r = parse_config(p, n, e);
        if (r < 0)
            return -1;
    }
    return 0;
}

/* ---------------------------------------------------------- the virtual system */

/* VirtualBox keeps what OVF cannot say in an element of its own. */
static int parse_vbox(struct parse *p, xmlNode *vs, struct err *e)
{
    xmlNode *hw = xml_child(xml_child(vs, "Machine"), "Hardware");
    xmlNode *fw = xml_child(hw, "Firmware");
    auto_free char *type = NULL;

    if (!fw)
        return 0;
    if (xml_attr(fw, "type", &type, e) < 0)
        return -1;
    if (type && strncasecmp(type, "EFI", 3) == 0)
        p->out->firmware = FIRMWARE_UEFI;
    return 0;
}

static int parse_guest(struct parse *p, xmlNode *vs, struct err *e)
{
    xmlNode *os = xml_child(vs, "OperatingSystemSection");

    if (!os)
        return 0;
    if (xml_attr(os, "osType", &p->out->guest_id, e) < 0)
        return -1;
    if (p->out->guest_id)
        return 0;
    return xml_child_text(os, "OSType", &p->out->guest_id, e);
}

static int parse_system(struct parse *p, xmlNode *vs, struct err *e)
{
    struct ovf *o = p->out;
    xmlNode *hw = xml_child(vs, "VirtualHardwareSection");

    if (xml_child_text(vs, "Name", &o->name, e) < 0)
        return -1;
    if (!o->name && xml_attr(vs, "id", &o->name, e) < 0)
        return -1;
    if (!hw)
        return bad(p, vs, e, "the VirtualSystem has no VirtualHardwareSection");
    if (parse_hardware(p, hw, e) < 0 || parse_guest(p, vs, e) < 0 ||
        parse_vbox(p, vs, e) < 0)
        return -1;
    /* These products leave the firmware out when it is a BIOS. */
    if (o->firmware == FIRMWARE_UNKNOWN && o->system_type &&
        (strncasecmp(o->system_type, "vmx-", 4) == 0 ||
         strncasecmp(o->system_type, "virtualbox", 10) == 0))
        o->firmware = FIRMWARE_BIOS;
    return 0;
}

/* The systems below a collection, which may hold collections. Depth is bounded by the
 * XML parser. */
static void find_systems(xmlNode *n, xmlNode **first, unsigned *count)
{
    for (n = n->children; n; n = n->next) {
        if (xml_is(n, "VirtualSystemCollection"))
            find_systems(n, first, count);
        if (!xml_is(n, "VirtualSystem"))
            continue;
        if (!*count)
            *first = n;
        ++*count;
    }
}

static int parse_options(struct parse *p, xmlNode *root, struct err *e)
{
    xmlNode *section = xml_child(root, "DeploymentOptionSection");

    for (XML_EACH (c, xml_child(section, "Configuration"))) {
        auto_free char *id = NULL, *is_default = NULL;

        if (xml_attr(c, "id", &id, e) < 0 || xml_attr(c, "default", &is_default, e) < 0)
            return -1;
        if (!id || (p->config && !(is_default && str_eq(is_default, "true"))))
            continue;
        if (str_set(&p->config, id, e) < 0)
            return -1;
        if (is_default && str_eq(is_default, "true"))
            break;
    }
    return 0;
}

static int parse_root(struct parse *p, xmlNode *root, struct err *e)
{
    xmlNode *refs = xml_child(root, "References");
    xmlNode *disks = xml_child(root, "DiskSection"), *vs = NULL;
    unsigned n_systems = 0;

    if (!xml_is(root, "Envelope"))
        return err_set(e, ERR_INPUT, "%s: no OVF: its root element is not Envelope",
                       p->name);
    /* DSP0243 2.1, 6.5: XML encryption of parts of the package. */
    for (xmlNode *n = refs ? refs->children : NULL; n; n = n->next)
        if (xml_is(n, "EncryptedKey") || xml_is(n, "EncryptedData"))
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: the package is encrypted: export it without encryption",
                           p->name);
    if (xml_child(root, "EncryptionSection"))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the package is encrypted: export it without encryption",
                       p->name);
    for (XML_EACH (f, xml_child(refs, "File")))
        if (parse_file(p, f, e) < 0)
            return -1;
    for (XML_EACH (d, xml_child(disks, "Disk")))
        if (parse_disk(p, d, e) < 0)
            return -1;
    find_systems(root, &vs, &n_systems);
    if (n_systems != 1)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: describes %u virtual systems; export each as a package of "
                       "its own",
                       p->name, n_systems);
    if (parse_options(p, root, e) < 0)
        return -1;
    return parse_system(p, vs, e);
}

int ovf_parse(const char *text, size_t len, const char *name, struct ovf *ret,
              struct err *e)
{
    struct ovf o = {0};
    struct parse p = {.name = name, .out = &o};
    auto_xml xmlDoc *doc = NULL;
    int r;

    if (xml_parse(text, len, MAX_OVF, name, &doc, e) < 0)
        return -1;
    r = parse_root(&p, xml_root(doc), e);
    free(p.config);
    if (r < 0) {
        ovf_release(&o);
        return -1;
    }
    *ret = o;
    return 0;
}
