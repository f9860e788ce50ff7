/* The first boot of a Windows guest by automatic logon: what must be so for it, what a
 * conversion changes and keeps for putting back, and that none of it is left when the
 * guest is converted for the service. */
#include "windows_guest.h"

#include "base/io.h"

#define PASSWORD   "c0rrect h\xc3\xb6rse"
#define WINLOGON   "Microsoft\\Windows NT\\CurrentVersion\\Winlogon"
#define POLICIES   "Microsoft\\Windows\\CurrentVersion\\Policies\\System"
#define RUN        "Microsoft\\Windows\\CurrentVersion\\Run"
#define HISTORY    "Microsoft\\Windows\\CurrentVersion\\Group Policy\\History\\{35378EAC}\\0"
#define PARAMETERS WINKIT_CCS "Services\\HotAddFirstBoot\\Parameters"

static char password_file[] = "/tmp/hotadd-logon-XXXXXX";

static void put_sam(struct fixture *f)
{
    auto_buf struct buf b = BUF_INIT;
    struct hive *h = winkit_sam();

    assert_ok(hive_bytes(h, &b, e));
    hive_free(h);
    memfs_bytes(&f->m, WINKIT_SAM, b.data, b.len);
}

static int set_up_logon(void **state)
{
    struct fixture *f;

    set_up(state);
    f = *state;
    put_sam(f);
    f->o.first_boot_way = FIRST_BOOT_AUTOLOGON;
    f->o.logon_password_file = password_file;
    set_text(f->soft, WINLOGON, "AutoAdminLogon", "0");
    set_text(f->soft, WINLOGON, "DefaultUserName", "somebody");
    return 0;
}

static void write_password(const char *text)
{
    assert_ok(io_write_file_atomic(password_file, text, strlen(text), 0600, e));
}

static void text_is(struct hive *h, const char *key, const char *name, const char *want)
{
    auto_free char *s = NULL;

    assert_gives(want ? 1 : 0, hive_get_str(h, key, name, &s, e));
    if (want)
        assert_string_equal(s, want);
}

static uint32_t u32_of(struct hive *h, const char *key, const char *name)
{
    uint32_t v = 0xdead;

    assert_ok(hive_get_u32(h, key, name, &v, e));
    return v;
}

/* ---- requirements ---- */

static void what_stands_in_the_way_is_found(void **state)
{
    struct fixture *f = *state;

    look(f);
    is(f, "windows-autologon", FINDING_MET, "Administrator is an active user");
    is(f, "windows-uac", FINDING_FIXABLE, "EnableLUA = 1");
    is(f, "windows-banner", FINDING_FIXABLE, "LegalNoticeCaption is set");
    assert_string_equal(guest_info_blocker(f->s.info, &f->o)->id, "windows-uac");
    f->o.fix = true;
    assert_null(guest_info_blocker(f->s.info, &f->o));
}

static void users_are_looked_up(void **state)
{
    struct fixture *f = *state;

    f->o.logon_user = "Nobody";
    look(f);
    is(f, "windows-autologon", FINDING_REFUSED, "no user Nobody");
    f->o.logon_user = "guest";
    look(f);
    is(f, "windows-autologon", FINDING_REFUSED, "guest is disabled");
    f->o.logon_user = "mover";
    look(f);
    is(f, "windows-autologon", FINDING_REFUSED, "mover is locked");
    f->o.logon_user = "CORP\\mover";
    look(f);
    is(f, "windows-autologon", FINDING_MET, "the domain CORP must know mover");
    memfs_remove(&f->m, WINKIT_SAM);
    f->o.logon_user = NULL;
    look(f);
    is(f, "windows-autologon", FINDING_UNKNOWN, "registry hive SAM");
}

static void a_domain_controller_has_no_local_users(void **state)
{
    struct fixture *f = *state;

    set_text(f->sys, WINKIT_CCS "Control\\ProductOptions", "ProductType", "LanmanNT");
    look(f);
    is(f, "windows-autologon", FINDING_REFUSED, "LanmanNT");
}

