/* A writer that is killed at any moment, data that a crash took back, and how much memory
 * large disks take. */
#include "repo_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CHUNK (64u << 10)

static struct repo *open_store(const char *name)
{
    struct repo *r = NULL;

    assert_ok(repo_open_dir(kit_path(name), REPO_CREATE, NULL, &r, e));
    return r;
}

/* Many backups a second: the clock cannot keep up with their times. */
static int64_t next_time(struct repo *r)
{
    struct repo_entries all = {0};
    int64_t newest = 1;

    assert_ok(repo_list(r, NULL, &all, e));
    vec_foreach (x, &all)
        newest = x->time > newest ? x->time : newest;
    repo_entries_release(&all);
    return newest + 1;
}

/* Backs up for ever, with disks that differ; ends only by a signal. */
static void child(unsigned seed)
{
    struct repo_backup_options o = {.chunk_bytes = CHUNK};

    srand(seed);
    for (;;) {
        struct repo *r = open_store("crash");
        struct kit_disk d = kit_make_disk(1 + (uint64_t)rand() % (8 * CHUNK), CHUNK);
        struct repo_backup_stats st;

        o.time = next_time(r);
        kit_back_up(r, "100", &d, &o, NULL, &st);
        free(d.data);
        repo_free(r);
    }
}

static void check_points(struct repo *r, size_t *ret_finished, size_t *ret_unfinished)
{
    struct repo_verify_options opt = {.no_record = true};
    struct repo_verify_stats st;
    struct repo_verify *v = NULL;
    struct repo_damages bad = {0};
    struct repo_entries all = {0};
    unsigned char *bytes = NULL;

    *ret_finished = *ret_unfinished = 0;
    assert_ok(repo_list(r, NULL, &all, e));
    vec_foreach (x, &all) {
        *ret_finished += x->finished;
        *ret_unfinished += !x->finished;
        assert_int_equal(x->finished, x->readable);
    }
    repo_entries_release(&all);
    assert_ok(repo_verify_begin(r, NULL, &opt, &v, e));
    if (repo_verify_source(v))
        assert_ok(kit_read(repo_verify_source(v), &bytes, e));
    assert_ok(repo_verify_finish(v, &st, &bad, e));
    assert_int_equal(bad.n, 0);
    free(bytes);
    repo_verify_free(v);
}

static void test_kill_at_random_moments(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    size_t finished, unfinished, seen_unfinished = 0;
    struct repo *r = open_store("crash");

    repo_free(r);
    printf("# seed %u\n", seed);
    fflush(stdout);
    srand(seed);
    for (unsigned round = 0; round < 20; round++) {
        struct timespec wait = {.tv_nsec = 1000000 + rand() % 60000000};
        struct kit_disk d = kit_make_disk(CHUNK, CHUNK);
        struct repo_backup_options o = {.chunk_bytes = CHUNK};
        struct repo_backup_stats st;
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            child(seed + round);
            _exit(0);
        }
        nanosleep(&wait, NULL);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        r = open_store("crash");
        check_points(r, &finished, &unfinished);
        assert_true(unfinished <= 1);
        seen_unfinished += unfinished;
        o.time = next_time(r);
        kit_back_up(r, "100", &d, &o, NULL, &st);
        check_points(r, &finished, &unfinished);
        assert_int_equal(unfinished, 0);
        assert_ok(kit_restore(r, "100", d.data, d.size, e));
        free(d.data);
        repo_free(r);
    }
    {
        char args[4096];

        /* Nothing else is left: no temporary files, no half indexes. */
        snprintf(args, sizeof args, "%s layout", kit_path("crash"));
        kit_run("\"$a\"/../unit/pbs_reader.py $b", getenv("HOTADD_TEST_DATA"), args);
    }
    printf("# %zu unfinished points were found and cleaned\n", seen_unfinished);
}

/* Another program's unfinished backup may be at work: it is none of ours. */
static void test_unfinished_points_of_others_stay(void **state)
{
    struct repo *r = open_store("crash");
    struct kit_disk d = kit_make_disk(CHUNK, CHUNK);
    struct repo_backup_options o = {.chunk_bytes = CHUNK};
    struct repo_backup_stats st;

    assert_ok(io_mkdir_all(kit_path("crash/vm/55/2020-01-01T00:00:00Z"), 0755, e));
    assert_ok(io_mkdir_all(kit_path("crash/vm/55/2020-01-01T00:00:01Z"), 0755, e));
    assert_ok(io_write_file_atomic(
        kit_path("crash/vm/55/2020-01-01T00:00:01Z/drive.img.tmp_fidx"), "x", 1, 0644,
        e));
    /* Ours, killed in the middle of saying so. */
    assert_ok(io_mkdir_all(kit_path("crash/vm/55/2020-01-01T00:00:02Z"), 0755, e));
    assert_ok(io_write_file_atomic(
        kit_path("crash/vm/55/2020-01-01T00:00:02Z/hotadd-unfinished.tmp_0a1b2c"), "1", 1,
        0644, e));
    assert_ok(
        io_write_file_atomic(kit_path("crash/vm/55/owner.tmp_0a1b2c"), "x", 1, 0644, e));
    kit_back_up(r, "55", &d, &o, NULL, &st);
    assert_int_equal(access(kit_path("crash/vm/55/owner.tmp_0a1b2c"), F_OK), -1);
    assert_int_equal(access(kit_path("crash/vm/55/2020-01-01T00:00:02Z"), F_OK), -1);
    assert_int_equal(access(kit_path("crash/vm/55/2020-01-01T00:00:00Z"), F_OK), -1);
    assert_int_equal(access(kit_path("crash/vm/55/2020-01-01T00:00:01Z"), F_OK), 0);
    free(d.data);
    repo_free(r);
}

