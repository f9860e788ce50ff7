/* The first boot's state machine over a recording stand-in: order, restarts, power cuts
 * at every operation, and what is refused. */
#include "test.h"

#include "core.h"

#include "base/digest.h"
#include "base/str.h"
#include "base/strv.h"

struct fake {
    char plan[8192];
    struct {
        char name[40], text[80];
        unsigned value;
    } params[16];
    size_t n_params;
    struct strv calls, console;
    const char *changed; /* this file is not what was staged */
    const char *fails;   /* a call that contains this does not work */
    const char *wants;   /* a run that contains this exits with … */
    unsigned exit_code;
    const char *restarts;  /* a run that contains this restarts the machine */
    unsigned ops, dies_at; /* 0: never */
    bool gone, kept_files;
    unsigned put_aside; /* settings that a conversion put aside */
    bool password, lsa; /* readable by anyone; by Windows alone */
    jmp_buf power;
};

static void op(struct fake *f)
{
    f->ops++;
    if (f->dies_at && f->ops == f->dies_at)
        longjmp(f->power, 1);
}

static int call(struct fake *f, const char *what, const char *arg)
{
    char line[400];

    snprintf(line, sizeof line, "%s%s%s", what, *arg ? " " : "", arg);
    op(f);
    assert_ok(strv_add(&f->calls, line, e));
    if (f->restarts && strstr(line, f->restarts)) {
        f->restarts = NULL;
        longjmp(f->power, 1);
    }
    return f->fails && strstr(line, f->fails) ? -1 : 0;
}

static long load_plan(void *ctx, char *text, size_t cap)
{
    struct fake *f = ctx;

    op(f);
    snprintf(text, cap, "%s", f->plan);
    return (long)strlen(f->plan);
}

static int hash(void *ctx, const void *data, size_t len, char hex[FB_DIGEST_LEN])
{
    unsigned char d[SHA256_BYTES];

    digest_sha256(data, len, d);
    str_hex(hex, d, sizeof d);
    return 0;
}

/* Each file's contents are its name. */
static int hash_file(void *ctx, const char *path, char hex[FB_DIGEST_LEN])
{
    struct fake *f = ctx;

    op(f);
    return f->changed && !strcmp(f->changed, path) ? hash(ctx, "evil", 4, hex)
                                                   : hash(ctx, path, strlen(path), hex);
}

static size_t param(struct fake *f, const char *name)
{
    size_t i;

    for (i = 0; i < f->n_params && strcmp(f->params[i].name, name) != 0; i++)
        ;
    if (i == f->n_params)
        snprintf(f->params[f->n_params++].name, 40, "%s", name);
    return i;
}

static unsigned get(void *ctx, const char *name)
{
    return ((struct fake *)ctx)->params[param(ctx, name)].value;
}

static int set(void *ctx, const char *name, unsigned value)
{
    struct fake *f = ctx;

    op(f);
    if (f->fails && !strcmp(f->fails, name))
        return -1;
    f->params[param(f, name)].value = value;
    return 0;
}

static int get_text(void *ctx, const char *name, char *text, size_t cap)
{
    struct fake *f = ctx;

    snprintf(text, cap, "%s", f->params[param(f, name)].text);
    return 0;
}

static int protect(void *ctx)
{
    op(ctx);
    return 0;
}

static void settle(void *ctx)
{
    op(ctx);
}

static int run(void *ctx, enum fb_tool tool, const char *path, unsigned *exit_code)
{
    static const char *const names[] = {"pnputil", "msiexec", "installer", "powershell"};
    struct fake *f = ctx;

    *exit_code = f->wants && strstr(path, f->wants) ? f->exit_code : 0;
    return call(f, names[tool], path);
}

static int copy(void *ctx, const char *path, const char *to)
{
    return call(ctx, "copy", to);
}

static int dhcp(void *ctx)
{
    return call(ctx, "dhcp", "");
}

static int disks(void *ctx)
{
    return call(ctx, "disks", "");
}

static int dword(void *ctx, const char *key, const char *name, unsigned value)
{
    char text[200];

    snprintf(text, sizeof text, "%s %s %u", key, name, value);
    return call(ctx, "dword", text);
}

static int device_path(void *ctx, const char *entry)
{
    return call(ctx, "device-path", entry);
}

