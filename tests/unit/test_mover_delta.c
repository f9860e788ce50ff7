/* Sinks that take whole blocks, and copies over a base: what is written, what is not, and
 * that the disk is right in the end. */
#include "mover_test.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static struct mem_source *random_source(uint64_t size)
{
    uint32_t align = 512u << rand() % 8;
    uint32_t max = rand() % 2 ? 0 : align * (1 + (uint32_t)rand() % 8);
    struct mem_source *m = mem_source_new(size, align, max);

    m->show_zeros = rand() % 3;
    return m;
}

/* ---- blocks ---- */

static void copy_to_blocks(void)
{
    uint64_t size = 1 + (uint64_t)rand() % (5 * MIB);
    struct mem_source *from = random_source(size);
    struct mem_sink *to = mem_sink_new(size, 512u << rand() % 4, rand() % 2);
    struct mover_disk d = {.source = &from->base, .sink = &to->base};
    struct mover_options opt = {.workers = 1 + (unsigned)rand() % 3,
                                .pool_bytes = 64 * MIB,
                                .check = MOVER_CHECK_BUFFERS};
    struct mover_result res;

    to->base.block_bytes = (64u << 10) << rand() % 9; /* to 16 MiB */
    to->one_block = true;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_true(res.pool_bytes <= opt.pool_bytes);
    assert_copied(from, &to->base);
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_random_disks_in_blocks_of_all_sizes(void **state)
{
    for (int i = 0; i < 80; i++)
        copy_to_blocks();
}

/* Units of data that a block holds several of are read once each. */
static void test_units_inside_a_block_are_fetched_once(void **state)
{
    struct mem_source *from = mem_source_new(8 * MIB, 4096, 65536);
    struct mem_sink *to = mem_sink_new(8 * MIB, 512, false);
    struct mover_disk d = {.source = &from->base, .sink = &to->base};
    struct mover_options opt = {0};
    struct mover_result res;
    unsigned long units = 0;

    memset(from->data, 1, 8 * MIB);
    for (size_t i = 0; i < 8 * MIB / 4096; i++)
        units += from->cuts[i];
    /* No unit crosses a block. */
    for (size_t i = 0; i < 8 * MIB; i += MIB) {
        units += !from->cuts[i / 4096];
        from->cuts[i / 4096] = 1;
    }
    to->base.block_bytes = MIB;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(from->fetches, units);
    assert_int_equal(to->writes, 8);
    assert_int_equal(res.written_bytes, 8 * MIB);
    assert_copied(from, &to->base);
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_block_of_zeros_is_zeroed_not_written(void **state)
{
    struct mem_source *from = mem_source_new(4 * MIB + 100, 512, 0);
    struct mem_sink *to = mem_sink_new(4 * MIB + 100, 512, false);
    struct mover_disk d = {.source = &from->base, .sink = &to->base};
    struct mover_options opt = {.workers = 1};
    struct mover_result res;

    /* Data units, all zero but for a byte of the second block and one of the last. */
    from->show_zeros = false;
    memset(from->data, 0, 4 * MIB + 100);
    from->data[MIB + 5] = from->data[4 * MIB + 99] = 1;
    to->base.block_bytes = MIB;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(to->writes, 2);
    assert_int_equal(res.written_bytes, MIB + 100);
    assert_int_equal(res.zeroed_bytes, 3 * MIB);
    assert_copied(from, &to->base);
    source_free(&from->base);
    sink_free(&to->base);
}

static void test_pool_too_small_for_the_blocks_is_refused(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB, 512, true);
    struct mover_disk d = {.source = &from->base, .sink = &to->base};
    struct mover_options opt = {.pool_bytes = 20 * MIB};
    struct mover_result res;

    to->base.block_bytes = 16 * MIB;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_USAGE, "pool of 20971520 bytes");
    source_free(&from->base);
    sink_free(&to->base);
}

/* ---- bases ---- */

