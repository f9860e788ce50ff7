/* A walk over tar headers; see tar.h. Formats: POSIX.1-2017 pax and ustar interchange
 * formats, and the GNU tar manual, "Basic Tar Format". Pure: reads headers only, so its
 * cost does not grow with the members' sizes. */
#include "image/tar.h"

#include "base/str.h"

#include <inttypes.h>

#define BLOCK       512u
#define MAX_MEMBERS 8192u /* looked up one by one: keep it small */
#define MAX_NAME    4096u
#define MAX_META    (64u << 10) /* a pax header or a GNU long name */

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8], type;
    char linkname[100], magic[6], version[2], uname[32], gname[32], devmajor[8];
    char devminor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

struct walk {
    const struct blob *b;
    uint64_t at;        /* of the header in hand */
    char *next_name;    /* owned; for the next member, from pax or GNU; or NULL */
    uint64_t next_size; /* from pax; valid when has_size */
    bool has_size;
    struct tar_members *out;
};

static int bad(const struct walk *w, struct err *e, const char *what)
{
    return err_set(e, ERR_INPUT, "%s: tar header at byte %" PRIu64 ": %s", w->b->name,
                   w->at, what);
}

/* Octal digits, or GNU's base-256 (first bit set) for what octal cannot hold. */
static int number(const char *field, size_t n, uint64_t *ret)
{
    const unsigned char *p = (const unsigned char *)field;
    uint64_t v = 0;
    size_t i = 0;

    if (p[0] & 0x80) {
        if (p[0] != 0x80) /* negative, or more than 64 bits */
            return -1;
        for (i = 1; i < n; i++) {
            if (v >> 56)
                return -1;
            v = v << 8 | p[i];
        }
        *ret = v;
        return 0;
    }
    while (i < n && p[i] == ' ')
        i++;
    if (i == n || p[i] < '0' || p[i] > '7')
        return -1;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
        if (v >> 61)
            return -1;
        v = v << 3 | (uint64_t)(p[i] - '0');
    }
    if (i < n && p[i] != ' ' && p[i] != 0)
        return -1;
    *ret = v;
    return 0;
}

static int check_sum(const struct walk *w, const struct header *h, struct err *e)
{
    const unsigned char *p = (const unsigned char *)h;
    uint64_t want, sum = 0, signed_sum = 0;

    if (number(h->chksum, sizeof h->chksum, &want) < 0)
        return bad(w, e, "its checksum is no number: the archive is damaged");
    for (size_t i = 0; i < BLOCK; i++) {
        bool in_sum = i >= offsetof(struct header, chksum) &&
                      i < offsetof(struct header, chksum) + sizeof h->chksum;
        unsigned char c = in_sum ? ' ' : p[i];

        sum += c;
        signed_sum += (uint64_t)(int64_t)(signed char)c;
    }
    /* Ancient writers summed signed characters. */
    if (want != sum && want != signed_sum)
        return bad(w, e, "wrong checksum: the archive is damaged");
    return 0;
}

/* Strips "./"; refuses what would leave the archive. */
static int clean_name(const struct walk *w, const char *name, char **ret, struct err *e)
{
    while (str_starts(name, "./"))
        name += 2;
    if (strlen(name) > MAX_NAME)
        return bad(w, e, "a member name of more than 4096 bytes");
    if (!*name || name[0] == '/')
        return bad(w, e, "an absolute or empty member name is refused");
    for (const char *s = name; s;) {
        if (str_eq(s, "..") || str_starts(s, "../"))
            return bad(w, e, "a member name with \"..\" is refused");
        s = strchr(s, '/');
        s = s ? s + 1 : NULL;
    }
    *ret = str_dup(name, e);
    return *ret ? 0 : -1;
}

static int header_name(const struct walk *w, const struct header *h, char **ret,
                       struct err *e)
{
    bool posix = memcmp(h->magic, "ustar", 6) == 0;
    auto_free char *full = NULL;

    if (posix && h->prefix[0])
        full = str_fmt(e, "%.*s/%.*s", (int)sizeof h->prefix, h->prefix,
                       (int)sizeof h->name, h->name);
    else
        full = str_ndup(h->name, sizeof h->name, e);
    if (!full)
        return -1;
    return clean_name(w, full, ret, e);
}

static int read_meta(const struct walk *w, uint64_t len, char **ret, struct err *e)
{
    auto_free char *text = NULL;

    if (len == 0 || len > MAX_META)
        return bad(w, e, "an extended header of unreasonable size");
    text = mem_zalloc(len + 1, 1, e);
    if (!text || blob_read(w->b, text, len, w->at + BLOCK, e) < 0)
        return -1;
    *ret = take_ptr(text);
    return 0;
}

/* "LEN key=value\n", LEN counting all of it. */
static int pax_record(struct walk *w, char **pos, char *end, struct err *e)
{
    char *p = *pos, *key, *eq, *last, *stop = NULL;
    uint64_t len = strtoull(p, &stop, 10);

    if (stop == p || *stop != ' ' || len > (uint64_t)(end - p) ||
        len <= (uint64_t)(stop + 1 - p) || p[len - 1] != '\n')
        return bad(w, e, "a damaged pax header");
    key = stop + 1;
    last = p + len - 1;
    *last = 0;
    eq = strchr(key, '=');
    if (!eq)
        return bad(w, e, "a damaged pax header");
    *eq++ = 0;
    if (strlen(eq) != (size_t)(last - eq))
        return bad(w, e, "a pax header with a NUL in a value");
    if (str_starts(key, "GNU.sparse"))
        return bad(w, e, "a sparse member is refused: pack the OVA without --sparse");
    if (str_eq(key, "path") && str_set(&w->next_name, eq, e) < 0)
        return -1;
    if (str_eq(key, "size")) {
        if (str_to_u64(eq, &w->next_size, e) < 0)
            return bad(w, e, "a pax size that is no number");
        w->has_size = true;
    }
    *pos = p + len;
    return 0;
}

