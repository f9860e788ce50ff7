/* Automatic logon for the first boot; see edit.h.
 *
 * What is changed for it is kept in the first boot's own key, as Saved\N with Key, Name
 * and, where there was a value, Data of its type. The program puts all of it back when
 * it is done (firstboot/), a conversion for the service does so offline. What was kept
 * first is the original: a second conversion finds our own values.
 *
 * The program is in Run and not in RunOnce, which Windows clears before it starts what
 * is there: a power cut in between would lose it. */
#include "guest/windows/edit.h"
#include "guest/windows/firstboot.h"

#include "base/secret.h"
#include "base/str.h"

#define SAVED_KEY FIRSTBOOT_PARAMETERS "\\Saved"
#define PREFIX    "SOFTWARE\\"

static const char what[] = "automatic logon until the first boot is done";

/* Numbered as they are saved; the banners follow. */
enum { AUTO_LOGON, USER, DOMAIN, PASSWORD, COUNT, UAC, BANNERS };
static const struct windows_value values[BANNERS] = {
    [AUTO_LOGON] = {WIN_WINLOGON, "AutoAdminLogon"},
    [USER] = {WIN_WINLOGON, "DefaultUserName"},
    [DOMAIN] = {WIN_WINLOGON, "DefaultDomainName"},
    [PASSWORD] = {WIN_WINLOGON, "DefaultPassword"},
    [COUNT] = {WIN_WINLOGON, "AutoLogonCount"},
    [UAC] = {WIN_POLICIES, "EnableLUA"},
};

static int save(struct edits *x, unsigned slot, const struct windows_value *v,
                struct err *e)
{
    auto_free char *key = str_fmt(e, SAVED_KEY "\\%u", slot),
                   *from = key ? str_fmt(e, PREFIX "%s", v->key) : NULL;
    auto_buf struct buf data = BUF_INIT;
    uint32_t type;
    int r = from ? windows_has_key(x->s, WIN_CCS, key, e) : -1;

    if (r != 0)
        return r < 0 ? -1 : 0;
    r = hive_get(x->s->windows->soft.hive, v->key, v->name, &type, &data, e);
    if (r < 0 || edit_str(x, WIN_CCS, key, "Key", REG_T_SZ, from, what, e) < 0 ||
        edit_str(x, WIN_CCS, key, "Name", REG_T_SZ, v->name, what, e) < 0)
        return -1;
    r = r > 0 ? edit_bytes(x, WIN_CCS, key, "Data", type, &data, what, e) : 0;
    if (data.data)
        secret_wipe(data.data, data.cap);
    return r;
}

static int save_and_set(struct edits *x, unsigned slot, const char *value, struct err *e)
{
    const struct windows_value *v = &values[slot];

    if (save(x, slot, v, e) < 0)
        return -1;
    return edit_str(x, WIN_SOFTWARE, v->key, v->name, REG_T_SZ, value, what, e);
}

static int save_and_set_u32(struct edits *x, unsigned slot, uint32_t value, struct err *e)
{
    const struct windows_value *v = &values[slot];

    if (save(x, slot, v, e) < 0)
        return -1;
    return edit_u32(x, WIN_SOFTWARE, v->key, v->name, value, what, e);
}

/* Winlogon needs the password once; the program then takes it out of the registry. Should
 * the program never run, Windows itself removes it when the count has run down. */
static int log_on(struct edits *x, struct err *e)
{
    auto_secret struct secret *password = NULL;
    auto_free char *domain = NULL, *name = NULL;
    const char *where;

    if (windows_logon_user(x->s->options, &domain, &name, e) < 0)
        return -1;
    if (secret_read_file(x->s->options->logon_password_file, &password, e) < 0)
        return err_prefix(e, "password for automatic logon");
    where = str_eq(domain, ".") && x->s->info->hostname ? x->s->info->hostname : domain;
    if (save_and_set(x, AUTO_LOGON, "1", e) < 0 || save_and_set(x, USER, name, e) < 0 ||
        save_and_set(x, DOMAIN, where, e) < 0 ||
        save_and_set(x, PASSWORD, secret_reveal(password), e) < 0 ||
        save_and_set_u32(x, COUNT, FIRSTBOOT_STARTS + 1, e) < 0)
        return -1;
    return edit_str(
        x, WIN_SOFTWARE, WIN_RUN, FIRSTBOOT_SERVICE, REG_T_EXPAND_SZ,
        "\"%SystemRoot%\\" FIRSTBOOT_FOLDER "\\" FIRSTBOOT_PROGRAM "\" --logon", what, e);
}

/* Only with --fix is there anything to put aside: without it these were refused. */
static int clear_the_way(struct edits *x, struct err *e)
{
    uint32_t lua;

    if (windows_u32(x->s, WIN_SOFTWARE, WIN_POLICIES, "EnableLUA", 1, &lua, e) < 0 ||
        (lua && save_and_set_u32(x, UAC, 0, e) < 0))
        return -1;
    for (unsigned i = 0; i < WIN_BANNERS; i++) {
        const struct windows_value *v = &windows_banners[i];
        auto_free char *text = NULL;

        if (windows_str(x->s, WIN_SOFTWARE, v->key, v->name, &text, e) < 0)
            return -1;
        if (text && *text &&
            (save(x, BANNERS + i, v, e) < 0 ||
             edit_str(x, WIN_SOFTWARE, v->key, v->name, REG_T_SZ, "", what, e) < 0))
            return -1;
    }
    return 0;
}

/* ---- an earlier conversion's, undone ---- */

static int put_back(struct edits *x, const char *slot, struct err *e)
{
    static const char undone[] = "automatic logon of an earlier conversion undone";
    auto_free char *path = str_fmt(e, SAVED_KEY "\\%s", slot), *full = NULL, *key = NULL,
                   *name = NULL;
    auto_buf struct buf data = BUF_INIT;
    struct hive *h;
    uint32_t type;
    int r;

    if (!path || windows_key(x->s, WIN_CCS, path, &h, &full, e) < 0 ||
        windows_str(x->s, WIN_CCS, path, "Key", &key, e) < 0 ||
        windows_str(x->s, WIN_CCS, path, "Name", &name, e) < 0)
        return -1;
    if (!key || !name || strncmp(key, PREFIX, strlen(PREFIX)) != 0)
        return 0;
    r = hive_get(h, full, "Data", &type, &data, e);
    if (r < 0)
        return -1;
    r = r ? edit_bytes(x, WIN_SOFTWARE, key + strlen(PREFIX), name, type, &data, undone,
                       e)
          : edit_delete_value(x, WIN_SOFTWARE, key + strlen(PREFIX), name, undone, e);
    if (data.data)
        secret_wipe(data.data, data.cap);
    return r;
}

static int undo(struct edits *x, struct err *e)
{
    static const char undone[] = "automatic logon of an earlier conversion undone";
    auto_strv struct strv slots = {0};

    if (windows_keys(x->s, WIN_CCS, SAVED_KEY, &slots, e) < 0)
        return -1;
    vec_foreach (slot, &slots)
        if (put_back(x, *slot, e) < 0)
            return -1;
    if (edit_delete_key(x, WIN_CCS, SAVED_KEY, undone, e) < 0)
        return -1;
    return edit_delete_value(x, WIN_SOFTWARE, WIN_RUN, FIRSTBOOT_SERVICE, undone, e);
}

int convert_logon(struct edits *x, struct err *e)
{
    if (x->s->options->first_boot_way == FIRST_BOOT_SERVICE)
        return undo(x, e);
    return log_on(x, e) < 0 ? -1 : clear_the_way(x, e);
}
