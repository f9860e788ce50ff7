/* Hives by libhivex; see hive.h.
 *
 * libhivex works on named files: the bytes are put into an anonymous memory file, opened
 * by its name in /proc. It keeps its own copy for writing, so the file is let go at once.
 * libhivex cannot delete a single value; the others are set anew instead. */
#include "guest/windows/hive.h"

#include "base/io.h"
#include "base/str.h"
#include "guest/windows/utf16.h"

#include <errno.h>
#include <hivex.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAX_NAMES 200000
#define MAX_PART  1024

struct hive {
    hive_h *h;
    char *name; /* owned */
    bool changed;
};

/* libhivex says what it makes of a damaged hive by errno alone. */
static int fail(const struct hive *h, struct err *e, const char *path, const char *what)
{
    if (errno == ENOMEM)
        return err_nomem(e);
    return err_set(e, ERR_INPUT, "registry hive %s: %s%s%s: %s", h->name, path,
                   *path ? ": " : "", what, strerror(errno));
}

static int memory_file(char *name, size_t name_len, int *ret_fd, struct err *e)
{
    int fd = memfd_create("hotadd-hive", MFD_CLOEXEC);

    if (fd < 0)
        return err_sys(e, "memory file");
    snprintf(name, name_len, "/proc/self/fd/%d", fd);
    *ret_fd = fd;
    return 0;
}

int hive_open(const void *data, size_t len, const char *name, struct hive **ret,
              struct err *e)
{
    auto_hive struct hive *h = NULL;
    auto_fd int fd = -1;
    char path[64];

    if (len > HIVE_MAX_BYTES)
        return err_set(e, ERR_INPUT, "registry hive %s: larger than %u MiB", name,
                       HIVE_MAX_BYTES >> 20);
    h = mem_zalloc(1, sizeof *h, e);
    if (!h || str_set(&h->name, name, e) < 0 ||
        memory_file(path, sizeof path, &fd, e) < 0 ||
        io_write_full(fd, data, len, "memory file", e) < 0)
        return -1;
    h->h = hivex_open(path, HIVEX_OPEN_WRITE);
    if (!h->h)
        return fail(h, e, "", "cannot be read, it may be damaged");
    *ret = take_ptr(h);
    return 0;
}

void hive_free(struct hive *h)
{
    if (!h)
        return;
    if (h->h)
        hivex_close(h->h);
    free(h->name);
    free(h);
}

bool hive_changed(const struct hive *h)
{
    return h->changed;
}

int hive_bytes(struct hive *h, struct buf *out, struct err *e)
{
    auto_fd int fd = -1;
    char path[64];

    if (memory_file(path, sizeof path, &fd, e) < 0)
        return -1;
    if (hivex_commit(h->h, path, 0) < 0)
        return fail(h, e, "", "cannot be written");
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(e, "memory file");
    return io_read_fd(fd, HIVE_MAX_BYTES + (64u << 20), out, "memory file", e);
}

/* ---- finding keys and values ---- */

/* Cuts the next part of a path off; 1, or 0 at its end. */
static int next_part(const char **at, char *part, size_t part_len)
{
    size_t n;

    while (**at == '\\')
        (*at)++;
    n = strcspn(*at, "\\");
    if (!n)
        return 0;
    snprintf(part, part_len, "%.*s", (int)n, *at);
    *at += n;
    return 1;
}

static int find_child(struct hive *h, hive_node_h node, const char *path,
                      const char *part, hive_node_h *ret, struct err *e)
{
    hive_node_h child;

    errno = 0;
    child = hivex_node_get_child(h->h, node, part);
    if (!child && errno)
        return fail(h, e, path, part);
    *ret = child;
    return child != 0;
}

static int find_key(struct hive *h, const char *path, hive_node_h *ret, struct err *e)
{
    hive_node_h node = hivex_root(h->h);
    const char *at = path;
    char part[MAX_PART];
    int r;

    if (!node)
        return fail(h, e, "", "no root key");
    while (next_part(&at, part, sizeof part))
        if ((r = find_child(h, node, path, part, &node, e)) <= 0)
            return r;
    *ret = node;
    return 1;
}

static int find_value(struct hive *h, const char *path, const char *name,
                      hive_node_h *ret_node, hive_value_h *ret, struct err *e)
{
    int r = find_key(h, path, ret_node, e);

    if (r <= 0)
        return r;
    errno = 0;
    *ret = hivex_node_get_value(h->h, *ret_node, name);
    if (!*ret && errno && errno != HIVEX_NO_KEY)
        return fail(h, e, path, name);
    return *ret != 0;
}

