/* What the user asked; see params.h. */
#include "flow/params.h"

#include "base/json.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <inttypes.h>

#define NONE(f)

void restore_params_release(struct restore_params *p)
{
#define FREE_STR(f)  free(p->f);
#define FREE_LIST(f) strv_release(&p->f);
    RESTORE_PARAM_FIELDS(FREE_STR, NONE, NONE, FREE_LIST)
    memset(p, 0, sizeof *p);
}

static int put_all(json_t *o, const struct restore_params *p, struct err *e)
{
#define PUT_STR(f)                                                                       \
    if (p->f && json_put(o, #f, json_string(p->f), e) < 0)                               \
        return -1;
#define PUT_U64(f)                                                                       \
    if (p->f && json_put(o, #f, json_integer((json_int_t)p->f), e) < 0)                  \
        return -1;
#define PUT_FLAG(f)                                                                      \
    if (p->f && json_put(o, #f, json_true(), e) < 0)                                     \
        return -1;
#define PUT_LIST(f)                                                                      \
    if (p->f.n && json_put(o, #f, json_from_strv(&p->f, e), e) < 0)                      \
        return -1;
    RESTORE_PARAM_FIELDS(PUT_STR, PUT_U64, PUT_FLAG, PUT_LIST)
    return 0;
}

json_t *restore_params_json(const struct restore_params *p, struct err *e)
{
    json_t *o = json_object();

    if (!o) {
        err_nomem(e);
        return NULL;
    }
    if (put_all(o, p, e) < 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

int restore_params_from_json(const json_t *o, struct restore_params *ret, struct err *e)
{
    struct restore_params *p = ret;

#define GET_STR(f)                                                                       \
    if (json_str_or(o, #f, NULL) && str_set(&p->f, json_str_or(o, #f, NULL), e) < 0)     \
        return -1;
#define GET_U64(f)  p->f = json_u64_or(o, #f, 0);
#define GET_FLAG(f) p->f = json_bool_or(o, #f, false);
#define GET_LIST(f)                                                                      \
    if (json_to_strv(json_object_get(o, #f), &p->f, e) < 0)                              \
        return -1;
    RESTORE_PARAM_FIELDS(GET_STR, GET_U64, GET_FLAG, GET_LIST)
    return 0;
}

struct source_spec restore_params_source(const struct restore_params *p,
                                         const char *pinned)
{
    return (struct source_spec){
        .source = pinned ? pinned : p->source,
        .format = p->format,
        .repo = {.at = p->repo,
                 .ns = p->ns,
                 .key = p->key,
                 .password_file = p->key_password_file,
                 .region = p->region,
                 .aws_profile = p->aws_profile},
    };
}

static int one_of(const char *value, const char *option, const char *const *words,
                  struct err *e)
{
    char list[200] = "";

    if (!value)
        return 0;
    for (size_t i = 0; words[i]; i++) {
        size_t n = strlen(list);

        if (str_eq(value, words[i]))
            return 0;
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", words[i]);
    }
    return err_set(e, ERR_USAGE, "--%s %s: must be one of %s", option, value, list);
}

static int check_tags(const struct strv *tags, struct err *e)
{
    vec_foreach (t, tags) {
        const char *eq = strchr(*t, '=');

        /* EC2: keys of 1 to 127 characters, not beginning with aws:, values to 255. */
        if (!eq || eq == *t || eq - *t > 127 || strlen(eq + 1) > 255)
            return err_set(e, ERR_USAGE, "--tag %s: write KEY=VALUE", *t);
        if (!strncasecmp(*t, "aws:", 4) || str_starts(*t, "hotadd:"))
            return err_set(e, ERR_USAGE,
                           "--tag %s: the prefixes aws: and hotadd: are "
                           "reserved",
                           *t);
    }
    if (tags->n > 40)
        return err_set(e, ERR_USAGE,
                       "%zu tags: EC2 allows 50, of which hotadd uses some;"
                       " give at most 40",
                       tags->n);
    return 0;
}

/* [DOMAIN\]NAME, of what Windows allows in names of users. */
static bool is_user(const char *s)
{
    const char *slash = strchr(s, '\\'), *name = slash ? slash + 1 : s;

    return s != slash && *name && strlen(s) <= 200 && !strpbrk(name, "\\/\"[]:|<>+=;,?*");
}

static int check_first_boot(const struct restore_params *p, struct err *e)
{
    static const char *const ways[] = {"service", "autologon", NULL};
    bool logon = p->first_boot && str_eq(p->first_boot, "autologon");

    if (one_of(p->first_boot, "first-boot", ways, e) < 0)
        return -1;
    if (!logon && (p->logon_user || p->logon_password_file))
        return err_set(e, ERR_USAGE,
                       "--logon-user and --logon-password-file need --first-boot "
                       "autologon");
    if (logon && !p->logon_password_file)
        return err_set(e, ERR_USAGE,
                       "--first-boot autologon needs --logon-password-file");
    if (logon && p->finish && str_eq(p->finish, "import"))
        return err_set(e, ERR_USAGE,
                       "--first-boot autologon: AWS's import wants automatic logon to be "
                       "off");
    if (p->logon_user && !is_user(p->logon_user))
        return err_set(e, ERR_USAGE, "--logon-user %s: write NAME or DOMAIN\\NAME",
                       p->logon_user);
    return 0;
}

int restore_params_check(const struct restore_params *p, struct err *e)
{
    static const char *const finishers[] = {"swap", "image", "import", "auto", NULL};
    static const char *const licences[] = {"aws", "byol", NULL};
    static const char *const formats[] = {"raw", "vhd", NULL};
    static const char *const profiles[] = {"nitro", "xen", "both", NULL};
    static const char *const imds[] = {"required", "optional", NULL};
    static const char *const volume_types[] = {"gp3", "gp2", "io1", "io2", NULL};
    struct in_addr addr;

    if (one_of(p->finish, "finish", finishers, e) < 0 ||
        one_of(p->licence, "licence", licences, e) < 0 ||
        one_of(p->disk_format, "disk-format", formats, e) < 0 ||
        one_of(p->profile, "profile", profiles, e) < 0 ||
        one_of(p->imds, "imds", imds, e) < 0 ||
        one_of(p->volume_type, "volume-type", volume_types, e) < 0 ||
        check_tags(&p->tags, e) < 0)
        return -1;
    if ((p->ns || p->key || p->key_password_file) && !p->repo)
        return err_set(e, ERR_USAGE, "--ns, --key and --key-password-file need --repo");
    if (check_first_boot(p, e) < 0)
        return -1;
    if (p->private_ip && inet_pton(AF_INET, p->private_ip, &addr) != 1)
        return err_set(e, ERR_USAGE, "--private-ip %s: not an IPv4 address",
                       p->private_ip);
    if (p->iops > 256000)
        return err_set(e, ERR_USAGE, "--iops %" PRIu64 ": EBS has at most 256000",
                       p->iops);
    if (p->throughput > 2000)
        return err_set(e, ERR_USAGE,
                       "--throughput %" PRIu64 ": EBS has at most 2000 MiB/s",
                       p->throughput);
    if (p->throughput && p->volume_type && !str_eq(p->volume_type, "gp3"))
        return err_set(e, ERR_USAGE, "--throughput: only gp3 volumes have it, not %s",
                       p->volume_type);
    if (p->kms_key && !p->encrypted)
        return err_set(e, ERR_USAGE, "--kms-key needs --encrypted");
    return 0;
}