static int conceal(void *ctx)
{
    struct fake *f = ctx;

    op(f);
    if (!f->password)
        return 0;
    if (f->fails && !strcmp(f->fails, "conceal"))
        return -1;
    f->lsa = true;
    op(f);
    f->password = false;
    return 1;
}

static int put_back(void *ctx)
{
    struct fake *f = ctx;
    int n = (int)f->put_aside;

    op(f);
    if (f->fails && !strcmp(f->fails, "put_back"))
        return -1;
    f->password = f->lsa = false;
    op(f);
    f->put_aside = 0;
    return n;
}

static void say(void *ctx, const char *line)
{
    assert_ok(strv_add(&((struct fake *)ctx)->console, line, e));
}

static int restart(void *ctx)
{
    return call(ctx, "restart", "");
}

static int uninstall(void *ctx, int keep_files)
{
    struct fake *f = ctx;

    op(f);
    f->gone = true;
    f->kept_files = keep_files;
    return 0;
}

static const struct fb_ops ops = {
    .load_plan = load_plan,
    .hash = hash,
    .hash_file = hash_file,
    .get = get,
    .set = set,
    .get_text = get_text,
    .protect = protect,
    .settle = settle,
    .run = run,
    .copy = copy,
    .dhcp = dhcp,
    .disks = disks,
    .dword = dword,
    .device_path = device_path,
    .conceal = conceal,
    .put_back = put_back,
    .say = say,
    .restart = restart,
    .uninstall = uninstall,
};

static struct fb_plan plan;

static void add_file(struct fake *f, const char *path)
{
    char hex[FB_DIGEST_LEN];
    size_t n = strlen(f->plan);

    hash(f, path, strlen(path), hex);
    snprintf(f->plan + n, sizeof f->plan - n, "file\t%s\t%s\n", hex, path);
}

static void seal(struct fake *f)
{
    hash(f, f->plan, strlen(f->plan), f->params[param(f, "PlanSha256")].text);
}

static int set_up(void **state)
{
    struct fake *f = calloc(1, sizeof *f);
    size_t n;

    snprintf(f->plan, sizeof f->plan, "hotadd-first-boot\t1\nboots\t8\n");
    add_file(f, "drivers/ena/ena.inf");
    add_file(f, "drivers/ena/ena.sys");
    add_file(f, "packages/pv/AWSPVDriverSetup.msi");
    add_file(f, "config/agent.yml");
    n = strlen(f->plan);
    snprintf(f->plan + n, sizeof f->plan - n, "%s",
             "driver\tdrivers/ena/ena.inf\nmsi\tpackages/pv/AWSPVDriverSetup.msi\n"
             "copy\tconfig/agent.yml\t%ProgramData%\\x\\agent.yml\ndhcp\ndisks\n"
             "dword\tSYSTEM\\CurrentControlSet\\Control\\CrashControl\tAutoReboot"
             "\t1\ndevice-path\t%SystemRoot%\\HotAdd\\drivers\\ena\nend\n");
    seal(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fake *f = *state;

    strv_release(&f->calls);
    strv_release(&f->console);
    free(f);
    return 0;
}

/* 1 when the machine went down in it. */
static int start(struct fake *f, enum fb_result *ret)
{
    f->ops = 0;
    if (setjmp(f->power))
        return 1;
    *ret = fb_run(&ops, f, &plan);
    return 0;
}

static const char *last(const struct fake *f)
{
    return f->console.v[f->console.n - 1];
}

static size_t count(const struct fake *f, const char *what)
{
    size_t n = 0;

    vec_foreach (c, &f->calls)
        n += strstr(*c, what) != NULL;
    return n;
}

static void everything_is_done_in_order(void **state)
{
    static const char *const want[] = {
        "pnputil drivers/ena/ena.inf",
        "msiexec packages/pv/AWSPVDriverSetup.msi",
        "copy %ProgramData%\\x\\agent.yml",
        "dhcp",
        "disks",
        "dword SYSTEM\\CurrentControlSet\\Control\\CrashControl AutoReboot 1",
        "device-path %SystemRoot%\\HotAdd\\drivers\\ena"};
    struct fake *f = *state;
    enum fb_result r;

    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_FINISHED);
    assert_int_equal(f->calls.n, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < f->calls.n; i++)
        assert_string_equal(f->calls.v[i], want[i]);
    assert_true(f->gone && !f->kept_files);
    assert_string_equal(last(f), "hotadd: first-boot: finished: ok: 7 steps, 1 starts");
}

