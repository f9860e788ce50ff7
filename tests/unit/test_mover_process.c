/* What the mover shares with the rest of its process: memory, other runs, what the kernel
 * allows; and the digest of what was copied. */
#include "mover_test.h"

#include "base/clock.h"
#include "base/str.h"
#include "mover/pool.h"
#include "mover/tree.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define KIB 1024ull
#define MIB (1024 * KIB)

/* ---- the budget ---- */

static void test_later_runs_find_memory_too(void **state)
{
    uint64_t got[5], sum = 0;

    for (int i = 0; i < 5; i++) {
        assert_ok(pool_take(4 * MIB, 64 * MIB, NULL, &got[i], e));
        assert_in_range(got[i], 4 * MIB, 64 * MIB);
        sum += got[i];
    }
    assert_int_equal(got[0], 64 * MIB);
    assert_int_equal(got[1], 64 * MIB);
    assert_int_equal(got[2], 32 * MIB);
    assert_true(sum <= POOL_BYTES);
    for (int i = 0; i < 5; i++)
        pool_give_back(got[i]);
}

static void test_needs_beyond_the_budget_are_refused(void **state)
{
    uint64_t got = 7;

    assert_fails(pool_take(POOL_BYTES + 1, POOL_BYTES + 1, NULL, &got, e), ERR_USAGE,
                 "buffers of");
    assert_int_equal(got, 7);
}

struct taker {
    pthread_t thread;
    uint64_t min_bytes;
    struct cancel *cancel;
    _Atomic pid_t tid;
    _Atomic int order; /* in which it was served; 0: not yet, -1: failed */
};

static _Atomic int served;

static void *take(void *arg)
{
    struct taker *t = arg;
    struct err e = ERR_INIT;
    uint64_t got;

    t->tid = gettid();
    if (pool_take(t->min_bytes, t->min_bytes, t->cancel, &got, &e) < 0) {
        t->order = -1;
        return NULL;
    }
    t->order = ++served;
    pool_give_back(got);
    return NULL;
}

static bool sleeps(pid_t tid)
{
    char path[64], text[128] = "";
    const char *end;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    f = fopen(path, "r");
    if (!f)
        return false;
    if (!fgets(text, sizeof text, f))
        text[0] = 0;
    fclose(f);
    end = strrchr(text, ')');
    return end && str_starts(end, ") S");
}

/* Returns when it waits for its turn. */
static void start(struct taker *t)
{
    assert_int_equal(pthread_create(&t->thread, NULL, take, t), 0);
    for (int i = 0; i < 3; i += t->tid && sleeps(t->tid))
        usleep(20000);
}

/* A small need that came later, and would fit, does not overtake a large one for ever.
 * Both together do not fit: the order in which they had their turn is seen. */
static void test_waiting_runs_are_served_in_order(void **state)
{
    struct taker large = {.min_bytes = 150 * MIB}, small = {.min_bytes = 100 * MIB};
    uint64_t all;

    served = 0;
    assert_ok(pool_take(60 * MIB, 60 * MIB, NULL, &all, e));
    start(&large);
    start(&small);
    assert_int_equal(large.order, 0);
    assert_int_equal(small.order, 0);
    pool_give_back(all);
    pthread_join(large.thread, NULL);
    pthread_join(small.thread, NULL);
    assert_int_equal(large.order, 1);
    assert_int_equal(small.order, 2);
}

static void test_waiting_run_can_be_cancelled(void **state)
{
    struct cancel c;
    struct taker large = {.min_bytes = POOL_BYTES, .cancel = &c},
                 small = {.min_bytes = 1};
    uint64_t some;

    served = 0;
    assert_ok(cancel_init(&c, e));
    assert_ok(pool_take(MIB, MIB, NULL, &some, e));
    start(&large);
    start(&small);
    cancel_request(&c);
    pthread_join(large.thread, NULL);
    pthread_join(small.thread, NULL);
    assert_int_equal(large.order, -1);
    assert_int_equal(small.order, 1);
    pool_give_back(some);
    cancel_release(&c);
}

/* ---- several runs at once ---- */

struct job {
    pthread_t thread;
    struct mem_source *from;
    struct mem_sink *to;
    struct mover_result res;
    int result;
    struct err e;
};

static void *run_job(void *arg)
{
    struct job *j = arg;
    struct mover_disk d = {.source = &j->from->base, .sink = &j->to->base};
    struct mover_options opt = {.check = MOVER_CHECK_BUFFERS};

    j->result = mover_run(&d, 1, &opt, &j->res, &j->e);
    return NULL;
}

/* Each needs 64 MiB at least: three fit, the others wait for them. */
static void test_many_runs_at_once_share_the_budget(void **state)
{
    struct job jobs[8] = {0};

    for (int i = 0; i < 8; i++) {
        jobs[i].from = mem_source_new(MIB + (uint64_t)rand() % MIB, 65536, 0);
        jobs[i].from->base.unit_max_bytes = 32 * MIB;
        jobs[i].to = mem_sink_new(jobs[i].from->base.size_bytes, 512, false);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, run_job, &jobs[i]), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(jobs[i].thread, NULL);
        if (jobs[i].result < 0)
            fail_msg("%s", jobs[i].e.msg);
        assert_copied(jobs[i].from, &jobs[i].to->base);
        source_free(&jobs[i].from->base);
        sink_free(&jobs[i].to->base);
    }
    /* All of it came back. */
    {
        uint64_t all;

        assert_ok(pool_take(POOL_BYTES, POOL_BYTES, NULL, &all, e));
        pool_give_back(all);
    }
}

