#include "test.h"

#include "disk/extent.h"

#include <unistd.h>

#define DISK 512

/* A random set must agree with a plain array of flags. */
static void test_agrees_with_a_bitmap(void **state)
{
    unsigned seed = (unsigned)getpid();

    print_message("# seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 200; round++) {
        auto_extent_set struct extent_set s = {0};
        unsigned char map[DISK] = {0};

        for (int i = 0; i < 20; i++) {
            uint64_t o = (uint64_t)rand() % DISK, n = (uint64_t)rand() % (DISK - o + 1);

            n = n > 40 ? n % 40 : n;
            assert_ok(extent_set_add(&s, o, n, e));
            memset(map + o, 1, n);
        }
        for (uint64_t o = 0, n; o < DISK; o += n) {
            bool in = extent_set_at(&s, o, DISK - o, &n);

            assert_true(n > 0);
            for (uint64_t i = o; i < o + n; i++)
                assert_int_equal(map[i], in);
            assert_true(o + n == DISK || map[o + n] != map[o]);
        }
        for (size_t i = 1; i < s.n; i++)
            assert_true(s.v[i - 1].offset + s.v[i - 1].len < s.v[i].offset);
    }
}

static void test_covers_needs_every_byte(void **state)
{
    auto_extent_set struct extent_set s = {0};

    assert_ok(extent_set_add(&s, 10, 10, e));
    assert_ok(extent_set_add(&s, 20, 10, e));
    assert_int_equal(s.n, 1);
    assert_true(extent_set_covers(&s, 10, 20));
    assert_false(extent_set_covers(&s, 10, 21));
    assert_false(extent_set_covers(&s, 9, 2));
    assert_int_equal(extent_set_bytes(&s), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_a_bitmap),
        cmocka_unit_test(test_covers_needs_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
