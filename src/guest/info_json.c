/* Guest facts and reports as JSON and back; see guest.h. One table of members per
 * structure serves both directions, so that they cannot disagree. What is read was
 * written by us, but by a process that had its hands in a hostile guest: types are
 * checked, unknown members ignored. */
#include "guest/info.h"

#include "base/json.h"
#include "base/str.h"

enum kind { STR, STR_OR_NULL, BOOL, U32, U64, STATE, FIX, PLACE };

struct member {
    const char *name;
    enum kind kind;
    size_t offset;
};

#define M(type, field, kind_)                                                            \
    {                                                                                    \
#field, kind_, offsetof(struct type, field)                                      \
    }
#define END                                                                              \
    {                                                                                    \
        NULL, STR, 0                                                                     \
    }

static const struct member driver_members[] = {M(guest_driver, name, STR),
                                               M(guest_driver, place, PLACE), END};
static const struct member kernel_members[] = {M(guest_kernel, version, STR),
                                               M(guest_kernel, image, STR_OR_NULL),
                                               M(guest_kernel, initrd, STR_OR_NULL),
                                               M(guest_kernel, compression, STR_OR_NULL),
                                               M(guest_kernel, tool, STR_OR_NULL),
                                               M(guest_kernel, is_default, BOOL),
                                               END};
static const struct member filesystem_members[] = {M(guest_filesystem, mountpoint, STR),
                                                   M(guest_filesystem, device, STR),
                                                   M(guest_filesystem, type, STR),
                                                   M(guest_filesystem, uuid, STR_OR_NULL),
                                                   M(guest_filesystem, size_bytes, U64),
                                                   M(guest_filesystem, free_bytes, U64),
                                                   END};
static const struct member finding_members[] = {
    M(finding, id, STR),      M(finding, title, STR),
    M(finding, state, STATE), M(finding, fix, FIX),
    M(finding, seen, STR),    M(finding, why, STR),
    M(finding, remedy, STR),  END};
static const struct member edit_members[] = {
    M(guest_edit, path, STR), M(guest_edit, what, STR), M(guest_edit, why, STR),
    M(guest_edit, done, BOOL), END};
static const struct member info_members[] = {M(guest_info, type, STR_OR_NULL),
                                             M(guest_info, distro, STR_OR_NULL),
                                             M(guest_info, family, STR_OR_NULL),
                                             M(guest_info, product_name, STR_OR_NULL),
                                             M(guest_info, major, U32),
                                             M(guest_info, minor, U32),
                                             M(guest_info, arch, STR_OR_NULL),
                                             M(guest_info, hostname, STR_OR_NULL),
                                             M(guest_info, boots_bios, BOOL),
                                             M(guest_info, boots_uefi, BOOL),
                                             M(guest_info, partitioning, STR_OR_NULL),
                                             M(guest_info, root_fs, STR_OR_NULL),
                                             M(guest_info, boot_loader, STR_OR_NULL),
                                             M(guest_info, initramfs_tool, STR_OR_NULL),
                                             M(guest_info, network_tool, STR_OR_NULL),
                                             M(guest_info, fits_nitro, BOOL),
                                             M(guest_info, fits_xen, BOOL),
                                             END};

/* ---- writing ---- */

static json_t *member_json(const struct member *m, const void *field)
{
    switch (m->kind) {
    case STR:
    case STR_OR_NULL: {
        const char *s = *(char *const *)field;
        /* Names from the guest need not be UTF-8. */
        json_t *v = s ? json_string(s) : json_null();

        return v ? v : json_string("(not UTF-8)");
    }
    case BOOL:
        return json_boolean(*(const bool *)field);
    case U32:
        return json_integer(*(const uint32_t *)field);
    case U64:
        return json_integer((json_int_t) * (const uint64_t *)field);
    case STATE:
        return json_string(finding_state_name(*(const enum finding_state *)field));
    case FIX:
        return json_string(finding_fix_name(*(const enum finding_fix *)field));
    case PLACE:
        return json_string(driver_place_name(*(const enum driver_place *)field));
    }
    return NULL;
}

