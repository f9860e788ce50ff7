/* For tests of src/repo: the vectors of tests/data/pbs, a scratch directory, disks in
 * memory, and reading a source whole. */
#ifndef HOTADD_TESTS_UNIT_REPO_KIT_H
#define HOTADD_TESTS_UNIT_REPO_KIT_H

#include "test.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"
#include "repo/private.h"

#include <sys/wait.h>
#include <time.h>

#define KIT_IMAGE_BYTES (3u * (4u << 20) + 1800)
#define KIT_FINGERPRINT                                                                  \
    "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:"  \
    "19:90:90:15:9b"

static char kit_dir[64];

static inline const char *kit_data(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/pbs/%s", getenv("HOTADD_TEST_DATA"), name);
    return path;
}

/* Below the scratch directory; four results live at once. */
static inline const char *kit_path(const char *name)
{
    static char paths[4][4096];
    static unsigned n;
    char *p = paths[n++ % 4];

    snprintf(p, sizeof paths[0], "%s/%s", kit_dir, name);
    return p;
}

static inline int kit_setup(void **state)
{
    /* A store has 65,536 directories: in memory they come and go quickly. */
    snprintf(kit_dir, sizeof kit_dir, "%s/hotadd-repo-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(kit_dir) ? 0 : -1;
}

static inline int kit_teardown(void **state)
{
    struct err e;

    return io_remove_tree(kit_dir, &e);
}

/* A command of the test's own; must succeed. */
static inline void kit_run(const char *fmt, const char *a, const char *b)
{
    char cmd[8192];
    FILE *p;

    snprintf(cmd, sizeof cmd, "a='%s'; b='%s'; %s", a, b, fmt);
    fflush(stdout);
    p = fopen(kit_path("cmd.sh"), "w");
    assert_non_null(p);
    fprintf(p, "set -e; exec >&2; %s\n", cmd);
    fclose(p);
    {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            execl("/bin/sh", "sh", kit_path("cmd.sh"), NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

/* A writable copy of the vectors' store in the scratch directory. */
static inline const char *kit_copy_store(const char *name)
{
    const char *to = kit_path(name);

    kit_run("rm -rf \"$b\"; cp -r \"$a\" \"$b\"; chmod -R u+w \"$b\"", kit_data("ds"),
            to);
    return to;
}

static inline struct repo_key *kit_key(void)
{
    struct repo_key *k = NULL;

    assert_ok(repo_key_load(kit_data("key.json"), NULL, &k, e));
    return k;
}

/* The image of the vectors; owned. */
static inline unsigned char *kit_image(void)
{
    const size_t chunk = 4u << 20;
    unsigned char *p = calloc(1, KIT_IMAGE_BYTES);
    char line[32];

    assert_non_null(p);
    for (size_t i = 0; i < chunk / 16; i++) {
        snprintf(line, sizeof line, "%015zu\n", i);
        memcpy(p + chunk + 16 * i, line, 16);
    }
    for (size_t i = 0; i < 100; i++)
        memcpy(p + 3 * chunk + 18 * i, "tail of the image\n", 18);
    return p;
}

/* All of a source by its units, which are checked to tile it; owned. */
static inline int kit_read(struct source *s, unsigned char **ret, struct err *e)
{
    unsigned char *all = calloc(1, s->size_bytes + 1);
    uint64_t limit = 4u << 20;
    void *buf = NULL;
    struct unit u;
    int r = 0;

    if (limit < s->unit_max_bytes)
        limit = s->unit_max_bytes;
    if (limit < s->fetch_bytes)
        limit = s->fetch_bytes;
    assert_non_null(all);
    assert_int_equal(posix_memalign(&buf, 4096, limit), 0);
    for (uint64_t at = 0; at < s->size_bytes && r == 0; at += u.len) {
        r = source_unit_at(s, at, limit, &u, e);
        if (r < 0)
            break;
        assert_int_equal(u.offset, at);
        assert_true(u.len > 0 && u.len <= s->size_bytes - at);
        assert_true(u.kind == UNIT_ZERO || u.len <= limit);
        if (u.kind == UNIT_ZERO)
            continue;
        r = source_fetch(s, &u, buf, e);
        if (r == 0)
            memcpy(all + at, buf, u.len);
    }
    free(buf);
    if (r < 0) {
        free(all);
        return -1;
    }
    *ret = all;
    return 0;
}

/* Opens NAME, reads its first disk, compares. */
static inline int kit_restore(struct repo *r, const char *name, const void *want,
                              size_t want_len, struct err *e)
{
    auto_repo_point struct repo_point *p = NULL;
    auto_machine struct machine *m = NULL;
    struct repo_name n = {0};
    unsigned char *is = NULL;
    int ret;

    assert_int_equal(repo_name_parse(name, &n, e), 0);
    ret = repo_point_open(r, &n, &p, e);
    repo_name_release(&n);
    if (ret < 0 || repo_point_machine(p, &m, e) < 0)
        return -1;
    assert_int_equal(m->disks.v[0].source->size_bytes, want_len);
    if (kit_read(m->disks.v[0].source, &is, e) < 0)
        return -1;
    assert_int_equal(memcmp(is, want, want_len), 0);
    free(is);
    return 0;
}

/* A disk in memory with chunks of zeros, of compressible and of random data. */
struct kit_disk {
    unsigned char *data; /* owned */
    uint64_t size;
};

static inline void kit_fill(unsigned char *p, size_t n)
{
    uint64_t x = (uint64_t)rand();
    int kind = rand() % 4;

    memset(p, 0, n);
    if (kind == 1)
        for (size_t i = 0; i < n;
             i++, x = x * 6364136223846793005u + 1442695040888963407u)
            p[i] = (unsigned char)(x >> 56);
    if (kind == 2)
        for (size_t i = 0; i < n; i++)
            p[i] = (unsigned char)(i / 100);
    if (kind == 3)
        memset(p, rand() % 256, n);
}

static inline struct kit_disk kit_make_disk(uint64_t size, uint32_t chunk)
{
    struct kit_disk d = {.data = malloc(size), .size = size};

    assert_non_null(d.data);
    for (uint64_t at = 0; at < size; at += chunk)
        kit_fill(d.data + at, size - at < chunk ? size - at : chunk);
    return d;
}

static inline bool kit_is_zero(const unsigned char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Chunks in random order, as the mover's workers bring them; not those of `skip`. */
static inline int kit_write_all(struct sink *s, const struct kit_disk *d,
                                const struct extent_set *skip, struct err *e)
{
    uint64_t n = (d->size + s->block_bytes - 1) / s->block_bytes, run, pow2 = 1, at;
    size_t len;

    /* i * 5 + 1 goes through every residue of a power of two. */
    while (pow2 < n)
        pow2 *= 2;
    for (uint64_t k = 0, i = 0; k < pow2; k++, i = (i * 5 + 1) & (pow2 - 1)) {
        if (i >= n)
            continue;
        at = i * s->block_bytes;
        len = d->size - at < s->block_bytes ? d->size - at : s->block_bytes;
        if (skip && extent_set_at(skip, at, len, &run))
            continue;
        if (kit_is_zero(d->data + at, len)
                ? s->ops->zero(s, at, len, e) < 0
                : s->ops->write(s, d->data + at, len, at, e) < 0)
            return -1;
    }
    return 0;
}

static inline struct machine *kit_machine(const char *name)
{
    struct machine *m = NULL;
    struct machine_nic nic = {.mac = strdup("02:00:00:00:00:01"),
                              .model = strdup("virtio")};

    assert_ok(machine_new(name, &m, e));
    m->cpus = 3;
    m->memory_bytes = 5ull << 30;
    m->firmware = FIRMWARE_UEFI;
    m->secure_boot = true;
    assert_ok(vec_push(&m->nics, nic, e));
    return m;
}

static inline struct repo_name kit_name(const char *ns, const char *id)
{
    return (struct repo_name){
        .ns = (char *)(uintptr_t)ns, .id = (char *)(uintptr_t)id, .time = REPO_EVERY};
}

static inline int64_t kit_back_up(struct repo *r, const char *id,
                                  const struct kit_disk *d,
                                  const struct repo_backup_options *opt,
                                  const struct extent_set *unchanged,
                                  struct repo_backup_stats *stats)
{
    struct machine *m = kit_machine("web01");
    struct repo_name n = kit_name("", id);
    struct repo_backup *b = NULL;
    struct sink *s = NULL;
    char *unused = NULL;
    int64_t time;

    assert_ok(repo_backup_begin(r, &n, opt, &b, &unused, e));
    assert_null(unused);
    assert_ok(repo_backup_disk(b, "drive-scsi0.img", d->size, unchanged, &s, e));
    assert_ok(kit_write_all(s, d, unchanged, e));
    assert_ok(s->ops->flush(s, e));
    assert_ok(repo_backup_finish(b, m, stats, e));
    time = repo_backup_time(b);
    repo_backup_free(b);
    machine_free(m);
    return time;
}

#endif
