/* Requirements of an automatic logon at the first boot. Where the service does the work,
 * which is the default, they are reported and asked of nobody. */
#include "guest/windows/windows.h"

#include "base/secret.h"
#include "base/str.h"
#include "guest/windows/requirements.h"

#include <strings.h>

static bool logs_on(const struct subject *s)
{
    return s->options->first_boot_way == FIRST_BOOT_AUTOLOGON &&
           s->options->purpose == GUEST_CONVERT && s->options->method != GUEST_IMPORT;
}

/* 1 when a domain's group policies were applied to this machine: they will be again, at
 * its next start, over what is changed offline. The machine's own policy is not meant. */
static int has_group_policy(const struct subject *s, struct err *e)
{
    static const char dir[] = "Microsoft\\Windows\\CurrentVersion\\Group Policy\\History";
    auto_strv struct strv kinds = {0};

    if (windows_keys(s, WIN_SOFTWARE, dir, &kinds, e) < 0)
        return -1;
    vec_foreach (k, &kinds) {
        auto_free char *kind = str_fmt(e, "%s\\%s", dir, *k);
        auto_strv struct strv objects = {0};

        if (!kind || windows_keys(s, WIN_SOFTWARE, kind, &objects, e) < 0)
            return -1;
        if (**k == '{' && !objects.n)
            return 1;
        vec_foreach (o, &objects) {
            auto_free char *path = str_fmt(e, "%s\\%s", kind, *o), *where = NULL;

            if (!path || windows_str(s, WIN_SOFTWARE, path, "DSPath", &where, e) < 0)
                return -1;
            if (**k == '{' && !(where && str_eq(where, "LocalGPO")))
                return 1;
        }
    }
    return 0;
}

/* ---- User Account Control ---- */

static int check_uac(const struct subject *s, struct verdict *v, struct err *e)
{
    uint32_t lua;
    int r;

    if (windows_u32(s, WIN_SOFTWARE, WIN_POLICIES, "EnableLUA", 1, &lua, e) < 0)
        return -1;
    if (!logs_on(s))
        return verdict_not_needed(
            v, e,
            "EnableLUA = %u; the first-boot service runs as LocalSystem, "
            "which is never asked",
            lua);
    if (!lua)
        return verdict_met(v, e, "EnableLUA = 0");
    r = has_group_policy(s, e);
    if (r < 0)
        return -1;
    if (r)
        return verdict_refused(v, e,
                               "EnableLUA = %u, and group policies, which may set it "
                               "again, are applied",
                               lua);
    return verdict_fixable(v, FINDING_FIX_OPTION, e, "EnableLUA = %u", lua);
}

const struct requirement windows_uac = {
    .id = "windows-uac",
    .title = "User Account Control off",
    .why = "an installation by a user who is logged on automatically would stop at its "
           "question",
    .remedy = "give --fix, which switches it off until the first boot is done, or leave "
              "--first-boot autologon out: the service needs no such thing",
    .methods = FOR_OURS,
    .check = check_uac,
};

/* ---- automatic logon ---- */

/* Account control bits of a user in the SAM, [MS-SAMR] 2.2.1.12, where the value F has
 * them. */
#define SAM_USERS        "SAM\\Domains\\Account\\Users"
#define SAM_F_CONTROL    56
#define SAM_DISABLED     0x0001
#define SAM_AUTO_LOCKED  0x0400
#define SAM_CONTROL_SIZE 2

/* 1: verdict is given, 0: nothing against this user. */
static int judge_local_user(const struct subject *s, const char *name, struct verdict *v,
                            struct err *e)
{
    struct hive *h = s->windows->sam.hive;
    auto_free char *key = str_fmt(e, SAM_USERS "\\Names\\%s", name), *user = NULL;
    auto_buf struct buf data = BUF_INIT;
    uint32_t rid;
    int r;

    if (!key)
        return -1;
    if (!h)
        return err_set(e, ERR_INPUT, "registry hive SAM: %s",
                       s->windows->sam.fault ? s->windows->sam.fault : "was not read");
    /* The type of the name's default value is the user's number. */
    r = hive_get(h, key, "", &rid, &data, e);
    if (r < 0)
        return -1;
    if (!r)
        return verdict_refused(v, e, "there is no user %s on this machine", name) < 0 ? -1
                                                                                      : 1;
    user = str_fmt(e, SAM_USERS "\\%08X", rid);
    buf_reset(&data);
    r = user ? hive_get(h, user, "F", &rid, &data, e) : -1;
    if (r < 0)
        return -1;
    if (!r || data.len < SAM_F_CONTROL + SAM_CONTROL_SIZE)
        return err_set(e, ERR_INPUT, "registry hive SAM: user %s is incomplete", name);
    const unsigned char *p = (const unsigned char *)data.data + SAM_F_CONTROL;
    unsigned control = p[0] | (unsigned)p[1] << 8;
    if (!(control & (SAM_DISABLED | SAM_AUTO_LOCKED)))
        return 0;
    return verdict_refused(v, e, "user %s is %s", name,
                           control & SAM_DISABLED ? "disabled" : "locked") < 0
               ? -1
               : 1;
}

