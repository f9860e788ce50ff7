#include "test.h"

#include "base/json.h"
#include "base/str.h"
#include "flow/params.h"
#include "flow/plan.h"

static char *owned(const char *s)
{
    struct err e;
    char *p = str_dup(s, &e);

    assert_non_null(p);
    return p;
}

static void test_params_survive_the_journal(void **state)
{
    struct restore_params p = {.source = owned("/a.ova"), .iops = 4000, .verify = true};
    struct restore_params back = {0};
    json_auto_t *o = NULL;
    struct err err;

    assert_int_equal(vec_push(&p.tags, owned("team=a b"), &err), 0);
    o = restore_params_json(&p, &err);
    assert_non_null(o);
    assert_ok(restore_params_from_json(o, &back, e));
    assert_string_equal(back.source, "/a.ova");
    assert_int_equal(back.iops, 4000);
    assert_true(back.verify);
    assert_false(back.fix);
    assert_null(back.subnet);
    assert_int_equal(back.tags.n, 1);
    assert_string_equal(back.tags.v[0], "team=a b");
    restore_params_release(&p);
    restore_params_release(&back);
}

static void refuse(struct restore_params *p, const char *text)
{
    assert_fails(restore_params_check(p, e), ERR_USAGE, text);
}

static void test_wrong_words_are_refused(void **state)
{
    char *bad_tags[] = {"novalue"}, *ours[] = {"hotadd:job=x"}, *aws[] = {"AWS:x=y"};

    refuse(&(struct restore_params){.finish = "teleport"}, "--finish teleport");
    refuse(&(struct restore_params){.volume_type = "st1"}, "--volume-type st1");
    refuse(&(struct restore_params){.private_ip = "10.0.0"}, "not an IPv4");
    refuse(&(struct restore_params){.throughput = 5000}, "2000 MiB/s");
    refuse(&(struct restore_params){.throughput = 200, .volume_type = "gp2"}, "only gp3");
    refuse(&(struct restore_params){.kms_key = "k"}, "--encrypted");
    refuse(&(struct restore_params){.first_boot = "magic"}, "--first-boot magic");
    refuse(&(struct restore_params){.first_boot = "autologon"}, "--logon-password-file");
    refuse(&(struct restore_params){.logon_user = "me"}, "need --first-boot autologon");
    refuse(&(struct restore_params){.first_boot = "autologon",
                                    .logon_password_file = "/p",
                                    .logon_user = "CORP\\"},
           "write NAME or DOMAIN");
    refuse(&(struct restore_params){.tags = {bad_tags, 1, 1}}, "KEY=VALUE");
    refuse(&(struct restore_params){.tags = {ours, 1, 1}}, "reserved");
    refuse(&(struct restore_params){.tags = {aws, 1, 1}}, "reserved");
    assert_ok(restore_params_check(&(struct restore_params){.finish = "swap"}, e));
}

static void test_plan_survives_the_journal(void **state)
{
    auto_plan struct plan *p = NULL, *back = NULL;
    json_auto_t *o = NULL;
    struct err err;

    assert_ok(plan_new(&p, e));
    assert_ok(plan_set(&p->zone, e, "%s-%s%c", "us-east", "1", 'a'));
    assert_ok(plan_note(p, e, "note %d", 1));
    assert_int_equal(
        vec_push(&p->volumes,
                 ((struct plan_volume){
                     .name = owned("disk1"), .source_bytes = 5, .size_gib = 1}),
                 &err),
        0);
    assert_int_equal(vec_push(&p->security_group_ids, owned("sg-1"), &err), 0);
    p->slot_limit = 27;
    o = plan_json(p, &err);
    assert_non_null(o);
    assert_ok(plan_from_json(o, &back, e));
    assert_string_equal(back->zone, "us-east-1a");
    assert_null(back->carrier_id);
    assert_int_equal(back->slot_limit, 27);
    assert_int_equal(back->volumes.n, 1);
    assert_int_equal(back->volumes.v[0].source_bytes, 5);
    assert_string_equal(back->security_group_ids.v[0], "sg-1");
    assert_int_equal(json_array_size(back->notes), 1);
}

static void test_damaged_plan_is_refused(void **state)
{
    json_auto_t *o = json_pack("{s:[{s:s}]}", "volumes", "name", "x");
    struct plan *p = NULL;

    assert_fails(plan_from_json(o, &p, e), ERR_INPUT, "the plan in the journal");
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_params_survive_the_journal),
        cmocka_unit_test(test_wrong_words_are_refused),
        cmocka_unit_test(test_plan_survives_the_journal),
        cmocka_unit_test(test_damaged_plan_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
