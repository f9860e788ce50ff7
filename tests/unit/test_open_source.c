/* Sources by name: what is a recovery point and what a path, which point a name stands
 * for, and that a password is found where it should be. */
#include "test.h"

#include "base/io.h"
#include "base/str.h"
#include "flow/params.h"

static char dir[64];
static char ds[4096], key[4096], small[4096];

static int setup(void **state)
{
    const char *data = getenv("HOTADD_TEST_DATA");

    snprintf(dir, sizeof dir, "/tmp/hotadd-open-XXXXXX");
    if (!data || !mkdtemp(dir))
        return -1;
    snprintf(ds, sizeof ds, "%s/pbs/ds", data);
    snprintf(key, sizeof key, "%s/pbs/key.json", data);
    snprintf(small, sizeof small, "%s/pbs/small.raw", data);
    return 0;
}

static int teardown(void **state)
{
    struct err e;

    return io_remove_tree(dir, &e);
}

static const char *password_file(const char *text)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/password", dir);
    assert_ok(io_write_file_atomic(path, text, strlen(text), 0600, e));
    return path;
}

static void test_what_is_a_point_and_what_a_path(void **state)
{
    static const char *const points[] = {"web01", "web01.ova", "prod/vm/web01@latest",
                                         "web01@2026-01-02T03:04:05Z#2"};
    static const char *const paths[] = {"/x/web01.ova", "./web01.ova", "../web01.ova",
                                        "nbd://host/web01"};
    struct source_spec spec = {.repo = {.at = "/backup"}};

    for (size_t i = 0; i < 4; i++) {
        spec.source = points[i];
        assert_true(source_is_point(&spec));
        spec.source = paths[i];
        assert_false(source_is_point(&spec));
    }
    spec = (struct source_spec){.source = "web01"};
    assert_false(source_is_point(&spec));
}

/* `text` reads the content of a point's disk. */
static void expect_small(const struct flow_source *s)
{
    auto_buf struct buf want = BUF_INIT;
    struct source *disk = s->machine->disks.v[0].source;
    auto_free void *scratch = NULL, *got = NULL;

    assert_ok(io_read_file(small, 1 << 20, &want, e));
    assert_int_equal(disk->size_bytes, want.len);
    got = malloc(want.len);
    assert_int_equal(posix_memalign(&scratch, 4096, disk->unit_max_bytes), 0);
    assert_ok(source_pread(disk, got, want.len, 0, scratch, e));
    assert_memory_equal(got, want.data, want.len);
}

static void test_a_name_is_pinned_to_its_point(void **state)
{
    auto_flow_source struct flow_source first = {0}, again = {0};
    struct source_spec spec = {
        .source = "101",
        .repo = {.at = ds, .key = key, .password_file = password_file("unused\nmore\n")}};

    assert_ok(flow_source_open(&spec, NULL, &first, e));
    assert_non_null(first.point);
    assert_string_equal(first.pinned, "vm/101@2026-01-02T03:04:06Z");
    expect_small(&first);
    spec.source = first.pinned;
    assert_ok(flow_source_open(&spec, NULL, &again, e));
    assert_string_equal(again.pinned, first.pinned);
}

static void test_one_disk_of_a_point(void **state)
{
    auto_flow_source struct flow_source s = {0}, none = {0}, two = {0};
    struct source_spec spec = {.source = "101@2026-01-02T03:04:05Z#1",
                               .repo = {.at = ds}};

    assert_ok(flow_source_open_disk(&spec, NULL, NULL, &s, e));
    assert_string_equal(s.pinned, "vm/101@2026-01-02T03:04:05Z#1");
    expect_small(&s);
    /* What is pinned names one disk: its first is itself, and it has no second. */
    spec.source = s.pinned;
    assert_ok(flow_source_open_disk(&spec, "1", NULL, &none, e));
    assert_fails(flow_source_open_disk(&spec, "2", NULL, &two, e), ERR_USAGE,
                 "has one disk only");
    spec.source = "101@2026-01-02T03:04:05Z";
    assert_fails(flow_source_open_disk(&spec, "scsi9", NULL, &two, e), ERR_USAGE,
                 "has no disk \"scsi9\"; it has 1 (");
}

