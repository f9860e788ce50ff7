#include "mover_test.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static struct mover_disk disk_of(struct mem_source *from, struct sink *to)
{
    return (struct mover_disk){.source = &from->base, .sink = to};
}

/* Sizes that are multiples of nothing, units of all kinds, both ways of writing. */
static void copy_random_disks(bool use_file)
{
    struct mem_source *from[4];
    struct sink *to[4];
    struct mover_disk disks[4];
    struct mover_result res;
    size_t n = 1 + (size_t)rand() % 4;
    struct mover_options opt = {.workers = 1 + (unsigned)rand() % 4,
                                .pool_bytes = (uint64_t)(1 + rand() % 8) * MIB,
                                .check = MOVER_CHECK_BUFFERS,
                                .verify = rand() % 2 ? MOVER_VERIFY_READ_BACK
                                                     : MOVER_VERIFY_NONE,
                                .flush_interval_bytes = 1 + (uint64_t)rand() % MIB};

    for (size_t i = 0; i < n; i++) {
        uint32_t align = 512u << rand() % 8;
        uint32_t max = rand() % 2 ? 0 : align * (1 + (uint32_t)rand() % 8);
        uint64_t size = (uint64_t)rand() % (3 * MIB);
        uint64_t room = size + (rand() % 2 ? 0 : (uint64_t)rand() % (256 * KIB));
        bool known_zero = rand() % 2;

        from[i] = mem_source_new(size, align, max);
        from[i]->show_zeros = rand() % 3;
        to[i] = use_file ? file_sink_new(room, known_zero)
                         : &mem_sink_new(room, 512u << rand() % 4, known_zero)->base;
        disks[i] = disk_of(from[i], to[i]);
    }
    assert_ok(mover_run(disks, n, &opt, &res, e));
    assert_true(res.pool_bytes <= opt.pool_bytes);
    for (size_t i = 0; i < n; i++) {
        assert_copied(from[i], to[i]);
        source_free(&from[i]->base);
        sink_free(to[i]);
    }
}

static void test_random_disks_through_operations(void **state)
{
    for (int i = 0; i < 60; i++)
        copy_random_disks(false);
}

static void test_random_disks_to_files(void **state)
{
    for (int i = 0; i < 40; i++)
        copy_random_disks(true);
}

static void test_io_uring_is_used_where_it_is_there(void **state)
{
    struct mem_source *from = mem_source_new(4 * MIB, 4096, 0);
    struct sink *to = file_sink_new(4 * MIB, true);
    struct mover_disk d = disk_of(from, to);
    struct mover_options opt = {.io = MOVER_IO_OPERATIONS};
    struct mover_result res;

    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_false(res.io_uring);
    assert_copied(from, to);
    opt.io = MOVER_IO_AUTO;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    print_message("# io_uring %d, registered buffers %d\n", res.io_uring, res.registered);
    assert_copied(from, to);
    source_free(&from->base);
    sink_free(to);
}

