/* The client's side of hotadd-guest, against stand-ins written in sh; and the JSON that
 * both sides and --json use. */
#include "test.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/str.h"
#include "guest/guest.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define FINDING(id, state, fix)                                                          \
    "{\"id\":\"" id "\",\"title\":\"t\",\"state\":\"" state "\",\"fix\":\"" fix          \
    "\",\"seen\":\"s\",\"why\":\"w\",\"remedy\":\"r\"}"
#define INFO                                                                             \
    "{\"type\":\"linux\",\"distro\":null,\"major\":12,\"minor\":0,\"boots_bios\":true,"  \
    "\"filesystems\":[{\"mountpoint\":\"/\",\"device\":\"/dev/sda1\",\"type\":\"ext4\"," \
    "\"uuid\":null,\"size_bytes\":5,\"free_bytes\":6}],\"kernels\":[{\"version\":\"6\"," \
    "\"is_default\":true,\"drivers\":[{\"name\":\"nvme\",\"place\":\"module\"}]}],"      \
    "\"findings\":[" FINDING("a", "met", "none") "," FINDING(                            \
        "b", "fixable", "option") "," FINDING("c", "refused", "none") "]}"

struct fixture {
    char dir[64], program[96];
    struct guest_options o;
    struct guest_disk disk;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/hotadd-test-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->program, sizeof f->program, "%s/guest", f->dir);
    f->o.program = f->program;
    f->disk.path = "/dev/null";
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct err e;

    (void)!io_remove_tree(f->dir, &e);
    free(f);
    return 0;
}

static void stand_in(struct fixture *f, const char *script)
{
    auto_buf struct buf b = BUF_INIT;

    buf_addf(&b, "#!/bin/sh\nread -r request\ncd %s\n%s\n", f->dir, script);
    assert_ok(io_write_file_atomic(f->program, b.data, b.len, 0755, e));
}

static void read_back(struct fixture *f, const char *name, struct buf *out)
{
    auto_free char *path = NULL;

    assert_non_null(path = str_fmt(&(struct err)ERR_INIT, "%s/%s", f->dir, name));
    assert_ok(io_read_file(path, 65536, out, e));
}

static void test_a_result_becomes_facts(void **state)
{
    struct fixture *f = *state;
    auto_guest_info struct guest_info *i = NULL;

    stand_in(f, "echo '{\"progress\":{\"what\":\"x\",\"done\":1,\"total\":2}}'\n"
                "echo '{\"result\":" INFO "}'");
    assert_ok(guest_check(&f->disk, 1, &f->o, NULL, NULL, &i, e));
    assert_int_equal(i->major, 12);
    assert_int_equal(i->kernels.v[0].drivers.v[0].place, DRIVER_MODULE);
    assert_string_equal(i->filesystems.v[0].mountpoint, "/");
    assert_null(i->filesystems.v[0].uuid);
    assert_int_equal(guest_info_finding(i, "b")->fix, FINDING_FIX_OPTION);
}

static void test_the_request_names_disks_and_options(void **state)
{
    struct fixture *f = *state;
    struct guest_disk disks[2] = {{.path = "/dev/x y"}, {.nbd_socket = "/s"}};
    auto_guest_info struct guest_info *i = NULL;
    auto_buf struct buf b = BUF_INIT;
    json_auto_t *j = NULL;

    f->o.method = GUEST_IMAGE;
    f->o.profile = GUEST_BOTH;
    f->o.purpose = GUEST_CONVERT;
    f->o.firmware = FIRMWARE_UEFI;
    f->o.fix = true;
    stand_in(f, "printf '%s' \"$request\" >request; echo '{\"result\":" INFO "}'");
    assert_ok(guest_check(disks, 2, &f->o, NULL, NULL, &i, e));
    read_back(f, "request", &b);
    assert_ok(json_parse(b.data, b.len, "request", &j, e));
    assert_string_equal(json_str_or(j, "op", ""), "check");
    json_t *o = json_object_get(j, "options"), *d = json_object_get(j, "disks");
    assert_string_equal(json_str_or(json_array_get(d, 0), "path", ""), "/dev/x y");
    assert_string_equal(json_str_or(json_array_get(d, 1), "socket", ""), "/s");
    assert_string_equal(json_str_or(o, "method", ""), "image");
    assert_string_equal(json_str_or(o, "profile", ""), "both");
    assert_string_equal(json_str_or(o, "firmware", ""), "uefi");
    assert_true(json_bool_or(o, "fix", false));
}

