/* INF files; see inf.h. The text is split into lines of [section] key = fields, with
 * continuation lines joined, comments cut and %strings% replaced; everything else asks
 * these lines. */
#include "guest/drivers/inf.h"

#include "base/buf.h"
#include "base/str.h"
#include "guest/windows/utf16.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define MAX_LINES  200000
#define MAX_FIELDS 64

struct line {
    char *section, *key; /* owned; key "" when the line is a mere list */
    struct strv fields;
};
struct lines VEC(struct line);

static void lines_release(struct lines *l)
{
    vec_foreach (x, l) {
        free(x->section);
        free(x->key);
        strv_release(&x->fields);
    }
    vec_release(l);
}

/* ---- characters ---- */

static int decode(const void *data, size_t len, struct buf *out, struct err *e)
{
    const unsigned char *p = data;

    if (len >= 2 && p[0] == 0xfe && p[1] == 0xff)
        return err_set(e, ERR_INPUT, "UTF-16 of the wrong byte order");
    if (len >= 2 && p[0] == 0xff && p[1] == 0xfe) {
        utf16_to_utf8(p + 2, len - 2, out);
    } else if (len >= 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) {
        buf_add(out, p + 3, len - 3);
    } else {
        /* The code page is not said; what matters is ASCII. */
        for (size_t i = 0; i < len; i++)
            buf_addc(out, p[i] < 0x80 ? (char)p[i] : '?');
    }
    if (buf_check(out, e) < 0)
        return -1;
    return out->len && memchr(out->data, 0, out->len)
               ? err_set(e, ERR_INPUT, "NUL characters in it")
               : 0;
}

/* Cuts a comment off: a semicolon outside quotes. */
static void cut_comment(char *s)
{
    bool quoted = false;

    for (; *s; s++) {
        if (*s == '"')
            quoted = !quoted;
        if (*s == ';' && !quoted) {
            *s = 0;
            return;
        }
    }
}

/* A field without white space and quotes around it; "" inside quotes is one. */
static int add_field(struct strv *to, const char *s, size_t len, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    auto_free char *raw = str_ndup(s, len, e);
    char *p;

    if (!raw)
        return -1;
    p = str_trim(raw);
    for (bool quoted = false; *p; p++) {
        if (*p != '"')
            buf_addc(&b, *p);
        else if (quoted && p[1] == '"')
            buf_addc(&b, *p++);
        else
            quoted = !quoted;
    }
    return buf_check(&b, e) < 0 ? -1 : strv_add(to, buf_str(&b), e);
}

static int split_fields(struct strv *to, const char *s, struct err *e)
{
    bool quoted = false;
    const char *start = s;

    for (;; s++) {
        if (*s == '"')
            quoted = !quoted;
        if (*s && (*s != ',' || quoted))
            continue;
        if (to->n < MAX_FIELDS && add_field(to, start, (size_t)(s - start), e) < 0)
            return -1;
        if (!*s)
            return 0;
        start = s + 1;
    }
}

/* The = that divides key from fields: outside quotes. */
static char *find_equals(char *s)
{
    bool quoted = false;

    for (; *s; s++) {
        if (*s == '"')
            quoted = !quoted;
        if (*s == '=' && !quoted)
            return s;
    }
    return NULL;
}

static int add_line(struct lines *l, const char *section, char *text, struct err *e)
{
    struct line x = {0};
    char *equals = find_equals(text);
    int r;

    if (l->n >= MAX_LINES)
        return err_set(e, ERR_INPUT, "more than %d lines", MAX_LINES);
    if (equals)
        *equals = 0;
    r = str_set(&x.section, section, e);
    if (r == 0)
        r = str_set(&x.key, equals ? str_trim(text) : "", e);
    if (r == 0)
        r = split_fields(&x.fields, equals ? equals + 1 : text, e);
    if (r == 0)
        r = vec_push(l, x, e);
    if (r < 0) {
        free(x.section);
        free(x.key);
        strv_release(&x.fields);
    }
    return r;
}