static int read_pax(struct walk *w, uint64_t len, struct err *e)
{
    auto_free char *text = NULL;
    char *p, *end;

    if (read_meta(w, len, &text, e) < 0)
        return -1;
    for (p = text, end = text + len; p < end;)
        if (pax_record(w, &p, end, e) < 0)
            return -1;
    return 0;
}

static int add_member(struct walk *w, const struct header *h, uint64_t len, struct err *e)
{
    struct tar_member m = {.offset = w->at + BLOCK, .len = len};
    int r = w->next_name ? clean_name(w, w->next_name, &m.name, e)
                         : header_name(w, h, &m.name, e);

    if (r < 0)
        return -1;
    if (tar_find(w->out, m.name))
        r = err_set(e, ERR_INPUT,
                    "%s: tar header at byte %" PRIu64 ": \"%s\" is there twice",
                    w->b->name, w->at, m.name);
    else if (w->out->all.n >= MAX_MEMBERS)
        r = bad(w, e, "too many members");
    else
        r = vec_push(&w->out->all, m, e);
    if (r < 0)
        free(m.name);
    return r;
}

/* One header of size `len`. Returns 1 when it describes the header after it. */
static int take_header(struct walk *w, const struct header *h, uint64_t len,
                       struct err *e)
{
    switch (h->type) {
    case '0':
    case '7':
    case 0:
        return add_member(w, h, len, e);
    case '5': /* a folder */
        return 0;
    case 'x':
        return read_pax(w, len, e) < 0 ? -1 : 1;
    case 'g': /* defaults (dates, comments) for all members: none matters here */
    case 'K': /* GNU: long target of a link */
        return 1;
    case 'L':
        free(w->next_name);
        w->next_name = NULL;
        return read_meta(w, len, &w->next_name, e) < 0 ? -1 : 1;
    case 'S':
        return bad(w, e, "a sparse member is refused: pack the OVA without --sparse");
    default:
        return bad(w, e, "a link, device or unknown kind of member is refused");
    }
}

static int walk_one(struct walk *w, const struct header *h, struct err *e)
{
    uint64_t len, room = w->b->len - w->at - BLOCK;
    bool meta = h->type == 'x' || h->type == 'g' || h->type == 'L' || h->type == 'K';
    int r;

    if (check_sum(w, h, e) < 0)
        return -1;
    if (number(h->size, sizeof h->size, &len) < 0)
        return bad(w, e, "its size is no number: the archive is damaged");
    if (!meta && w->has_size)
        len = w->next_size;
    if (h->type == '5')
        len = 0;
    if (len > room)
        return err_set(e, ERR_INPUT,
                       "%s: the member at byte %" PRIu64 " has %" PRIu64
                       " bytes, but the archive ends at byte %" PRIu64
                       ": it is truncated or damaged",
                       w->b->name, w->at, len, w->b->len);
    r = take_header(w, h, len, e);
    if (r < 0)
        return -1;
    if (r == 0) {
        free(w->next_name);
        w->next_name = NULL;
        w->has_size = false;
    }
    /* The last member's padding may be missing; that is looked at by nobody. */
    len += (BLOCK - len % BLOCK) % BLOCK;
    w->at = len > room ? w->b->len : w->at + BLOCK + len;
    return 0;
}

static int walk(struct walk *w, struct err *e)
{
    static const struct header zeros;
    struct header h;

    while (w->at < w->b->len) {
        if (w->b->len - w->at < BLOCK)
            return bad(w, e, "the archive ends inside of it: it is truncated");
        if (blob_read(w->b, &h, sizeof h, w->at, e) < 0)
            return -1;
        /* The archive ends with two blocks of zeros; writers exist that write one. */
        if (memcmp(&h, &zeros, sizeof h) == 0)
            break;
        if (memcmp(h.magic, "ustar", 5) != 0)
            return bad(w, e, "no tar header: the archive is damaged");
        if (walk_one(w, &h, e) < 0)
            return -1;
    }
    if (w->out->all.n == 0)
        return err_set(e, ERR_INPUT, "%s: an archive without members", w->b->name);
    return 0;
}

int tar_list(const struct blob *b, struct tar_members *ret, struct err *e)
{
    struct tar_members out = {0};
    struct walk w = {.b = b, .out = &out};
    int r = walk(&w, e);

    free(w.next_name);
    if (r < 0) {
        tar_members_release(&out);
        return -1;
    }
    *ret = out;
    return 0;
}

void tar_members_release(struct tar_members *m)
{
    vec_foreach (x, &m->all)
        free(x->name);
    vec_release(&m->all);
}

const struct tar_member *tar_find(const struct tar_members *m, const char *name)
{
    vec_foreach (x, &m->all)
        if (str_eq(x->name, name))
            return x;
    return NULL;
}
