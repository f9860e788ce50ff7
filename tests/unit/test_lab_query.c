#include "test.h"

#include "lab/query.h"

#include "base/str.h"

static void parse(const char *text, struct query *q)
{
    assert_ok(query_parse("", 0, text, strlen(text), q, e));
}

static void malformed(const char *text, const char *why)
{
    struct query q;

    assert_fails(query_parse("", 0, text, strlen(text), &q, e), ERR_CLOUD, why);
}

static void test_lists_and_structures_become_a_tree(void **state)
{
    struct query q;
    json_t *filters;

    parse("Action=X&Filter.2.Name=b&Filter.1.Name=tag%3Aa&Filter.1.Value.10=z&"
          "Filter.1.Value.2=y+1&Placement.AvailabilityZone=us-east-1a",
          &q);
    filters = q_list(q.tree, "Filter");
    assert_int_equal(json_array_size(filters), 2);
    assert_string_equal(q_str(json_array_get(filters, 0), "Name"), "tag:a");
    assert_string_equal(
        json_string_value(json_array_get(q_list(json_array_get(filters, 0), "Value"), 0)),
        "y 1");
    assert_string_equal(q_str(q_sub(q.tree, "Placement"), "AvailabilityZone"),
                        "us-east-1a");
    assert_null(q_str(q.tree, "Placement"));
    assert_null(q_list(q.tree, "Nothing"));
    query_release(&q);
}

static void test_url_and_body_are_one_list(void **state)
{
    struct query q;

    assert_ok(query_parse("A=1", 3, "B=2", 3, &q, e));
    assert_string_equal(q_str(q.tree, "A"), "1");
    assert_string_equal(q_str(q.tree, "B"), "2");
    query_release(&q);
}

static void test_malformed_text_is_refused(void **state)
{
    malformed("a=%4", "percent");
    malformed("a=%zz", "percent");
    malformed("a=%00", "NUL");
    malformed("a=%ff", "UTF-8");
    malformed("a=1&a=2", "more than once");
    malformed("a=1&a.1=2", "both");
    malformed("a.1=1&a=2", "more than once");
    malformed("a..b=1", "malformed");
    malformed("a.b.c.d.e.f.g.h.i.j.k=1", "malformed");
}

static void test_too_many_parameters_are_refused(void **state)
{
    auto_buf struct buf b = BUF_INIT;

    for (int i = 0; i <= QUERY_MAX_PARAMS; i++)
        buf_addf(&b, "a.%d=x&", i + 1);
    malformed(buf_str(&b), "more than 2000");
}

static void test_unknown_parameters_are_named(void **state)
{
    struct query q;

    parse("Filter.12.Value.3=x&VolumeId.1=vol-1", &q);
    assert_ok(query_check_known(&q, "VolumeId.N Filter.N.Value.N", e));
    assert_fails(query_check_known(&q, "VolumeId Filter.N.Value.N", e), ERR_CLOUD,
                 "VolumeId.1 is not recognized");
    query_release(&q);
}

static void test_numbers_and_booleans_are_checked(void **state)
{
    json_int_t n = 7;
    bool b = false;
    struct query q;

    parse("Size=10&Big=99999999999999999999&Word=x&Yes=true&Maybe=perhaps", &q);
    assert_ok(q_int(q.tree, "Size", 1, 20, &n, e));
    assert_int_equal(n, 10);
    assert_ok(q_int(q.tree, "Absent", 1, 20, &n, e));
    assert_int_equal(n, 10);
    assert_fails(q_int(q.tree, "Size", 11, 20, &n, e), ERR_CLOUD, "between");
    assert_fails(q_int(q.tree, "Big", 0, 20, &n, e), ERR_CLOUD, "integer");
    assert_fails(q_int(q.tree, "Word", 0, 20, &n, e), ERR_CLOUD, "integer");
    assert_ok(q_bool(q.tree, "Yes", &b, e));
    assert_true(b);
    assert_fails(q_bool(q.tree, "Maybe", &b, e), ERR_CLOUD, "true or false");
    query_release(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_and_structures_become_a_tree),
        cmocka_unit_test(test_url_and_body_are_one_list),
        cmocka_unit_test(test_malformed_text_is_refused),
        cmocka_unit_test(test_too_many_parameters_are_refused),
        cmocka_unit_test(test_unknown_parameters_are_named),
        cmocka_unit_test(test_numbers_and_booleans_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
