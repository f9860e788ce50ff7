#include "test.h"

#include "lab/listing.h"
#include "lab/serve.h"
#include "lab/types.h"
#include "lab/volume.h"

#include "base/str.h"

static void test_wildcards(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } t[] = {
        {"", "", true},        {"", "a", false},      {"*", "", true},
        {"*", "abc", true},    {"a*c", "abbc", true}, {"a*c", "abbd", false},
        {"a?c", "abc", true},  {"a?c", "ac", false},  {"*b*", "abc", true},
        {"\\*", "*", true},    {"\\*", "a", false},   {"a*b*c", "axbybzc", true},
        {"ABC", "abc", false}, {"*a", "baaa", true},  {"\\", "x", false},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        if (wildcard_match(t[i].pattern, t[i].text) != t[i].match)
            fail_msg("'%s' and '%s'", t[i].pattern, t[i].text);
}

static void test_a_wildcard_s_cost_is_bounded(void **state)
{
    char pattern[201], text[4001];

    for (int i = 0; i < 200; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[199] = 'b';
    pattern[200] = 0;
    memset(text, 'a', sizeof text - 1);
    text[4000] = 0;
    assert_false(wildcard_match(pattern, text));
}

static void test_paths_walk_into_lists(void **state)
{
    json_t *doc = json_pack("{s:[{s:s}, {s:s, s:b, s:i}]}", "attachmentSet", "instanceId",
                            "i-1", "instanceId", "i-2", "gone", 1, "size", 8);
    json_t *two = json_pack("[s]", "i-2"), *yes = json_pack("[ss]", "no", "true");
    json_t *eight = json_pack("[s]", "8");

    assert_true(listing_path_matches(doc, "attachmentSet.instanceId", two));
    assert_true(listing_path_matches(doc, "attachmentSet.gone", yes));
    assert_true(listing_path_matches(doc, "attachmentSet.size", eight));
    assert_false(listing_path_matches(doc, "attachmentSet", two));
    assert_false(listing_path_matches(doc, "attachmentSet.instanceId.x", two));
    json_decref(doc);
    json_decref(two);
    json_decref(yes);
    json_decref(eight);
}

static void test_device_names(void **state)
{
    assert_true(device_name_ok("/dev/sdf"));
    assert_true(device_name_ok("/dev/sda1"));
    assert_true(device_name_ok("xvdba"));
    assert_true(device_name_ok("sdb15"));
    assert_false(device_name_ok("/dev/sdb16"));
    assert_false(device_name_ok("/dev/hda"));
    assert_false(device_name_ok("/dev/nvme1n1"));
    assert_false(device_name_ok("xvdea"));
    assert_false(device_name_ok("/dev/sd"));
    assert_true(device_names_clash("/dev/sdf", "xvdf"));
    assert_false(device_names_clash("/dev/sdf", "/dev/sdg"));
}

static void test_types_are_described_whole(void **state)
{
    json_t *d;

    for (size_t i = 0; type_at(i); i++) {
        assert_ok(type_document(type_at(i), &d, e));
        assert_string_equal(json_str_or(d, "instanceType", ""), type_at(i)->name);
        assert_true(json_array_size(json_object_get(d, "supportedBootModes")) > 0);
        json_decref(d);
    }
    assert_null(type_find("zz.large"));
    assert_int_equal(type_volume_limit(type_find("m5.large"), 1), 27);
    assert_int_equal(type_volume_limit(type_find("m7i.large"), 3), 32);
}

static void test_only_loopback_is_listened_on(void **state)
{
    int port = -1;

    assert_ok(serve_parse_listen("127.0.0.1:0", &port, e));
    assert_int_equal(port, 0);
    assert_ok(serve_parse_listen("localhost:4566", &port, e));
    assert_int_equal(port, 4566);
    assert_fails(serve_parse_listen("0.0.0.0:80", &port, e), ERR_USAGE, "127.0.0.1 only");
    assert_fails(serve_parse_listen("10.0.0.1:80", &port, e), ERR_USAGE,
                 "127.0.0.1 only");
    assert_fails(serve_parse_listen("127.0.0.1", &port, e), ERR_USAGE, "ADDRESS:PORT");
    assert_fails(serve_parse_listen("127.0.0.1:99999", &port, e), ERR_USAGE,
                 "ADDRESS:PORT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wildcards),
        cmocka_unit_test(test_a_wildcard_s_cost_is_bounded),
        cmocka_unit_test(test_paths_walk_into_lists),
        cmocka_unit_test(test_device_names),
        cmocka_unit_test(test_types_are_described_whole),
        cmocka_unit_test(test_only_loopback_is_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