static void a_changed_payload_is_refused_whole(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->changed = "config/agent.yml";
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_REFUSED);
    assert_int_equal(f->calls.n, 0);
    assert_true(f->gone && f->kept_files);
    assert_string_equal(
        last(f), "hotadd: first-boot: finished: refused: a staged file was changed");
}

static void a_changed_plan_is_refused(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    strstr(f->plan, "boots\t8")[6] = '9';
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_REFUSED);
    assert_int_equal(f->calls.n, 0);
    assert_non_null(strstr(last(f), "not the one that was staged"));
}

/* Whatever the plan says, it is looked through before anything is done. */
static void bad_plans_are_refused(void **state)
{
    static const struct {
        const char *text, *fault;
    } bad[] = {
        {"", "version"},
        {"hotadd-first-boot\t2\nboots\t8\nend\n", "version"},
        {"hotadd-first-boot\t1\nboots\t8\n", "no end"},
        {"hotadd-first-boot\t1\nend\n", "after its end"},
        {"hotadd-first-boot\t1\nboots\t8\nend\ndhcp\n", "after its end"},
        {"hotadd-first-boot\t1\nboots\t8\nformat\tc:\nend\n", "does not know"},
        {"hotadd-first-boot\t1\nboots\t8\ndhcp\tnow\nend\n", "too many"},
        {"hotadd-first-boot\t1\nboots\t8\ndword\tSYSTEM\\x\ty\nend\n", "lacks a word"},
        {"hotadd-first-boot\t1\nboots\t8\ndword\tSAM\\x\ty\t1\nend\n", "registry value"},
        {"hotadd-first-boot\t1\nboots\t8\nexe\tsetup.exe\nend\n", "not listed"},
        {"hotadd-first-boot\t1\nboots\t8\nfile\tabc\tx\nend\n", "line of a file"},
        {"hotadd-first-boot\t1\nboots\t8\nfile\t0000000000000000000000000000000000000000"
         "000000000000000000000000\t../x\nend\n",
         "line of a file"},
        {"hotadd-first-boot\t1\nboots\t8\nfile\t0000000000000000000000000000000000000000"
         "000000000000000000000000\tc:x\nend\n",
         "line of a file"},
    };
    struct fake *f = *state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum fb_result r;

        snprintf(f->plan, sizeof f->plan, "%s", bad[i].text);
        seal(f);
        assert_int_equal(start(f, &r), 0);
        if (r != FB_REFUSED || !strstr(last(f), bad[i].fault))
            fail_msg("%s: %s", bad[i].text, last(f));
    }
    assert_int_equal(f->calls.n, 0);
}

/* The machine loses power at each operation; the next start goes on. */
static void a_power_cut_anywhere_is_survived(void **state)
{
    for (unsigned at = 1;; at++) {
        struct fake *f;
        void *own;
        enum fb_result r;

        set_up(&own);
        f = own;
        f->dies_at = at;
        f->password = true;
        f->put_aside = 6;
        if (start(f, &r) == 0) {
            tear_down(&own);
            assert_true(at > 20);
            return;
        }
        f->dies_at = 0;
        if (!f->gone) {
            assert_int_equal(start(f, &r), 0);
            assert_int_equal(r, FB_FINISHED);
            assert_true(strstr(last(f), "finished: ok"));
        }
        assert_true(count(f, "pnputil") >= 1 && count(f, "pnputil") <= 2);
        assert_true(count(f, "msiexec") <= 1);
        assert_true(count(f, "dword") >= 1);
        assert_false(f->password || f->lsa || f->put_aside);
        tear_down(&own);
    }
}

static void an_installer_that_restarts_is_not_run_again(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->restarts = "msiexec";
    assert_int_equal(start(f, &r), 1);
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_FINISHED);
    assert_int_equal(count(f, "msiexec"), 1);
    assert_int_equal(count(f, "pnputil"), 1);
    assert_string_equal(last(f), "hotadd: first-boot: finished: ok: 7 steps, 2 starts");
}