/* One logical line, changed in place. */
static int take_line(struct lines *l, char **section, char *text, struct err *e)
{
    char *s, *end;

    cut_comment(text);
    s = str_trim(text);
    if (*s == '[') {
        end = strchr(s, ']');
        if (!end)
            return 0;
        *end = 0;
        return str_set(section, str_trim(s + 1), e);
    }
    return *s && *section ? add_line(l, *section, s, e) : 0;
}

static int split_lines(char *text, struct lines *ret, struct err *e)
{
    auto_free char *section = NULL;
    auto_buf struct buf whole = BUF_INIT;

    for (char *next; text; text = next) {
        size_t n;

        next = strchr(text, '\n');
        if (next)
            *next++ = 0;
        n = strlen(text);
        while (n && isspace((unsigned char)text[n - 1]))
            n--;
        if (n && text[n - 1] == '\\' && next && !memchr(text, ';', n)) {
            buf_add(&whole, text, n - 1);
            continue;
        }
        buf_add(&whole, text, n);
        if (buf_check(&whole, e) < 0)
            return -1;
        if (whole.len && take_line(ret, &section, whole.data, e) < 0)
            return -1;
        buf_reset(&whole);
    }
    return 0;
}

/* ---- questions ---- */

static const struct line *find_line(const struct lines *l, const char *section,
                                    const char *key)
{
    vec_foreach (x, l)
        if (!strcasecmp(x->section, section) && !strcasecmp(x->key, key))
            return x;
    return NULL;
}

static const char *field(const struct line *x, size_t i)
{
    return x && i < x->fields.n ? x->fields.v[i] : "";
}

/* %name% stands for a string of [Strings]; others stay as they are. */
static int expand(const struct lines *l, const char *s, char **ret, struct err *e)
{
    size_t n = strlen(s);

    if (n > 2 && s[0] == '%' && s[n - 1] == '%') {
        auto_free char *name = str_ndup(s + 1, n - 2, e);
        const struct line *x = name ? find_line(l, "Strings", name) : NULL;

        if (!name)
            return -1;
        if (x)
            s = field(x, 0);
    }
    free(*ret);
    *ret = str_dup(s, e);
    return *ret ? 0 : -1;
}

