/* Manifests: parsing, and comparing files with the digests they claim. Verification
 * reads each file once from its start, so it runs at the disk's or one core's hashing
 * speed a file, several files at once. Keeps nothing on disk. */
#include "image/manifest.h"

#include "base/clock.h"
#include "base/str.h"
#include "image/package.h"

#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#define MAX_LINES    8192u
#define READ_BYTES   (1u << 20)
#define MAX_THREADS  16
#define REPORT_EVERY (200 * NS_PER_MS)

static const struct {
    const char *name;
    enum digest_kind kind;
    size_t len;
} kinds[] = {
    {"SHA1", DIGEST_SHA1, 20},
    {"SHA256", DIGEST_SHA256, 32},
    {"SHA512", DIGEST_SHA512, 64},
};

void manifest_release(struct manifest *m)
{
    vec_foreach (l, &m->lines)
        free(l->file);
    vec_release(&m->lines);
}

static int bad(const char *name, unsigned line, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: line %u: %s", name, line, what);
}

static int set_kind(struct manifest_line *l, const char *word, const char *name,
                    unsigned line, struct err *e)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (str_eq(word, kinds[i].name)) {
            l->kind = kinds[i].kind;
            l->digest_len = kinds[i].len;
            return 0;
        }
    return err_set(e, ERR_UNSUPPORTED,
                   "%s: line %u: digest \"%.20s\"; SHA1, SHA256 and SHA512 are known",
                   name, line, word);
}

/* SHA256(disk1.vmdk)= 9f86…   with or without blanks around the signs. The file name
 * may hold parentheses, so the last ')' ends it. */
static int parse_line(struct manifest *m, char *s, const char *name, unsigned line,
                      struct err *e)
{
    struct manifest_line l = {0};
    char *open = strchr(s, '('), *close = strrchr(s, ')'), *hex;

    if (!open || !close || close < open)
        return bad(name, line, "not of the form SHA256(file)= digits", e);
    *open = *close = 0;
    hex = str_trim(close + 1);
    if (*hex != '=')
        return bad(name, line, "not of the form SHA256(file)= digits", e);
    hex = str_trim(hex + 1);
    if (set_kind(&l, str_trim(s), name, line, e) < 0)
        return -1;
    if (strlen(hex) != 2 * l.digest_len || str_unhex(hex, l.digest, l.digest_len, e) < 0)
        return bad(name, line, "a digest of wrong length or with other than hex digits",
                   e);
    if (!open[1])
        return bad(name, line, "a digest without a file name", e);
    vec_foreach (other, &m->lines)
        if (str_eq(other->file, open + 1))
            return bad(name, line, "a second digest for the same file", e);
    if (m->lines.n >= MAX_LINES)
        return bad(name, line, "more than 8192 files", e);
    l.file = str_dup(open + 1, e);
    if (!l.file)
        return -1;
    if (vec_push(&m->lines, l, e) < 0) {
        free(l.file);
        return -1;
    }
    return 0;
}

int manifest_parse(const char *text, const char *name, struct manifest *ret,
                   struct err *e)
{
    struct manifest m = {0};
    auto_free char *copy = str_dup(text, e);
    char *next = copy;
    unsigned line = 0;

    if (!copy)
        return -1;
    while (next) {
        char *s = str_trim(strsep(&next, "\n"));

        line++;
        if (*s && parse_line(&m, s, name, line, e) < 0) {
            manifest_release(&m);
            return -1;
        }
    }
    *ret = m;
    return 0;
}

/* ---------------------------------------------------------------- verification */

struct item {
    char *name;                /* owned */
    struct blob *blob;         /* owned */
    struct manifest_line line; /* without the file name */
};

struct image_digests {
    struct VEC(struct item) items;
};

void image_digests_free(struct image_digests *d)
{
    if (!d)
        return;
    vec_foreach (i, &d->items) {
        free(i->name);
        blob_free(i->blob);
    }
    vec_release(&d->items);
    free(d);
}

static int add_item(struct image_digests *d, const struct ovf_package *p,
                    const struct manifest_line *l, struct err *e)
{
    struct item i = {.line = *l};

    i.line.file = NULL;
    if (image_dir_open(p->dir, l->file, p->mf->name, &i.blob, e) < 0)
        return -1;
    i.name = str_dup(i.blob->name, e);
    if (!i.name || vec_push(&d->items, i, e) < 0) {
        free(i.name);
        blob_free(i.blob);
        return -1;
    }
    return 0;
}

int image_digests_open(const char *path, const struct image_options *opt,
                       struct image_digests **ret, struct err *e)
{
    auto_image_digests struct image_digests *d = mem_zalloc(1, sizeof *d, e);
    auto_ovf_package struct ovf_package *p = NULL;

    if (!d || ovf_package_open(path, opt, &p, e) < 0)
        return -1;
    if (p)
        vec_foreach (l, &p->manifest.lines)
            if (add_item(d, p, l, e) < 0)
                return -1;
    *ret = take_ptr(d);
    return 0;
}

size_t image_digests_n(const struct image_digests *d)
{
    return d->items.n;
}

const char *image_digests_name(const struct image_digests *d, size_t i)
{
    return d->items.v[i].name;
}

uint64_t image_digests_bytes(const struct image_digests *d, size_t i)
{
    return d->items.v[i].blob->len;
}