static void a_wanted_restart_is_made_once_at_the_end(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->wants = "ena.inf";
    f->exit_code = 3010;
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_RESTART);
    assert_false(f->gone);
    assert_string_equal(f->calls.v[f->calls.n - 1], "restart");
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_FINISHED);
    assert_int_equal(count(f, "restart"), 1);
    assert_int_equal(count(f, "pnputil"), 1);
}

static void a_failed_step_does_not_stop_the_others(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->wants = "ena.inf";
    f->exit_code = 5;
    f->fails = "disks";
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_FINISHED);
    assert_int_equal(f->calls.n, 7);
    assert_string_equal(last(f), "hotadd: first-boot: finished: 2 of 7 steps failed");
}

static void pnputil_may_have_nothing_to_do(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->wants = "ena.inf";
    f->exit_code = 259;
    assert_int_equal(start(f, &r), 0);
    assert_true(strstr(last(f), "finished: ok"));
}

static void it_gives_up_after_so_many_starts(void **state)
{
    struct fake *f = *state;
    enum fb_result r = FB_FINISHED;

    f->params[param(f, "Boots")].value = 8;
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_GAVE_UP);
    assert_true(f->gone && f->kept_files);
    assert_int_equal(f->calls.n, 0);
    assert_string_equal(
        last(f), "hotadd: first-boot: finished: gave up after 8 starts, at step 1");
}

static bool said(const struct fake *f, const char *what)
{
    vec_foreach (line, &f->console)
        if (strstr(*line, what))
            return true;
    return false;
}

/* Before anything else, and Windows can still log on after a restart. */
static void a_password_is_taken_out_of_reach_at_once(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->password = true;
    f->put_aside = 6;
    f->restarts = "pnputil";
    assert_int_equal(start(f, &r), 1);
    assert_true(!f->password && f->lsa && f->put_aside == 6);
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_FINISHED);
    assert_false(f->lsa || f->put_aside);
    assert_true(said(f, "taken out of the registry"));
    assert_true(said(f, "6 settings put back"));
    assert_true(strstr(last(f), "finished: ok"));
}

/* However it ends. */
static void settings_are_put_back_by_a_refusal_and_by_giving_up(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->password = true;
    f->put_aside = 5;
    f->changed = "config/agent.yml";
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_REFUSED);
    assert_true(f->gone && !f->password && !f->lsa && !f->put_aside);

    f->changed = NULL;
    f->gone = false;
    f->password = true;
    f->put_aside = 5;
    f->params[param(f, "Boots")].value = 8;
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_GAVE_UP);
    assert_true(f->gone && !f->password && !f->lsa && !f->put_aside);
}

static void what_cannot_be_concealed_or_put_back_is_told(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->password = true;
    f->put_aside = 5;
    f->fails = "conceal";
    assert_int_equal(start(f, &r), 0);
    assert_true(said(f, "stays in the registry until the end"));
    assert_true(!f->password && !f->put_aside);

    f->fails = "put_back";
    f->put_aside = 5;
    assert_int_equal(start(f, &r), 0);
    assert_true(said(f, "some settings could not be put back"));
}

static void what_cannot_be_remembered_is_not_done(void **state)
{
    struct fake *f = *state;
    enum fb_result r;

    f->fails = "Running";
    assert_int_equal(start(f, &r), 0);
    assert_int_equal(r, FB_GAVE_UP);
    assert_int_equal(f->calls.n, 0);
}

#define BOOT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOOT(everything_is_done_in_order),
        BOOT(a_changed_payload_is_refused_whole),
        BOOT(a_changed_plan_is_refused),
        BOOT(bad_plans_are_refused),
        cmocka_unit_test(a_power_cut_anywhere_is_survived),
        BOOT(an_installer_that_restarts_is_not_run_again),
        BOOT(a_wanted_restart_is_made_once_at_the_end),
        BOOT(a_failed_step_does_not_stop_the_others),
        BOOT(pnputil_may_have_nothing_to_do),
        BOOT(it_gives_up_after_so_many_starts),
        BOOT(what_cannot_be_remembered_is_not_done),
        BOOT(a_password_is_taken_out_of_reach_at_once),
        BOOT(settings_are_put_back_by_a_refusal_and_by_giving_up),
        BOOT(what_cannot_be_concealed_or_put_back_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