static void test_failed_run_gives_its_memory_back(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB - 4096, 512, false);
    struct mover_disk d = {.source = &from->base, .sink = &to->base};
    struct mover_options opt = {0};
    struct mover_result res;
    uint64_t all;

    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_REQUIREMENT, "too few");
    assert_ok(pool_take(POOL_BYTES, POOL_BYTES, NULL, &all, e));
    pool_give_back(all);
    source_free(&from->base);
    sink_free(&to->base);
}

/* ---- what the kernel allows ---- */

static void forbid_io_uring(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(77);
}

/* No right to lock memory, and no memory to lock. */
static void forbid_locked_memory(int unused)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2] = {0};
    struct rlimit none = {0};

    if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || syscall(SYS_capset, &head, caps) < 0)
        _exit(77);
}

/* In a child of its own: what is forbidden stays so. Returns what the run says of itself:
 * bit 0 io_uring, bit 1 registered buffers. */
static int copy_under(void (*forbid)(int), int arg)
{
    struct mem_source *from = mem_source_new(5 * MIB + 77, 4096, 0);
    struct sink *to = file_sink_new(5 * MIB + 77, false);
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct mover_disk d = {.source = &from->base, .sink = to};
        struct mover_options opt = {.verify = MOVER_VERIFY_READ_BACK};
        struct mover_result res;
        struct err e = ERR_INIT;

        forbid(arg);
        if (mover_run(&d, 1, &opt, &res, &e) < 0) {
            fprintf(stderr, "# %s\n", e.msg);
            _exit(99);
        }
        _exit(res.io_uring + 2 * res.registered);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip_because("the kernel does not allow io_uring");
    assert_copied(from, to);
    source_free(&from->base);
    sink_free(to);
    return WEXITSTATUS(status);
}

static void test_without_io_uring_the_copy_is_the_same(void **state)
{
    assert_int_equal(copy_under(forbid_io_uring, EPERM), 0);
    assert_int_equal(copy_under(forbid_io_uring, ENOSYS), 0);
    assert_int_equal(copy_under(forbid_io_uring, ENOMEM), 0);
}

static void test_without_locked_memory_the_copy_is_the_same(void **state)
{
    assert_true(copy_under(forbid_locked_memory, 0) < 2);
}

/* ---- the digest ---- */

static void naive_digest(const struct mem_source *m, unsigned char out[SHA256_BYTES])
{
    unsigned char list[16][SHA256_BYTES];
    size_t n = 0;

    for (uint64_t at = 0; at < m->base.size_bytes; at += TREE_PIECE_BYTES) {
        uint64_t left = m->base.size_bytes - at;

        digest_sha256(m->data + at, left < TREE_PIECE_BYTES ? left : TREE_PIECE_BYTES,
                      list[n++]);
    }
    digest_sha256(list, n * SHA256_BYTES, out);
}

static void test_digest_is_the_same_however_the_disk_is_copied(void **state)
{
    for (int i = 0; i < 25; i++) {
        uint64_t size = rand() % 8 == 0 ? 8 * MIB : (uint64_t)rand() % (17 * MIB);
        uint32_t align = 512u << rand() % 8;
        struct mem_source *from = mem_source_new(
            size, align, rand() % 2 ? 0 : align * (1 + (uint32_t)rand() % 8));
        struct mem_sink *to =
            mem_sink_new(size + (uint64_t)rand() % 70000, 512u << rand() % 4, rand() % 2);
        unsigned char want[SHA256_BYTES], got[SHA256_BYTES] = {0};
        struct mover_disk d = {.source = &from->base, .sink = &to->base, .sha256 = got};
        struct mover_options opt = {.workers = 1 + (unsigned)rand() % 4};
        struct mover_result res;

        if (rand() % 2 && size)
            memset(from->data + size / 3, 0, size / 2);
        to->base.block_bytes = rand() % 2 ? (64u << 10) << rand() % 9 : 0;
        naive_digest(from, want);
        assert_ok(mover_run(&d, 1, &opt, &res, e));
        assert_memory_equal(got, want, sizeof want);
        assert_copied(from, &to->base);
        source_free(&from->base);
        sink_free(&to->base);
    }
}

static void test_digest_needs_all_of_the_disk(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB, 512, false);
    auto_extent_set struct extent_set already = {0};
    unsigned char sha256[SHA256_BYTES];
    struct mover_disk d = {
        .source = &from->base, .sink = &to->base, .already = &already, .sha256 = sha256};
    struct mover_options opt = {0};
    struct mover_result res;

    assert_ok(extent_set_add(&already, 0, 4096, e));
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_USAGE, "no digest of a copy");
    source_free(&from->base);
    sink_free(&to->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later_runs_find_memory_too),
        cmocka_unit_test(test_needs_beyond_the_budget_are_refused),
        cmocka_unit_test(test_waiting_runs_are_served_in_order),
        cmocka_unit_test(test_waiting_run_can_be_cancelled),
        cmocka_unit_test(test_many_runs_at_once_share_the_budget),
        cmocka_unit_test(test_failed_run_gives_its_memory_back),
        cmocka_unit_test(test_without_io_uring_the_copy_is_the_same),
        cmocka_unit_test(test_without_locked_memory_the_copy_is_the_same),
        cmocka_unit_test(test_digest_is_the_same_however_the_disk_is_copied),
        cmocka_unit_test(test_digest_needs_all_of_the_disk),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
