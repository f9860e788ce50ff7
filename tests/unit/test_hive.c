/* Hives made by hivekit, changed through hive.h, written and read again. */
#include "hivekit.h"

#include "guest/windows/utf16.h"

static struct hive *empty(void)
{
    auto_buf struct buf b = BUF_INIT;
    struct hive *h;

    hivekit_empty(&b);
    assert_ok(hive_open(b.data, b.len, "TEST", &h, e));
    return h;
}

static struct hive *again(struct hive *h)
{
    auto_buf struct buf b = BUF_INIT;
    struct hive *n;

    assert_ok(hive_bytes(h, &b, e));
    hive_free(h);
    assert_ok(hive_open(b.data, b.len, "TEST", &n, e));
    return n;
}

static void values_survive_writing(void **state)
{
    struct hive *h = empty();
    auto_strv struct strv many = {0}, got = {0};
    auto_free char *s = NULL;
    uint32_t n = 0;

    assert_gives(1, hive_set_u32(h, "A\\B", "Start", 3, e));
    assert_gives(0, hive_set_u32(h, "a\\b", "start", 3, e));
    assert_gives(1, hive_set_u32(h, "A\\B", "Start", 0, e));
    assert_gives(1, hive_set_str(h, "A", "Path", REG_T_EXPAND_SZ,
                                 "%Root%\\gr\xc3\xbc\xc3\x9f", e));
    assert_ok(strv_add(&many, "one", e));
    assert_ok(strv_add(&many, "two", e));
    assert_gives(1, hive_set_strv(h, "A", "Filters", &many, e));
    assert_true(hive_changed(h));
    h = again(h);
    assert_false(hive_changed(h));
    assert_gives(1, hive_get_u32(h, "A\\B", "START", &n, e));
    assert_int_equal(n, 0);
    assert_gives(1, hive_get_str(h, "A", "Path", &s, e));
    assert_string_equal(s, "%Root%\\gr\xc3\xbc\xc3\x9f");
    assert_gives(1, hive_get_strv(h, "A", "Filters", &got, e));
    assert_int_equal(got.n, 2);
    assert_string_equal(got.v[1], "two");
    hive_free(h);
}

static void absent_things_are_absent(void **state)
{
    struct hive *h = empty();
    auto_strv struct strv names = {0};
    uint32_t n = 77;

    assert_gives(0, hive_get_u32(h, "No\\Such", "Value", &n, e));
    assert_int_equal(n, 77);
    assert_gives(0, hive_keys(h, "No", &names, e));
    assert_gives(0, hive_delete_key(h, "No", e));
    assert_gives(0, hive_delete_value(h, "", "Value", e));
    assert_false(hive_changed(h));
    hive_free(h);
}

static void deleting_one_value_keeps_the_others(void **state)
{
    struct hive *h = empty();
    uint32_t n;

    assert_gives(1, hive_set_u32(h, "K", "a", 1, e));
    assert_gives(1, hive_set_u32(h, "K", "b", 2, e));
    assert_gives(1, hive_set_u32(h, "K", "c", 3, e));
    assert_gives(1, hive_delete_value(h, "K", "B", e));
    h = again(h);
    assert_gives(0, hive_get_u32(h, "K", "b", &n, e));
    assert_gives(1, hive_get_u32(h, "K", "a", &n, e));
    assert_gives(1, hive_get_u32(h, "K", "c", &n, e));
    assert_int_equal(n, 3);
    assert_gives(1, hive_delete_key(h, "K", e));
    h = again(h);
    assert_gives(0, hive_has_key(h, "K", e));
    hive_free(h);
}

static void wrong_types_and_damage_are_told(void **state)
{
    struct hive *h = empty();
    uint32_t n;

    assert_gives(1, hive_set_str(h, "K", "Start", REG_T_SZ, "3", e));
    assert_fails(hive_get_u32(h, "K", "Start", &n, e), ERR_INPUT, "K\\Start");
    hive_free(h);
    assert_fails(hive_open("regf", 4, "SYSTEM", &h, e), ERR_INPUT, "SYSTEM");
}

static void utf16_goes_both_ways(void **state)
{
    static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
    auto_buf struct buf wide = BUF_INIT, narrow = BUF_INIT;

    assert_ok(utf8_to_utf16(text, &wide, e));
    assert_int_equal(wide.len, 10);
    utf16_to_utf8(wide.data, wide.len, &narrow);
    assert_string_equal(narrow.data, text);
    assert_fails(utf8_to_utf16("\xc0\x80", &wide, e), ERR_INPUT, "UTF-8");
    buf_reset(&narrow);
    utf16_to_utf8("\x00\xd8z", 3, &narrow);
    assert_string_equal(buf_str(&narrow), "\xef\xbf\xbd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_survive_writing),
        cmocka_unit_test(absent_things_are_absent),
        cmocka_unit_test(deleting_one_value_keeps_the_others),
        cmocka_unit_test(wrong_types_and_damage_are_told),
        cmocka_unit_test(utf16_goes_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
