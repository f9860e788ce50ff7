/* kmod's binary index; see kmodbin.h.
 *
 * Reading walks the trie with the key so far in a buffer. Writing needs no trie in
 * memory: in a sorted array the keys below a node are neighbours, so a node is a range of
 * the array and a length of key that is used up. Children are written before their
 * parent, because references are to what is already there; depmod's files come out byte
 * for byte. */
#include "guest/initrd/kmodbin.h"

#include "base/str.h"

#define MAGIC        0xB007F457u
#define VERSION      0x00020001u
#define HAS_PREFIX   0x80000000u
#define HAS_VALUES   0x40000000u
#define HAS_CHILDREN 0x20000000u
#define OFFSET_MASK  0x0FFFFFFFu
#define KEY_MAX      2048
#define VALUES_MAX   1000000u
#define BYTES_MAX    (256ull << 20) /* of keys and values read */

/* ---- reading ---- */

struct reader {
    const uint8_t *data;
    size_t len;
    struct buf key;
    struct kmodbin_values *out;
    uint64_t slots, slots_max, bytes;
};

static int damaged(struct err *e, size_t at)
{
    return err_set(e, ERR_INPUT, "module index is damaged at its byte %zu", at);
}

static int take_u32(const struct reader *r, size_t *at, uint32_t *ret, struct err *e)
{
    const uint8_t *p = r->data + *at;

    if (*at > r->len || r->len - *at < 4)
        return damaged(e, *at);
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *at += 4;
    return 0;
}

static int take_string(const struct reader *r, size_t *at, const char **ret,
                       struct err *e)
{
    const char *s = (const char *)r->data + *at, *end;

    if (*at >= r->len || !(end = memchr(s, 0, r->len - *at)))
        return damaged(e, *at);
    *ret = s;
    *at += (size_t)(end - s) + 1;
    return 0;
}

static int read_values(struct reader *r, size_t at, struct err *e)
{
    uint32_t count;

    if (take_u32(r, &at, &count, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        struct kmodbin_value v = {0};
        const char *s;

        if (take_u32(r, &at, &v.priority, e) < 0 || take_string(r, &at, &s, e) < 0)
            return -1;
        r->bytes += r->key.len + strlen(s);
        if (r->out->n >= VALUES_MAX || r->bytes > BYTES_MAX)
            return err_set(e, ERR_INPUT, "module index is larger than any real one");
        v.key = str_dup(buf_str(&r->key), e);
        v.value = str_dup(s, e);
        if (!v.key || !v.value || vec_push(r->out, v, e) < 0) {
            free(v.key);
            free(v.value);
            return -1;
        }
    }
    return 0;
}

static int read_node(struct reader *r, uint32_t ref, struct err *e);

static int read_children(struct reader *r, size_t *at, struct err *e)
{
    unsigned first, last;

    first = r->data[*at];
    last = r->data[*at + 1];
    *at += 2;
    for (unsigned c = first; c <= last; c++) {
        size_t key_len = r->key.len;
        uint32_t child;

        if (++r->slots > r->slots_max)
            return err_set(e, ERR_INPUT,
                           "module index is damaged: its nodes form a loop");
        if (take_u32(r, at, &child, e) < 0)
            return -1;
        if (!child)
            continue;
        buf_addc(&r->key, (char)c);
        if (buf_check(&r->key, e) < 0 || read_node(r, child, e) < 0)
            return -1;
        r->key.len = key_len;
        r->key.data[key_len] = 0;
    }
    return 0;
}

/* Recursion is bounded by the key's length: each level adds at least one byte. The values
 * of a node come after its children in the file, but before them in key order. */
static int read_node(struct reader *r, uint32_t ref, struct err *e)
{
    size_t at = ref & OFFSET_MASK, key_len = r->key.len, children;
    const char *prefix;

    if (ref & HAS_PREFIX) {
        if (take_string(r, &at, &prefix, e) < 0)
            return -1;
        buf_adds(&r->key, prefix);
        if (buf_check(&r->key, e) < 0)
            return -1;
    }
    r->bytes += r->key.len - key_len;
    if (r->key.len > KEY_MAX || r->bytes > BYTES_MAX)
        return err_set(e, ERR_INPUT, "module index has a key that no module has");
    children = at;
    if (ref & HAS_CHILDREN && at < r->len && r->len - at >= 2 &&
        r->data[at + 1] >= r->data[at])
        at += 2 + 4 * ((size_t)r->data[at + 1] - r->data[at] + 1);
    else if (ref & HAS_CHILDREN)
        return damaged(e, at);
    if ((ref & HAS_VALUES && read_values(r, at, e) < 0) ||
        (ref & HAS_CHILDREN && read_children(r, &children, e) < 0))
        return -1;
    r->key.len = key_len;
    if (r->key.data)
        r->key.data[key_len] = 0;
    return 0;
}

int kmodbin_read(const void *data, size_t len, struct kmodbin_values *ret, struct err *e)
{
    struct kmodbin_values values = {0};
    /* A place for a child takes four bytes, and belongs to one parent. */
    struct reader r = {.data = data, .len = len, .out = &values, .slots_max = len / 4};
    uint32_t magic, version, root;
    size_t at = 0;
    int rc = 0;

    if (take_u32(&r, &at, &magic, e) < 0 || take_u32(&r, &at, &version, e) < 0 ||
        take_u32(&r, &at, &root, e) < 0)
        return -1;
    if (magic != MAGIC || version >> 16 != VERSION >> 16)
        return err_set(e, ERR_INPUT, "no module index (magic %08x, version %08x)", magic,
                       version);
    if (root)
        rc = read_node(&r, root, e);
    buf_release(&r.key);
    for (size_t i = 0; rc == 0 && i < values.n; i++)
        rc = vec_push(ret, values.v[i], e);
    if (rc == 0)
        vec_release(&values);
    else
        kmodbin_values_release(&values);
    return rc;
}

void kmodbin_values_release(struct kmodbin_values *v)
{
    vec_foreach (i, v) {
        free(i->key);
        free(i->value);
    }
    vec_release(v);
}

/* ---- writing ---- */

static void put_u32(struct buf *b, uint32_t v)
{
    const uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
                              (uint8_t)v};

    buf_add(b, bytes, sizeof bytes);
}

