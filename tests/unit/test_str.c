#include "test.h"

#include "base/auto.h"
#include "base/json.h"
#include "base/str.h"

static void test_sizes_with_units(void **state)
{
    uint64_t v;

    assert_ok(str_to_bytes("10G", &v, e));
    assert_int_equal(v, 10ull << 30);
    assert_ok(str_to_bytes("3MiB", &v, e));
    assert_int_equal(v, 3u << 20);
    assert_ok(str_to_bytes("512", &v, e));
    assert_int_equal(v, 512);
    assert_fails(str_to_bytes("10X", &v, e), ERR_INPUT, "not a size");
    assert_fails(str_to_bytes("-1", &v, e), ERR_INPUT, "not a number");
    assert_fails(str_to_bytes("99999999999G", &v, e), ERR_INPUT, "too large");
}

static void test_numbers_are_whole(void **state)
{
    uint64_t v = 7;

    assert_fails(str_to_u64("", &v, e), ERR_INPUT, "");
    assert_fails(str_to_u64("12x", &v, e), ERR_INPUT, "not a number");
    assert_fails(str_to_u64("18446744073709551616", &v, e), ERR_INPUT, "too large");
    assert_int_equal(v, 7);
    assert_ok(str_to_u64("18446744073709551615", &v, e));
    assert_true(v == UINT64_MAX);
}

static void test_hex_round_trip(void **state)
{
    unsigned char in[4] = {0, 0x9f, 0xff, 0x10}, out[4];
    char hex[9];

    assert_string_equal(str_hex(hex, in, 4), "009fff10");
    assert_ok(str_unhex("009FfF10", out, 4, e));
    assert_memory_equal(in, out, 4);
    assert_fails(str_unhex("009fff1", out, 4, e), ERR_INPUT, "hex");
    assert_fails(str_unhex("009fff1g", out, 4, e), ERR_INPUT, "hex");
}

static void test_bytes_for_people(void **state)
{
    char out[32];

    assert_string_equal(str_bytes(out, sizeof out, 0), "0 B");
    assert_string_equal(str_bytes(out, sizeof out, 1536), "1.5 KiB");
    assert_string_equal(str_bytes(out, sizeof out, 8ull << 30), "8.0 GiB");
}

static void test_controls_become_blanks(void **state)
{
    /* U+009B is ESC [ in one; U+00A9, U+4E2D and a lone 0xc2 stay. */
    char text[] = "a\033[2J\n\tb\177 \xc2\x9b"
                  "31m \xc2\xa9\xe4\xb8\xad\xc2";

    str_blank_controls(text);
    assert_string_equal(text, "a [2J  b    31m \xc2\xa9\xe4\xb8\xad\xc2");
}

static void test_controls_in_json_become_blanks(void **state)
{
    static const char text[] =
        "{\"n\":7,\"a\":[\"x\\u001b[1m\",{\"b\":\"y\\nz\"}],\"c\":\"\"}";
    json_auto_t *v = NULL;
    auto_free char *out = NULL;

    assert_ok(json_parse(text, strlen(text), "text", &v, e));
    assert_ok(json_blank_controls(v, e));
    assert_ok(json_text(v, &out, e));
    assert_string_equal(out, "{\"n\":7,\"a\":[\"x [1m\",{\"b\":\"y z\"}],\"c\":\"\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_with_units),
        cmocka_unit_test(test_numbers_are_whole),
        cmocka_unit_test(test_hex_round_trip),
        cmocka_unit_test(test_bytes_for_people),
        cmocka_unit_test(test_controls_become_blanks),
        cmocka_unit_test(test_controls_in_json_become_blanks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