int hive_has_key(struct hive *h, const char *path, struct err *e)
{
    hive_node_h node;

    return find_key(h, path, &node, e);
}

int hive_keys(struct hive *h, const char *path, struct strv *ret, struct err *e)
{
    auto_strv struct strv names = {0};
    auto_free hive_node_h *children = NULL;
    hive_node_h node;
    int r = find_key(h, path, &node, e);

    if (r <= 0)
        return r;
    children = hivex_node_children(h->h, node);
    if (!children)
        return fail(h, e, path, "its subkeys");
    for (size_t i = 0; children[i]; i++) {
        auto_free char *name = hivex_node_name(h->h, children[i]);

        if (!name || i >= MAX_NAMES)
            return fail(h, e, path, "its subkeys");
        if (strv_add(&names, name, e) < 0)
            return -1;
    }
    strv_sort(&names);
    vec_foreach (n, &names)
        if (strv_add(ret, *n, e) < 0)
            return -1;
    return 1;
}

int hive_value_names(struct hive *h, const char *path, struct strv *ret, struct err *e)
{
    auto_free hive_value_h *values = NULL;
    hive_node_h node;
    int r = find_key(h, path, &node, e);

    if (r <= 0)
        return r;
    values = hivex_node_values(h->h, node);
    if (!values)
        return fail(h, e, path, "its values");
    for (size_t i = 0; values[i]; i++) {
        auto_free char *name = hivex_value_key(h->h, values[i]);

        if (!name || i >= MAX_NAMES)
            return fail(h, e, path, "its values");
        if (strv_add(ret, name, e) < 0)
            return -1;
    }
    return 1;
}

/* ---- values ---- */

int hive_get(struct hive *h, const char *path, const char *name, uint32_t *ret_type,
             struct buf *ret, struct err *e)
{
    auto_free char *data = NULL;
    hive_node_h node;
    hive_value_h value;
    hive_type type;
    size_t len;
    int r = find_value(h, path, name, &node, &value, e);

    if (r <= 0)
        return r;
    data = hivex_value_value(h->h, value, &type, &len);
    if (!data)
        return fail(h, e, path, name);
    buf_add(ret, data, len);
    *ret_type = (uint32_t)type;
    return buf_check(ret, e) < 0 ? -1 : 1;
}

static int wrong_type(const struct hive *h, const char *path, const char *name,
                      uint32_t type, struct err *e)
{
    return err_set(e, ERR_INPUT, "registry hive %s: %s\\%s has the unexpected type %u",
                   h->name, path, name, type);
}

int hive_get_u32(struct hive *h, const char *path, const char *name, uint32_t *ret,
                 struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    const unsigned char *p;
    uint32_t type;
    int r = hive_get(h, path, name, &type, &b, e);

    if (r <= 0)
        return r;
    if (type != REG_T_DWORD || b.len != 4)
        return wrong_type(h, path, name, type, e);
    p = (const unsigned char *)b.data;
    *ret = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
    return 1;
}

int hive_get_strv(struct hive *h, const char *path, const char *name, struct strv *ret,
                  struct err *e)
{
    auto_buf struct buf b = BUF_INIT, text = BUF_INIT;
    uint32_t type;
    int r = hive_get(h, path, name, &type, &b, e);

    if (r <= 0)
        return r;
    if (type != REG_T_MULTI_SZ && type != REG_T_SZ && type != REG_T_EXPAND_SZ)
        return wrong_type(h, path, name, type, e);
    utf16_to_utf8(buf_str(&b), b.len, &text);
    if (buf_check(&text, e) < 0)
        return -1;
    for (size_t at = 0; at < text.len; at += strlen(text.data + at) + 1) {
        if (!text.data[at])
            break;
        if (strv_add(ret, text.data + at, e) < 0)
            return -1;
        if (type != REG_T_MULTI_SZ)
            break;
    }
    return 1;
}

int hive_get_str(struct hive *h, const char *path, const char *name, char **ret,
                 struct err *e)
{
    auto_strv struct strv all = {0};
    int r = hive_get_strv(h, path, name, &all, e);

    if (r <= 0)
        return r;
    *ret = str_dup(all.n ? all.v[0] : "", e);
    return *ret ? 1 : -1;
}

/* ---- changes ---- */

static int make_key(struct hive *h, const char *path, hive_node_h *ret, bool *ret_made,
                    struct err *e)
{
    hive_node_h node = hivex_root(h->h);
    const char *at = path;
    char part[MAX_PART];