static void a_password_must_be_at_hand_and_is_never_shown(void **state)
{
    struct fixture *f = *state;
    json_auto_t *j = NULL;
    auto_free char *text = NULL;
    struct err err;

    look(f);
    j = guest_info_json(f->s.info, &err);
    text = json_dumps(j, 0);
    assert_null(strstr(text, "c0rrect"));
    write_password("\nsecond line\n");
    look(f);
    is(f, "windows-autologon", FINDING_REFUSED, "is empty");
    write_password(PASSWORD "\r\n");
    f->o.logon_password_file = "/nonexistent/password";
    look(f);
    is(f, "windows-autologon", FINDING_REFUSED, "/nonexistent/password");
}

/* A domain's policies are applied again at the next start, over what was changed. */
static void group_policies_are_not_fought(void **state)
{
    struct fixture *f = *state;

    set_text(f->soft, HISTORY, "DSPath", "LDAP://CN=Machine,CN=Policies");
    look(f);
    is(f, "windows-autologon", FINDING_REFUSED, "group policies are applied");
    is(f, "windows-uac", FINDING_REFUSED, "group policies");
    is(f, "windows-banner", FINDING_REFUSED, "group policies");
}

static void a_machines_own_policy_is_no_hindrance(void **state)
{
    struct fixture *f = *state;

    set_text(f->soft, HISTORY, "DSPath", "LocalGPO");
    look(f);
    is(f, "windows-autologon", FINDING_MET, "");
    is(f, "windows-uac", FINDING_FIXABLE, "");
}

static void neither_restore_nor_import_log_on(void **state)
{
    struct fixture *f = *state;

    f->o.purpose = GUEST_RESTORE;
    look(f);
    is(f, "windows-autologon", FINDING_NOT_NEEDED, "");
    is(f, "windows-uac", FINDING_NOT_NEEDED, "");
    f->o.purpose = GUEST_CONVERT;
    f->o.method = GUEST_IMPORT;
    look(f);
    is(f, "windows-autologon", FINDING_NOT_NEEDED, "");
    is(f, "windows-banner", FINDING_NOT_NEEDED, "");
}

/* ---- conversion ---- */

static void saved_is(struct hive *h, unsigned slot, const char *name, const char *data)
{
    auto_free char *key = NULL;
    struct err err;

    key = str_fmt(&err, PARAMETERS "\\Saved\\%u", slot);
    text_is(h, key, "Name", name);
    text_is(h, key, "Data", data);
}

static void a_conversion_logs_on_and_keeps_what_was(void **state)
{
    struct fixture *f = *state;
    struct hive *h;

    f->o.fix = true;
    look(f);
    convert(f);
    h = winkit_open(&f->m, WINKIT_SOFTWARE);
    text_is(h, WINLOGON, "AutoAdminLogon", "1");
    text_is(h, WINLOGON, "DefaultUserName", "Administrator");
    text_is(h, WINLOGON, "DefaultDomainName", "WEB01");
    text_is(h, WINLOGON, "DefaultPassword", PASSWORD);
    assert_int_equal(u32_of(h, WINLOGON, "AutoLogonCount"), 9);
    text_is(h, RUN, "HotAddFirstBoot",
            "\"%SystemRoot%\\HotAdd\\hotadd-firstboot.exe\" --logon");
    assert_int_equal(u32_of(h, POLICIES, "EnableLUA"), 0);
    text_is(h, POLICIES, "LegalNoticeCaption", "");
    hive_free(h);
    h = winkit_open(&f->m, NULL);
    saved_is(h, 0, "AutoAdminLogon", "0");
    saved_is(h, 1, "DefaultUserName", "somebody");
    saved_is(h, 3, "DefaultPassword", NULL);
    saved_is(h, 6, "LegalNoticeCaption", "Authorised only");
    assert_int_equal(u32_of(h, PARAMETERS "\\Saved\\5", "Data"), 1);
    text_is(h, PARAMETERS "\\Saved\\5", "Key", "SOFTWARE\\" POLICIES);
    assert_gives(0, hive_has_key(h, PARAMETERS "\\Saved\\7", e));
    text_is(h, WINKIT_CCS "Services\\HotAddFirstBoot", "ImagePath", NULL);
    hive_free(h);
    is(f, "windows-uac", FINDING_MET, "EnableLUA = 0");
    is(f, "windows-banner", FINDING_MET, "there is none");
}

static bool holds(const struct memfs_node *n, const char *what, size_t len)
{
    return n && memmem(n->data.data, n->data.len, what, len);
}