static json_t *struct_json(const struct member *members, const void *s, struct err *e)
{
    json_auto_t *o = json_object();

    for (const struct member *m = members; m->name; m++)
        if (json_put(o, m->name, member_json(m, (const char *)s + m->offset), e) < 0)
            return NULL;
    return take_ptr(o);
}

static json_t *array_json(const struct member *members, const void *items, size_t n,
                          size_t size, struct err *e)
{
    json_auto_t *a = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *o = struct_json(members, (const char *)items + i * size, e);

        if (!o || json_add(a, o, e) < 0)
            return NULL;
    }
    return take_ptr(a);
}

#define ARRAY(members, vec, e)                                                           \
    array_json(members, (vec)->v, (vec)->n, sizeof *(vec)->v, e)

static json_t *kernels_json(const struct guest_info *info, struct err *e)
{
    json_auto_t *a = ARRAY(kernel_members, &info->kernels, e);

    for (size_t i = 0; a && i < info->kernels.n; i++) {
        json_t *drivers = ARRAY(driver_members, &info->kernels.v[i].drivers, e);

        if (!drivers || json_put(json_array_get(a, i), "drivers", drivers, e) < 0)
            return NULL;
    }
    return take_ptr(a);
}

static int put_array(json_t *o, const char *key, json_t *array, struct err *e)
{
    return array ? json_put(o, key, array, e) : -1;
}

json_t *guest_info_json(const struct guest_info *info, struct err *e)
{
    json_auto_t *o = struct_json(info_members, info, e);

    if (!o ||
        put_array(o, "filesystems", ARRAY(filesystem_members, &info->filesystems, e), e) <
            0 ||
        put_array(o, "kernels", kernels_json(info, e), e) < 0 ||
        put_array(o, "findings", ARRAY(finding_members, &info->findings, e), e) < 0)
        return NULL;
    return take_ptr(o);
}

json_t *guest_report_json(const struct guest_report *r, struct err *e)
{
    json_auto_t *o = json_object(), *changed = json_array();

    vec_foreach (s, &r->changed) {
        json_t *name = json_string(*s);

        if (json_add(changed, name ? name : json_string("(not UTF-8)"), e) < 0)
            return NULL;
    }
    if (json_put(o, "dry_run", json_boolean(r->dry_run), e) < 0 ||
        put_array(o, "edits", ARRAY(edit_members, &r->edits, e), e) < 0 ||
        json_put(o, "changed", json_incref(changed), e) < 0 ||
        put_array(o, "info", guest_info_json(r->info, e), e) < 0)
        return NULL;
    return take_ptr(o);
}

/* ---- reading ---- */

static int enum_value(const json_t *v, const char *(*name)(int), int n, int *ret)
{
    const char *s = json_string_value(v);

    for (int i = 0; s && i < n; i++)
        if (str_eq(name(i), s)) {
            *ret = i;
            return 0;
        }
    return -1;
}

static const char *state_name(int v)
{
    return finding_state_name((enum finding_state)v);
}

static const char *fix_name(int v)
{
    return finding_fix_name((enum finding_fix)v);
}

static const char *place_name(int v)
{
    return driver_place_name((enum driver_place)v);
}

static int read_string(const struct member *m, const json_t *v, char **field,
                       struct err *e)
{
    if (json_is_string(v))
        return str_set(field, json_string_value(v), e);
    return m->kind == STR_OR_NULL && (!v || json_is_null(v))
               ? 0
               : err_set(e, ERR_INPUT, "\"%s\" is missing or no string", m->name);
}

static int read_member(const struct member *m, const json_t *v, void *field,
                       struct err *e)
{
    json_int_t n = json_integer_value(v);
    int value = 0, r = 0;

