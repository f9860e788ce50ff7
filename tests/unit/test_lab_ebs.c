/* Requests and tokens of the lab's EBS direct APIs. */
#include "test.h"

#include "lab/ebs_request.h"

#include "base/str.h"

static const unsigned char key[EBS_KEY_BYTES] = "not the lab's";

static enum ebs_action target(const char *method, const char *path)
{
    struct ebs_target t;
    enum ebs_action a;

    assert_ok(ebs_target_parse(method, path, "", &t, e));
    a = t.action;
    ebs_target_release(&t);
    return a;
}

static void refused(const char *method, const char *path, const char *query,
                    const char *code)
{
    struct err e = ERR_INIT;
    struct ebs_target t;

    assert_int_equal(ebs_target_parse(method, path, query, &t, &e), -1);
    assert_string_equal(e.aws_code, code);
}

static void test_paths_name_operations(void **state)
{
    assert_int_equal(target("GET", "/snapshots/snap-1f/blocks"), EBS_LIST_BLOCKS);
    assert_int_equal(target("GET", "/snapshots/snap-1f/changedblocks"), EBS_LIST_CHANGED);
    assert_int_equal(target("GET", "/snapshots/snap-1f/blocks/7"), EBS_GET_BLOCK);
    assert_int_equal(target("PUT", "/snapshots/snap-1f/blocks/7"), EBS_PUT_BLOCK);
    assert_int_equal(target("POST", "/snapshots"), EBS_START);
    assert_int_equal(target("POST", "/snapshots/completion/snap-1f"), EBS_COMPLETE);
    assert_int_equal(target("POST", "/snapshots/snap-1f/blocks"), EBS_NONE);
    assert_int_equal(target("GET", "/snapshots"), EBS_NONE);
    assert_int_equal(target("GET", "/"), EBS_NONE);
}

static void test_what_is_no_snapshot_or_block_is_refused(void **state)
{
    refused("GET", "/snapshots/vol-1/blocks", "",
            "ValidationException/INVALID_SNAPSHOT_ID");
    refused("GET", "/snapshots/snap-/blocks", "",
            "ValidationException/INVALID_SNAPSHOT_ID");
    refused("GET", "/snapshots/../blocks", "", "ValidationException/INVALID_SNAPSHOT_ID");
    refused("GET", "/snapshots/snap-1/blocks/x", "", "ValidationException/INVALID_BLOCK");
    refused("GET", "/snapshots/snap-1/blocks/134217728", "",
            "ValidationException/INVALID_BLOCK");
    refused("GET", "/snapshots/snap-1/blocks", "a=%ff",
            "ValidationException/INVALID_PARAMETER_VALUE");
}

static void test_query_is_decoded(void **state)
{
    struct err bad = ERR_INIT;
    struct ebs_target t;
    uint64_t n = 5;

    assert_ok(ebs_target_parse("GET", "/snapshots/snap-1/blocks",
                               "pageToken=a%2Bb%3D&maxResults=100&empty&none=", &t, e));
    assert_string_equal(json_str_or(t.query, "pageToken", ""), "a+b=");
    assert_string_equal(json_str_or(t.query, "empty", "?"), "");
    assert_int_equal(ebs_query_number(&t, "maxResults", 1000, &n, &bad), 1);
    assert_int_equal(n, 100);
    assert_int_equal(ebs_query_number(&t, "absent", 1000, &n, &bad), 0);
    assert_int_equal(ebs_query_number(&t, "maxResults", 99, &n, &bad), -1);
    ebs_target_release(&t);
}

static void test_tokens_are_of_one_purpose_and_time(void **state)
{
    unsigned char other[EBS_KEY_BYTES] = "another";
    char token[EBS_TOKEN_LEN];
    uint64_t n = 0;

    ebs_token_make(key, "block snap-1 7", 7, 1000, token);
    assert_int_equal(strlen(token), EBS_TOKEN_LEN - 1);
    assert_true(ebs_token_check(key, "block snap-1 7", token, 999, &n));
    assert_int_equal(n, 7);
    assert_false(ebs_token_check(key, "block snap-1 7", token, 1000, &n));
    assert_false(ebs_token_check(key, "block snap-1 8", token, 999, &n));
    assert_false(ebs_token_check(other, "block snap-1 7", token, 999, &n));
    for (size_t i = 0; token[i]; i++) {
        char was = token[i];

        token[i] = was == 'A' ? 'B' : 'A';
        assert_false(ebs_token_check(key, "block snap-1 7", token, 999, &n));
        token[i] = was;
    }
    assert_false(ebs_token_check(key, "block snap-1 7", "", 999, &n));
}

static void start_refused(const char *body, const char *code)
{
    struct err e = ERR_INIT;
    struct ebs_start s;

    assert_int_equal(ebs_start_parse(body, strlen(body), &s, &e), -1);
    assert_string_equal(e.aws_code, code);
}

static void test_start_takes_what_the_model_allows(void **state)
{
    static const char body[] =
        "{\"VolumeSize\": 8, \"ParentSnapshotId\": \"snap-1f\", \"Timeout\": 10, "
        "\"Description\": \"d\", \"Tags\": [{\"Key\": \"k\", \"Value\": \"\"}]}";
    struct ebs_start s;

    assert_ok(ebs_start_parse(body, strlen(body), &s, e));
    assert_int_equal(s.gib, 8);
    assert_int_equal(s.timeout_min, 10);
    assert_string_equal(s.parent, "snap-1f");
    assert_false(s.has_encrypted);
    ebs_start_release(&s);
    start_refused("[]", "ValidationException/INVALID_PARAMETER_VALUE");
    start_refused("{}", "ValidationException/INVALID_VOLUME_SIZE");
    start_refused("{\"VolumeSize\": \"8\"}", "ValidationException/INVALID_VOLUME_SIZE");
    start_refused("{\"VolumeSize\": 65537}", "ValidationException/INVALID_VOLUME_SIZE");
    start_refused("{\"VolumeSize\": 1, \"Timeout\": 9}",
                  "ValidationException/INVALID_PARAMETER_VALUE");
    start_refused("{\"VolumeSize\": 1, \"ParentSnapshotId\": \"vol-1\"}",
                  "ValidationException/INVALID_SNAPSHOT_ID");
    start_refused("{\"VolumeSize\": 1, \"KmsKeyArn\": \"arn:aws:kms:x\"}",
                  "ValidationException/INVALID_PARAMETER_VALUE");
    start_refused("{\"VolumeSize\": 1, \"Tags\": [{\"Key\": \"aws:x\"}]}",
                  "ValidationException/INVALID_TAG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_name_operations),
        cmocka_unit_test(test_what_is_no_snapshot_or_block_is_refused),
        cmocka_unit_test(test_query_is_decoded),
        cmocka_unit_test(test_tokens_are_of_one_purpose_and_time),
        cmocka_unit_test(test_start_takes_what_the_model_allows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
