/* The parts of the mover that need no threads: zero runs, throttle, rate, ETA. */
#include "mover_test.h"

#include "base/clock.h"
#include "mover/pace.h"
#include "mover/plan.h"
#include "mover/zero.h"

static void test_runs_cover_all_data_and_no_long_hole(void **state)
{
    for (int round = 0; round < 300; round++) {
        size_t len = 1 + (size_t)rand() % 600000, pos = 0, at, n, last = 0;
        auto_free unsigned char *buf = calloc(1, len);

        fill_random(buf, len);
        while (diff_next(buf, NULL, len, 4096, &pos, &at, &n)) {
            assert_true(n > 0 && at % 4096 == 0 && at >= last && at + n <= len);
            assert_true(n % 4096 == 0 || at + n == len);
            assert_true(mem_is_zero(buf + last, at - last));
            /* A run begins and ends with data, and holds no hole worth skipping. */
            assert_false(mem_is_zero(buf + at, n < 4096 ? n : 4096));
            if (last)
                assert_true(at - last >= ZERO_MIN_HOLE_BYTES);
            last = at + n;
        }
        assert_true(mem_is_zero(buf + last, len - last));
    }
}

static void test_short_hole_is_written_long_one_is_not(void **state)
{
    auto_free unsigned char *buf = calloc(1, 512 << 10);
    size_t pos = 0, at, n;

    buf[0] = buf[60 << 10] = buf[200 << 10] = 1;
    assert_true(diff_next(buf, NULL, 512 << 10, 4096, &pos, &at, &n));
    assert_int_equal(at, 0);
    assert_int_equal(n, 64 << 10);
    assert_true(diff_next(buf, NULL, 512 << 10, 4096, &pos, &at, &n));
    assert_int_equal(at, 200 << 10);
    assert_int_equal(n, 4096);
    assert_false(diff_next(buf, NULL, 512 << 10, 4096, &pos, &at, &n));
}

/* Whatever the block: runs hold every byte that differs and leave every long stretch. */
static void test_runs_cover_all_that_differs_from_a_base(void **state)
{
    for (int round = 0; round < 100; round++) {
        size_t len = 1 + (size_t)rand() % 600000, pos = 0, at, n, last = 0;
        size_t block = 4096u << rand() % 6;
        auto_free unsigned char *buf = calloc(1, len), *base = malloc(len);

        fill_random(buf, len);
        memcpy(base, buf, len);
        for (int i = rand() % 10; i > 0; i--)
            base[(size_t)rand() % len] ^= 1;
        while (diff_next(buf, base, len, block, &pos, &at, &n)) {
            assert_true(n > 0 && at % block == 0 && at >= last && at + n <= len);
            assert_true(n % block == 0 || at + n == len);
            assert_memory_equal(buf + last, base + last, at - last);
            assert_true(memcmp(buf + at, base + at, n < block ? n : block) != 0);
            last = at + n;
        }
        assert_memory_equal(buf + last, base + last, len - last);
    }
}

static void test_zero_scan_sees_every_byte(void **state)
{
    static unsigned char buf[9000];

    for (size_t i = 0; i < sizeof buf; i += 7) {
        buf[i] = 1;
        assert_false(zero_all(buf, sizeof buf));
        buf[i] = 0;
    }
    assert_true(zero_all(buf, sizeof buf));
    assert_true(zero_all(buf, 0));
}

static void test_throttle_spaces_grants_by_the_rate(void **state)
{
    struct throttle t = {.bytes_per_s = 1000};
    uint64_t now = 100 * NS_PER_S;

    /* A tenth of a second may be borrowed from the past. */
    assert_int_equal(throttle_take(&t, now, 1000), 0);
    assert_int_equal(throttle_take(&t, now, 1000), NS_PER_S * 9 / 10);
    assert_int_equal(throttle_take(&t, now, 500), NS_PER_S * 19 / 10);
    assert_int_equal(throttle_take(&t, now + NS_PER_S * 24 / 10, 1), 0);
}