    switch (m->kind) {
    case STR:
    case STR_OR_NULL:
        return read_string(m, v, field, e);
    case BOOL:
        *(bool *)field = json_is_true(v);
        return 0;
    case U32:
        r = json_is_integer(v) && n >= 0 && n <= UINT32_MAX ? 0 : -1;
        if (r == 0)
            *(uint32_t *)field = (uint32_t)n;
        break;
    case U64:
        r = json_is_integer(v) && n >= 0 ? 0 : -1;
        if (r == 0)
            *(uint64_t *)field = (uint64_t)n;
        break;
    case STATE:
        r = enum_value(v, state_name, FINDING_NOT_NEEDED + 1, &value);
        *(enum finding_state *)field = (enum finding_state)value;
        break;
    case FIX:
        r = enum_value(v, fix_name, FINDING_FIX_OPTION + 1, &value);
        *(enum finding_fix *)field = (enum finding_fix)value;
        break;
    case PLACE:
        r = enum_value(v, place_name, DRIVER_INITRAMFS + 1, &value);
        *(enum driver_place *)field = (enum driver_place)value;
        break;
    }
    return r < 0 ? err_set(e, ERR_INPUT, "\"%s\" is missing or wrong", m->name) : 0;
}

static int read_struct(const struct member *members, const json_t *o, void *s,
                       struct err *e)
{
    for (const struct member *m = members; m->name; m++)
        if (read_member(m, json_object_get(o, m->name), (char *)s + m->offset, e) < 0)
            return -1;
    return 0;
}

/* Each element is read and pushed, or released. */
#define READ_ARRAY(array, members, vec, release, e)                                      \
    __extension__({                                                                      \
        int r_ = 0;                                                                      \
        for (size_t i_ = 0; r_ == 0 && i_ < json_array_size(array); i_++) {              \
            __typeof__(*(vec)->v) x_;                                                    \
            memset(&x_, 0, sizeof x_);                                                   \
            r_ = read_struct(members, json_array_get(array, i_), &x_, e);                \
            if (r_ == 0)                                                                 \
                r_ = vec_push(vec, x_, e);                                               \
            if (r_ < 0)                                                                  \
                release(&x_);                                                            \
        }                                                                                \
        r_;                                                                              \
    })

static void driver_release(struct guest_driver *d)
{
    free(d->name);
}

static int read_kernels(const json_t *a, struct guest_info *info, struct err *e)
{
    if (READ_ARRAY(a, kernel_members, &info->kernels, guest_kernel_release, e) < 0)
        return -1;
    for (size_t i = 0; i < info->kernels.n; i++) {
        const json_t *drivers = json_object_get(json_array_get(a, i), "drivers");

        if (READ_ARRAY(drivers, driver_members, &info->kernels.v[i].drivers,
                       driver_release, e) < 0)
            return -1;
    }
    return 0;
}

int guest_info_from_json(const json_t *j, struct guest_info **ret, struct err *e)
{
    auto_guest_info struct guest_info *info = mem_zalloc(1, sizeof *info, e);

    if (!info)
        return -1;
    if (read_struct(info_members, j, info, e) < 0 ||
        READ_ARRAY(json_object_get(j, "filesystems"), filesystem_members,
                   &info->filesystems, guest_filesystem_release, e) < 0 ||
        read_kernels(json_object_get(j, "kernels"), info, e) < 0 ||
        READ_ARRAY(json_object_get(j, "findings"), finding_members, &info->findings,
                   finding_release, e) < 0)
        return err_prefix(e, "guest facts");
    *ret = take_ptr(info);
    return 0;
}

int guest_report_from_json(const json_t *j, struct guest_report **ret, struct err *e)
{
    auto_guest_report struct guest_report *r = mem_zalloc(1, sizeof *r, e);
    const json_t *changed = json_object_get(j, "changed");

    if (!r || guest_info_from_json(json_object_get(j, "info"), &r->info, e) < 0)
        return -1;
    r->dry_run = json_is_true(json_object_get(j, "dry_run"));
    if (READ_ARRAY(json_object_get(j, "edits"), edit_members, &r->edits,
                   guest_edit_release, e) < 0)
        return err_prefix(e, "conversion report");
    for (size_t i = 0; i < json_array_size(changed); i++) {
        const char *s = json_string_value(json_array_get(changed, i));

        if (s && strv_add(&r->changed, s, e) < 0)
            return -1;
    }
    *ret = take_ptr(r);
    return 0;
}
