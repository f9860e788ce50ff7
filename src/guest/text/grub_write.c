/* Changing kernel arguments in boot menus, and GRUB's environment block; see grub.h. Only
 * the arguments of a kernel change, so that a menu that lacks nothing stays as it is. */
#include "guest/text/grub.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && isblank((unsigned char)*p))
        p++;
    return p;
}

static const char *skip_word(const char *p, const char *end)
{
    while (p < end && !isblank((unsigned char)*p))
        p++;
    return p;
}

/* The line with its arguments, which begin at p, changed. */
static int put_args(struct text_line l, const char *p, const struct cmdline_want *want,
                    struct buf *out, struct err *e)
{
    auto_free char *args = str_ndup(p, (size_t)(l.s + l.len - p), e);

    if (!args)
        return -1;
    /* A continued line would lose its backslash's meaning at the end. */
    if (str_ends(args, "\\"))
        return err_set(e, ERR_UNSUPPORTED, "a kernel line that continues on the next");
    buf_add(out, l.s, (size_t)(p - l.s));
    buf_addc(out, ' ');
    return cmdline_apply(args, want, out, e);
}

/* set kernelopts="root=… ro": Red Hat's grub.cfg, for a grubenv that lacks it. Quotes
 * stay around the value, which holds none. */
static int put_kernelopts(struct text_line l, const char *word,
                          const struct cmdline_want *want, struct buf *out,
                          bool *ret_done, struct err *e)
{
    static const char begin[] = "kernelopts=\"";
    const char *end = l.s + l.len, *value = word + sizeof begin - 1, *quote;
    auto_free char *args = NULL;

    *ret_done = false;
    if ((size_t)(end - word) < sizeof begin ||
        strncmp(word, begin, sizeof begin - 1) != 0)
        return 0;
    quote = memchr(value, '"', (size_t)(end - value));
    if (!quote)
        return 0;
    args = str_ndup(value, (size_t)(quote - value), e);
    if (!args)
        return -1;
    buf_add(out, l.s, (size_t)(value - l.s));
    if (cmdline_apply(args, want, out, e) < 0)
        return -1;
    buf_add(out, quote, (size_t)(end - quote));
    *ret_done = true;
    return 0;
}

/* A line "  linux /vmlinuz ro quiet": everything up to the kernel stays. */
static int cfg_line(struct text_line l, const struct cmdline_want *want, struct buf *out,
                    struct err *e)
{
    const char *end = l.s + l.len, *word = skip_blank(l.s, end),
               *p = skip_word(word, end);
    auto_free char *command = str_ndup(word, (size_t)(p - word), e);
    bool done = false;

    if (!command)
        return -1;
    if (grub_is_linux(command))
        return put_args(l, skip_word(skip_blank(p, end), end), want, out, e);
    if (str_eq(command, "set") &&
        put_kernelopts(l, skip_blank(p, end), want, out, &done, e) < 0)
        return -1;
    if (!done)
        buf_add(out, l.s, l.len);
    return 0;
}

/* Xen's hypervisor has options of its own; its Linux stands in a module line. */
static bool is_xen(const char *path, const char *end)
{
    const char *slash = memrchr(path, '/', (size_t)(end - path));

    path = slash ? slash + 1 : path;
    return end - path >= 3 && !memcmp(path, "xen", 3);
}

/* "  kernel --no-mem-option /vmlinuz ro quiet", also with '=' after the command. */
static int legacy_line(struct text_line l, const struct cmdline_want *want,
                       struct buf *out, struct err *e)
{
    const char *end = l.s + l.len, *p = skip_blank(l.s, end);

    if (end - p < 7 || strncmp(p, "kernel", 6) != 0 ||
        !(isblank((unsigned char)p[6]) || p[6] == '=')) {
        buf_add(out, l.s, l.len);
        return 0;
    }
    for (p += 6; p < end && (isblank((unsigned char)*p) || *p == '=');)
        p++;
    while (end - p > 2 && p[0] == '-' && p[1] == '-')
        p = skip_blank(skip_word(p, end), end);
    if (is_xen(p, skip_word(p, end))) {
        buf_add(out, l.s, l.len);
        return 0;
    }
    return put_args(l, skip_word(p, end), want, out, e);
}