static void test_no_credentials_reach_the_child(void **state)
{
    struct fixture *f = *state;
    auto_guest_info struct guest_info *i = NULL;
    auto_buf struct buf b = BUF_INIT;

    setenv("AWS_SECRET_ACCESS_KEY", "swordfish", 1);
    setenv("AWS_SESSION_TOKEN", "swordfish", 1);
    setenv("LD_PRELOAD", "", 1);
    stand_in(f, "env >env; echo '{\"result\":" INFO "}'");
    assert_ok(guest_check(&f->disk, 1, &f->o, NULL, NULL, &i, e));
    read_back(f, "env", &b);
    assert_null(strstr(buf_str(&b), "AWS"));
    assert_null(strstr(buf_str(&b), "swordfish"));
    assert_null(strstr(buf_str(&b), "LD_PRELOAD"));
    assert_non_null(strstr(buf_str(&b), "LIBGUESTFS_TMPDIR="));
}

static void check_error(struct fixture *f, const char *script, enum err_kind kind,
                        const char *text)
{
    struct guest_info *i = NULL;

    stand_in(f, script);
    assert_fails(guest_check(&f->disk, 1, &f->o, NULL, NULL, &i, e), kind, text);
    assert_null(i);
}

static void test_an_error_keeps_its_kind(void **state)
{
    check_error(*state, "echo '{\"error\":{\"kind\":7,\"message\":\"linux-arch\"}}'",
                ERR_REQUIREMENT, "check the guest: linux-arch");
    check_error(*state, "echo '{\"error\":{\"kind\":999,\"message\":\"odd\"}}'",
                ERR_FAILED, "odd");
}

static void test_an_end_without_answer_quotes_the_child(void **state)
{
    check_error(*state, "echo 'supermin: no kernel' >&2; exit 1", ERR_FAILED,
                "without an answer, exit 1: supermin: no kernel");
    check_error(*state, "kill -9 $$", ERR_FAILED, "without an answer, signal 9");
}

static void test_an_answer_that_is_no_json_is_refused(void **state)
{
    check_error(*state, "echo hello", ERR_INPUT, "answer: hotadd-guest: not JSON");
    check_error(*state, "echo '{\"result\":{}}'", ERR_INPUT, "\"major\" is missing");
}

static void test_a_missing_program_is_named(void **state)
{
    struct fixture *f = *state;
    struct guest_info *i = NULL;

    assert_fails(guest_check(&f->disk, 1, &f->o, NULL, NULL, &i, e), ERR_SYS, f->program);
}

/* The stand-in's own child is in its group and must go with it. */
static void check_group_is_gone(struct fixture *f)
{
    auto_buf struct buf b = BUF_INIT;
    pid_t pid;

    read_back(f, "pid", &b);
    pid = (pid_t)strtol(buf_str(&b), NULL, 10);
    assert_true(pid > 1);
    for (int i = 0; i < 100 && kill(pid, 0) == 0; i++) {
        auto_free char *path = str_fmt(&(struct err)ERR_INIT, "/proc/%d/stat", pid);
        auto_buf struct buf stat = BUF_INIT;
        struct err e = ERR_INIT;

        /* Killed, but nobody reaps orphans in some containers. */
        if (io_read_file(path, 4096, &stat, &e) < 0 || strstr(buf_str(&stat), ") Z "))
            return;
        usleep(20000);
    }
    assert_int_equal(kill(pid, 0), -1);
}

static void test_the_deadline_ends_child_and_appliance(void **state)
{
    struct fixture *f = *state;

    f->o.deadline_ns = NS_PER_S / 2;
    check_error(f, "sleep 100 & echo $! >pid; wait", ERR_TIMEOUT, "in time");
    check_group_is_gone(f);
}

static void *cancel_soon(void *c)
{
    usleep(300000);
    cancel_request(c);
    return NULL;
}

