/* Policies of the lab's roles. */
#include "test.h"

#include "lab/policy.h"

#include "base/str.h"

static void refused(const char *text, enum policy_kind kind, const char *code)
{
    struct err e = ERR_INIT;
    json_t *policy;

    assert_int_equal(policy_parse(text, kind, &policy, &e), -1);
    assert_string_equal(e.aws_code, code);
}

static enum policy_verdict verdict(const char *text, const char *action,
                                   const char *resource)
{
    enum policy_verdict v;
    json_t *policy;

    assert_ok(policy_parse(text, POLICY_PERMISSIONS, &policy, e));
    v = policy_permits(policy, action, resource);
    json_decref(policy);
    return v;
}

static bool trusts(const char *statement)
{
    struct err err = ERR_INIT;
    auto_free char *text = str_fmt(&err, "{\"Statement\": [%s]}", statement);
    json_t *policy;
    bool r;

    assert_ok(policy_parse(text, POLICY_TRUST, &policy, e));
    r = policy_trusts(policy, "vmie.amazonaws.com", "vmimport", "123456789012");
    json_decref(policy);
    return r;
}

static void test_malformed_policies_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"Statement\": []}",
        "{\"Statement\": [{\"Effect\": \"Maybe\", \"Action\": \"*\", \"Resource\": "
        "\"*\"}]}",
        "{\"Statement\": [{\"Effect\": \"Allow\", \"Resource\": \"*\"}]}",
        "{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": []}]}",
        "{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"*\", \"NotAction\": "
        "\"*\","
        " \"Resource\": \"*\"}]}",
        "{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\","
        " \"Principal\": \"*\"}]}",
    };
    auto_free char *large = malloc(POLICY_MAX_BYTES + 2);

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        refused(texts[i], POLICY_PERMISSIONS, "MalformedPolicyDocument");
    refused("{\"Statement\": {\"Effect\": \"Allow\", \"Action\": \"*\"}}", POLICY_TRUST,
            "MalformedPolicyDocument");
    memset(large, ' ', POLICY_MAX_BYTES + 1);
    large[POLICY_MAX_BYTES + 1] = 0;
    refused(large, POLICY_PERMISSIONS, "LimitExceeded");
}

static void test_actions_and_resources_match_by_pattern(void **state)
{
    static const char one[] = "{\"Statement\": {\"Effect\": \"Allow\", \"Action\": "
                              "[\"s3:Get*\", \"ec2:RegisterImage\"], \"Resource\": "
                              "\"arn:aws:s3:::b?cket/*\"}}";
    static const char not_put[] =
        "{\"Statement\": {\"Effect\": \"Allow\", \"NotAction\": "
        "\"s3:Put*\", \"NotResource\": \"arn:aws:s3:::x/*\"}}";

    assert_int_equal(verdict(one, "s3:GetObject", "arn:aws:s3:::bucket/a/b"),
                     POLICY_ALLOWS);
    assert_int_equal(verdict(one, "S3:getobject", "arn:aws:s3:::bucket/"), POLICY_ALLOWS);
    assert_int_equal(verdict(one, "s3:GetObject", "arn:aws:s3:::Bucket/a"),
                     POLICY_SILENT);
    assert_int_equal(verdict(one, "s3:PutObject", "arn:aws:s3:::bucket/a"),
                     POLICY_SILENT);
    assert_int_equal(verdict(one, "s3:GetObject", "arn:aws:s3:::bucket"), POLICY_SILENT);
    assert_int_equal(verdict(not_put, "s3:GetObject", "arn:aws:s3:::y/a"), POLICY_ALLOWS);
    assert_int_equal(verdict(not_put, "s3:PutObject", "arn:aws:s3:::y/a"), POLICY_SILENT);
    assert_int_equal(verdict(not_put, "s3:GetObject", "arn:aws:s3:::x/a"), POLICY_SILENT);
}

static void test_denial_wins_wherever_it_stands(void **state)
{
    static const char text[] =
        "{\"Statement\": [{\"Effect\": \"Deny\", \"Action\": \"s3:GetObject\", "
        "\"Resource\": \"*\"}, {\"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": "
        "\"*\"}]}";

    assert_int_equal(verdict(text, "s3:GetObject", "x"), POLICY_DENIES);
    assert_int_equal(verdict(text, "s3:PutObject", "x"), POLICY_ALLOWS);
}

static void test_conditions_that_are_not_understood_do_not_match(void **state)
{
    static const char text[] =
        "{\"Statement\": {\"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\", "
        "\"Condition\": {\"IpAddress\": {\"aws:SourceIp\": \"10.0.0.0/8\"}}}}";

    assert_int_equal(verdict(text, "s3:GetObject", "x"), POLICY_SILENT);
}

static void test_trust_is_in_the_service_and_its_external_id(void **state)
{
#define WHO "\"Effect\": \"Allow\", \"Action\": \"sts:AssumeRole\", \"Principal\": "
    assert_true(trusts("{" WHO "{\"Service\": \"vmie.amazonaws.com\"}}"));
    assert_true(trusts("{" WHO "{\"Service\": [\"ec2.amazonaws.com\", "
                       "\"vmie.amazonaws.com\"]}, \"Condition\": {\"StringEquals\": "
                       "{\"sts:Externalid\": \"vmimport\"}}}"));
    assert_true(trusts("{" WHO "\"*\"}"));
    assert_false(trusts("{" WHO "{\"Service\": \"ec2.amazonaws.com\"}}"));
    assert_false(trusts("{" WHO "{\"AWS\": \"*\"}}"));
    assert_false(trusts("{" WHO "{\"Service\": \"vmie.amazonaws.com\"}, \"Condition\": "
                        "{\"StringEquals\": {\"sts:Externalid\": \"other\"}}}"));
    assert_false(trusts("{" WHO "{\"Service\": \"vmie.amazonaws.com\"}}, {\"Effect\": "
                        "\"Deny\", \"Action\": \"sts:*\", \"Principal\": \"*\"}"));
#undef WHO
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_policies_are_refused),
        cmocka_unit_test(test_actions_and_resources_match_by_pattern),
        cmocka_unit_test(test_denial_wins_wherever_it_stands),
        cmocka_unit_test(test_conditions_that_are_not_understood_do_not_match),
        cmocka_unit_test(test_trust_is_in_the_service_and_its_external_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