struct sorted {
    const struct kmodbin_value *value;
    size_t place; /* before sorting */
};

static int sorted_cmp(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    int c = strcmp(x->value->key, y->value->key);

    if (!c)
        c = (x->value->priority > y->value->priority) -
            (x->value->priority < y->value->priority);
    return c ? c : (x->place > y->place) - (x->place < y->place);
}

struct writer {
    const struct sorted *s;
    struct buf *out;
    size_t start; /* of the index in out */
};

static const char *key_at(const struct writer *w, size_t i)
{
    return w->s[i].value->key;
}

static size_t common_length(const char *a, const char *b, size_t from)
{
    while (a[from] && a[from] == b[from])
        from++;
    return from;
}

static uint32_t write_node(const struct writer *w, size_t begin, size_t end, size_t used);

/* The references of children [begin, end) by their byte at `used`. */
static void write_children(const struct writer *w, size_t begin, size_t end, size_t used,
                           uint32_t refs[128])
{
    while (begin < end) {
        unsigned char c = (unsigned char)key_at(w, begin)[used];
        size_t next = begin;

        while (next < end && (unsigned char)key_at(w, next)[used] == c)
            next++;
        refs[c] = write_node(w, begin, next, used + 1);
        begin = next;
    }
}

/* Keys [begin, end) agree in their first `used` bytes, which lie above this node.
 * Recursion is bounded by KEY_MAX, 600 bytes of stack each. */
static uint32_t write_node(const struct writer *w, size_t begin, size_t end, size_t used)
{
    /* The root never has a prefix: depmod starts from one that exists. */
    size_t deep = used ? common_length(key_at(w, begin), key_at(w, end - 1), used) : 0;
    size_t values = begin;
    uint32_t refs[128] = {0}, ref;

    while (values < end && !key_at(w, values)[deep])
        values++;
    write_children(w, values, end, deep, refs);
    ref = (uint32_t)(w->out->len - w->start);
    if (deep > used) {
        buf_add(w->out, key_at(w, begin) + used, deep - used);
        buf_addc(w->out, 0);
        ref |= HAS_PREFIX;
    }
    if (values < end) {
        unsigned char first = (unsigned char)key_at(w, values)[deep];
        unsigned char last = (unsigned char)key_at(w, end - 1)[deep];

        buf_addc(w->out, (char)first);
        buf_addc(w->out, (char)last);
        for (unsigned c = first; c <= last; c++)
            put_u32(w->out, refs[c]);
        ref |= HAS_CHILDREN;
    }
    if (values > begin) {
        put_u32(w->out, (uint32_t)(values - begin));
        for (size_t i = begin; i < values; i++) {
            put_u32(w->out, w->s[i].value->priority);
            buf_add(w->out, w->s[i].value->value, strlen(w->s[i].value->value) + 1);
        }
        ref |= HAS_VALUES;
    }
    return ref;
}

static bool key_ok(const char *key)
{
    size_t i;

    for (i = 0; key[i]; i++)
        if ((unsigned char)key[i] >= 128)
            return false;
    return i && i < KEY_MAX;
}

int kmodbin_write(const struct kmodbin_values *v, struct buf *out, struct err *e)
{
    auto_free struct sorted *s = mem_zalloc(v->n, sizeof *s, e);
    struct writer w = {.s = s, .out = out, .start = out->len};
    uint32_t root = 12; /* an empty node right after the header, as depmod's */
    size_t n = 0;

    if (!s)
        return -1;
    for (size_t i = 0; i < v->n; i++)
        if (key_ok(v->v[i].key))
            s[n++] = (struct sorted){.value = &v->v[i], .place = i};
    qsort(s, n, sizeof *s, sorted_cmp);
    put_u32(out, MAGIC);
    put_u32(out, VERSION);
    put_u32(out, 0);
    if (n)
        root = write_node(&w, 0, n, 0);
    if (buf_check(out, e) < 0)
        return -1;
    if (out->len - w.start > OFFSET_MASK)
        return err_set(e, ERR_INPUT, "module index would exceed 256 MiB");
    for (int i = 0; i < 4; i++)
        out->data[w.start + 8 + (size_t)i] = (char)(root >> (24 - 8 * i));
    return 0;
}
