/* What the tests of image readers share: a scratch folder, random disks, running tools,
 * and comparing a source with a raw file through every unit. */
#ifndef HOTADD_TESTS_UNIT_IMAGE_KIT_H
#define HOTADD_TESTS_UNIT_IMAGE_KIT_H

#include "test.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "image/image.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNUSED_OK __attribute__((unused)) static

/* ------------------------------------------------------------------- randomness */

/* xorshift64*: the same seed gives the same disk everywhere. */
static uint64_t kit_state = 1;

UNUSED_OK uint64_t kit_rand(void)
{
    kit_state ^= kit_state >> 12;
    kit_state ^= kit_state << 25;
    kit_state ^= kit_state >> 27;
    return kit_state * 2685821657736338717ull;
}

UNUSED_OK uint64_t kit_below(uint64_t limit)
{
    return kit_rand() % limit;
}

/* HOTADD_TEST_SEED repeats a run. */
UNUSED_OK void kit_seed(void)
{
    const char *s = getenv("HOTADD_TEST_SEED");

    kit_state = s ? strtoull(s, NULL, 10) : clock_mono_ns() | 1;
    printf("# HOTADD_TEST_SEED=%" PRIu64 "\n", kit_state);
}

/* ------------------------------------------------------------------------ files */

static char kit_dir[64];

UNUSED_OK int kit_setup(void **state)
{
    snprintf(kit_dir, sizeof kit_dir, "/tmp/hotadd-image-XXXXXX");
    kit_seed();
    return mkdtemp(kit_dir) ? 0 : -1;
}

UNUSED_OK int kit_teardown(void **state)
{
    struct err e;

    return io_remove_tree(kit_dir, &e);
}

/* A path in the scratch folder; one of eight buffers. */
UNUSED_OK const char *kit_path(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *p = paths[next++ % 8];

    snprintf(p, 256, "%s/%s", kit_dir, name);
    return p;
}

UNUSED_OK void kit_write(const char *name, const void *data, size_t len)
{
    int fd = open(kit_path(name), O_CREAT | O_TRUNC | O_WRONLY, 0600);

    assert_true(fd >= 0);
    assert_ok(io_write_full(fd, data, len, name, e));
    close(fd);
}

UNUSED_OK void kit_text(const char *name, const char *text)
{
    kit_write(name, text, strlen(text));
}

/* Owned. */
UNUSED_OK char *kit_read(const char *name, size_t *len)
{
    struct buf b = BUF_INIT;

    assert_ok(io_read_file(kit_path(name), 1u << 30, &b, e));
    if (len)
        *len = b.len;
    return b.data;
}

UNUSED_OK void kit_poke(const char *name, uint64_t offset, const void *data, size_t len)
{
    int fd = open(kit_path(name), O_WRONLY);

    assert_true(fd >= 0);
    assert_ok(io_pwrite_full(fd, data, len, offset, name, e));
    close(fd);
}

/* What a header must not hold, and what is then said. */
struct kit_damage {
    uint64_t at;
    const char *bytes;
    size_t len;
    const char *text;
    enum err_kind kind;
};

UNUSED_OK void kit_truncate(const char *name, uint64_t len)
{
    assert_int_equal(truncate(kit_path(name), (off_t)len), 0);
}

UNUSED_OK uint64_t kit_size(const char *name)
{
    struct stat st;

    assert_int_equal(stat(kit_path(name), &st), 0);
    return (uint64_t)st.st_size;
}

UNUSED_OK bool kit_have(const char *tool)
{
    auto_buf struct buf out = BUF_INIT;
    struct err e;

    return child_run((const char *[]){tool, "--version", NULL}, 65536, &out, NULL,
                     60 * NS_PER_S, &e) == 0;
}

/* Skips the test, saying why, when the tool is missing. */
#define kit_need(tool)                                                                   \
    do {                                                                                 \
        if (!kit_have(tool)) {                                                           \
            print_message("# skipped: %s is not installed\n", tool);                     \
            skip();                                                                      \
        }                                                                                \
    } while (0)

UNUSED_OK void kit_run_argv(const char *const *argv)
{
    auto_buf struct buf out = BUF_INIT;

    assert_ok(child_run(argv, 1u << 20, &out, NULL, 120 * NS_PER_S, e));
}
#define kit_run(...) kit_run_argv((const char *[]){__VA_ARGS__, NULL})

/* A raw disk of runs of zeros, noise and text, in random places and lengths. */
UNUSED_OK void kit_random_disk(const char *name, uint64_t size)
{
    int fd = open(kit_path(name), O_CREAT | O_TRUNC | O_RDWR, 0600);
    static unsigned char run[300000];
    uint64_t at = 0;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    while (at < size) {
        uint64_t len = 1 + kit_below(sizeof run), kind = kit_below(5);

        if (len > size - at)
            len = size - at;
        if (kind >= 2) { /* 0 and 1: a hole */
            unsigned char c = (unsigned char)kit_rand();

            for (size_t i = 0; i < len; i++)
                run[i] = kind == 2   ? (unsigned char)kit_rand()
                         : kind == 3 ? (unsigned char)(i / 97)
                                     : c;
            assert_ok(io_pwrite_full(fd, run, len, at, name, e));
        }
        at += len;
    }
    close(fd);
}