static void test_pause_earns_no_more_than_the_burst(void **state)
{
    struct throttle t = {.bytes_per_s = 1000};

    assert_int_equal(throttle_take(&t, NS_PER_S, 100), 0);
    assert_int_equal(throttle_take(&t, 1000 * NS_PER_S, 1000), 0);
    assert_int_equal(throttle_take(&t, 1000 * NS_PER_S, 1), NS_PER_S * 9 / 10);
}

static void test_throttle_survives_extreme_numbers(void **state)
{
    struct throttle slow = {.bytes_per_s = 1}, none = {0};

    assert_int_equal(throttle_take(&none, 5, UINT64_MAX), 0);
    assert_int_equal(throttle_take(&slow, NS_PER_S, UINT64_MAX), 0);
    assert_true(throttle_take(&slow, NS_PER_S, UINT64_MAX) > 1000 * NS_PER_S);
}

static void test_rate_is_over_the_last_samples(void **state)
{
    struct meter m = {0};

    assert_int_equal(meter_rate(&m), 0);
    for (uint64_t i = 0; i < 100; i++)
        meter_add(&m, i * NS_PER_S, i < 50 ? i * 1000 : 50000 + (i - 50) * 10);
    assert_int_equal(meter_rate(&m), 10);
}

static void test_eta_by_hint_and_by_position(void **state)
{
    struct eta_facts f = {.done_bytes = 500,
                          .total_bytes = 1000,
                          .data_bytes = 100,
                          .data_total_bytes = 300,
                          .bytes_per_s = 10};

    assert_int_equal(eta_seconds(&f), 20);
    f.data_total_bytes = UINT64_MAX;
    assert_int_equal(eta_seconds(&f), 10);
    f.start_bytes = 400;
    assert_int_equal(eta_seconds(&f), 50);
    f.bytes_per_s = 0;
    assert_int_equal(eta_seconds(&f), UINT64_MAX);
    f.done_bytes = 1000;
    assert_int_equal(eta_seconds(&f), 0);
}

static unsigned asked;

static int zeros_to_the_end(struct source *s, uint64_t offset, uint64_t limit_bytes,
                            struct unit *ret, struct err *e)
{
    asked++;
    *ret = (struct unit){.offset = offset, .len = s->size_bytes - offset};
    return 0;
}

/* Finding where they end may take the source as long as they are. */
static void test_a_long_run_of_zeros_is_asked_for_once(void **state)
{
    static const struct source_ops ops = {.name = "zeros", .unit_at = zeros_to_the_end};
    struct source from = {.ops = &ops,
                          .size_bytes = 1ull << 40,
                          .unit_align = 4096,
                          .unit_max_bytes = 1 << 20,
                          .desc = (char *)(uintptr_t) "zeros"};
    struct sink to = {.size_bytes = 1ull << 40, .align = 4096};
    struct plan_facts facts = {.source = &from, .sink = &to};
    struct err why = ERR_INIT;
    uint64_t at = 0;
    struct task t;
    struct plan p;

    assert_ok(plan_init(&p, &facts, plan_min_slot(&facts), e));
    asked = 0;
    while (plan_next(&p, &t, &why) > 0) {
        assert_int_equal(t.kind, TASK_ZERO);
        assert_int_equal(t.offset, at);
        assert_in_range(t.len, 1, TASK_MAX_ZERO_BYTES);
        at += t.len;
    }
    assert_int_equal(at, 1ull << 40);
    assert_int_equal(asked, 1);
    plan_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_cover_all_data_and_no_long_hole),
        cmocka_unit_test(test_short_hole_is_written_long_one_is_not),
        cmocka_unit_test(test_runs_cover_all_that_differs_from_a_base),
        cmocka_unit_test(test_zero_scan_sees_every_byte),
        cmocka_unit_test(test_throttle_spaces_grants_by_the_rate),
        cmocka_unit_test(test_pause_earns_no_more_than_the_burst),
        cmocka_unit_test(test_throttle_survives_extreme_numbers),
        cmocka_unit_test(test_rate_is_over_the_last_samples),
        cmocka_unit_test(test_eta_by_hint_and_by_position),
        cmocka_unit_test(test_a_long_run_of_zeros_is_asked_for_once),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