/* A version of `now` from before: `size` bytes, mostly equal where both are. */
static struct mem_source *version_before(const struct mem_source *now, uint64_t size)
{
    struct mem_source *m = random_source(size);
    uint64_t both = size < now->base.size_bytes ? size : now->base.size_bytes;

    memcpy(m->data, now->data, both);
    for (int i = rand() % 12; i > 0 && both; i--) {
        uint64_t at = (uint64_t)rand() % both, len = 1 + (uint64_t)rand() % 200000;

        len = len < both - at ? len : both - at;
        if (rand() % 3)
            fill_random(m->data + at, len);
        else
            memset(m->data + at, 0, len);
    }
    return m;
}

/* The sink holds the base, and behind it zeros or rubbish. */
static void hold(struct mem_sink *to, const struct mem_source *base)
{
    uint64_t n = base->base.size_bytes < to->base.size_bytes ? base->base.size_bytes
                                                             : to->base.size_bytes;

    memcpy(to->cache, base->data, n);
    memcpy(to->stable, base->data, n);
}

/* Bytes of 4 KiB blocks in which the two differ. */
static uint64_t differing(const struct mem_source *a, const struct mem_source *b)
{
    uint64_t sum = 0;

    for (uint64_t at = 0; at < a->base.size_bytes; at += 4096) {
        uint64_t n = a->base.size_bytes - at < 4096 ? a->base.size_bytes - at : 4096;

        if (memcmp(a->data + at, b->data + at, n) != 0)
            sum += n;
    }
    return sum;
}

static uint64_t random_size(void)
{
    return 1 + (uint64_t)rand() % (3 * MIB);
}

/* Grown, shrunk, with units and zeros in any places. */
static void copy_over_a_base(bool blocks)
{
    uint64_t size = random_size();
    uint64_t before = rand() % 2 ? size : random_size();
    struct mem_source *from = random_source(size), *base = version_before(from, before);
    struct mem_sink *to =
        mem_sink_new(size + (rand() % 2 ? 0 : (uint64_t)rand() % (2 * MIB)),
                     512u << rand() % 4, rand() % 2);
    struct mover_disk d = {.source = &from->base, .sink = &to->base, .base = &base->base};
    struct mover_options opt = {.workers = 1 + (unsigned)rand() % 3,
                                .pool_bytes = 32 * MIB,
                                .check = MOVER_CHECK_BUFFERS,
                                .verify = rand() % 2 ? MOVER_VERIFY_READ_BACK
                                                     : MOVER_VERIFY_NONE};
    struct mover_result res;

    hold(to, base);
    if (blocks)
        to->base.block_bytes = (64u << 10) << rand() % 5;
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_true(res.compared_bytes <= res.total_bytes + before + 16 * MIB);
    assert_copied(from, &to->base);
    source_free(&from->base);
    source_free(&base->base);
    sink_free(&to->base);
}

static void test_random_deltas(void **state)
{
    for (int i = 0; i < 200; i++)
        copy_over_a_base(false);
}

static void test_random_deltas_in_blocks(void **state)
{
    for (int i = 0; i < 60; i++)
        copy_over_a_base(true);
}

static void test_random_deltas_to_files(void **state)
{
    for (int i = 0; i < 30; i++) {
        uint64_t size = random_size();
        struct mem_source *from = random_source(size), *base = version_before(from, size);
        struct sink *to = file_sink_new(size, false);
        struct mover_disk d = {.source = &from->base, .sink = to, .base = &base->base};
        struct mover_options opt = {.workers = 2, .pool_bytes = 8 * MIB};
        auto_free void *old = NULL;
        struct mover_result res;

        assert_int_equal(posix_memalign(&old, 4096, size + 4096), 0);
        memcpy(old, base->data, size);
        assert_ok(to->ops->write(to, old, size, 0, e));
        assert_ok(mover_run(&d, 1, &opt, &res, e));
        assert_copied(from, to);
        source_free(&from->base);
        source_free(&base->base);
        sink_free(to);
    }
}

