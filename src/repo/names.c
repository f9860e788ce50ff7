/* Names of machines, namespaces and recovery points; see names.h and repo.h. */
#include "repo/names.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/strv.h"

#include <ctype.h>

const char *const repo_types[3] = {"ct", "host", "vm"};

bool repo_id_valid(const char *s)
{
    size_t n = strlen(s);

    if (n == 0 || n > 255 || *s == '.' || *s == '-')
        return false;
    for (; *s; s++)
        if (!isascii(*s) || (!isalnum((unsigned char)*s) && !strchr("._-", *s)))
            return false;
    return true;
}

bool repo_type_valid(const char *s)
{
    for (size_t i = 0; i < sizeof repo_types / sizeof repo_types[0]; i++)
        if (str_eq(s, repo_types[i]))
            return true;
    return false;
}

bool repo_file_valid(const char *s)
{
    return repo_id_valid(s) &&
           (str_ends(s, ".fidx") || str_ends(s, ".didx") || str_ends(s, ".blob"));
}

static int split(const char *s, struct strv *ret, struct err *e)
{
    for (;; s++) {
        size_t n = strcspn(s, "/");

        if (strv_add_n(ret, s, n, e) < 0)
            return -1;
        s += n;
        if (!*s)
            return 0;
    }
}

bool repo_ns_valid(const char *s)
{
    auto_strv struct strv v = {0};
    struct err e;

    if (!*s)
        return true;
    if (strlen(s) > 256 || split(s, &v, &e) < 0 || v.n > REPO_MAX_NS_DEPTH)
        return false;
    vec_foreach (c, &v)
        if (!repo_id_valid(*c))
            return false;
    return true;
}

char *repo_time_text(int64_t time, char out[REPO_TIME_LEN])
{
    char text[CLOCK_ISO_LEN];

    clock_iso8601(text, time);
    text[REPO_TIME_LEN - 1] = 0;
    memcpy(out, text, REPO_TIME_LEN);
    return out;
}

bool repo_time_parse(const char *text, int64_t *ret)
{
    char again[REPO_TIME_LEN];
    struct err e;
    int64_t t;

    /* strptime is lenient: only what comes out the same is a time. */
    if (strlen(text) != REPO_TIME_LEN - 1 || clock_parse_iso8601(text, &t, &e) < 0 ||
        t < 1 || t > REPO_MAX_TIME || !str_eq(repo_time_text(t, again), text))
        return false;
    *ret = t;
    return true;
}

char *repo_ns_path(const char *ns, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    char *ret = NULL;

    if (*ns)
        buf_adds(&b, "ns/");
    for (; *ns; ns++) {
        buf_addc(&b, *ns);
        if (*ns == '/')
            buf_adds(&b, "ns/");
    }
    if (buf_check(&b, e) < 0 || buf_take(&b, &ret, e) < 0)
        return NULL;
    return ret;
}

char *repo_group_path(const char *ns, const char *type, const char *id, struct err *e)
{
    auto_free char *dir = repo_ns_path(ns, e);

    return dir ? str_fmt(e, "%s%s%s/%s", dir, *dir ? "/" : "", type, id) : NULL;
}

char *repo_machine_folder(const struct repo_name *name, struct err *e)
{
    return repo_group_path(name->ns, "vm", name->id, e);
}

char *repo_point_path(const char *ns, const char *type, const char *id, int64_t time,
                      struct err *e)
{
    auto_free char *group = repo_group_path(ns, type, id, e);
    char text[REPO_TIME_LEN];

    return group ? str_fmt(e, "%s/%s", group, repo_time_text(time, text)) : NULL;
}

int repo_name_check(const struct repo_name *n, struct err *e)
{
    if (!n->ns || !repo_ns_valid(n->ns))
        return err_set(e, ERR_USAGE, "'%.200s' cannot be a namespace",
                       n->ns ? n->ns : "");
    if (!n->id || !repo_id_valid(n->id))
        return err_set(e, ERR_USAGE, "'%.200s' cannot be a machine's ID",
                       n->id ? n->id : "");
    return 0;
}

void repo_name_release(struct repo_name *n)
{
    free(n->ns);
    free(n->id);
    *n = (struct repo_name){0};
}

static int bad_name(const char *text, struct err *e)
{
    return err_set(e, ERR_USAGE,
                   "'%.200s' does not name a machine or recovery point: "
                   "[NAMESPACE/vm/]ID[@TIME], TIME like 2026-01-02T03:04:05Z or latest",
                   text);
}

/* The time after '@', or as a last component of its own, as listings show it. */
static bool take_time(char *s, int64_t *ret)
{
    char *at = strrchr(s, '@'), *slash = strrchr(s, '/');

    *ret = REPO_EVERY;
    if (!at && slash && repo_time_parse(slash + 1, ret)) {
        *slash = 0;
        return true;
    }
    if (!at)
        return true;
    *at = 0;
    if (str_eq(at + 1, "latest")) {
        *ret = REPO_LATEST;
        return true;
    }
    return repo_time_parse(at + 1, ret);
}

int repo_name_parse(const char *text, struct repo_name *ret, struct err *e)
{
    auto_free char *s = str_dup(text, e);
    struct repo_name n = {0};
    char *id, *type, *ns = "";
    int64_t time;

    if (!s)
        return -1;
    if (!take_time(s, &time))
        return bad_name(text, e);
    id = strrchr(s, '/');
    if (id) {
        *id++ = 0;
        type = strrchr(s, '/');
        if (type) {
            *type++ = 0;
            ns = s;
        } else {
            type = s;
        }
        if (str_eq(type, "ct") || str_eq(type, "host"))
            return err_set(e, ERR_UNSUPPORTED,
                           "'%.200s': only virtual machines (vm/ID) can be restored",
                           text);
        if (!str_eq(type, "vm"))
            return bad_name(text, e);
    } else {
        id = s;
    }
    if (!repo_id_valid(id) || (ns == s && !*ns) || !repo_ns_valid(ns))
        return bad_name(text, e);
    n = (struct repo_name){.ns = str_dup(ns, e), .id = str_dup(id, e), .time = time};
    if (!n.ns || !n.id) {
        repo_name_release(&n);
        return -1;
    }
    *ret = n;
    return 0;
}