static void test_namespaces(void **state)
{
    auto_flow_source struct flow_source s = {0}, wrong = {0};
    struct source_spec spec = {.source = "100", .repo = {.at = ds, .ns = "prod/eu"}};

    assert_ok(flow_source_open(&spec, NULL, &s, e));
    assert_string_equal(s.pinned, "prod/eu/vm/100@2026-01-02T03:04:05Z");
    spec.repo.ns = "prod/us";
    spec.source = s.pinned;
    assert_fails(flow_source_open(&spec, NULL, &wrong, e), ERR_USAGE,
                 "--ns says prod/us");
}

static const char *make_key(const char *password)
{
    struct secret *secret = NULL;
    static char path[128];

    snprintf(path, sizeof path, "%s/key.json", dir);
    assert_ok(secret_new(password, strlen(password), &secret, e));
    assert_ok(repo_key_create(path, REPO_KDF_PBKDF2, secret, e));
    secret_free(secret);
    return path;
}

static void test_keys_and_passwords(void **state)
{
    struct source_spec spec = {.source = "101@2026-01-02T03:04:06Z", .repo = {.at = ds}};
    auto_flow_source struct flow_source a = {0}, b = {0}, c = {0}, d = {0};

    unsetenv(KEY_PASSWORD_ENV);
    assert_fails(flow_source_open(&spec, NULL, &a, e), ERR_DENIED, "encrypted");
    spec.repo.key = key;
    assert_ok(flow_source_open(&spec, NULL, &b, e));
    expect_small(&b);
    spec.repo.key = make_key("right");
    assert_fails(flow_source_open(&spec, NULL, &c, e), ERR_DENIED,
                 "no password was given (HOTADD_KEY_PASSWORD");
    /* The password is found in the environment: the key opens, and is another key. */
    setenv(KEY_PASSWORD_ENV, "right", 1);
    assert_fails(flow_source_open(&spec, NULL, &d, e), ERR_DENIED, "encrypted with key");
    /* A file that is named is meant. */
    spec.repo.password_file = password_file("wrong");
    assert_fails(flow_source_open(&spec, NULL, &d, e), ERR_DENIED, "password");
    unsetenv(KEY_PASSWORD_ENV);
}

static void test_what_cannot_be(void **state)
{
    auto_flow_source struct flow_source a = {0}, b = {0}, c = {0}, d = {0};
    struct source_spec spec = {.source = "101", .format = "raw", .repo = {.at = ds}};

    assert_fails(flow_source_open(&spec, NULL, &a, e), ERR_USAGE, "--format");
    spec = (struct source_spec){.source = "999", .repo = {.at = ds}};
    assert_fails(flow_source_open(&spec, NULL, &b, e), ERR_NOT_FOUND, "");
    spec = (struct source_spec){.source = "101", .repo = {.at = "s3://bucket"}};
    assert_fails(flow_source_open(&spec, NULL, &c, e), ERR_USAGE,
                 "the datastore's name is missing");
    spec = (struct source_spec){.source = "a b", .repo = {.at = ds}};
    assert_fails(flow_source_open(&spec, NULL, &d, e), ERR_USAGE, "a b");
}

/* A job's words in the journal open the same again; the password is none of them. */
static void test_words_survive_the_journal(void **state)
{
    struct restore_params p = {0}, back = {0};
    auto_flow_source struct flow_source s = {0};
    json_auto_t *o = NULL;
    struct source_spec spec;
    struct err err;

    assert_ok(str_set(&p.source, "101", e));
    assert_ok(str_set(&p.repo, ds, e));
    assert_ok(str_set(&p.key, key, e));
    assert_ok(str_set(&p.key_password_file, password_file("unused"), e));
    o = restore_params_json(&p, &err);
    assert_non_null(o);
    assert_ok(restore_params_from_json(o, &back, e));
    spec = restore_params_source(&back, "vm/101@2026-01-02T03:04:06Z");
    assert_ok(flow_source_open(&spec, NULL, &s, e));
    expect_small(&s);
    restore_params_release(&p);
    restore_params_release(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_a_point_and_what_a_path),
        cmocka_unit_test(test_a_name_is_pinned_to_its_point),
        cmocka_unit_test(test_one_disk_of_a_point),
        cmocka_unit_test(test_namespaces),
        cmocka_unit_test(test_keys_and_passwords),
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_words_survive_the_journal),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