static void test_zeros_in_data_are_not_written_to_a_fresh_volume(void **state)
{
    struct mem_source *from = mem_source_new(8 * MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(8 * MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {0};
    struct mover_result res;

    memset(from->data, 0, 8 * MIB);
    memset(from->data + 3 * MIB + 5000, 1, 10);
    from->show_zeros = false;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(res.data_bytes, 8 * MIB);
    assert_int_equal(res.written_bytes, 4096);
    assert_int_equal(to->writes, 1);
    assert_copied(from, &to->base);
    source_free(&from->base);
    sink_free(&to->base);
}

/* The first block as it is, then one zero unit to the end of the disk. */
static int sparse_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                          struct unit *ret, struct err *e)
{
    *ret = offset == 0 ? (struct unit){.len = 4096, .kind = UNIT_DATA, .cookie = {0x5a5a}}
                       : (struct unit){.offset = offset, .len = s->size_bytes - offset};
    return 0;
}

static void test_empty_terabyte_costs_nothing(void **state)
{
    struct mem_source *from = mem_source_new(4096, 4096, 0);
    struct mem_sink *to = mem_sink_new(4096, 512, true);
    struct source_ops ops = mem_source_ops;
    struct mover_disk d = disk_of(from, &to->base);
    struct durable_log log = {0};
    struct mover_options opt = {0};
    struct mover_result res;

    memset(from->data, 1, 4096);
    ops.unit_at = sparse_unit_at;
    from->base.ops = &ops;
    from->base.size_bytes = to->base.size_bytes = 1024ull * 1024 * MIB;
    d.durable = durable_note;
    d.durable_ctx = &log;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(from->fetches, 1);
    assert_int_equal(to->writes, 1);
    assert_int_equal(to->zeros, 0);
    assert_int_equal(log.ranges.n, 1);
    assert_int_equal(log.ranges.v[0].len, 1024ull * 1024 * MIB);
    extent_set_release(&log.ranges);
    from->base.size_bytes = to->base.size_bytes = 4096;
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_small_sink_is_refused_untouched(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB - 4096, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {0};
    struct mover_result res;

    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_REQUIREMENT,
                 "vol-0123 has 1044480 bytes, too few for the 1048576 of web01.vmdk");
    assert_int_equal(to->writes, 0);
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_pool_too_small_for_the_units_is_refused(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 65536, 16 * MIB);
    struct mem_sink *to = mem_sink_new(MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {.pool_bytes = 20 * MIB};
    struct mover_result res;

    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_USAGE, "pool of 20971520 bytes");
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_many_workers_stay_within_the_pool(void **state)
{
    struct mem_source *from = mem_source_new(8 * MIB, 65536, 2 * MIB);
    struct mem_sink *to = mem_sink_new(8 * MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {.workers = 64, .pool_bytes = 13 * MIB};
    struct mover_result res;

    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(res.workers, 3);
    assert_true(res.pool_bytes <= 13 * MIB);
    assert_copied(from, &to->base);
    source_free(&from->base);
    sink_free(&to->base);
}

static uint64_t pool_of(struct mem_source *const *from, size_t n)
{
    struct mem_sink *to[2];
    struct mover_disk d[2];
    struct mover_options opt = {.workers = 2};
    struct mover_result res;

    for (size_t i = 0; i < n; i++) {
        to[i] = mem_sink_new(from[i]->base.size_bytes, 512, true);
        d[i] = disk_of(from[i], &to[i]->base);
    }
    assert_ok(mover_run(d, n, &opt, &res, e));
    for (size_t i = 0; i < n; i++) {
        assert_copied(from[i], &to[i]->base);
        sink_free(&to[i]->base);
    }
    return res.pool_bytes;
}

static void test_buffers_are_few_unless_more_pays(void **state)
{
    struct mem_source *from[] = {mem_source_new(20 * MIB, 4096, 0),
                                 mem_source_new(20 * MIB, 65536, 0)};

    assert_int_equal(pool_of(from, 1), 2 * 4 * 2 * MIB);
    assert_int_equal(pool_of(from, 2), 2 * 8 * 2 * MIB);
    from[0]->base.fetch_bytes = 4 * MIB;
    assert_int_equal(pool_of(from, 1), 2 * 4 * 4 * MIB);
    assert_int_equal(pool_of(from, 2), 2 * 8 * 4 * MIB);
    for (size_t i = 0; i < 2; i++)
        source_free(&from[i]->base);
}

static unsigned workers_of(uint32_t source, uint32_t sink, unsigned asked)
{
    struct mem_source *from = mem_source_new(4 * MIB, 65536, 0);
    struct mem_sink *to = mem_sink_new(4 * MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {.workers = asked};
    struct mover_result res;

    from->base.calls_at_once = source;
    to->base.calls_at_once = sink;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_copied(from, &to->base);
    assert_in_range(res.pool_bytes, 1, 64 * MIB);
    source_free(&from->base);
    sink_free(&to->base);
    return res.workers;
}

static void test_more_workers_where_each_waits_for_a_service(void **state)
{
    assert_true(workers_of(40, 0, 0) >= 40);
    assert_true(workers_of(0, 50, 0) >= 50);
    assert_int_equal(workers_of(40, 50, 3), 3);
}

/* ---- faults ---- */

static void test_damaged_unit_stops_the_run_and_is_never_written(void **state)
{
    for (unsigned long n = 1; n < 20; n += 3) {
        struct mem_source *from = mem_source_new(2 * MIB, 4096, 65536);
        struct mem_sink *to = mem_sink_new(2 * MIB, 512, true);
        struct mover_disk d = disk_of(from, &to->base);
        struct mover_options opt = {.workers = 3};
        struct mover_result res;

        from->fail_fetch = n;
        assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_INPUT, "web01.vmdk: grain");
        for (uint64_t i = 0; i < 2 * MIB; i++)
            assert_true(to->cache[i] == 0 || to->cache[i] == from->data[i]);
        source_free(&from->base);
        sink_free(&to->base);
    }
}

static void test_failing_write_stops_the_run(void **state)
{
    for (unsigned long n = 1; n < 20; n += 3) {
        struct mem_source *from = mem_source_new(4 * MIB, 4096, 65536);
        struct mem_sink *to = mem_sink_new(4 * MIB, 512, true);
        struct mover_disk d = disk_of(from, &to->base);
        struct durable_log log = {0};
        struct mover_options opt = {.workers = 3};
        struct mover_result res;

        to->fail_write = n;
        d.durable = durable_note;
        d.durable_ctx = &log;
        assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_SYS, "vol-0123: write");
        /* What is called durable is there. */
        for (size_t i = 0; i < log.ranges.n; i++)
            assert_memory_equal(to->stable + log.ranges.v[i].offset,
                                from->data + log.ranges.v[i].offset, log.ranges.v[i].len);
        extent_set_release(&log.ranges);
        source_free(&from->base);
        sink_free(&to->base);
    }
}

static void test_failing_write_in_io_uring_is_told(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {0};
    struct mover_result res = {0};
    struct err err = ERR_INIT;

    to->base.fd = open("/dev/full", O_RDWR);
    assert_true(to->base.fd >= 0);
    if (mover_run(&d, 1, &opt, &res, &err) == 0 || !res.io_uring) {
        assert_false(res.io_uring);
        close(to->base.fd);
        source_free(&from->base);
        sink_free(&to->base);
        skip_because("the kernel does not allow io_uring");
    }
    assert_int_equal(err.kind, ERR_NOSPACE);
    assert_non_null(strstr(err.msg, "vol-0123: write of"));
    close(to->base.fd);
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_failing_zero_stops_the_run(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(2 * MIB, 512, false);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {0};
    struct mover_result res;

    to->fail_zero = 1;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_SYS, "vol-0123: zero");
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_nothing_since_the_last_good_flush_is_durable_after_a_failed_one(
    void **state)
{
    for (unsigned long n = 1; n < 5; n++) {
        struct mem_source *from = mem_source_new(4 * MIB, 4096, 65536);
        struct mem_sink *to = mem_sink_new(4 * MIB, 512, true);
        struct mover_disk d = disk_of(from, &to->base);
        struct durable_log log = {0};
        struct mover_options opt = {
            .workers = 2, .flush_interval_bytes = 1, .max_bytes_per_s = 8 * MIB};
        struct mover_result res;
        struct err err = ERR_INIT;

        to->fail_flush = n;
        d.durable = durable_note;
        d.durable_ctx = &log;
        /* How often it is flushed depends on the machine; the last flush is sure. */
        if (mover_run(&d, 1, &opt, &res, &err) < 0) {
            assert_int_equal(err.kind, ERR_SYS);
            assert_non_null(strstr(err.msg, "vol-0123: flush"));
            assert_int_equal(to->flushes, n);
            assert_int_equal(log.calls, n - 1);
        } else {
            assert_true(to->flushes < n);
        }
        for (size_t i = 0; i < log.ranges.n; i++)
            assert_memory_equal(to->stable + log.ranges.v[i].offset,
                                from->data + log.ranges.v[i].offset, log.ranges.v[i].len);
        extent_set_release(&log.ranges);
        source_free(&from->base);
        sink_free(&to->base);
    }
}

static void test_journal_that_cannot_take_ranges_stops_the_run(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 65536);
    struct mem_sink *to = mem_sink_new(MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct durable_log log = {.fail_call = 1};
    struct mover_options opt = {0};
    struct mover_result res;

    d.durable = durable_note;
    d.durable_ctx = &log;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_NOSPACE, "journal: no space left");
    extent_set_release(&log.ranges);
    source_free(&from->base);
    sink_free(&to->base);
}

static int unit_beyond_the_disk(struct source *s, uint64_t offset, uint64_t limit_bytes,
                                struct unit *ret, struct err *e)
{
    *ret = (struct unit){.offset = offset, .len = s->size_bytes, .kind = UNIT_ZERO};
    return 0;
}

static int unit_beyond_the_limit(struct source *s, uint64_t offset, uint64_t limit_bytes,
                                 struct unit *ret, struct err *e)
{
    *ret = (struct unit){.offset = offset, .len = limit_bytes + 4096, .kind = UNIT_DATA};
    return 0;
}

static int unit_elsewhere(struct source *s, uint64_t offset, uint64_t limit_bytes,
                          struct unit *ret, struct err *e)
{
    *ret = (struct unit){.offset = offset + 4096, .len = 4096, .kind = UNIT_DATA};
    return 0;
}

static int unit_of_nothing(struct source *s, uint64_t offset, uint64_t limit_bytes,
                           struct unit *ret, struct err *e)
{
    *ret = (struct unit){.offset = offset, .len = 0, .kind = UNIT_ZERO};
    return 0;
}

static int unit_off_the_grid(struct source *s, uint64_t offset, uint64_t limit_bytes,
                             struct unit *ret, struct err *e)
{
    *ret = (struct unit){.offset = offset, .kind = UNIT_ZERO};
    ret->len = s->size_bytes - offset < 4608 ? s->size_bytes - offset : 4608;
    return 0;
}

static void test_source_that_lies_about_units_is_refused(void **state)
{
    int (*const lies[])(struct source *, uint64_t, uint64_t, struct unit *,
                        struct err *) = {unit_beyond_the_limit, unit_elsewhere,
                                         unit_of_nothing, unit_beyond_the_disk,
                                         unit_off_the_grid};

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct mem_source *from = mem_source_new(16 * MIB, 4096, 0);
        struct mem_sink *to = mem_sink_new(16 * MIB, 512, true);
        struct source_ops ops = mem_source_ops;
        struct mover_disk d = disk_of(from, &to->base);
        auto_extent_set struct extent_set already = {0};
        struct mover_options opt = {0};
        struct mover_result res;

        /* Not at the beginning, where a unit of the disk's size would be right. */
        assert_ok(extent_set_add(&already, 0, 4096, e));
        d.already = &already;
        ops.unit_at = lies[i];
        from->base.ops = &ops;
        assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_INPUT, "web01.vmdk: a unit of");
        assert_int_equal(to->writes + to->zeros, 0);
        source_free(&from->base);
        sink_free(&to->base);
    }
}

