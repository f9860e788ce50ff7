/* crypttab, mdadm.conf, lvm.conf; see disks.h. */
#include "guest/text/disks.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/fstab.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define MARK "#hotadd# "

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && isspace((unsigned char)*p))
        p++;
    return p;
}

static const char *skip_word(const char *p, const char *end)
{
    while (p < end && !isspace((unsigned char)*p))
        p++;
    return p;
}

/* By position or by the old machine's hardware; also as a pattern, "/dev/sd[ab]*". */
static bool old_name(const char *spec)
{
    static const char *const prefixes[] = {"/dev/sd", "/dev/hd", "/dev/disk/by-path/",
                                           "/dev/disk/by-id/scsi-",
                                           "/dev/disk/by-id/wwn-"};
    uint32_t disk, partition;

    if (device_name(spec, &disk, &partition) != DEVICE_STABLE)
        return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (str_starts(spec, prefixes[i]))
            return true;
    return false;
}

/* ---- crypttab ---- */

static bool has_word(const char *p, const char *end, const char *option)
{
    size_t n = strlen(option);

    while (p < end) {
        size_t len = (size_t)(end - p);
        const char *comma = memchr(p, ',', len);

        len = comma ? (size_t)(comma - p) : len;
        if (len == n && !memcmp(p, option, n))
            return true;
        p += len + 1;
    }
    return false;
}

/* Fields: name, device, key file, options. `rest` begins after the device. */
static void add_nofail(const char *rest, const char *end, struct buf *out)
{
    const char *key = skip_space(rest, end), *key_end = skip_word(key, end),
               *options = skip_space(key_end, end),
               *options_end = skip_word(options, end);

    if (options < options_end && *options != '#') {
        bool there = has_word(options, options_end, "nofail");

        buf_add(out, rest, (size_t)(options_end - rest));
        buf_adds(out, there ? "" : ",nofail");
        buf_add(out, options_end, (size_t)(end - options_end));
    } else if (key < key_end && *key != '#') {
        buf_add(out, rest, (size_t)(key_end - rest));
        buf_adds(out, " nofail");
        buf_add(out, key_end, (size_t)(end - key_end));
    } else {
        buf_adds(out, " none nofail");
        buf_add(out, rest, (size_t)(end - rest));
    }
}

static int crypttab_line(struct text_line l, const struct cmdline_map *map,
                         struct buf *out, struct err *e)
{
    const char *end = l.s + l.len, *name = skip_space(l.s, end),
               *device = skip_space(skip_word(name, end), end),
               *rest = skip_word(device, end);
    auto_free char *spec = str_ndup(device, (size_t)(rest - device), e), *to = NULL;

    if (!spec)
        return -1;
    if (name == end || *name == '#' || !*spec) {
        buf_add(out, l.s, l.len);
        return 0;
    }
    if (map->fn(map->ctx, spec, &to, e) < 0)
        return -1;
    buf_add(out, l.s, (size_t)(device - l.s));
    buf_adds(out, to ? to : spec);
    if (!to && old_name(spec))
        add_nofail(rest, end, out);
    else
        buf_add(out, rest, (size_t)(end - rest));
    return 0;
}

int crypttab_rewrite(const char *text, const struct cmdline_map *map, struct buf *out,
                     struct err *e)
{
    const char *at = text;
    struct text_line l;

    while (text_next(&at, &l)) {
        if (crypttab_line(l, map, out, e) < 0)
            return -1;
        text_add_end(out, l);
    }
    return buf_check(out, e);
}

/* ---- mdadm.conf ---- */

/* Lines that begin with white space go on with the one before. A keyword may be cut to
 * three letters, in any case (mdadm.conf(5)). */
static bool is_keyword(struct text_line l, const char *keyword)
{
    const char *end = l.s + l.len;
    size_t n = (size_t)(skip_word(l.s, end) - l.s);

    return n >= 3 && n <= strlen(keyword) && !strncasecmp(l.s, keyword, n);
}

/* Calls for each word of the line. */
static bool any_word(struct text_line l, bool (*fits)(const char *word))
{
    const char *end = l.s + l.len, *p = skip_space(l.s, end);

    while (p < end) {
        const char *q = skip_word(p, end);
        char word[256];

        if ((size_t)(q - p) < sizeof word) {
            memcpy(word, p, (size_t)(q - p));
            word[q - p] = 0;
            if (fits(word))
                return true;
        }
        p = skip_space(q, end);
    }
    return false;
}