/* ---------------------------------------------------------------------- sources */

/* Every unit of s, with that limit, against the raw file: units tile the disk, zero
 * units are zeros, data units have the file's bytes. */
UNUSED_OK void kit_compare_units(struct source *s, const char *raw_name, uint64_t limit)
{
    int fd = open(kit_path(raw_name), O_RDONLY);
    void *got = NULL, *want;
    uint64_t data = 0;

    if (limit < s->unit_max_bytes)
        limit = s->unit_max_bytes;
    want = malloc(limit);
    assert_true(fd >= 0 && want);
    assert_int_equal(posix_memalign(&got, 4096, limit), 0);
    assert_int_equal(s->size_bytes, kit_size(raw_name));
    for (uint64_t at = 0; at < s->size_bytes;) {
        struct unit u;

        assert_ok(source_unit_at(s, at, limit, &u, e));
        assert_int_equal(u.offset, at);
        assert_true(u.len > 0 && u.len <= s->size_bytes - at);
        assert_true(u.kind == UNIT_ZERO || u.len <= limit);
        assert_true(at + u.len == s->size_bytes || u.len % s->unit_align == 0);
        if (u.kind == UNIT_DATA) {
            memset(got, 0xa5, u.len);
            assert_ok(source_fetch(s, &u, got, e));
            data += u.len;
        }
        for (uint64_t done = 0; done < u.len;) {
            size_t n = u.len - done < limit ? (size_t)(u.len - done) : (size_t)limit;

            assert_ok(io_pread_full(fd, want, n, at + done, raw_name, e));
            if (u.kind == UNIT_ZERO)
                memset(got, 0, n);
            if (memcmp((char *)got + (u.kind == UNIT_DATA ? done : 0), want, n) != 0)
                fail_msg("%s: wrong bytes in the unit at %" PRIu64, s->desc, at);
            done += n;
        }
        at += u.len;
    }
    if (s->data_bytes_hint != UINT64_MAX)
        assert_true(s->data_bytes_hint <= s->size_bytes + 4096 && data <= s->size_bytes);
    free(got);
    free(want);
    close(fd);
}

/* Random ranges through source_pread. */
UNUSED_OK void kit_compare_ranges(struct source *s, const char *raw_name, unsigned times)
{
    int fd = open(kit_path(raw_name), O_RDONLY);
    static char got[200000], want[200000];
    void *scratch = NULL;

    assert_true(fd >= 0);
    assert_int_equal(posix_memalign(&scratch, 4096, s->unit_max_bytes), 0);
    while (times--) {
        uint64_t at = kit_below(s->size_bytes), n = 1 + kit_below(sizeof got);

        n = n < s->size_bytes - at ? n : s->size_bytes - at;
        assert_ok(source_pread(s, got, n, at, scratch, e));
        assert_ok(io_pread_full(fd, want, n, at, raw_name, e));
        assert_memory_equal(got, want, n);
    }
    free(scratch);
    close(fd);
}

UNUSED_OK void kit_compare(struct source *s, const char *raw_name)
{
    static const uint64_t limits[] = {65536, 196608, 1u << 20, 4u << 20};

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        kit_compare_units(s, raw_name, limits[i]);
    kit_compare_ranges(s, raw_name, 50);
}

/* The only disk of a machine, which is freed. */
UNUSED_OK struct source *kit_source(struct machine *m)
{
    struct source *s = m->disks.v[0].source;

    assert_int_equal(m->disks.n, 1);
    m->disks.v[0].source = NULL;
    machine_free(m);
    return s;
}

/* image_open_disk(), for its source. */
UNUSED_OK int kit_open_as(const char *path_or_uri, const char *disk,
                          const struct image_options *opt, struct source **ret,
                          struct err *e)
{
    struct machine *m;

    if (image_open_disk(path_or_uri, disk, opt, &m, e) < 0)
        return -1;
    *ret = kit_source(m);
    return 0;
}

/* The only disk at a path in the scratch folder, or the one named. */
UNUSED_OK int kit_open(const char *name, const char *disk, struct source **ret,
                       struct err *e)
{
    return kit_open_as(kit_path(name), disk, NULL, ret, e);
}

/* Reads all of it; the first error. */
UNUSED_OK int kit_read_source(struct source *s, struct err *e)
{
    auto_free void *buf = NULL;

    if (posix_memalign(&buf, 4096, 4u << 20))
        return err_nomem(e);
    for (uint64_t at = 0; at < s->size_bytes;) {
        struct unit u;

        if (source_unit_at(s, at, 4u << 20, &u, e) < 0 ||
            (u.kind == UNIT_DATA && source_fetch(s, &u, buf, e) < 0))
            return -1;
        at += u.len;
    }
    return 0;
}

/* Opens and reads all of it; the first error. */
UNUSED_OK int kit_read_all(const char *name, struct err *e)
{
    auto_source struct source *s = NULL;

    return kit_open(name, NULL, &s, e) < 0 ? -1 : kit_read_source(s, e);
}

#endif