static void test_source_with_impossible_alignment_is_refused(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {0};
    struct mover_result res;

    from->base.unit_align = 3000;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_INPUT, "units aligned to 3000");
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_verify_catches_a_lying_sink(void **state)
{
    struct mem_source *from = mem_source_new(2 * MIB, 4096, 65536);
    struct mem_sink *to = mem_sink_new(2 * MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct durable_log log = {0};
    struct mover_options opt = {.verify = MOVER_VERIFY_READ_BACK};
    struct mover_result res;

    memset(from->data, 7, 2 * MIB);
    to->lie_write = 9;
    d.durable = durable_note;
    d.durable_ctx = &log;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_FAILED,
                 "read back differently from what was written");
    assert_int_equal(log.calls, 0);
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_verify_catches_a_volume_that_was_not_empty(void **state)
{
    struct mem_source *from = mem_source_new(2 * MIB, 4096, 65536);
    struct mem_sink *to = mem_sink_new(2 * MIB, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {.verify = MOVER_VERIFY_READ_BACK};
    struct mover_result res;

    /* Zeros inside a unit are skipped, and still checked. */
    memset(from->data, 0, 2 * MIB);
    from->data[0] = 1;
    from->show_zeros = false;
    to->cache[40000] = 9;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_FAILED, "read back differently");
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_verify_reads_everything_that_was_written(void **state)
{
    struct mem_source *from = mem_source_new(2 * MIB, 4096, 65536);
    struct mem_sink *to = mem_sink_new(2 * MIB, 512, false);
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {.verify = MOVER_VERIFY_READ_BACK};
    struct mover_result res;

    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(res.verified_bytes, 2 * MIB);
    source_free(&from->base);
    sink_free(&to->base);
}

/* ---- cancellation and resume ---- */

static void test_cancelled_copy_stops_and_keeps_what_it_wrote(void **state)
{
    for (int use_file = 0; use_file < 2; use_file++) {
        struct mem_source *from = mem_source_new(8 * MIB, 4096, 16384);
        struct sink *to = use_file ? file_sink_new(8 * MIB, true)
                                   : &mem_sink_new(8 * MIB, 512, true)->base;
        struct mover_disk d = disk_of(from, to);
        struct durable_log log = {0};
        struct cancel c;
        struct mover_options opt = {.workers = 3, .cancel = &c};
        struct mover_result res;

        assert_ok(cancel_init(&c, e));
        from->cancel = &c;
        from->cancel_fetch = 20;
        d.durable = durable_note;
        d.durable_ctx = &log;
        assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_CANCELLED, "interrupted");
        assert_true(from->fetches < 30);
        assert_true(log.ranges.n > 0);

        /* And is resumed from there. */
        opt.cancel = NULL;
        d.already = &log.ranges;
        d.durable = NULL;
        from->cancel = NULL;
        from->cancel_fetch = 0;
        if (!use_file)
            extent_set_release(&((struct mem_sink *)to)->written);
        assert_ok(mover_run(&d, 1, &opt, &res, e));
        assert_true(res.already_bytes > 0);
        assert_copied(from, to);
        extent_set_release(&log.ranges);
        cancel_release(&c);
        source_free(&from->base);
        sink_free(to);
    }
}

/* Stops with an error at a random place, then loses all that was not flushed. */
static void crash_and_resume(void)
{
    uint32_t align = 512u << rand() % 8;
    uint32_t max = rand() % 2 ? 0 : align * (1 + (uint32_t)rand() % 8);
    uint64_t size = 1 + (uint64_t)rand() % (3 * MIB);
    bool known_zero = rand() % 2;
    struct mem_source *from = mem_source_new(size, align, max);
    struct mem_sink *to =
        mem_sink_new(size + (uint64_t)rand() % 9000, 512u << rand() % 4, known_zero);
    struct mover_disk d = disk_of(from, &to->base);
    struct durable_log log = {0};
    struct mover_options opt = {.workers = 1 + (unsigned)rand() % 3,
                                .pool_bytes = 2 * MIB,
                                .flush_interval_bytes = 1,
                                .max_bytes_per_s = 30 * MIB};
    struct mover_result res;
    struct err err = ERR_INIT;

    d.durable = durable_note;
    d.durable_ctx = &log;
    to->fail_write = 1 + (unsigned long)rand() % 20;
    to->fail_flush = rand() % 2 ? 1 + (unsigned long)rand() % 3 : 0;
    if (mover_run(&d, 1, &opt, &res, &err) < 0)
        assert_int_equal(err.kind, ERR_SYS);
    mem_sink_crash(to);
    to->fail_write = to->fail_flush = 0;
    opt.max_bytes_per_s = 0;
    {
        auto_extent_set struct extent_set already = log.ranges;

        log.ranges = (struct extent_set){0};
        d.already = &already;
        assert_ok(mover_run(&d, 1, &opt, &res, e));
        assert_true(res.already_bytes <= size + 9000);
    }
    assert_copied(from, &to->base);
    mem_sink_crash(to);
    assert_copied(from, &to->base);
    extent_set_release(&log.ranges);
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_resume_after_a_crash_gives_an_identical_disk(void **state)
{
    for (int i = 0; i < 60; i++)
        crash_and_resume();
}

static void test_finished_copy_is_not_copied_again(void **state)
{
    struct mem_source *from = mem_source_new(2 * MIB + 777, 512, 0);
    struct mem_sink *to = mem_sink_new(2 * MIB + 8192, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct durable_log log = {0};
    struct mover_options opt = {0};
    struct mover_result res;

    d.durable = durable_note;
    d.durable_ctx = &log;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(log.ranges.n, 1);
    assert_int_equal(log.ranges.v[0].len, 2 * MIB + 777);
    d.already = &log.ranges;
    d.durable = NULL;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(res.already_bytes, 2 * MIB + 777);
    assert_int_equal(res.data_bytes, 0);
    extent_set_release(&log.ranges);
    source_free(&from->base);
    sink_free(&to->base);
}

/* Durable ranges need not end where this source's units do. */
static void test_odd_durable_ranges_are_skipped_to_a_border(void **state)
{
    for (int i = 0; i < 30; i++) {
        uint32_t align = 512u << rand() % 8;
        struct mem_source *from = mem_source_new(MIB + 12345, align, 2 * align);
        struct mem_sink *to = mem_sink_new(2 * MIB, 4096, rand() % 2);
        struct mover_disk d = disk_of(from, &to->base);
        auto_extent_set struct extent_set already = {0};
        struct mover_options opt = {.workers = 2};
        struct mover_result res;

        for (int k = 0; k < 5; k++) {
            uint64_t at = (uint64_t)rand() % MIB, len = 1 + (uint64_t)rand() % 100000;

            len = len < MIB - at ? len : MIB - at;
            assert_ok(extent_set_add(&already, at, len, e));
            memcpy(to->cache + at, from->data + at, len);
        }
        d.already = &already;
        assert_ok(mover_run(&d, 1, &opt, &res, e));
        assert_copied(from, &to->base);
        source_free(&from->base);
        sink_free(&to->base);
    }
}

static int spoil_buffer(struct sink *s, const void *buf, size_t len, uint64_t offset,
                        struct err *e)
{
    ((unsigned char *)(uintptr_t)buf)[len / 2] ^= 1;
    return 0;
}

static void test_buffer_that_changes_under_a_write_is_a_bug_found(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB, 512, true);
    struct sink_ops ops = mem_sink_ops;
    struct mover_disk d = disk_of(from, &to->base);
    struct mover_options opt = {.check = MOVER_CHECK_BUFFERS};
    struct mover_result res;

    ops.write = spoil_buffer;
    to->base.ops = &ops;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_FAILED, "a buffer changed");
    source_free(&from->base);
    sink_free(&to->base);
}

/* ---- progress and fairness ---- */

struct seen {
    struct progress_state last;
    unsigned reports;
    bool backwards;
};

static void note_progress(void *ctx, const struct progress_state *s)
{
    struct seen *seen = ctx;

    seen->backwards |= s->done_bytes < seen->last.done_bytes;
    seen->last = *s;
    seen->reports++;
}

static void test_progress_ends_at_the_total(void **state)
{
    struct mem_source *from = mem_source_new(2 * MIB + 100, 512, 0);
    struct mem_sink *to = mem_sink_new(2 * MIB + 100, 512, true);
    struct mover_disk d = disk_of(from, &to->base);
    struct seen seen = {0};
    struct progress p = {note_progress, &seen};
    struct mover_options opt = {.progress = &p, .what = "restore-data"};
    struct mover_result res;

    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_true(seen.reports >= 2);
    assert_false(seen.backwards);
    assert_int_equal(seen.last.done_bytes, 2 * MIB + 100);
    assert_int_equal(seen.last.total_bytes, 2 * MIB + 100);
    assert_int_equal(seen.last.data_bytes, res.data_bytes);
    assert_int_equal(seen.last.eta_s, 0);
    assert_string_equal(seen.last.what, "restore-data");
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_disks_of_different_size_end_together(void **state)
{
    struct mem_source *from[2] = {mem_source_new(8 * MIB, 16384, 16384),
                                  mem_source_new(1 * MIB, 16384, 16384)};
    struct mem_sink *to[2] = {mem_sink_new(8 * MIB, 512, true),
                              mem_sink_new(1 * MIB, 512, true)};
    struct mover_disk d[2] = {disk_of(from[0], &to[0]->base),
                              disk_of(from[1], &to[1]->base)};
    struct cancel c;
    struct mover_options opt = {.workers = 1, .cancel = &c};
    struct mover_result res;

    assert_ok(cancel_init(&c, e));
    for (int i = 0; i < 2; i++)
        memset(from[i]->data, 1, from[i]->base.size_bytes);
    /* When half of the large one is done, so is half of the small one. */
    from[0]->cancel = &c;
    from[0]->cancel_fetch = 256;
    assert_fails(mover_run(d, 2, &opt, &res, e), ERR_CANCELLED, "");
    assert_in_range(from[1]->fetches, 31, 33);
    cancel_release(&c);
    for (int i = 0; i < 2; i++) {
        source_free(&from[i]->base);
        sink_free(&to[i]->base);
    }
}

/* The one block it is written as is many times the disk. */
static void test_disk_smaller_than_a_block_ends(void **state)
{
    static const uint64_t sizes[] = {1, 512, 1536, 2046, 2047};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct mem_source *from = mem_source_new(sizes[i], 512, 512);
        struct mem_sink *to = mem_sink_new(4096, 4096, true);
        struct mover_disk d = disk_of(from, &to->base);
        struct mover_options opt = {.workers = 1};
        struct mover_result res;

        memset(from->data, 1, sizes[i]);
        assert_ok(mover_run(&d, 1, &opt, &res, e));
        assert_copied(from, &to->base);
        source_free(&from->base);
        sink_free(&to->base);
    }
}

static void test_no_disks_is_done_at_once(void **state)
{
    struct mover_options opt = {0};
    struct mover_result res;

    assert_ok(mover_run(NULL, 0, &opt, &res, e));
    assert_int_equal(res.total_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_disks_through_operations),
        cmocka_unit_test(test_random_disks_to_files),
        cmocka_unit_test(test_io_uring_is_used_where_it_is_there),
        cmocka_unit_test(test_zeros_in_data_are_not_written_to_a_fresh_volume),
        cmocka_unit_test(test_empty_terabyte_costs_nothing),
        cmocka_unit_test(test_small_sink_is_refused_untouched),
        cmocka_unit_test(test_pool_too_small_for_the_units_is_refused),
        cmocka_unit_test(test_many_workers_stay_within_the_pool),
        cmocka_unit_test(test_buffers_are_few_unless_more_pays),
        cmocka_unit_test(test_more_workers_where_each_waits_for_a_service),
        cmocka_unit_test(test_damaged_unit_stops_the_run_and_is_never_written),
        cmocka_unit_test(test_failing_write_stops_the_run),
        cmocka_unit_test(test_failing_write_in_io_uring_is_told),
        cmocka_unit_test(test_failing_zero_stops_the_run),
        cmocka_unit_test(
            test_nothing_since_the_last_good_flush_is_durable_after_a_failed_one),
        cmocka_unit_test(test_journal_that_cannot_take_ranges_stops_the_run),
        cmocka_unit_test(test_source_that_lies_about_units_is_refused),
        cmocka_unit_test(test_source_with_impossible_alignment_is_refused),
        cmocka_unit_test(test_verify_catches_a_lying_sink),
        cmocka_unit_test(test_verify_catches_a_volume_that_was_not_empty),
        cmocka_unit_test(test_verify_reads_everything_that_was_written),
        cmocka_unit_test(test_cancelled_copy_stops_and_keeps_what_it_wrote),
        cmocka_unit_test(test_resume_after_a_crash_gives_an_identical_disk),
        cmocka_unit_test(test_finished_copy_is_not_copied_again),
        cmocka_unit_test(test_odd_durable_ranges_are_skipped_to_a_border),
        cmocka_unit_test(test_buffer_that_changes_under_a_write_is_a_bug_found),
        cmocka_unit_test(test_progress_ends_at_the_total),
        cmocka_unit_test(test_disks_of_different_size_end_together),
        cmocka_unit_test(test_disk_smaller_than_a_block_ends),
        cmocka_unit_test(test_no_disks_is_done_at_once),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
