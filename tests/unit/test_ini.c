#include "test.h"

#include "aws/ini.h"

static struct aws_ini *parse(const char *text)
{
    struct aws_ini *ini = NULL;

    assert_ok(aws_ini_parse(text, strlen(text), "config", &ini, e));
    return ini;
}

static void assert_value(const struct aws_ini *ini, const char *section, const char *key,
                         const char *sub, const char *want)
{
    const char *v = aws_ini_get(ini, section, key, sub);

    if (!v || strcmp(v, want) != 0)
        fail_msg("[%s] %s: '%s' instead of '%s'", section, key, v ? v : "(nothing)",
                 want);
}

static void test_sections_and_values(void **state)
{
    auto_ini struct aws_ini *ini = parse("# comment\n; another\n[default]\r\n"
                                         "region=eu-west-1\r\n"
                                         "key = a b ; c # d\n\n"
                                         "[profile \"two  words\"]\n"
                                         "region : us-east-1\n"
                                         "empty =\n"
                                         "[ default ]\nregion = last\n");

    assert_value(ini, "default", "region", NULL, "last");
    assert_value(ini, "default", "key", NULL, "a b ; c # d");
    assert_value(ini, "profile two words", "region", NULL, "us-east-1");
    assert_value(ini, "profile two words", "empty", NULL, "");
    assert_null(aws_ini_get(ini, "default", "nothing", NULL));
    assert_true(aws_ini_has(ini, "default"));
    assert_false(aws_ini_has(ini, "two words"));
}

static void test_indented_lines_are_settings_below(void **state)
{
    auto_ini struct aws_ini *ini = parse("[services dev]\n"
                                         "ec2 =\n"
                                         "  endpoint_url = http://localhost:1/?a=b\n"
                                         "s3 =\n"
                                         "\tendpoint_url = http://localhost:2\n"
                                         "  going on\n");

    assert_value(ini, "services dev", "ec2", "endpoint_url", "http://localhost:1/?a=b");
    assert_value(ini, "services dev", "s3", "endpoint_url", "http://localhost:2");
    assert_null(aws_ini_get(ini, "services dev", "endpoint_url", NULL));
}

static void test_long_values_stay_whole(void **state)
{
    char text[5000] = "[a]\nk = ", *p = text + strlen(text);
    auto_ini struct aws_ini *ini = NULL;

    memset(p, 'x', 3000);
    p[3000] = 0;
    ini = parse(text);
    assert_int_equal(strlen(aws_ini_get(ini, "a", "k", NULL)), 3000);
}

static void test_faults_name_the_line_and_not_the_text(void **state)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"key = SECRET\n", "config: line 1: a setting before the first [section]"},
        {"[a\nb = c\n", "config: line 1: a section without ']'"},
        {"[a]\n\nSECRET\n", "config: line 3: neither [section] nor key = value"},
        {"[a]\n= SECRET\n", "config: line 2: a value without a key"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct aws_ini *ini = NULL;
        struct err e = ERR_INIT;

        assert_int_equal(
            aws_ini_parse(bad[i].text, strlen(bad[i].text), "config", &ini, &e), -1);
        assert_string_equal(e.msg, bad[i].message);
        assert_null(ini);
    }
}

static void test_binary_and_huge_files_are_refused(void **state)
{
    struct aws_ini *ini = NULL;
    char *big = calloc(1, AWS_INI_MAX_BYTES + 1);

    memset(big, '#', AWS_INI_MAX_BYTES + 1);
    assert_fails(aws_ini_parse(big, AWS_INI_MAX_BYTES + 1, "config", &ini, e), ERR_INPUT,
                 "at most");
    assert_fails(aws_ini_parse("[a]\n\0", 5, "config", &ini, e), ERR_INPUT, "NUL");
    free(big);
}

static void test_absent_file_is_empty(void **state)
{
    auto_ini struct aws_ini *ini = NULL;

    assert_ok(aws_ini_read("/nonexistent/aws/config", &ini, e));
    assert_false(aws_ini_has(ini, "default"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections_and_values),
        cmocka_unit_test(test_indented_lines_are_settings_below),
        cmocka_unit_test(test_long_values_stay_whole),
        cmocka_unit_test(test_faults_name_the_line_and_not_the_text),
        cmocka_unit_test(test_binary_and_huge_files_are_refused),
        cmocka_unit_test(test_absent_file_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
