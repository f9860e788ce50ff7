#include "test.h"

#include "base/base64.h"
#include "base/rand.h"

static void test_rfc4648_vectors(void **state)
{
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        auto_buf struct buf b = BUF_INIT, d = BUF_INIT;

        base64_encode(plain[i], strlen(plain[i]), &b);
        assert_string_equal(buf_str(&b), coded[i]);
        assert_ok(base64_decode(coded[i], strlen(coded[i]), &d, e));
        assert_string_equal(buf_str(&d), plain[i]);
    }
}

static void test_random_bytes_come_back(void **state)
{
    unsigned char data[1000];

    for (int i = 0; i < 200; i++) {
        auto_buf struct buf b = BUF_INIT, d = BUF_INIT;
        size_t len = (size_t)rand_below(sizeof data);

        rand_bytes(data, len);
        base64_encode(data, len, &b);
        assert_ok(base64_decode(buf_str(&b), b.len, &d, e));
        assert_int_equal(d.len, len);
        if (len)
            assert_memory_equal(d.data, data, len);
    }
}

static void test_line_breaks_and_missing_padding_are_fine(void **state)
{
    auto_buf struct buf d = BUF_INIT;

    assert_ok(base64_decode("Zm9v\r\nYg", 8, &d, e));
    assert_string_equal(buf_str(&d), "foob");
}

static void test_rubbish_is_refused(void **state)
{
    static const char *const bad[] = {"Zm9*", "Z===", "Zg==Zg", "=", "Zm9vY", "Zg==="};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        auto_buf struct buf d = BUF_INIT;

        assert_fails(base64_decode(bad[i], strlen(bad[i]), &d, e), ERR_INPUT, "base 64");
    }
    auto_buf struct buf d = BUF_INIT;
    assert_fails(base64_decode("Zm\0v", 4, &d, e), ERR_INPUT, "character 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4648_vectors),
        cmocka_unit_test(test_random_bytes_come_back),
        cmocka_unit_test(test_line_breaks_and_missing_padding_are_fine),
        cmocka_unit_test(test_rubbish_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