static void test_only_what_differs_is_written(void **state)
{
    struct mem_source *from = mem_source_new(4 * MIB + 333, 512, 0);
    struct mem_source *base = mem_source_new(4 * MIB + 333, 512, 65536);
    struct mem_sink *to = mem_sink_new(4 * MIB + 333, 512, false);
    struct mover_disk d = {.source = &from->base, .sink = &to->base, .base = &base->base};
    struct mover_options opt = {0};
    struct mover_result res;

    memcpy(base->data, from->data, 4 * MIB + 333);
    /* Far from each other: no gap is worth writing. */
    for (uint64_t at = 1; at < 4 * MIB + 333; at += 300 * KIB)
        base->data[at] ^= 0x40;
    hold(to, base);
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(res.written_bytes + res.zeroed_bytes, differing(from, base));
    assert_copied(from, &to->base);
    source_free(&from->base);
    source_free(&base->base);
    sink_free(&to->base);
}

static void test_equal_disks_cost_no_write(void **state)
{
    struct mem_source *from = random_source(2 * MIB + 5);
    struct mem_source *base = mem_source_new(2 * MIB + 5, 4096, 0);
    struct mem_sink *to = mem_sink_new(2 * MIB + 5, 4096, false);
    struct mover_disk d = {.source = &from->base, .sink = &to->base, .base = &base->base};
    struct mover_options opt = {0};
    struct mover_result res;

    memcpy(base->data, from->data, 2 * MIB + 5);
    hold(to, base);
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(to->writes + to->zeros, 0);
    assert_copied(from, &to->base);
    source_free(&from->base);
    source_free(&base->base);
    sink_free(&to->base);
}

/* The disk had a MiB of data where it has a hole now: that is zeroed, nothing else. */
static void test_data_that_became_zeros_is_zeroed(void **state)
{
    struct mem_source *from = mem_source_new(8 * MIB, 4096, 0);
    struct mem_source *base = mem_source_new(8 * MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(8 * MIB, 4096, true);
    struct mover_disk d = {.source = &from->base, .sink = &to->base, .base = &base->base};
    struct mover_options opt = {.verify = MOVER_VERIFY_READ_BACK};
    struct mover_result res;

    memset(from->data, 0, 8 * MIB);
    memset(base->data, 0, 8 * MIB);
    memset(base->data + 3 * MIB, 7, MIB);
    memset(from->cuts + 1, 0, 8 * MIB / 4096 - 1);
    hold(to, base);
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(res.zeroed_bytes, MIB);
    assert_int_equal(res.written_bytes, 0);
    assert_int_equal(from->fetches, 0);
    assert_copied(from, &to->base);
    source_free(&from->base);
    source_free(&base->base);
    sink_free(&to->base);
}

static void test_known_equal_ranges_are_not_read(void **state)
{
    for (int i = 0; i < 30; i++) {
        struct mem_source *from = mem_source_new(3 * MIB, 4096, 0);
        struct mem_source *base = mem_source_new(3 * MIB, 4096, 0);
        struct mem_sink *to = mem_sink_new(3 * MIB, 512, rand() % 2);
        auto_extent_set struct extent_set already = {0};
        struct mover_disk d = {.source = &from->base,
                               .sink = &to->base,
                               .already = &already,
                               .base = &base->base};
        struct mover_options opt = {.workers = 2};
        struct mover_result res;
        uint64_t run;

        memcpy(base->data, from->data, 3 * MIB);
        for (uint64_t at = 0; at < 3 * MIB; at += 256 * KIB)
            if (rand() % 2)
                assert_ok(extent_set_add(&already, at, 256 * KIB, e));
            else
                base->data[at + 5000] ^= 1;
        hold(to, base);
        assert_ok(mover_run(&d, 1, &opt, &res, e));
        assert_int_equal(res.already_bytes, extent_set_bytes(&already));
        for (size_t k = 0; k < already.n; k++) {
            assert_false(extent_set_at(&from->fetched, already.v[k].offset,
                                       already.v[k].len, &run));
            assert_int_equal(run, already.v[k].len);
            assert_false(extent_set_at(&base->fetched, already.v[k].offset,
                                       already.v[k].len, &run));
            assert_int_equal(run, already.v[k].len);
        }
        assert_copied(from, &to->base);
        source_free(&from->base);
        source_free(&base->base);
        sink_free(&to->base);
    }
}

/* Behind the base's end a sink of unknown contents holds anything: even zeros go out. */
static void test_grown_part_is_written_whatever_it_is(void **state)
{
    struct mem_source *from = mem_source_new(2 * MIB, 4096, 0);
    struct mem_source *base = mem_source_new(MIB + 100, 512, 0);
    struct mem_sink *to = mem_sink_new(3 * MIB, 512, false);
    struct mover_disk d = {.source = &from->base, .sink = &to->base, .base = &base->base};
    struct mover_options opt = {0};
    struct mover_result res;

    memset(from->data, 0, 2 * MIB);
    memcpy(base->data, from->data, MIB + 100);
    hold(to, base);
    assert_ok(mover_run(&d, 1, &opt, &res, e));
    assert_int_equal(res.zeroed_bytes + res.written_bytes, 2 * MIB);
    assert_copied(from, &to->base);
    source_free(&from->base);
    source_free(&base->base);
    sink_free(&to->base);
}

static void test_base_that_is_not_there_fails_the_verification(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_source *base = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB, 512, false);
    struct mover_disk d = {.source = &from->base, .sink = &to->base, .base = &base->base};
    struct mover_options opt = {.verify = MOVER_VERIFY_READ_BACK};
    struct mover_result res;

    memset(from->data, 3, MIB);
    memcpy(base->data, from->data, MIB);
    hold(to, base);
    to->cache[700000] ^= 1;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_FAILED, "read back differently");
    source_free(&from->base);
    source_free(&base->base);
    sink_free(&to->base);
}

