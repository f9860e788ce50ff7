#include "test.h"

#include "proxy/slot.h"

static void test_limits_by_what_the_api_says(void **state)
{
    static const struct {
        struct proxy_limit_facts facts;
        uint32_t limit;
    } table[] = {
        /* The API does not say. */
        {{PROXY_NITRO, 0, NULL, 1, 0}, 27},
        {{PROXY_NITRO, 0, NULL, 3, 2}, 23},
        {{PROXY_XEN, 0, NULL, 4, 2}, 40},
        /* Shared, told with and without the primary interface. */
        {{PROXY_NITRO, 28, "shared", 1, 0}, 27},
        {{PROXY_NITRO, 27, "shared", 1, 0}, 27},
        {{PROXY_NITRO, 27, "shared", 3, 1}, 24},
        {{PROXY_NITRO, 16, "shared", 2, 0}, 16},
        {{PROXY_NITRO, 40, "shared", 2, 0}, 38},
        /* Dedicated: nothing else counts. */
        {{PROXY_NITRO, 32, "dedicated", 8, 4}, 32},
        {{PROXY_NITRO, 128, "dedicated", 15, 0}, 128},
        /* An unknown type is taken as shared; more others than slots is no room. */
        {{PROXY_NITRO, 28, "something-new", 2, 0}, 26},
        {{PROXY_NITRO, 28, "shared", 20, 20}, 0},
        {{PROXY_NITRO, 0, NULL, UINT32_MAX, UINT32_MAX}, 0},
        {{PROXY_XEN, 39, NULL, 1, 0}, 39},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (proxy_slot_limit(&table[i].facts) != table[i].limit)
            fail_msg("row %zu: %u, not %u", i, proxy_slot_limit(&table[i].facts),
                     table[i].limit);
}

static void test_names_are_taken_in_order(void **state)
{
    const char *taken[80] = {"/dev/xvda"}, *name;
    size_t n = 1;

    for (; n <= PROXY_SLOT_NAMES; n++) {
        assert_ok(proxy_slot_next(taken, n, 128, &name, e));
        assert_string_equal(name, proxy_slot_names()[n - 1]);
        taken[n] = name;
    }
    assert_string_equal(taken[1], "/dev/sdf");
    assert_string_equal(taken[11], "/dev/sdp");
    assert_string_equal(taken[12], "/dev/xvdba");
    assert_string_equal(taken[63], "/dev/xvdcz");
    assert_fails(proxy_slot_next(taken, n, 128, &name, e), ERR_BUSY, "no device name");
}

static void test_slot_taken_under_another_spelling_is_passed_over(void **state)
{
    const char *const taken[] = {"xvdf", "/dev/xvdg", "/dev/sdh1", "sdi"};
    const char *name, *names[PROXY_SLOT_NAMES];

    assert_ok(proxy_slot_next(taken, 4, 28, &name, e));
    assert_string_equal(name, "/dev/sdj");
    assert_int_equal(proxy_slot_free_names(taken, 4, names), PROXY_SLOT_NAMES - 4);
    assert_string_equal(names[0], "/dev/sdj");
}

static void test_full_proxy_is_told_with_numbers(void **state)
{
    const char *const taken[] = {"/dev/xvda", "/dev/sdf"};
    const char *name;

    assert_fails(proxy_slot_next(taken, 2, 2, &name, e), ERR_BUSY,
                 "2 volumes are attached to the proxy, and its instance type takes 2");
}

static void test_root_device_stands_for_no_slot_of_ours(void **state)
{
    assert_true(proxy_slot_same("/dev/sda1", "/dev/xvda"));
    for (size_t i = 0; i < PROXY_SLOT_NAMES; i++)
        assert_false(proxy_slot_same("/dev/sda1", proxy_slot_names()[i]));
}

static void test_xen_names(void **state)
{
    static const char *const table[][2] = {
        {"/dev/sdf", "xvdf"},   {"/dev/xvdf", "xvdf"},
        {"sdf", "xvdf"},        {"/dev/xvdba", "xvdba"},
        {"/dev/sda1", "xvda1"}, {"/dev/nvme1n1", ""},
        {"/dev/sd/../sda", ""}, {"", ""},
        {"/dev/sd", ""},        {"/dev/sdabc", ""},
        {"/dev/sdf123", ""},
    };
    char out[PROXY_SLOT_NAME_LEN];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_string_equal(proxy_slot_xen_name(table[i][0], out), table[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_by_what_the_api_says),
        cmocka_unit_test(test_names_are_taken_in_order),
        cmocka_unit_test(test_slot_taken_under_another_spelling_is_passed_over),
        cmocka_unit_test(test_full_proxy_is_told_with_numbers),
        cmocka_unit_test(test_root_device_stands_for_no_slot_of_ours),
        cmocka_unit_test(test_xen_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