/* A keyword line that lists disks on itself or on a line that continues it? */
static bool lists_disks(const char *at, struct text_line l)
{
    if (any_word(l, old_name))
        return true;
    while (text_next(&at, &l) && l.len && isblank((unsigned char)l.s[0]))
        if (any_word(l, old_name))
            return true;
    return false;
}

static void without_devices(struct text_line l, struct buf *out)
{
    const char *end = l.s + l.len, *p = l.s;

    while (p < end) {
        const char *word = skip_space(p, end), *next = skip_word(word, end);

        if (next - word < 8 || strncasecmp(word, "devices=", 8) != 0)
            buf_add(out, p, (size_t)(next - p));
        p = next;
    }
}

int mdadm_conf_rewrite(const char *text, struct buf *out, struct err *e)
{
    const char *at = text;
    struct text_line l;
    bool dropping = false, array = false;

    while (text_next(&at, &l)) {
        if (!(l.len && isblank((unsigned char)l.s[0]))) {
            dropping = is_keyword(l, "device") && lists_disks(at, l);
            array = is_keyword(l, "array");
        }
        if (dropping)
            buf_adds(out, MARK);
        if (array)
            without_devices(l, out);
        else
            buf_add(out, l.s, l.len);
        text_add_end(out, l);
    }
    return buf_check(out, e);
}

/* ---- lvm.conf ---- */

/* Is the line of a filter, which may go on until its closing bracket? */
static bool filter_line(struct text_line l, bool *open)
{
    const char *end = l.s + l.len, *p = skip_space(l.s, end);
    static const char *const names[] = {"filter", "global_filter"};
    bool in = *open;

    for (size_t i = 0; i < 2 && !in; i++) {
        size_t n = strlen(names[i]);

        in = (size_t)(end - p) > n && !strncmp(p, names[i], n) &&
             (isblank((unsigned char)p[n]) || p[n] == '=');
    }
    *open = in && !memchr(l.s, ']', l.len);
    return in;
}

/* filter = [ "a|^/dev/sda|", "r|.*|" ] hides everything else. */
static bool filter_hides(const char *filter)
{
    return strstr(filter, "\"r") && !strstr(filter, "nvme") &&
           !strstr(filter, "\"a|.*|\"") && !strstr(filter, "\"a/.*/\"");
}

bool lvm_conf_hides(const char *text)
{
    auto_buf struct buf filter = BUF_INIT;
    const char *at = text;
    struct text_line l;
    bool open = false;

    while (text_next(&at, &l)) {
        if (!filter_line(l, &open))
            continue;
        buf_add(&filter, l.s, l.len);
        if (open)
            continue;
        if (filter.failed || filter_hides(buf_str(&filter)))
            return true;
        buf_reset(&filter);
    }
    return false;
}

static bool starts_section(struct text_line l, const char *name)
{
    const char *end = l.s + l.len, *p = skip_space(l.s, end);
    size_t n = strlen(name);

    if ((size_t)(end - p) < n || strncmp(p, name, n) != 0)
        return false;
    p = skip_space(p + n, end);
    return p < end && *p == '{';
}

static bool sets_list(struct text_line l)
{
    const char *end = l.s + l.len, *p = skip_space(l.s, end);

    return end - p > 15 && !strncmp(p, "use_devicesfile", 15) &&
           (isblank((unsigned char)p[15]) || p[15] == '=');
}

int lvm_conf_rewrite(const char *text, bool no_list, struct buf *out, struct err *e)
{
    static const char order[] = "use_devicesfile = 0 # by hotadd";
    const char *at = text;
    struct text_line l;
    bool open = false, done = !no_list || strstr(text, order);

    while (text_next(&at, &l)) {
        bool ours = memmem(l.s, l.len, order, sizeof order - 1) != NULL;

        if (filter_line(l, &open) || (no_list && !ours && sets_list(l)))
            buf_adds(out, MARK);
        buf_add(out, l.s, l.len);
        text_add_end(out, l);
        if (!done && starts_section(l, "devices")) {
            buf_addf(out, "\t%s\n", order);
            done = true;
        }
    }
    if (!done)
        buf_addf(out, "%sdevices {\n\t%s\n}\n",
                 *text && text[strlen(text) - 1] != '\n' ? "\n" : "", order);
    return buf_check(out, e);
}
