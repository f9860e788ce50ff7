/* Writing repositories: what we write is read back by us and by an independent reader,
 * whatever sizes, chunk sizes and ways of protection. */
#include "repo_kit.h"

#include "repo/key.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

static void compare(struct repo *r, const char *id, const struct kit_disk *d)
{
    struct err e = ERR_INIT;

    if (kit_restore(r, id, d->data, d->size, &e) < 0)
        fail_msg("%s", e.msg);
}

static const char reader[] = "\"$a\"/../unit/pbs_reader.py $b";

/* By a reader that shares no code with us. */
static void compare_independent(const char *store, const char *id, int64_t time,
                                const struct kit_disk *d, const char *key)
{
    auto_buf struct buf is = BUF_INIT;
    char args[4096], t[REPO_TIME_LEN];

    snprintf(args, sizeof args, "%s vm/%s/%s drive-scsi0.img.fidx %s %s", store, id,
             repo_time_text(time, t), kit_path("out"), key);
    kit_run(reader, getenv("HOTADD_TEST_DATA"), args);
    assert_ok(io_read_file(kit_path("out"), 1 << 30, &is, e));
    assert_int_equal(is.len, d->size);
    assert_memory_equal(is.data, d->data, d->size);
}

static const char key_hex[] =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

static void test_round_trips(void **state)
{
    static const uint32_t chunks[] = {64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20};
    struct repo_key *k = kit_key();
    struct repo_options opt = {.key = k};
    struct repo *r = NULL;
    unsigned seed = (unsigned)time(NULL);

    printf("# seed %u\n", seed);
    srand(seed);
    assert_ok(repo_open_dir(kit_path("store"), REPO_CREATE, &opt, &r, e));
    for (int round = 0; round < 12; round++) {
        struct repo_backup_options o = {.chunk_bytes = chunks[rand() % 5],
                                        .zstd_level = round % 2 ? 0 : -1,
                                        .crypt = (enum repo_crypt)(round % 3)};
        struct kit_disk d = kit_make_disk(
            1 + (uint64_t)rand() %
                    (o.chunk_bytes > 4 << 20 ? 20 << 20 : 3 * o.chunk_bytes),
            o.chunk_bytes);
        struct repo_backup_stats st;
        char id[16];
        int64_t t;

        snprintf(id, sizeof id, "r%d", round);
        t = kit_back_up(r, id, &d, &o, NULL, &st);
        assert_int_equal(st.chunks, (d.size + o.chunk_bytes - 1) / o.chunk_bytes);
        compare(r, id, &d);
        compare_independent(kit_path("store"), id, t, &d, key_hex);
        free(d.data);
    }
    {
        char args[4096];

        snprintf(args, sizeof args, "%s layout", kit_path("store"));
        kit_run(reader, getenv("HOTADD_TEST_DATA"), args);
    }
    repo_free(r);
    repo_key_free(k);
}

static void test_zeros_only_and_none(void **state)
{
    struct repo_backup_options o = {.chunk_bytes = 64 << 10};
    struct kit_disk d = {.data = calloc(1, 1000000), .size = 1000000};
    struct repo_backup_stats st;
    struct repo *r = NULL;
    int64_t t;

    assert_ok(repo_open_dir(kit_path("store"), REPO_CREATE, NULL, &r, e));
    t = kit_back_up(r, "zero", &d, &o, NULL, &st);
    assert_int_equal(st.chunks, 16);
    assert_int_equal(st.data_bytes, 0);
    assert_true(st.new_chunks <= 2);
    compare(r, "zero", &d);
    compare_independent(kit_path("store"), "zero", t, &d, "");
    for (size_t i = 0; i < d.size; i++)
        d.data[i] = (unsigned char)(i * 2654435761u >> 13 | 1);
    kit_back_up(r, "full", &d, &o, NULL, &st);
    assert_int_equal(st.data_bytes, d.size);
    compare(r, "full", &d);
    kit_back_up(r, "again", &d, &o, NULL, &st);
    assert_int_equal(st.new_chunks, 0);
    compare(r, "again", &d);
    free(d.data);
    repo_free(r);
}

static void set_old_atimes(const char *store)
{
    kit_run("find \"$a/.chunks\" -type f -exec touch -a -d '2 days ago' {} +", store, "");
}