/* A run that ended with the machine's power may leave chunks that are cut short: they
 * are there, so the next run must look at them before it relies on them. */
static void test_chunks_cut_short_by_a_crash_are_stored_again(void **state)
{
    struct kit_disk d = {.data = malloc(2 * CHUNK), .size = 2 * CHUNK};
    struct repo_backup_options o = {.chunk_bytes = CHUNK};
    struct repo_name n = kit_name("", "77");
    struct repo_backup_stats st;
    struct repo_backup *b = NULL;
    unsigned char digest[SHA256_BYTES];
    char path[STORE_CHUNK_PATH_LEN], full[4096];
    struct repo *r = open_store("crash");
    struct sink *s = NULL;
    int status;
    pid_t pid;

    for (size_t i = 0; i < d.size; i++)
        d.data[i] = (unsigned char)(i / 1000);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        assert_ok(repo_backup_begin(r, &n, &o, &b, NULL, e));
        assert_ok(repo_backup_disk(b, "drive-scsi0.img", d.size, NULL, &s, e));
        assert_ok(s->ops->write(s, d.data, d.size, 0, e));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    digest_sha256(d.data, CHUNK, digest);
    snprintf(full, sizeof full, "%s/%s", kit_path("crash"),
             store_chunk_path(digest, path));
    assert_int_equal(truncate(full, 40), 0);
    digest_sha256(d.data + CHUNK, CHUNK, digest);
    snprintf(full, sizeof full, "%s/%s", kit_path("crash"),
             store_chunk_path(digest, path));
    assert_int_equal(truncate(full, 0), 0);
    kit_back_up(r, "77", &d, &o, NULL, &st);
    assert_int_equal(st.new_chunks, 2);
    assert_ok(kit_restore(r, "77", d.data, d.size, e));
    free(d.data);
    repo_free(r);
}

/* In a child of its own, so that nobody else's memory is counted. */
static void write_and_open_large(uint64_t size, uint32_t chunk)
{
    struct repo_backup_options o = {.chunk_bytes = chunk};
    struct repo_name n = kit_name("", "large");
    struct machine *m = kit_machine("large"), *back = NULL;
    struct repo *r = open_store("crash");
    struct repo_backup_stats st;
    struct repo_point *p = NULL;
    struct repo_backup *b = NULL;
    struct sink *s = NULL;
    uint64_t at, units = 0;
    struct unit u;

    assert_ok(repo_backup_begin(r, &n, &o, &b, NULL, e));
    assert_ok(repo_backup_disk(b, "drive-scsi0.img", size, NULL, &s, e));
    assert_ok(s->ops->zero(s, 0, size, e));
    assert_ok(repo_backup_finish(b, m, &st, e));
    repo_backup_free(b);
    machine_free(m);
    assert_ok(repo_point_open(r, &n, &p, e));
    assert_ok(repo_point_machine(p, &back, e));
    for (at = 0; at < size; at += u.len, units++) {
        assert_ok(source_unit_at(back->disks.v[0].source, at, 4 << 20, &u, e));
        assert_int_equal(u.kind, UNIT_ZERO);
    }
    assert_int_equal(at, size);
    machine_free(back);
    repo_point_free(p);
    assert_ok(repo_point_remove(r, &n, e));
    repo_free(r);
}

static void test_a_tebibyte_in_little_memory(void **state)
{
    static const uint32_t chunks[] = {4u << 20, 64u << 10};

    for (size_t i = 0; i < 2; i++) {
        struct rusage use;
        int status;
        pid_t pid;

        fflush(stdout);
        pid = fork();
        if (pid == 0) {
            write_and_open_large((1ull << 40) - 777, chunks[i]);
            _exit(0);
        }
        assert_int_equal(wait4(pid, &status, 0, &use), pid);
        assert_int_equal(status, 0);
        printf("# 1 TiB in chunks of %u KiB: %ld MiB\n", chunks[i] >> 10,
               use.ru_maxrss >> 10);
#ifndef __SANITIZE_ADDRESS__
        assert_true(use.ru_maxrss < 40 << 10);
#endif
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tebibyte_in_little_memory),
        cmocka_unit_test(test_kill_at_random_moments),
        cmocka_unit_test(test_unfinished_points_of_others_stay),
        cmocka_unit_test(test_chunks_cut_short_by_a_crash_are_stored_again),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