static int read_version(const struct lines *l, struct inf *f, struct err *e)
{
    static const char *const catalogs[] = {"CatalogFile", "CatalogFile.NT",
                                           "CatalogFile.NTamd64"};
    const struct line *signature = find_line(l, "Version", "Signature");
    auto_free char *sign = NULL;

    if (expand(l, field(signature, 0), &sign, e) < 0)
        return -1;
    if (strcasecmp(sign, "$Windows NT$") != 0 && strcasecmp(sign, "$CHICAGO$") != 0)
        return err_set(e, ERR_INPUT, "no [Version] section with a Windows signature");
    if (expand(l, field(find_line(l, "Version", "Class"), 0), &f->class_name, e) < 0 ||
        expand(l, field(find_line(l, "Version", "ClassGuid"), 0), &f->class_guid, e) <
            0 ||
        expand(l, field(find_line(l, "Version", "Provider"), 0), &f->provider, e) < 0 ||
        expand(l, field(find_line(l, "Version", "DriverVer"), 1), &f->version, e) < 0 ||
        str_set(&f->catalog, "", e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof catalogs / sizeof catalogs[0]; i++) {
        const struct line *x = find_line(l, "Version", catalogs[i]);

        if (x && expand(l, field(x, 0), &f->catalog, e) < 0)
            return -1;
    }
    return 0;
}

static int add_models(const struct lines *l, struct inf *f, const char *models,
                      const char *decoration, struct err *e)
{
    auto_free char *section =
        str_fmt(e, "%s%s%s", models, *decoration ? "." : "", decoration);
    struct inf_models m = {0};
    int r = section ? str_set(&m.decoration, decoration, e) : -1;

    for (size_t i = 0; r == 0 && i < l->n; i++) {
        const struct line *x = &l->v[i];

        if (strcasecmp(x->section, section) != 0)
            continue;
        for (size_t k = 1; r == 0 && k < x->fields.n; k++)
            if (*x->fields.v[k])
                r = strv_add(&m.ids, x->fields.v[k], e);
    }
    if (r == 0)
        r = vec_push(&f->models, m, e);
    if (r < 0) {
        free(m.decoration);
        strv_release(&m.ids);
    }
    return r;
}

/* %maker% = Models, NTamd64.10.0, NTamd64.6.3 */
static int read_models(const struct lines *l, struct inf *f, struct err *e)
{
    vec_foreach (x, l) {
        if (strcasecmp(x->section, "Manufacturer") != 0 || !x->fields.n)
            continue;
        if (x->fields.n == 1 && add_models(l, f, x->fields.v[0], "", e) < 0)
            return -1;
        for (size_t i = 1; i < x->fields.n; i++)
            if (f->models.n < MAX_FIELDS &&
                add_models(l, f, x->fields.v[0], x->fields.v[i], e) < 0)
                return -1;
    }
    return 0;
}

static int read_files(const struct lines *l, struct inf *f, struct err *e)
{
    vec_foreach (x, l) {
        auto_free char *name = NULL;

        if (strcasecmp(x->section, "SourceDisksFiles") != 0 &&
            strcasecmp(x->section, "SourceDisksFiles.amd64") != 0)
            continue;
        name = str_dup(*x->key ? x->key : field(x, 0), e);
        if (!name)
            return -1;
        for (char *p = name; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        if (*name && strv_add_once(&f->files, name, e) < 0)
            return -1;
    }
    return 0;
}

int inf_parse(const void *data, size_t len, struct inf *ret, struct err *e)
{
    auto_call(lines_release) struct lines l = {0};
    auto_buf struct buf text = BUF_INIT;
    auto_inf struct inf f = {0};

    if (len > INF_MAX_BYTES)
        return err_set(e, ERR_INPUT, "larger than %u MiB", INF_MAX_BYTES >> 20);
    if (decode(data, len, &text, e) < 0 ||
        (text.len && split_lines(text.data, &l, e) < 0) || read_version(&l, &f, e) < 0 ||
        read_models(&l, &f, e) < 0 || read_files(&l, &f, e) < 0)
        return -1;
    *ret = f;
    f = (struct inf){0};
    return 0;
}

void inf_release(struct inf *f)
{
    free(f->class_name);
    free(f->class_guid);
    free(f->provider);
    free(f->version);
    free(f->catalog);
    vec_foreach (m, &f->models) {
        free(m->decoration);
        strv_release(&m->ids);
    }
    vec_release(&f->models);
    strv_release(&f->files);
}

/* ---- decorations ---- */

/* The next number of ".10.0...14393"; absent ones are `none`. */
static uint64_t next_number(const char **at, uint64_t none)
{
    uint64_t v = 0;
    bool any = false;

    if (**at != '.')
        return none;
    for ((*at)++; isdigit((unsigned char)**at) && v < 1000000000; (*at)++, any = true)
        v = v * 10 + (uint64_t)(**at - '0');
    /* A hexadecimal product type or suite mask, 0x…, is not looked into. */
    while (**at && **at != '.')
        (*at)++;
    return any ? v : none;
}

/* NT[architecture][.major[.minor[.product type[.suite mask[.build]]]]] */
bool inf_decoration_serves(const char *decoration, uint32_t build)
{
    uint64_t version = build == 9600 ? 603 : 1000, major, minor, product, from;
    const char *at = decoration;

    if (!*at)
        return true;
    if (strncasecmp(at, "NT", 2) != 0)
        return false;
    at += 2;
    if (!strncasecmp(at, "amd64", 5))
        at += 5;
    else if (*at && *at != '.')
        return false; /* another architecture */
    major = next_number(&at, 0);
    minor = next_number(&at, 0);
    product = next_number(&at, 0);
    next_number(&at, 0);
    from = next_number(&at, 0);
    return major < 100 && minor < 100 && major * 100 + minor <= version && product != 1 &&
           from <= build;
}

bool inf_serves(const struct inf *f, uint32_t build)
{
    return inf_serves_device(f, build, "");
}

bool inf_serves_device(const struct inf *f, uint32_t build, const char *id)
{
    vec_foreach (m, &f->models)
        vec_foreach (x, &m->ids)
            if (!strncasecmp(*x, id, strlen(id)) &&
                inf_decoration_serves(m->decoration, build))
                return true;
    return false;
}