static void test_damaged_base_stops_the_run(void **state)
{
    struct mem_source *from = mem_source_new(MIB, 4096, 0);
    struct mem_source *base = mem_source_new(MIB, 4096, 0);
    struct mem_sink *to = mem_sink_new(MIB, 512, false);
    struct mover_disk d = {.source = &from->base, .sink = &to->base, .base = &base->base};
    struct mover_options opt = {0};
    struct mover_result res;

    memset(from->data, 3, MIB);
    memset(base->data, 3, MIB);
    free(base->base.desc);
    base->base.desc = strdup("vm/100/yesterday");
    base->fail_fetch = 1;
    assert_fails(mover_run(&d, 1, &opt, &res, e), ERR_INPUT, "vm/100/yesterday: grain");
    assert_int_equal(to->zeros, 0);
    source_free(&from->base);
    source_free(&base->base);
    sink_free(&to->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_disks_in_blocks_of_all_sizes),
        cmocka_unit_test(test_units_inside_a_block_are_fetched_once),
        cmocka_unit_test(test_block_of_zeros_is_zeroed_not_written),
        cmocka_unit_test(test_pool_too_small_for_the_blocks_is_refused),
        cmocka_unit_test(test_random_deltas),
        cmocka_unit_test(test_random_deltas_in_blocks),
        cmocka_unit_test(test_random_deltas_to_files),
        cmocka_unit_test(test_only_what_differs_is_written),
        cmocka_unit_test(test_equal_disks_cost_no_write),
        cmocka_unit_test(test_data_that_became_zeros_is_zeroed),
        cmocka_unit_test(test_known_equal_ranges_are_not_read),
        cmocka_unit_test(test_grown_part_is_written_whatever_it_is),
        cmocka_unit_test(test_base_that_is_not_there_fails_the_verification),
        cmocka_unit_test(test_damaged_base_stops_the_run),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
