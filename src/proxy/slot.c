/* Device names and attach limits; see slot.h. No state. */
#include "proxy/slot.h"

#include "base/str.h"

#include <stdio.h>

#define NITRO_SHARED 28
#define XEN_VOLUMES  40

static const char *const names[PROXY_SLOT_NAMES] = {
    "/dev/sdf",   "/dev/sdg",   "/dev/sdh",   "/dev/sdi",   "/dev/sdj",   "/dev/sdk",
    "/dev/sdl",   "/dev/sdm",   "/dev/sdn",   "/dev/sdo",   "/dev/sdp",   "/dev/xvdba",
    "/dev/xvdbb", "/dev/xvdbc", "/dev/xvdbd", "/dev/xvdbe", "/dev/xvdbf", "/dev/xvdbg",
    "/dev/xvdbh", "/dev/xvdbi", "/dev/xvdbj", "/dev/xvdbk", "/dev/xvdbl", "/dev/xvdbm",
    "/dev/xvdbn", "/dev/xvdbo", "/dev/xvdbp", "/dev/xvdbq", "/dev/xvdbr", "/dev/xvdbs",
    "/dev/xvdbt", "/dev/xvdbu", "/dev/xvdbv", "/dev/xvdbw", "/dev/xvdbx", "/dev/xvdby",
    "/dev/xvdbz", "/dev/xvdca", "/dev/xvdcb", "/dev/xvdcc", "/dev/xvdcd", "/dev/xvdce",
    "/dev/xvdcf", "/dev/xvdcg", "/dev/xvdch", "/dev/xvdci", "/dev/xvdcj", "/dev/xvdck",
    "/dev/xvdcl", "/dev/xvdcm", "/dev/xvdcn", "/dev/xvdco", "/dev/xvdcp", "/dev/xvdcq",
    "/dev/xvdcr", "/dev/xvdcs", "/dev/xvdct", "/dev/xvdcu", "/dev/xvdcv", "/dev/xvdcw",
    "/dev/xvdcx", "/dev/xvdcy", "/dev/xvdcz",
};

const char *const *proxy_slot_names(void)
{
    return names;
}

static uint32_t minus(uint32_t a, uint64_t b)
{
    return a > b ? (uint32_t)(a - b) : 0;
}

uint32_t proxy_slot_limit(const struct proxy_limit_facts *f)
{
    uint64_t others = (uint64_t)f->network_interfaces + f->instance_store;
    uint32_t max = f->maximum_ebs_attachments, shared;

    if (max && str_eq_null(f->attachment_limit_type, "dedicated"))
        return max;
    if (f->hypervisor == PROXY_XEN)
        return max ? max : XEN_VOLUMES;
    if (max == 0)
        return minus(NITRO_SHARED, others);
    /* A shared number up to 28 may be told with the primary interface taken off or
     * without: it bounds the volumes either way, and so does what is left of 28. */
    shared = minus(max > NITRO_SHARED ? max : NITRO_SHARED, others);
    return max < shared ? max : shared;
}

/* The part that tells slots apart: "/dev/sdf1" and "xvdf" are both "f". */
static const char *slot_letters(const char *name, size_t *ret_len)
{
    if (str_starts(name, "/dev/"))
        name += 5;
    if (str_starts(name, "xvd"))
        name += 3;
    else if (str_starts(name, "sd"))
        name += 2;
    *ret_len = strcspn(name, "0123456789");
    return name;
}

bool proxy_slot_same(const char *a, const char *b)
{
    size_t a_len, b_len;

    a = slot_letters(a, &a_len);
    b = slot_letters(b, &b_len);
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static bool is_taken(const char *name, const char *const *taken, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (proxy_slot_same(name, taken[i]))
            return true;
    return false;
}

size_t proxy_slot_free_names(const char *const *taken, size_t n_taken,
                             const char *out[PROXY_SLOT_NAMES])
{
    size_t n = 0;

    for (size_t i = 0; i < PROXY_SLOT_NAMES; i++)
        if (!is_taken(names[i], taken, n_taken))
            out[n++] = names[i];
    return n;
}

int proxy_slot_next(const char *const *taken, size_t n_taken, uint32_t limit,
                    const char **ret, struct err *e)
{
    const char *free_names[PROXY_SLOT_NAMES];

    if (n_taken >= limit)
        return err_set(e, ERR_BUSY,
                       "%zu volumes are attached to the proxy, and its instance type "
                       "takes %u: detach some, or use a larger type",
                       n_taken, limit);
    if (proxy_slot_free_names(taken, n_taken, free_names) == 0)
        return err_set(e, ERR_BUSY, "no device name is left on the proxy");
    *ret = free_names[0];
    return 0;
}

char *proxy_slot_xen_name(const char *api_name, char out[PROXY_SLOT_NAME_LEN])
{
    const char *p = str_starts(api_name, "/dev/") ? api_name + 5 : api_name;
    size_t letters, digits;

    out[0] = 0;
    p = str_starts(p, "xvd") ? p + 3 : str_starts(p, "sd") ? p + 2 : "";
    letters = strspn(p, "abcdefghijklmnopqrstuvwxyz");
    digits = strspn(p + letters, "0123456789");
    if (letters >= 1 && letters <= 2 && digits <= 2 && p[letters + digits] == 0)
        snprintf(out, PROXY_SLOT_NAME_LEN, "xvd%s", p);
    return out;
}