static int judge_user(const struct subject *s, const char *domain, const char *name,
                      struct verdict *v, struct err *e)
{
    const char *type = s->windows->product_type;

    if (!str_eq(domain, "."))
        return 0;
    if (type && !strcasecmp(type, "LanmanNT"))
        return verdict_refused(v, e,
                               "ProductType LanmanNT: a domain controller has no users "
                               "of its own; name DOMAIN\\%s",
                               name) < 0
                   ? -1
                   : 1;
    return judge_local_user(s, name, v, e);
}

static int judge_password(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_secret struct secret *password = NULL;
    const char *file = s->options->logon_password_file;
    struct err why = ERR_INIT;
    bool ok;

    if (!file)
        return verdict_refused(v, e, "no file with the user's password was given") < 0
                   ? -1
                   : 1;
    ok = secret_read_file(file, &password, &why) == 0;
    if (ok && secret_len(password))
        return 0;
    return verdict_refused(v, e, "%s", ok ? "the password's file is empty" : why.msg) < 0
               ? -1
               : 1;
}

static int check_logon(const struct subject *s, const char *on, struct verdict *v,
                       struct err *e)
{
    auto_free char *domain = NULL, *name = NULL;
    int r = has_group_policy(s, e);

    if (r < 0)
        return -1;
    /* "0" alone is how every server begins. */
    if (r && on && str_eq(on, "0"))
        return verdict_refused(v, e, "AutoAdminLogon 0, and group policies are applied");
    if (windows_logon_user(s->options, &domain, &name, e) < 0)
        return -1;
    r = judge_password(s, v, e);
    if (r == 0)
        r = judge_user(s, domain, name, v, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (str_eq(domain, "."))
        return verdict_met(v, e,
                           "AutoAdminLogon %s; %s is an active user of this machine",
                           on ? on : "is not set", name);
    return verdict_met(v, e, "AutoAdminLogon %s; the domain %s must know %s",
                       on ? on : "is not set", domain, name);
}

static int check_autologon(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_free char *on = NULL;

    if (windows_str(s, WIN_SOFTWARE, WIN_WINLOGON, "AutoAdminLogon", &on, e) < 0)
        return -1;
    if (s->options->method == GUEST_IMPORT && on && str_eq(on, "1")) {
        buf_adds(&v->remedy, "switch automatic logon off in the source machine");
        return verdict_refused(v, e, "Winlogon\\AutoAdminLogon = 1");
    }
    if (logs_on(s))
        return check_logon(s, on, v, e);
    return verdict_not_needed(v, e,
                              "AutoAdminLogon %s; nobody has to be logged on for the "
                              "first boot",
                              on ? on : "is not set");
}

const struct requirement windows_autologon = {
    .id = "windows-autologon",
    .title = "Automatic logon",
    .why =
        "hotadd's first boot is a service and needs no logon and no password, unless "
        "--first-boot autologon is given. AWS's import wants automatic logon to be off",
    .remedy =
        "give --logon-user and --logon-password-file of an administrator who can log "
        "on, or leave --first-boot autologon out",
    .methods = FOR_ALL,
    .check = check_autologon,
};

/* ---- a notice ---- */

static int find_banner(const struct subject *s, const struct windows_value **ret,
                       struct err *e)
{
    for (size_t i = 0; i < WIN_BANNERS; i++) {
        const struct windows_value *b = &windows_banners[i];
        auto_free char *text = NULL;

        if (windows_str(s, WIN_SOFTWARE, b->key, b->name, &text, e) < 0)
            return -1;
        if (text && *text) {
            *ret = b;
            return 1;
        }
    }
    return 0;
}

static int check_banner(const struct subject *s, struct verdict *v, struct err *e)
{
    const struct windows_value *b = NULL;
    int r = find_banner(s, &b, e), policy = has_group_policy(s, e);

    if (r < 0 || policy < 0)
        return -1;
    if (!r)
        return logs_on(s) ? verdict_met(v, e, "there is none")
                          : verdict_not_needed(v, e, "there is none");
    if (!logs_on(s))
        return verdict_not_needed(v, e,
                                  "%s is set; the first-boot service is done "
                                  "before anyone could see it",
                                  b->name);
    if (policy)
        return verdict_refused(v, e,
                               "%s is set, and group policies, which may set it again, "
                               "are applied",
                               b->name);
    return verdict_fixable(v, FINDING_FIX_OPTION, e, "%s is set", b->name);
}

const struct requirement windows_banner = {
    .id = "windows-banner",
    .title = "No notice at logon",
    .why = "an automatic logon would wait for someone to confirm the notice",
    .remedy = "give --fix, which puts the notice aside until the first boot is done, or "
              "leave --first-boot autologon out: the service does not wait for it",
    .methods = FOR_OURS,
    .check = check_banner,
};
