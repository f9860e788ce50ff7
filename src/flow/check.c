/* `hotadd check`: what a source is and whether it can be converted, read from the source
 * itself; nothing is created and no account is needed. */
#include "base/json.h"
#include "base/str.h"
#include "flow/flow.h"
#include "flow/import.h"
#include "image/image.h"
#include "image/serve.h"

static enum guest_profile wanted_profile(const struct restore_params *p)
{
    if (p->profile && str_eq(p->profile, "xen"))
        return GUEST_XEN;
    return p->profile && str_eq(p->profile, "both") ? GUEST_BOTH : GUEST_NITRO;
}

struct guest_options guest_options_for(const struct restore_params *params,
                                       enum restore_kind kind, enum guest_method method)
{
    return (struct guest_options){
        .method = method,
        .profile = wanted_profile(params),
        .purpose = kind == RESTORE_PLAIN ? GUEST_RESTORE : GUEST_CONVERT,
        .fix = params->fix,
        .windows_gpt = params->windows_gpt,
        .discard_hibernation = params->discard_hibernation,
        .drivers = params->drivers,
        .first_boot_way = params->first_boot && str_eq(params->first_boot, "autologon")
                              ? FIRST_BOOT_AUTOLOGON
                              : FIRST_BOOT_SERVICE,
        .logon_user = params->logon_user,
        .logon_password_file = params->logon_password_file,
    };
}

/* "key=value" words for the plugin; see nbdkit-hotadd-plugin(1). A key's password is no
 * such word: the plugin finds it where we do. */
static int plugin_words(const struct source_spec *s, struct strv *ret, struct err *e)
{
    const char *const words[][2] = {
        {"repo", s->repo.at},       {"ns", s->repo.ns},
        {"key", s->repo.key},       {"key-password-file", s->repo.password_file},
        {"region", s->repo.region}, {"aws-profile", s->repo.aws_profile}};

    for (size_t i = 0; source_is_point(s) && i < sizeof words / sizeof words[0]; i++)
        if (words[i][1] && strv_addf(ret, e, "%s=%s", words[i][0], words[i][1]) < 0)
            return -1;
    return 0;
}

int guest_check_source(const struct source_spec *source, size_t n_disks,
                       const struct guest_options *opt, const struct cancel *cancel,
                       const struct progress *progress, struct guest_info **ret,
                       struct err *e)
{
    struct image_options image = {.format = source->format};
    auto_strv struct strv words = {0};
    auto_free struct guest_disk *disks = mem_zalloc(n_disks, sizeof *disks, e);
    struct image_server *server = NULL;
    int r;

    if (!disks || plugin_words(source, &words, e) < 0 ||
        image_serve_start(source->source, n_disks, &image, &words, cancel, &server, e) <
            0)
        return -1;
    for (size_t i = 0; i < n_disks; i++)
        disks[i].nbd_socket = image_server_socket(server, i);
    r = guest_check(disks, n_disks, opt, cancel, progress, ret, e);
    image_serve_stop(server);
    return r < 0 ? err_prefix(e, "looking into the guest of %s", source->source) : 0;
}

static int gather(const struct machine *m, const struct guest_info *info, bool blocked,
                  json_t **ret, struct err *e)
{
    json_auto_t *o = json_object();
    json_t *machine = machine_json(m, e);
    json_t *guest = machine ? guest_info_json(info, e) : NULL;

    if (!guest) {
        json_decref(machine);
        return -1;
    }
    if (json_put(o, "machine", machine, e) < 0 || json_put(o, "guest", guest, e) < 0 ||
        json_put(o, "convertible", json_boolean(!blocked), e) < 0)
        return -1;
    *ret = json_incref(o);
    return 0;
}

int flow_check(const struct restore_params *params, const char *kind,
               const struct flow_env *env, json_t **ret, bool *ret_blocked, struct err *e)
{
    struct source_spec spec = restore_params_source(params, NULL);
    auto_flow_source struct flow_source source = {0};
    bool import = str_eq(kind, "import");
    struct guest_options guest = guest_options_for(
        params, str_eq(kind, "restore") ? RESTORE_PLAIN : RESTORE_CONVERT,
        import ? GUEST_IMPORT : GUEST_SWAP);
    auto_guest_info struct guest_info *info = NULL;
    bool blocked;

    if (flow_source_open(&spec, env->cancel, &source, e) < 0)
        return -1;
    guest.firmware = source.machine->firmware;
    spec.source = source.pinned;
    if (guest_check_source(&spec, source.machine->disks.n, &guest, env->cancel,
                           env->progress, &info, e) < 0 ||
        (import && import_limits(source.machine, params, info, e) < 0))
        return -1;
    blocked = guest_info_blocker(info, &guest) != NULL;
    if (gather(source.machine, info, blocked, ret, e) < 0)
        return -1;
    *ret_blocked = blocked;
    return 0;
}