/* In the hive, where Windows needs it, and in no other file of the guest. */
static void the_password_is_in_one_place(void **state)
{
    static const char wide[] = "c\0000\0r\0r\0e\0c\0t\0";
    struct fixture *f = *state;
    static const char *const others[] = {WINKIT_SYSTEM, "/Windows/HotAdd/plan.txt",
                                         "/Windows/HotAdd/conversion.json",
                                         "/Windows/HotAdd/original" WINKIT_SOFTWARE,
                                         "/Windows/HotAdd/original" WINKIT_SYSTEM};

    f->o.fix = true;
    look(f);
    convert(f);
    write_password("an0ther one");
    convert(f);
    write_password(PASSWORD "\n");
    convert(f);
    assert_true(holds(memfs_find(&f->m, WINKIT_SOFTWARE), wide, sizeof wide - 1));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const struct memfs_node *n = memfs_find(&f->m, others[i]);

        assert_non_null(n);
        assert_false(holds(n, wide, sizeof wide - 1) || holds(n, "c0rrect", 7));
        assert_false(holds(n, "an0ther", 7) || holds(n, "a\0n\0000\0", 6));
    }
}

static void converting_twice_keeps_the_first_originals(void **state)
{
    struct fixture *f = *state;
    struct hive *h;

    f->o.fix = true;
    look(f);
    convert(f);
    assert_int_equal(convert(f), 0);
    h = winkit_open(&f->m, NULL);
    saved_is(h, 0, "AutoAdminLogon", "0");
    assert_int_equal(u32_of(h, PARAMETERS "\\Saved\\5", "Data"), 1);
    hive_free(h);
}

static void the_service_takes_over_from_a_logon(void **state)
{
    struct fixture *f = *state;
    struct hive *h;

    f->o.fix = true;
    look(f);
    convert(f);
    f->o.first_boot_way = FIRST_BOOT_SERVICE;
    look(f);
    assert_true(convert(f) > 0);
    h = winkit_open(&f->m, WINKIT_SOFTWARE);
    text_is(h, WINLOGON, "AutoAdminLogon", "0");
    text_is(h, WINLOGON, "DefaultUserName", "somebody");
    text_is(h, WINLOGON, "DefaultDomainName", NULL);
    text_is(h, WINLOGON, "DefaultPassword", NULL);
    text_is(h, RUN, "HotAddFirstBoot", NULL);
    assert_int_equal(u32_of(h, POLICIES, "EnableLUA"), 1);
    text_is(h, POLICIES, "LegalNoticeCaption", "Authorised only");
    hive_free(h);
    h = winkit_open(&f->m, NULL);
    assert_gives(0, hive_has_key(h, PARAMETERS "\\Saved", e));
    assert_int_equal(u32_of(h, WINKIT_CCS "Services\\HotAddFirstBoot", "Start"), 2);
    hive_free(h);
    assert_int_equal(convert(f), 0);
}

static void a_logon_takes_over_from_the_service(void **state)
{
    struct fixture *f = *state;
    struct hive *h;

    f->o.fix = true;
    f->o.first_boot_way = FIRST_BOOT_SERVICE;
    look(f);
    convert(f);
    f->o.first_boot_way = FIRST_BOOT_AUTOLOGON;
    look(f);
    assert_true(convert(f) > 0);
    h = winkit_open(&f->m, NULL);
    text_is(h, WINKIT_CCS "Services\\HotAddFirstBoot", "ImagePath", NULL);
    saved_is(h, 0, "AutoAdminLogon", "0");
    hive_free(h);
    assert_int_equal(convert(f), 0);
}

#define LOGON(test) cmocka_unit_test_setup_teardown(test, set_up_logon, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOGON(what_stands_in_the_way_is_found),
        LOGON(users_are_looked_up),
        LOGON(a_domain_controller_has_no_local_users),
        LOGON(a_password_must_be_at_hand_and_is_never_shown),
        LOGON(group_policies_are_not_fought),
        LOGON(a_machines_own_policy_is_no_hindrance),
        LOGON(neither_restore_nor_import_log_on),
        LOGON(a_conversion_logs_on_and_keeps_what_was),
        LOGON(the_password_is_in_one_place),
        LOGON(converting_twice_keeps_the_first_originals),
        LOGON(the_service_takes_over_from_a_logon),
        LOGON(a_logon_takes_over_from_the_service),
    };
    int fd = mkstemp(password_file), failed;

    if (fd < 0)
        return 1;
    close(fd);
    write_password(PASSWORD "\n");
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(password_file);
    return failed;
}
