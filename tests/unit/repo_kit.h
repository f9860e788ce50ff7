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

#endif
