/* fstab; see fstab.h. */
#include "guest/text/fstab.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>

#define MAX_LINES 4096

static void line_release(struct fstab_line *l)
{
    free(l->spec);
    free(l->mountpoint);
    free(l->type);
    free(l->options);
}

void fstab_release(struct fstab *t)
{
    vec_foreach (l, t)
        line_release(l);
    vec_release(t);
}

/* getmntent(3): \040 and its like stand for white space. */
static void unescape(char *s)
{
    char *out = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            char c = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));

            if (c) {
                *out++ = c;
                s += 3;
                continue;
            }
        }
        *out++ = *s;
    }
    *out = 0;
}

static int parse_line(const char *s, size_t len, size_t number, struct fstab *t,
                      struct err *e)
{
    auto_free char *copy = str_ndup(s, len, e);
    auto_strv struct strv words = {0};
    struct fstab_line l = {.number = number};

    if (!copy || text_words(copy, false, &words, e) < 0)
        return -1;
    if (words.n < 3 || words.v[0][0] == '#')
        return 0;
    if (t->n >= MAX_LINES)
        return err_set(e, ERR_INPUT, "fstab has more than %d lines", MAX_LINES);
    for (size_t i = 0; i < words.n; i++)
        unescape(words.v[i]);
    l.spec = text_unquote(words.v[0]) == words.v[0] ? take_ptr(words.v[0])
                                                    : str_dup(words.v[0] + 1, e);
    l.mountpoint = take_ptr(words.v[1]);
    l.type = take_ptr(words.v[2]);
    l.options = words.n > 3 ? take_ptr(words.v[3]) : str_dup("defaults", e);
    if (!l.spec || !l.options || vec_push(t, l, e) < 0) {
        line_release(&l);
        return -1;
    }
    return 0;
}

int fstab_parse(const char *text, struct fstab *ret, struct err *e)
{
    auto_fstab struct fstab t = {0};
    const char *at = text;
    struct text_line l;

    for (size_t number = 1; text_next(&at, &l); number++)
        if (parse_line(l.s, l.len, number, &t, e) < 0)
            return -1;
    *ret = t;
    t = (struct fstab){0};
    return 0;
}

bool fstab_has_option(const struct fstab_line *l, const char *option)
{
    size_t n = strlen(option);

    for (const char *p = l->options; *p; p += *p == ',') {
        size_t len = strcspn(p, ",");

        if (!strncmp(p, option, n) && (len == n || p[n] == '='))
            return true;
        p += len;
    }
    return false;
}

/* Copies the line with its n-th field (from 0) handed to fn's place. */
static const char *skip_field(const char *p, const char *end, const char **ret_start)
{
    while (p < end && isspace((unsigned char)*p))
        p++;
    *ret_start = p;
    while (p < end && !isspace((unsigned char)*p))
        p++;
    return p;
}

static void rewrite_line(struct text_line l, const struct fstab_change *c,
                         struct buf *out)
{
    const char *end = l.s + l.len, *start, *p, *done = l.s;

    p = skip_field(l.s, end, &start);
    if (c->spec) {
        buf_add(out, done, (size_t)(start - done));
        buf_adds(out, c->spec);
        done = p;
    }
    if (c->add_options) {
        p = skip_field(p, end, &start);
        p = skip_field(p, end, &start);
        p = skip_field(p, end, &start);
        buf_add(out, done, (size_t)(p - done));
        if (start == end)
            buf_adds(out, " defaults");
        buf_addf(out, ",%s", c->add_options);
        done = p;
    }
    buf_add(out, done, (size_t)(end - done));
}

int fstab_rewrite(const char *text, const struct fstab_change *changes, size_t n,
                  struct buf *out, struct err *e)
{
    const char *at = text;
    struct text_line l;

    for (size_t number = 1; text_next(&at, &l); number++) {
        const struct fstab_change *c = NULL;

        for (size_t i = 0; i < n; i++)
            if (changes[i].number == number)
                c = &changes[i];
        if (c)
            rewrite_line(l, c, out);
        else
            buf_add(out, l.s, l.len);
        text_add_end(out, l);
    }
    return buf_check(out, e);
}

/* "a" 0, "z" 25, "aa" 26, as the kernel numbers sd disks; digits follow. */
static bool letters(const char **s, uint32_t *ret)
{
    uint32_t n = 0;
    const char *p = *s;

    for (; *p >= 'a' && *p <= 'z' && p - *s < 3; p++)
        n = n * 26 + (uint32_t)(*p - 'a') + 1;
    if (p == *s)
        return false;
    *ret = n - 1;
    *s = p;
    return true;
}

static bool digits(const char **s, uint32_t *ret)
{
    uint32_t n = 0;
    const char *p = *s;

    for (; isdigit((unsigned char)*p) && p - *s < 4; p++)
        n = n * 10 + (uint32_t)(*p - '0');
    if (p == *s)
        return false;
    *ret = n;
    *s = p;
    return true;
}

static bool sd_name(const char *p, uint32_t *disk, uint32_t *partition)
{
    *partition = 0;
    if (!letters(&p, disk))
        return false;
    return !*p || (digits(&p, partition) && !*p && *partition > 0);
}

static bool nvme_name(const char *p, uint32_t *disk, uint32_t *partition)
{
    uint32_t namespace;

    *partition = 0;
    if (!digits(&p, disk) || *p++ != 'n' || !digits(&p, &namespace))
        return false;
    return !*p || (*p++ == 'p' && digits(&p, partition) && !*p && *partition > 0);
}

enum device_naming device_name(const char *spec, uint32_t *ret_disk,
                               uint32_t *ret_partition)
{
    static const char *const prefixes[] = {"/dev/sd", "/dev/hd", "/dev/vd", "/dev/xvd"};
    uint32_t disk = 0, partition = 0;
    bool ordered = false;

    if (str_starts(spec, "/dev/disk/by-path/") || str_starts(spec, "/dev/disk/by-id/"))
        return DEVICE_BY_HARDWARE;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0] && !ordered; i++)
        if (str_starts(spec, prefixes[i]))
            ordered = sd_name(spec + strlen(prefixes[i]), &disk, &partition);
    if (!ordered && str_starts(spec, "/dev/nvme"))
        ordered = nvme_name(spec + 9, &disk, &partition);
    if (!ordered)
        return DEVICE_STABLE;
    *ret_disk = disk;
    *ret_partition = partition;
    return DEVICE_BY_ORDER;
}