static void test_incremental(void **state)
{
    struct repo_backup_options o = {.chunk_bytes = 64 << 10};
    struct kit_disk d = kit_make_disk(10 * 65536 + 100, 65536);
    struct repo_backup_stats st;
    struct repo_point *base = NULL;
    struct extent_set same = {0};
    struct repo_name n = kit_name("", "inc");
    struct repo *r = NULL;

    kit_run("rm -rf \"$a\"", kit_path("store2"), "");
    assert_ok(repo_open_dir(kit_path("store2"), REPO_CREATE, NULL, &r, e));
    kit_back_up(r, "inc", &d, &o, NULL, &st);
    assert_ok(repo_point_open(r, &n, &base, e));
    set_old_atimes(kit_path("store2"));
    for (size_t i = 0; i < 65536; i++)
        d.data[3 * 65536 + i] = (unsigned char)rand();
    assert_ok(extent_set_add(&same, 0, 3 * 65536, e));
    assert_ok(extent_set_add(&same, 4 * 65536, 6 * 65536 + 100, e));
    o = (struct repo_backup_options){.base = base};
    kit_back_up(r, "inc", &d, &o, &same, &st);
    assert_int_equal(st.chunks, 1);
    assert_int_equal(st.new_chunks, 1);
    assert_int_equal(st.reused_bytes, 9 * 65536 + 100);
    compare(r, "inc", &d);
    /* What the new point names is safe from a collection, also what was taken over. */
    {
        struct repo_point *now = NULL;

        assert_ok(repo_point_open(r, &n, &now, e));
        for (uint64_t i = 0; i < fidx_n(now->disks.v[0].index); i++) {
            char path[STORE_CHUNK_PATH_LEN], full[4096];
            unsigned char digest[SHA256_BYTES];
            struct stat s;

            assert_ok(fidx_digest(now->disks.v[0].index, i, digest, e));
            snprintf(full, sizeof full, "%s/%s", kit_path("store2"),
                     store_chunk_path(digest, path));
            assert_int_equal(stat(full, &s), 0);
            assert_true(s.st_atime > time(NULL) - 600);
        }
        repo_point_free(now);
    }
    extent_set_release(&same);
    repo_point_free(base);
    free(d.data);
    repo_free(r);
}

static void test_bases_that_do_not_fit_are_named(void **state)
{
    struct repo_key *k = kit_key();
    struct repo_options ro = {.key = k};
    struct repo_backup_options o = {.chunk_bytes = 64 << 10};
    struct kit_disk d = kit_make_disk(100000, 65536);
    struct repo_backup_stats st;
    struct repo_point *base = NULL;
    struct repo_backup *b = NULL;
    struct repo_name n = kit_name("", "fit");
    struct repo *r = NULL;
    char *why = NULL;

    assert_ok(repo_open_dir(kit_path("store2"), REPO_CREATE, &ro, &r, e));
    kit_back_up(r, "fit", &d, &o, NULL, &st);
    assert_ok(repo_point_open(r, &n, &base, e));
    o = (struct repo_backup_options){.base = base, .crypt = REPO_CRYPT_ENCRYPT};
    assert_ok(repo_backup_begin(r, &n, &o, &b, &why, e));
    assert_non_null(strstr(why, "encrypted or signed in another way"));
    free(why);
    why = NULL;
    repo_backup_free(b);
    o = (struct repo_backup_options){.base = base, .chunk_bytes = 1 << 20};
    assert_ok(repo_backup_begin(r, &n, &o, &b, &why, e));
    assert_non_null(strstr(why, "another size"));
    free(why);
    repo_backup_free(b);
    repo_point_free(base);
    free(d.data);
    repo_free(r);
    repo_key_free(k);
}

static void test_unwritten_chunks_are_noticed_and_removed(void **state)
{
    struct machine *m = kit_machine("x");
    struct repo_backup_options o = {.chunk_bytes = 64 << 10};
    struct repo_name n = kit_name("a/b", "gap");
    struct repo_backup_stats st;
    struct repo_backup *b = NULL;
    struct repo_entries v = {0};
    struct sink *s = NULL;
    struct repo *r = NULL;

    assert_ok(repo_open_dir(kit_path("store2"), REPO_CREATE, NULL, &r, e));
    assert_ok(repo_backup_begin(r, &n, &o, &b, NULL, e));
    assert_ok(repo_backup_disk(b, "drive-ide0.img", 3 * 65536, NULL, &s, e));
    assert_ok(s->ops->zero(s, 0, 65536, e));
    assert_ok(s->ops->zero(s, 2 * 65536, 65536, e));
    assert_ok(repo_list(r, &n, &v, e));
    assert_int_equal(v.n, 1);
    assert_false(v.v[0].finished);
    repo_entries_release(&v);
    assert_fails(repo_backup_finish(b, m, &st, e), ERR_FAILED, "byte 65536");
    repo_backup_free(b);
    assert_ok(repo_list(r, &n, &v, e));
    assert_int_equal(v.n, 0);
    repo_free(r);
    machine_free(m);
}