static void test_cancellation_ends_child_and_appliance(void **state)
{
    struct fixture *f = *state;
    struct guest_info *i = NULL;
    struct cancel c;
    pthread_t t;

    stand_in(f, "trap '' TERM; sleep 100 & echo $! >pid; wait; sleep 100");
    assert_ok(cancel_init(&c, e));
    assert_int_equal(pthread_create(&t, NULL, cancel_soon, &c), 0);
    assert_fails(guest_check(&f->disk, 1, &f->o, &c, NULL, &i, e), ERR_CANCELLED, "");
    pthread_join(t, NULL);
    check_group_is_gone(f);
    cancel_release(&c);
}

static void test_no_disk_is_our_callers_mistake(void **state)
{
    struct fixture *f = *state;
    struct guest_info *i = NULL;

    assert_fails(guest_check(NULL, 0, &f->o, NULL, NULL, &i, e), ERR_USAGE, "one disk");
}

/* ---- JSON and verdicts ---- */

static void test_facts_survive_json(void **state)
{
    json_auto_t *in = NULL, *out = NULL;
    auto_guest_info struct guest_info *i = NULL, *j = NULL;
    struct err err = ERR_INIT;

    assert_ok(json_parse(INFO, strlen(INFO), "x", &in, e));
    assert_ok(guest_info_from_json(in, &i, e));
    out = guest_info_json(i, &err);
    assert_non_null(out);
    assert_ok(guest_info_from_json(out, &j, e));
    json_auto_t *again = guest_info_json(j, &err);
    assert_true(json_equal(out, again));
}

static void test_a_report_survives_json(void **state)
{
    static const char text[] =
        "{\"dry_run\":true,\"edits\":[{\"path\":\"/etc/fstab\",\"what\":\"w\",\"why\":"
        "\"y\",\"done\":false}],\"changed\":[\"/a\"],\"info\":" INFO "}";
    json_auto_t *in = NULL, *out = NULL;
    auto_guest_report struct guest_report *r = NULL;
    struct err err = ERR_INIT;

    assert_ok(json_parse(text, strlen(text), "x", &in, e));
    assert_ok(guest_report_from_json(in, &r, e));
    assert_true(r->dry_run);
    assert_string_equal(r->edits.v[0].path, "/etc/fstab");
    assert_string_equal(r->changed.v[0], "/a");
    out = guest_report_json(r, &err);
    assert_true(json_equal(json_object_get(in, "edits"), json_object_get(out, "edits")));
}

static void test_what_blocks(void **state)
{
    struct guest_options convert = {.purpose = GUEST_CONVERT},
                         fix = {.purpose = GUEST_CONVERT, .fix = true},
                         restore = {.purpose = GUEST_RESTORE, .fix = true};
    struct finding ours = {.state = FINDING_FIXABLE, .fix = FINDING_FIX_CONVERT},
                   users = {.state = FINDING_FIXABLE, .fix = FINDING_FIX_OPTION},
                   refused = {.state = FINDING_REFUSED},
                   unknown = {.state = FINDING_UNKNOWN};

    assert_false(finding_blocks(&ours, &convert));
    assert_true(finding_blocks(&ours, &restore));
    assert_true(finding_blocks(&users, &convert));
    assert_false(finding_blocks(&users, &fix));
    assert_true(finding_blocks(&refused, &fix));
    assert_false(finding_blocks(&unknown, &convert));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_result_becomes_facts),
        TEST(test_the_request_names_disks_and_options),
        TEST(test_no_credentials_reach_the_child),
        TEST(test_an_error_keeps_its_kind),
        TEST(test_an_end_without_answer_quotes_the_child),
        TEST(test_an_answer_that_is_no_json_is_refused),
        TEST(test_a_missing_program_is_named),
        TEST(test_the_deadline_ends_child_and_appliance),
        TEST(test_cancellation_ends_child_and_appliance),
        TEST(test_no_disk_is_our_callers_mistake),
        cmocka_unit_test(test_facts_survive_json),
        cmocka_unit_test(test_a_report_survives_json),
        cmocka_unit_test(test_what_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