static int compare(const struct item *i, struct digest *h, struct err *e)
{
    unsigned char got[DIGEST_MAX_BYTES];
    char want_hex[2 * DIGEST_MAX_BYTES + 1], got_hex[2 * DIGEST_MAX_BYTES + 1];
    size_t len = digest_final(h, got);

    if (len == i->line.digest_len && memcmp(got, i->line.digest, len) == 0)
        return 0;
    return err_set(e, ERR_INPUT,
                   "%s does not match the manifest: its %s is %s, the manifest says %s: "
                   "the file is damaged or was changed; copy or export it again",
                   i->name, kinds[i->line.kind - DIGEST_SHA1].name,
                   str_hex(got_hex, got, len),
                   str_hex(want_hex, i->line.digest, i->line.digest_len));
}

int image_digests_verify(const struct image_digests *d, size_t i,
                         _Atomic uint64_t *done_bytes, const struct cancel *cancel,
                         struct err *e)
{
    const struct item *item = &d->items.v[i];
    auto_free void *buf = malloc(READ_BYTES);
    struct digest *h = NULL;
    int r = 0;

    if (!buf)
        return err_nomem(e);
    if (digest_new(item->line.kind, &h, e) < 0)
        return -1;
    blob_advise_sequential(item->blob);
    for (uint64_t at = 0; r == 0 && at < item->blob->len;) {
        uint64_t left = item->blob->len - at;
        size_t n = left < READ_BYTES ? (size_t)left : READ_BYTES;

        r = cancel_check(cancel, e);
        if (r == 0)
            r = blob_read(item->blob, buf, n, at, e);
        if (r == 0)
            digest_update(h, buf, n);
        if (done_bytes)
            atomic_fetch_add(done_bytes, n);
        at += n;
    }
    if (r == 0)
        r = compare(item, h, e);
    digest_free(h);
    return r;
}

/* What the threads of one verification share. */
struct crew {
    const struct image_digests *d;
    const struct cancel *cancel;
    _Atomic uint64_t done_bytes;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t ended; /* running has changed */
    size_t next;          /* file not taken yet */
    size_t first_bad;     /* SIZE_MAX: none */
    struct err bad;
    unsigned running;
};

static void *crew_main(void *arg)
{
    struct crew *c = arg;

    pthread_mutex_lock(&c->lock);
    while (c->next < image_digests_n(c->d) && c->next < c->first_bad) {
        size_t i = c->next++;
        struct err e = ERR_INIT;
        int r;

        pthread_mutex_unlock(&c->lock);
        r = image_digests_verify(c->d, i, &c->done_bytes, c->cancel, &e);
        pthread_mutex_lock(&c->lock);
        if (r < 0 && i < c->first_bad) {
            c->first_bad = i;
            c->bad = e;
        }
    }
    c->running--;
    pthread_cond_signal(&c->ended);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void watch(struct crew *c, const struct progress *progress, uint64_t total)
{
    uint64_t start_ns = clock_mono_ns();

    pthread_mutex_lock(&c->lock);
    while (c->running) {
        uint64_t until_ns = clock_mono_ns() + REPORT_EVERY, done, ns;
        struct timespec ts = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                              .tv_nsec = (long)(until_ns % NS_PER_S)};
        struct progress_state s = {.what = "manifest", .total_bytes = total};

        pthread_cond_timedwait(&c->ended, &c->lock, &ts);
        pthread_mutex_unlock(&c->lock);
        done = atomic_load(&c->done_bytes);
        ns = clock_mono_ns() - start_ns;
        s.done_bytes = s.data_bytes = done;
        s.bytes_per_s = ns ? (uint64_t)((double)done * (double)NS_PER_S / (double)ns) : 0;
        s.eta_s = s.bytes_per_s ? (total - done) / s.bytes_per_s : UINT64_MAX;
        progress_report(progress, &s);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}

static int run_crew(struct crew *c, const struct progress *progress, uint64_t total,
                    struct err *e)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = image_digests_n(c->d), want = cores < 1 ? 1 : (size_t)cores, started = 0;
    pthread_t threads[MAX_THREADS];

    want = want < n ? want : n;
    want = want < MAX_THREADS ? want : MAX_THREADS;
    c->running = (unsigned)want;
    for (; started < want; started++)
        if (pthread_create(&threads[started], NULL, crew_main, c) != 0)
            break;
    if (started < want) {
        pthread_mutex_lock(&c->lock);
        c->running -= (unsigned)(want - started);
        pthread_mutex_unlock(&c->lock);
    }
    if (started == 0)
        return err_set(e, ERR_FAILED, "cannot start a thread");
    watch(c, progress, total);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (c->first_bad == SIZE_MAX)
        return 0;
    *e = c->bad;
    return -1;
}

int image_digests_verify_all(const struct image_digests *d,
                             const struct progress *progress, const struct cancel *cancel,
                             struct err *e)
{
    struct crew c = {.d = d, .cancel = cancel, .first_bad = SIZE_MAX};
    pthread_condattr_t attr;
    uint64_t total = 0;
    int r;

    if (!image_digests_n(d))
        return 0;
    vec_foreach (i, &d->items)
        total += i->blob->len;
    pthread_mutex_init(&c.lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c.ended, &attr);
    pthread_condattr_destroy(&attr);
    r = run_crew(&c, progress, total, e);
    pthread_cond_destroy(&c.ended);
    pthread_mutex_destroy(&c.lock);
    return r;
}