static void test_many_make_the_same_repository_at_once(void **state)
{
    pid_t pids[4];
    int status;

    for (size_t i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct err why = ERR_INIT;
            struct repo *r = NULL;

            if (repo_open_dir(kit_path("shared"), REPO_CREATE, NULL, &r, &why) < 0)
                print_error("%s\n", why.msg);
            _exit(r ? 0 : 1);
        }
        assert_true(pids[i] > 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(access(kit_path("shared/.chunks/ffff"), F_OK), 0);
    assert_int_not_equal(access(kit_path("shared/.chunks.new"), F_OK), 0);
}

static void test_two_writers(void **state)
{
    struct repo_backup_options o = {0};
    struct repo_name n = kit_name("", "two"), other = kit_name("", "three");
    struct repo_backup *a = NULL, *b = NULL, *c = NULL;
    struct repo *r = NULL, *r2 = NULL;

    assert_ok(repo_open_dir(kit_path("store2"), REPO_CREATE, NULL, &r, e));
    assert_ok(repo_open_dir(kit_path("store2"), REPO_MUST_EXIST, NULL, &r2, e));
    assert_ok(repo_backup_begin(r, &n, &o, &a, NULL, e));
    assert_fails(repo_backup_begin(r2, &n, &o, &b, NULL, e), ERR_BUSY, "vm/two");
    assert_ok(repo_backup_begin(r2, &other, &o, &c, NULL, e));
    repo_backup_free(a);
    assert_ok(repo_backup_begin(r2, &n, &o, &b, NULL, e));
    repo_backup_free(b);
    repo_backup_free(c);
    repo_free(r);
    repo_free(r2);
}

static void test_machine_survives(void **state)
{
    struct repo_backup_options o = {.chunk_bytes = 64 << 10};
    struct kit_disk d = kit_make_disk(70000, 65536);
    struct repo_backup_stats st;
    struct repo_point *p = NULL;
    struct repo_name n = kit_name("", "mach");
    struct machine *m = NULL;
    struct repo *r = NULL;

    assert_ok(repo_open_dir(kit_path("store2"), REPO_CREATE, NULL, &r, e));
    kit_back_up(r, "mach", &d, &o, NULL, &st);
    assert_ok(repo_point_open(r, &n, &p, e));
    assert_ok(repo_point_machine(p, &m, e));
    assert_string_equal(m->name, "web01");
    assert_int_equal(m->cpus, 3);
    assert_int_equal(m->memory_bytes, 5ull << 30);
    assert_int_equal(m->firmware, FIRMWARE_UEFI);
    assert_true(m->secure_boot);
    assert_string_equal(m->nics.v[0].mac, "02:00:00:00:00:01");
    assert_string_equal(m->nics.v[0].model, "virtio");
    assert_null(m->nics.v[0].network);
    machine_free(m);
    repo_point_free(p);
    repo_free(r);
    free(d.data);
}

/* ---- many threads, as the mover's workers ---- */

#define N_THREADS 4

struct share {
    pthread_t thread;
    struct sink *sink;           /* write to it, or */
    struct source *source;       /* read all of it */
    const struct kit_disk *disk; /* borrowed */
    unsigned me;
    int r;
    struct err e;
};

static int write_share(struct share *x)
{
    uint64_t step = x->sink->block_bytes, size = x->disk->size;

    for (uint64_t at = x->me * step; at < size; at += N_THREADS * step) {
        size_t n = size - at < step ? (size_t)(size - at) : (size_t)step;
        const unsigned char *p = x->disk->data + at;

        if (kit_is_zero(p, n) ? x->sink->ops->zero(x->sink, at, n, &x->e) < 0
                              : x->sink->ops->write(x->sink, p, n, at, &x->e) < 0)
            return -1;
    }
    return 0;
}

/* Each thread its part of the units. */
static int read_share(struct share *x)
{
    struct source *s = x->source;
    void *buf = NULL;
    struct unit u;
    int r = 0;

    assert_int_equal(posix_memalign(&buf, 4096, 4 << 20), 0);
    for (uint64_t at = 0, n = 0; at < s->size_bytes && r == 0; at += u.len, n++) {
        r = source_unit_at(s, at, 4 << 20, &u, &x->e);
        if (r == 0 && u.kind == UNIT_DATA && n % N_THREADS == x->me)
            r = source_fetch(s, &u, buf, &x->e);
    }
    free(buf);
    return r;
}

static void *share_main(void *arg)
{
    struct share *x = arg;

    x->r = x->sink ? write_share(x) : read_share(x);
    return NULL;
}

static void run_threads(struct sink *sink, struct source *source,
                        const struct kit_disk *d)
{
    struct share x[N_THREADS] = {0};

    for (unsigned i = 0; i < N_THREADS; i++) {
        x[i] = (struct share){.sink = sink, .source = source, .disk = d, .me = i};
        assert_int_equal(pthread_create(&x[i].thread, NULL, share_main, &x[i]), 0);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_join(x[i].thread, NULL);
        if (x[i].r < 0)
            fail_msg("%s", x[i].e.msg);
    }
}

static void test_many_threads(void **state)
{
    struct repo_key *k = kit_key();
    struct repo_options ro = {.key = k};
    struct repo_backup_options o = {.chunk_bytes = 64 << 10, .crypt = REPO_CRYPT_ENCRYPT};
    struct kit_disk d = kit_make_disk(60 * 65536 + 5, 65536);
    struct repo_name n = kit_name("", "threads");
    struct repo_verify_options vo = {0};
    struct repo_verify_stats vs;
    struct repo_damages damages = {0};
    struct repo_backup_stats st;
    struct machine *m = kit_machine("threads");
    struct repo_backup *b = NULL;
    struct repo_verify *v = NULL;
    struct sink *s = NULL;
    struct repo *r = NULL;

    assert_ok(repo_open_dir(kit_path("store2"), REPO_CREATE, &ro, &r, e));
    assert_ok(repo_backup_begin(r, &n, &o, &b, NULL, e));
    assert_ok(repo_backup_disk(b, "drive-scsi0.img", d.size, NULL, &s, e));
    run_threads(s, NULL, &d);
    assert_ok(repo_backup_finish(b, m, &st, e));
    assert_int_equal(st.chunks, 61);
    repo_backup_free(b);
    machine_free(m);
    assert_ok(kit_restore(r, "threads", d.data, d.size, e));
    assert_ok(repo_verify_begin(r, NULL, &vo, &v, e));
    run_threads(NULL, repo_verify_source(v), NULL);
    assert_ok(repo_verify_finish(v, &vs, &damages, e));
    assert_int_equal(damages.n, 0);
    assert_true(vs.points >= 1 && vs.points_bad == 0);
    repo_verify_free(v);
    free(d.data);
    repo_free(r);
    repo_key_free(k);
}

/* A server's collection holds the lock: we wait for it, and it for us. */
static void test_out_of_the_way_of_a_collection(void **state)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct repo_backup_options o = {0};
    struct repo_name n = kit_name("", "gc");
    struct repo_backup *b = NULL;
    struct repo *r = NULL;
    int fd, status;
    pid_t pid;

    assert_ok(repo_open_dir(kit_path("store2"), REPO_CREATE, NULL, &r, e));
    fd = open(kit_path("store2/.lock"), O_RDWR);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &l), 0);
    assert_fails(repo_backup_begin(r, &n, &o, &b, NULL, e), ERR_BUSY,
                 "garbage collection");
    close(fd);
    assert_ok(repo_backup_begin(r, &n, &o, &b, NULL, e));
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        /* As a server asks: a POSIX lock. */
        fd = open(kit_path("store2/.lock"), O_RDWR);
        _exit(fcntl(fd, F_SETLK, &l) == 0 ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    repo_backup_free(b);
    repo_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_zeros_only_and_none),
        cmocka_unit_test(test_incremental),
        cmocka_unit_test(test_bases_that_do_not_fit_are_named),
        cmocka_unit_test(test_unwritten_chunks_are_noticed_and_removed),
        cmocka_unit_test(test_many_make_the_same_repository_at_once),
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_machine_survives),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_out_of_the_way_of_a_collection),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