static int bls_line(struct text_line l, const struct cmdline_want *want, struct buf *out,
                    struct err *e)
{
    const char *end = l.s + l.len, *word = skip_blank(l.s, end),
               *p = skip_word(word, end);

    if (p - word != 7 || strncmp(word, "options", 7) != 0 ||
        memmem(p, (size_t)(end - p), "$kernelopts", 11)) {
        buf_add(out, l.s, l.len);
        return 0;
    }
    return put_args(l, p, want, out, e);
}

static int rewrite(const char *text, const struct cmdline_want *want,
                   int (*line)(struct text_line l, const struct cmdline_want *want,
                               struct buf *out, struct err *e),
                   struct buf *out, struct err *e)
{
    const char *at = text;
    struct text_line l;

    while (text_next(&at, &l)) {
        if (line(l, want, out, e) < 0)
            return -1;
        text_add_end(out, l);
    }
    return buf_check(out, e);
}

int grub_cfg_rewrite(const char *text, const struct cmdline_want *want, struct buf *out,
                     struct err *e)
{
    return rewrite(text, want, cfg_line, out, e);
}

int grub_legacy_rewrite(const char *text, const struct cmdline_want *want,
                        struct buf *out, struct err *e)
{
    return rewrite(text, want, legacy_line, out, e);
}

int grub_bls_rewrite(const char *text, const struct cmdline_want *want, struct buf *out,
                     struct err *e)
{
    return rewrite(text, want, bls_line, out, e);
}

/* Where the line that p is in ends; a newline behind a backslash belongs to a value. */
static const char *env_line_end(const char *p, const char *end)
{
    while (p < end && *p != '\n')
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return p;
}

/* Nothing but '#' fills the block; other lines that begin so are comments. */
static bool is_filling(const char *p, const char *end)
{
    while (p < end && *p == '#')
        p++;
    return p == end;
}

/* The lines of the block without those of one variable. */
static void env_others(const char *p, const char *end, const char *name, struct buf *out)
{
    size_t n = strlen(name);

    while (p < end) {
        const char *line = p;

        p = env_line_end(p, end);
        if (!is_filling(line, p) &&
            !((size_t)(p - line) > n && !memcmp(line, name, n) && line[n] == '=')) {
            buf_add(out, line, (size_t)(p - line));
            buf_addc(out, '\n');
        }
        p += p < end;
    }
}

int grubenv_set(const void *data, size_t len, const char *name, const char *value,
                struct buf *out, struct err *e)
{
    static const char signature[] = "# GRUB Environment Block\n";
    auto_buf struct buf b = BUF_INIT;
    const char *text = data;

    if (len < sizeof signature || memcmp(text, signature, sizeof signature - 1) != 0 ||
        memchr(text, 0, len))
        return err_set(e, ERR_INPUT, "no GRUB environment block");
    buf_adds(&b, signature);
    env_others(text + sizeof signature - 1, text + len, name, &b);
    buf_addf(&b, "%s=", name);
    for (const char *p = value; *p; p++) {
        if (*p == '\\' || *p == '\n')
            buf_addc(&b, '\\');
        buf_addc(&b, *p);
    }
    buf_addc(&b, '\n');
    if (buf_check(&b, e) < 0)
        return -1;
    if (b.len > len)
        return err_set(e, ERR_NOSPACE,
                       "%s does not fit into GRUB's environment block of %zu bytes", name,
                       len);
    while (b.len < len && !b.failed)
        buf_addc(&b, '#');
    buf_add(out, b.data, b.len);
    return buf_check(&b, e) < 0 ? -1 : buf_check(out, e);
}
