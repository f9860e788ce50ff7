/* EC2 instances as machines: names of sources, the order of disks, what a journal keeps.
 */
#include "test.h"

#include "base/json.h"
#include "base/str.h"
#include "flow/ec2_backup.h"
#include "flow/ec2_machine.h"

static void test_sources_are_named_by_instance_id(void **state)
{
    static const char *const bad[] = {"ec2://", "ec2://i-", "ec2://web01", "ec2://i-12 3",
                                      "ec2://i-0123/x"};

    assert_string_equal(ec2_source_instance("ec2://i-0123abc"), "i-0123abc");
    assert_null(ec2_source_instance("/ec2/i-0123"));
    assert_ok(ec2_source_check("ec2://i-0123456789abcdef0", e));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(ec2_source_check(bad[i], e), ERR_USAGE, "i-0123456789abcdef0");
}

static void test_devices_are_in_the_order_of_their_letters(void **state)
{
    static const char *const order[] = {"/dev/sda1",  "/dev/sdb",   "xvdf", "/dev/sdg",
                                        "/dev/xvdba", "/dev/xvdbb", NULL};

    /* "a1" is longer than "b": the root is put first by name, not by order. */
    assert_true(ec2_device_order(order[1], order[2]) < 0);
    for (size_t i = 1; order[i + 1]; i++) {
        assert_true(ec2_device_order(order[i], order[i + 1]) < 0);
        assert_true(ec2_device_order(order[i + 1], order[i]) > 0);
    }
    assert_int_equal(ec2_device_order("/dev/sdf", "xvdf"), 0);
}

static void test_a_description_becomes_a_machine(void **state)
{
    json_auto_t *o =
        json_pack("{s:s, s:s, s:i, s:I, s:s, s:[s, s], s:[{s:s, s:s, s:i}, {s:s, s:s, "
                  "s:i}]}",
                  "instance", "i-1", "name", "web01", "cpus", 2, "memory_bytes",
                  (json_int_t)4 << 30, "firmware", "uefi", "nics", "0a:01", "0a:02",
                  "disks", "device", "/dev/sda1", "volume", "vol-1", "size_gib", 8,
                  "device", "/dev/sdf", "volume", "vol-2", "size_gib", 3);
    auto_machine struct machine *m = NULL;

    assert_non_null(o);
    assert_ok(ec2_machine_new(o, &m, e));
    assert_string_equal(m->name, "web01");
    assert_int_equal(m->cpus, 2);
    assert_int_equal(m->memory_bytes, 4ull << 30);
    assert_int_equal(m->firmware, FIRMWARE_UEFI);
    assert_int_equal(m->disks.n, 2);
    assert_string_equal(m->disks.v[1].name, "/dev/sdf");
    assert_int_equal(m->disks.v[1].size_bytes, 3ull << 30);
    assert_int_equal(m->nics.n, 2);
    assert_string_equal(m->nics.v[1].mac, "0a:02");
}

static void test_a_damaged_description_is_refused(void **state)
{
    json_auto_t *no_size =
        json_pack("{s:s, s:[{s:s}]}", "name", "x", "disks", "device", "/dev/sda1");
    json_auto_t *too_big = json_pack("{s:s, s:[{s:s, s:I}]}", "name", "x", "disks",
                                     "device", "/dev/sda1", "size_gib", INT64_MAX);
    struct machine *m = NULL;

    assert_fails(ec2_machine_new(no_size, &m, e), ERR_INPUT, "size_gib");
    assert_fails(ec2_machine_new(too_big, &m, e), ERR_INPUT, "impossible size");
}

/* What a job keeps brings back the same backup, from any folder. */
static void test_words_are_kept_with_whole_paths(void **state)
{
    const struct backup_item item = {.source = "ec2://i-1", .id = "web01"};
    const struct backup_params p = {.repo = {.at = "repo", .key = "/k", .ns = "prod"},
                                    .open = REPO_CREATE,
                                    .zstd_level = -1,
                                    .max_rate = 5,
                                    .drop_snapshots = true};
    struct err err = ERR_INIT;
    json_auto_t *o = ec2_backup_words(&p, &item, &err);
    const char *repo;

    assert_non_null(o);
    repo = json_str_or(o, "repo", "");
    assert_true(*repo == '/' && str_ends(repo, "/repo"));
    assert_string_equal(json_str_or(o, "key", ""), "/k");
    assert_string_equal(json_str_or(o, "vm", ""), "web01");
    assert_int_equal(json_integer_value(json_object_get(o, "level")), -1);
    assert_true(json_bool_or(o, "create", false));
    assert_true(json_bool_or(o, "drop_snapshots", false));
    assert_null(json_object_get(o, "base"));
}

static void test_instances_exclude_what_is_for_images(void **state)
{
    struct backup_item item = {.source = "ec2://i-1"};
    struct backup_params p = {.repo = {.at = "/nowhere"}, .items = &item, .n_items = 1};
    const struct flow_env env = {0};
    json_t *result = NULL;

    p.format = "raw";
    assert_fails(flow_backup(&p, &env, &result, e), ERR_USAGE, "--format");
    p.format = NULL;
    item.changed = "file";
    p.base = "latest";
    assert_fails(flow_backup(&p, &env, &result, e), ERR_USAGE, "EBS itself");
    item.source = "ec2://web01";
    assert_fails(flow_backup(&p, &env, &result, e), ERR_USAGE, "i-0123456789abcdef0");
    assert_null(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources_are_named_by_instance_id),
        cmocka_unit_test(test_devices_are_in_the_order_of_their_letters),
        cmocka_unit_test(test_a_description_becomes_a_machine),
        cmocka_unit_test(test_a_damaged_description_is_refused),
        cmocka_unit_test(test_words_are_kept_with_whole_paths),
        cmocka_unit_test(test_instances_exclude_what_is_for_images),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