    *ret_made = false;
    if (!node)
        return fail(h, e, "", "no root key");
    while (next_part(&at, part, sizeof part)) {
        hive_node_h child = 0;
        int r = find_child(h, node, path, part, &child, e);

        if (r < 0)
            return -1;
        if (!r) {
            child = hivex_node_add_child(h->h, node, part);
            if (!child)
                return fail(h, e, path, "cannot be made");
            h->changed = *ret_made = true;
        }
        node = child;
    }
    *ret = node;
    return 0;
}

int hive_add_key(struct hive *h, const char *path, struct err *e)
{
    hive_node_h node;
    bool made;

    return make_key(h, path, &node, &made, e) < 0 ? -1 : made;
}

int hive_set(struct hive *h, const char *path, const char *name, uint32_t type,
             const void *data, size_t len, struct err *e)
{
    auto_buf struct buf now = BUF_INIT;
    auto_free char *key = str_dup(name, e), *copy = NULL;
    hive_node_h node;
    uint32_t was;
    bool made;
    int r = key ? hive_get(h, path, name, &was, &now, e) : -1;

    if (r < 0)
        return -1;
    if (r > 0 && was == type && now.len == len && (!len || !memcmp(now.data, data, len)))
        return 0;
    if (make_key(h, path, &node, &made, e) < 0)
        return -1;
    copy = mem_zalloc(1, len + 1, e);
    if (!copy)
        return -1;
    if (len)
        memcpy(copy, data, len);
    hive_set_value v = {.key = key, .t = (hive_type)type, .len = len, .value = copy};
    if (hivex_node_set_value(h->h, node, &v, 0) < 0)
        return fail(h, e, path, name);
    h->changed = true;
    return 1;
}

int hive_set_u32(struct hive *h, const char *path, const char *name, uint32_t value,
                 struct err *e)
{
    unsigned char b[4] = {value & 0xff, value >> 8 & 0xff, value >> 16 & 0xff,
                          value >> 24};

    return hive_set(h, path, name, REG_T_DWORD, b, sizeof b, e);
}

int hive_set_str(struct hive *h, const char *path, const char *name, uint32_t type,
                 const char *value, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (utf8_to_utf16(value, &b, e) < 0)
        return -1;
    buf_add(&b, "\0", 2);
    if (buf_check(&b, e) < 0)
        return -1;
    return hive_set(h, path, name, type, b.data, b.len, e);
}

int hive_set_strv(struct hive *h, const char *path, const char *name,
                  const struct strv *values, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    vec_foreach (v, values) {
        if (utf8_to_utf16(*v, &b, e) < 0)
            return -1;
        buf_add(&b, "\0", 2);
    }
    buf_add(&b, "\0", 2);
    if (buf_check(&b, e) < 0)
        return -1;
    return hive_set(h, path, name, REG_T_MULTI_SZ, b.data, b.len, e);
}

static void free_set(hive_set_value *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].key);
        free(v[i].value);
    }
    free(v);
}

int hive_delete_value(struct hive *h, const char *path, const char *name, struct err *e)
{
    auto_free hive_value_h *all = NULL;
    hive_node_h node;
    hive_value_h value;
    hive_set_value *keep;
    size_t n = 0, total;
    int r = find_value(h, path, name, &node, &value, e);

    if (r <= 0)
        return r;
    all = hivex_node_values(h->h, node);
    for (total = 0; all && all[total]; total++)
        ;
    keep = all ? mem_zalloc(total + 1, sizeof *keep, e) : NULL;
    if (!keep)
        return all ? -1 : fail(h, e, path, "its values");
    for (size_t i = 0; i < total && r > 0; i++) {
        if (all[i] == value)
            continue;
        keep[n].key = hivex_value_key(h->h, all[i]);
        keep[n].value = hivex_value_value(h->h, all[i], &keep[n].t, &keep[n].len);
        if (!keep[n].key || !keep[n].value)
            r = fail(h, e, path, "its values");
        n++;
    }
    if (r > 0 && hivex_node_set_values(h->h, node, n, keep, 0) < 0)
        r = fail(h, e, path, name);
    free_set(keep, n);
    h->changed |= r > 0;
    return r;
}

int hive_delete_key(struct hive *h, const char *path, struct err *e)
{
    hive_node_h node;
    int r = find_key(h, path, &node, e);

    if (r <= 0)
        return r;
    if (node == hivex_root(h->h))
        return err_set(e, ERR_FAILED, "registry hive %s: the root stays", h->name);
    if (hivex_node_delete_child(h->h, node) < 0)
        return fail(h, e, path, "cannot be deleted");
    h->changed = true;
    return 1;
}
