/* What changed since a backup: nothing may count as unchanged that was not said to be. */
#include "test.h"

#include "flow/changed.h"

#include <unistd.h>

#define KIB 1024ull

static int parse(const char *text, size_t n_disks, struct changed_map *m, struct err *e)
{
    return changed_map_init(m, n_disks, e) < 0
               ? -1
               : changed_parse(text, strlen(text), "f", m, e);
}

static void refuse(const char *text, size_t n_disks, const char *why)
{
    auto_changed_map struct changed_map m = {0};

    assert_fails(parse(text, n_disks, &m, e), ERR_INPUT, why);
}

static void expect(const struct changed_disk *d, uint64_t size, uint32_t block,
                   const struct extent *want, size_t n)
{
    auto_extent_set struct extent_set got = {0};

    assert_ok(changed_unchanged(d, size, block, &got, e));
    assert_int_equal(got.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got.v[i].offset, want[i].offset);
        assert_int_equal(got.v[i].len, want[i].len);
    }
}

static void test_lines_name_what_changed(void **state)
{
    auto_changed_map struct changed_map m = {0};

    assert_ok(parse("{\"disk\":1,\"offset\":70000,\"length\":1}\n"
                    "{\"disk\":2,\"offset\":0,\"length\":0,\"why\":\"nothing\"}\n",
                    3, &m, e));
    /* The block of 64 KiB with byte 70000 is the second. */
    expect(&m.v[0], 200 * KIB, 64 * KIB,
           (struct extent[]){{0, 64 * KIB}, {128 * KIB, 72 * KIB}}, 2);
    expect(&m.v[1], 200 * KIB, 64 * KIB, (struct extent[]){{0, 200 * KIB}}, 1);
    /* Nobody spoke of the third. */
    expect(&m.v[2], 200 * KIB, 64 * KIB, NULL, 0);
}

static void test_an_array_and_a_single_disk(void **state)
{
    auto_changed_map struct changed_map m = {0};

    assert_ok(parse(" [ {\"offset\": 0, \"length\": 65536},\n {\"offset\": 131072, "
                    "\"length\": 1} ] ",
                    1, &m, e));
    expect(&m.v[0], 256 * KIB, 64 * KIB,
           (struct extent[]){{64 * KIB, 64 * KIB}, {192 * KIB, 64 * KIB}}, 2);
}

/* VMware answers in pieces; outside of them nothing is known. */
static void test_vmwares_answer(void **state)
{
    auto_changed_map struct changed_map m = {0};
    const char *text =
        "{\"disk\":1,\"_typeName\":\"DiskChangeInfo\",\"startOffset\":0,\"length\":"
        "262144,"
        "\"changedArea\":[{\"start\":65536,\"length\":65536}]}"
        "{\"disk\":1,\"startOffset\":262144,\"length\":131072,\"changedArea\":[]}";

    assert_ok(parse(text, 1, &m, e));
    expect(&m.v[0], 512 * KIB, 64 * KIB,
           (struct extent[]){{0, 64 * KIB}, {128 * KIB, 256 * KIB}}, 2);
}

static void test_what_is_wrong_is_refused(void **state)
{
    refuse("{\"disk\":1", 1, "line 1: not JSON");
    refuse("{\"offset\":0,\"length\":1}\n\nnonsense", 1, "line 3: not JSON");
    refuse("{\"offset\":0,\"length\":1}", 2, "\"disk\" is missing");
    refuse("{\"disk\":0,\"offset\":0,\"length\":1}", 1, "count from 1");
    refuse("{\"disk\":3,\"offset\":0,\"length\":1}", 2, "count from 1 to 2");
    refuse("\n{\"disk\":1,\"length\":1}", 1,
           "the object at line 2: \"offset\" is missing");
    refuse("{\"disk\":1,\"offset\":-1,\"length\":1}", 1,
           "\"offset\" is missing or no whole");
    refuse("{\"disk\":1,\"offset\":1.5,\"length\":1}", 1,
           "\"offset\" is missing or no whole");
    refuse("[{\"offset\":0,\"length\":1}, 7]", 1, "element 2 of the array");
    refuse("{\"startOffset\":0,\"length\":10}", 1, "\"changedArea\" is no array");
    refuse(
        "{\"startOffset\":5,\"length\":10,\"changedArea\":[{\"start\":4,\"length\":1}]}",
        1, "not inside");
    refuse(
        "{\"startOffset\":5,\"length\":10,\"changedArea\":[{\"start\":14,\"length\":2}]}",
        1, "not inside");
    refuse("{\"offset\":1,\"offset\":2,\"length\":1}", 1, "not JSON");
}

static void test_a_change_beyond_the_disk_is_another_disks(void **state)
{
    auto_changed_map struct changed_map m = {0};
    auto_extent_set struct extent_set s = {0};

    assert_ok(parse("{\"offset\":1000,\"length\":24}", 1, &m, e));
    assert_ok(changed_unchanged(&m.v[0], 1024, 512, &s, e));
    assert_fails(changed_unchanged(&m.v[0], 1023, 512, &s, e), ERR_INPUT,
                 "another disk's");
}

/* Random changes against a plain array: a block is unchanged when every byte of it is. */
static void test_agrees_with_a_plain_array(void **state)
{
    enum { SIZE = 1000, BLOCK = 16 };
    unsigned seed = (unsigned)getpid();

    print_message("# seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 300; round++) {
        auto_changed_map struct changed_map m = {0};
        auto_extent_set struct extent_set got = {0};
        bool same[SIZE], all = round % 2;

        assert_ok(changed_map_init(&m, 1, e));
        m.v[0].all_known = all;
        for (int i = 0; i < SIZE; i++)
            same[i] = all;
        for (int i = 0; i < rand() % 12; i++) {
            uint64_t at = (uint64_t)rand() % SIZE, n = (uint64_t)rand() % 200;

            n = n > SIZE - at ? SIZE - at : n;
            assert_ok(extent_set_add(&m.v[0].known, at, n, e));
            for (uint64_t k = at; k < at + n; k++)
                same[k] = true;
        }
        for (int i = 0; i < rand() % 12; i++) {
            uint64_t at = (uint64_t)rand() % SIZE, n = (uint64_t)rand() % 30;

            n = n > SIZE - at ? SIZE - at : n;
            assert_ok(extent_set_add(&m.v[0].changed, at, n, e));
            for (uint64_t k = at; k < at + n; k++)
                same[k] = false;
        }
        assert_ok(changed_unchanged(&m.v[0], SIZE, BLOCK, &got, e));
        for (uint64_t at = 0; at < SIZE; at += BLOCK) {
            uint64_t n = SIZE - at < BLOCK ? SIZE - at : BLOCK;
            bool want = true;

            for (uint64_t k = at; k < at + n; k++)
                want = want && same[k];
            assert_int_equal(extent_set_covers(&got, at, n), want);
        }
        for (size_t i = 0; i < got.n; i++)
            assert_true(got.v[i].offset % BLOCK == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_name_what_changed),
        cmocka_unit_test(test_an_array_and_a_single_disk),
        cmocka_unit_test(test_vmwares_answer),
        cmocka_unit_test(test_what_is_wrong_is_refused),
        cmocka_unit_test(test_a_change_beyond_the_disk_is_another_disks),
        cmocka_unit_test(test_agrees_with_a_plain_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
