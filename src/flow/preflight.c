/* Everything that can be known before anything is created.
 *
 * Cheap questions first: a typo is told in a second, a guest that cannot be converted
 * after the appliance has looked. Nothing here makes or changes anything. */
#include "aws/imds.h"
#include "aws/sts.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "flow/import.h"
#include "flow/instance_type.h"
#include "flow/preflight.h"
#include "flow/windows.h"
#include "proxy/slot.h"
#include "reader/reader.h"

#include <inttypes.h>

#define GIB ((uint64_t)1 << 30)

const char *restore_kind_name(enum restore_kind k)
{
    static const char *const names[] = {[RESTORE_PLAIN] = "restore",
                                        [RESTORE_CONVERT] = "convert",
                                        [RESTORE_IMPORT] = "import"};

    return names[k];
}

/* ---- the source ---- */

static void take_note(void *ctx, const char *text)
{
    struct look *l = ctx;
    struct err ignored;

    if (plan_note(l->plan, &ignored, "%s", text) < 0)
        log_warning("%s", text);
}

static int look_at_source(struct look *l, struct err *e)
{
    struct source_spec spec = restore_params_source(l->params, NULL);
    struct plan *p = l->plan;

    spec.note = take_note;
    spec.note_ctx = l;
    if (flow_source_open(&spec, l->cancel, &l->source, e) < 0)
        return -1;
    l->machine = l->source.machine;
    vec_foreach (d, &l->machine->disks) {
        struct plan_volume v = {.source_bytes = d->source->size_bytes};

        v.size_gib = (v.source_bytes + GIB - 1) / GIB;
        if (v.source_bytes % 512)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: %" PRIu64 " bytes are no whole number of sectors; is "
                           "the image complete?",
                           d->name, v.source_bytes);
        /* EBS: at most 64 TiB (gp3, io2); the others less, which CreateVolume says. */
        if (v.size_gib == 0 || v.size_gib > 65536)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: %" PRIu64 " bytes; an EBS volume holds 1 GiB to 64 TiB",
                           d->name, v.source_bytes);
        v.name = str_dup(d->name, e);
        if (!v.name)
            return -1;
        if (vec_push(&p->volumes, v, e) < 0) {
            free(v.name);
            return -1;
        }
    }
    if (!p->volumes.n)
        return err_set(e, ERR_INPUT, "%s has no disks", l->params->source);
    return plan_set(&p->source, e, "%s", l->source.pinned) < 0 ||
                   plan_set(&p->kind, e, "%s", restore_kind_name(l->kind)) < 0 ||
                   plan_set(&p->name, e, "%s",
                            l->params->name ? l->params->name : l->machine->name) < 0
               ? -1
               : 0;
}

static int check_digests(struct look *l, struct err *e)
{
    struct image_options opt = {.format = l->params->format};

    if (l->source.point)
        return 0; /* its chunks' digests are checked as they are read */
    if (l->params->skip_digests)
        return plan_note(l->plan, e, "the manifest's digests were not checked, as asked");
    return reader_verify_digests(l->params->source, &opt, l->progress, l->cancel, e);
}

/* ---- the account and this machine ---- */

static int look_at_account(struct look *l, struct err *e)
{
    struct sts_identity who = {0};
    int r;

    if (sts_get_caller_identity(l->aws, &who, e) < 0)
        return err_prefix(e, "credentials");
    r = plan_set(&l->plan->account, e, "%s", who.account);
    sts_identity_release(&who);
    return r < 0 ? -1 : plan_set(&l->plan->region, e, "%s", aws_region(l->aws));
}

static bool swap_is_wanted(const struct look *l)
{
    return !l->params->finish || str_eq(l->params->finish, "swap");
}

static int look_at_identity(struct look *l, struct err *e)
{
    struct imds_identity me = {0};
    struct plan *p = l->plan;
    int r = 0;

    if (imds_identity(aws_imds(l->aws), &me, e) < 0)
        return err_prefix(e, "hotadd must run on an EC2 instance (the proxy) in the "
                             "volumes' zone, or against the lab");
    if (!str_eq(me.region, aws_region(l->aws)))
        r = err_set(e, ERR_REQUIREMENT,
                    "this proxy is in region %s and the job asks for %s (%s); run hotadd "
                    "on an instance there",
                    me.region, aws_region(l->aws), aws_region_source(l->aws));
    else if (l->params->zone && !str_eq(l->params->zone, me.zone) && swap_is_wanted(l))
        r = err_set(e, ERR_REQUIREMENT,
                    "this proxy (%s) is in zone %s and the job asks for %s; volumes can "
                    "be attached in their own zone only: run hotadd on an instance "
                    "there, or choose --finish image or auto",
                    me.instance_id, me.zone, l->params->zone);
    else if (plan_set(&p->proxy_id, e, "%s", me.instance_id) < 0 ||
             plan_set(&p->proxy_type, e, "%s", me.instance_type) < 0 ||
             plan_set(&p->zone, e, "%s", me.zone) < 0 ||
             plan_set(&p->instance_zone, e, "%s",
                      l->params->zone ? l->params->zone : me.zone) < 0)
        r = -1;
    imds_identity_release(&me);
    return r;
}

static int proxy_facts(struct look *l, const struct ec2_instance *proxy,
                       struct proxy_limit_facts *ret, char **ret_limit_type,
                       struct err *e)
{
    struct ec2_instance_types types = {0};
    const struct ec2_instance_type *t;
    int r = 0;

    if (ec2_describe_instance_types(
            l->aws, &(struct ec2_query){.ids = EC2_STRS(l->plan->proxy_type)}, &types,
            e) < 0)
        return -1;
    t = types.n ? &types.v[0] : NULL;
    if (!t) {
        r = err_set(e, ERR_CLOUD, "DescribeInstanceTypes does not know %s",
                    l->plan->proxy_type);
    } else {
        *ret = (struct proxy_limit_facts){
            .hypervisor = str_eq(t->hypervisor, "xen") ? PROXY_XEN : PROXY_NITRO,
            .maximum_ebs_attachments = (uint32_t)t->max_ebs_attachments,
            .network_interfaces = (uint32_t)proxy->n_interfaces,
        };
        r = str_set(ret_limit_type, t->attachment_limit_type, e);
    }
    ec2_instance_types_release(&types);
    return r;
}

/* Free slots now; the lease at run time decides for good. */
static int look_at_slots(struct look *l, struct err *e)
{
    struct ec2_instance proxy = {0};
    struct proxy_limit_facts facts;
    auto_free char *limit_type = NULL;
    size_t used, need = l->plan->volumes.n;
    int r;

    if (ec2_describe_instance(l->aws, l->plan->proxy_id, &proxy, e) < 0)
        return err_prefix(e, "this proxy, %s, as its metadata service says",
                          l->plan->proxy_id);
    used = proxy.mappings.n;
    r = proxy_facts(l, &proxy, &facts, &limit_type, e);
    ec2_instance_release(&proxy);
    if (r < 0)
        return -1;
    facts.attachment_limit_type = limit_type && *limit_type ? limit_type : NULL;
    l->plan->slot_limit = proxy_slot_limit(&facts);
    l->plan->proxy_xen = facts.hypervisor == PROXY_XEN;
    if (used + need > l->plan->slot_limit)
        return err_set(e, ERR_REQUIREMENT,
                       "this proxy (%s, %s) takes %" PRIu64 " volumes, %zu are attached, "
                       "and the machine has %zu disks; wait for other jobs, detach what "
                       "is not needed, or use a larger proxy",
                       l->plan->proxy_id, l->plan->proxy_type, l->plan->slot_limit, used,
                       need);
    return 0;
}

static int look_at_proxy(struct look *l, struct err *e)
{
    return look_at_identity(l, e) < 0 || look_at_slots(l, e) < 0 ? -1 : 0;
}

int preflight_proxy(const struct restore_params *params, struct aws *aws,
                    struct plan *plan, struct err *e)
{
    struct look l = {.params = params, .aws = aws, .plan = plan};

    return look_at_proxy(&l, e);
}

/* ---- the guest ---- */

/* As whom it is looked at first: --finish auto decides for good when it was. */
static enum guest_method method_wanted(enum restore_kind kind,
                                       const struct restore_params *params)
{
    const char *finish = kind == RESTORE_IMPORT ? "import" : params->finish;

    if (finish && str_eq(finish, "import"))
        return GUEST_IMPORT;
    return finish && str_eq(finish, "image") ? GUEST_IMAGE : GUEST_SWAP;
}

static int choose_boot_mode(struct look *l, const struct guest_info *info, struct err *e)
{
    enum firmware f = l->machine->firmware;

    if (f == FIRMWARE_UNKNOWN && info)
        f = info->boots_uefi && !info->boots_bios ? FIRMWARE_UEFI : FIRMWARE_BIOS;
    if (l->machine->secure_boot && !l->plan->boot_mode &&
        plan_note(l->plan, e,
                  "the source boots with Secure Boot; the instance boots "
                  "without it, since its keys do not travel") < 0)
        return -1;
    return plan_set(&l->plan->boot_mode, e, "%s",
                    f == FIRMWARE_UEFI ? "uefi" : "legacy-bios");
}

static int blocked(const struct guest_info *info, const struct guest_options *opt,
                   struct err *e)
{
    const struct finding *f = guest_info_blocker(info, opt);

    if (!f)
        return 0;
    return err_set(e, ERR_REQUIREMENT, "%s: %s%s%s%s%s", f->id, f->title,
                   *f->seen ? "; seen: " : "", f->seen, *f->remedy ? "; remedy: " : "",
                   f->remedy);
}

/* What swap and image cannot take may be what VM Import can: then it is told, or, with
 * --finish auto, remembered for the choice. */
static int blocked_but_importable(struct look *l, const struct guest_info *info,
                                  const struct guest_options *opt, struct err *e)
{
    const struct finding *f = guest_info_blocker(info, opt);

    if (!f)
        return 0;
    /* A restore leaves the guest as it is, and VM Import does not. */
    if (l->kind == RESTORE_CONVERT && opt->method != GUEST_IMPORT &&
        import_takes(f->id)) {
        if (str_eq_null(l->params->finish, "auto"))
            return plan_set(&l->refused, e, "%s: %s", f->id, f->title);
        blocked(info, opt, e);
        err_prefix(e,
                   "this source needs the import way (`hotadd import --bucket BUCKET "
                   "%s`, or --finish import)",
                   l->params->source);
        return -1;
    }
    return blocked(info, opt, e);
}

static int keep_guest(struct look *l, const struct guest_info *info, struct err *e)
{
    struct plan *p = l->plan;

    json_decref(p->guest_info);
    p->guest_info = guest_info_json(info, e);
    if (!p->guest_info || choose_boot_mode(l, info, e) < 0 ||
        plan_set(&p->guest, e, "%s", info->product_name ? info->product_name : "?") < 0)
        return -1;
    /* VM Import puts the drivers of both in. */
    l->nitro_ok = l->nitro_ok && (info->fits_nitro || l->method == GUEST_IMPORT);
    l->xen_ok = l->xen_ok && (info->fits_xen || l->method == GUEST_IMPORT);
    return 0;
}

static int note_unknown(struct look *l, const struct guest_info *info, struct err *e)
{
    vec_foreach (f, &info->findings)
        if (f->state == FINDING_UNKNOWN &&
            plan_note(l->plan, e, "%s could not be decided: %s", f->id, f->seen) < 0)
            return -1;
    return 0;
}

static int look_at_guest(struct look *l, struct err *e)
{
    struct source_spec source = restore_params_source(l->params, l->plan->source);
    struct guest_options opt = guest_options_for(l->params, l->kind, l->method);
    auto_guest_info struct guest_info *info = NULL;
    struct plan *p = l->plan;

    opt.firmware = l->machine->firmware;
    l->nitro_ok = opt.profile != GUEST_XEN;
    l->xen_ok = opt.profile != GUEST_NITRO;
    if (plan_set(&p->profile, e, "%s", guest_profile_name(opt.profile)) < 0)
        return -1;
    if (l->kind != RESTORE_CONVERT && l->params->skip_check)
        return choose_boot_mode(l, NULL, e) < 0
                   ? -1
                   : plan_note(p, e, "the guest was not looked into, as asked");
    if (guest_check_source(&source, l->machine->disks.n, &opt, l->cancel, l->progress,
                           &info, e) < 0 ||
        (l->method == GUEST_IMPORT &&
         import_limits(l->machine, l->params, info, e) < 0) ||
        keep_guest(l, info, e) < 0 || blocked_but_importable(l, info, &opt, e) < 0)
        return -1;
    return note_unknown(l, info, e);
}

/* ---- the instance ---- */

static int keep_type(struct look *l, const struct ec2_instance_type *type, bool given,
                     struct err *e)
{
    const char *how = given ? "given" : "the smallest that fits";
    uint64_t memory_mib = l->machine->memory_bytes / (1024 * 1024);
    bool xen = str_eq(type->hypervisor, "xen");

    if (plan_set(&l->plan->instance_type, e, "%s", type->name) < 0 ||
        plan_set(&l->plan->hypervisor, e, "%s", xen ? "xen" : "nitro") < 0)
        return -1;
    if (!l->machine->cpus && !memory_mib)
        return plan_set(&l->plan->instance_type_why, e,
                        "%s: %" PRIu64 " vCPUs, %" PRIu64
                        " MiB; the source does not say what the machine had%s",
                        how, type->vcpus, type->memory_mib,
                        given ? "" : ": choose with --instance-type");
    return plan_set(&l->plan->instance_type_why, e,
                    "%s: %" PRIu64 " vCPUs, %" PRIu64
                    " MiB; the machine has %u and %" PRIu64,
                    how, type->vcpus, type->memory_mib, l->machine->cpus, memory_mib);
}

static int choose_type(struct look *l, struct err *e)
{
    const struct type_wish wish = {.cpus = l->machine->cpus,
                                   .memory_bytes = l->machine->memory_bytes,
                                   .boot_mode = l->plan->boot_mode,
                                   .nitro_ok = l->nitro_ok,
                                   .xen_ok = l->xen_ok};
    const char *given = l->params->instance_type;
    const struct ec2_filter filters[] = {
        {"processor-info.supported-architecture", EC2_STRS("x86_64")},
        {"supported-boot-mode", EC2_STRS(l->plan->boot_mode)},
    };
    const struct ec2_query by_name = {.ids = EC2_STRS(given)};
    const struct ec2_query by_fit = {.filters = filters, .n_filters = 2};
    const struct ec2_instance_type *type = NULL;
    struct ec2_instance_types types = {0};
    int r;

    if (ec2_describe_instance_types(l->aws, given ? &by_name : &by_fit, &types, e) < 0)
        return given ? err_prefix(e, "--instance-type %s", given) : -1;
    if (given && types.n) {
        type = &types.v[0];
        r = instance_type_fits(type, &wish, e);
    } else {
        r = instance_type_choose(&types, &wish, &type, e);
    }
    if (r == 0)
        r = keep_type(l, type, given, e);
    ec2_instance_types_release(&types);
    return r;
}

static const struct ec2_subnet *pick_subnet(const struct ec2_subnets *subnets,
                                            const char *zone)
{
    const struct ec2_subnet *best = NULL;

    vec_foreach (s, subnets)
        if (str_eq(s->zone, zone) && (!best || s->default_for_zone))
            best = s;
    return best;
}

static int choose_subnet(struct look *l, struct err *e)
{
    const char *given = l->params->subnet;
    const struct ec2_filter filters[] = {
        {"availability-zone", EC2_STRS(l->plan->instance_zone)},
        {"default-for-az", EC2_STRS("true")},
    };
    const struct ec2_query by_id = {.ids = EC2_STRS(given)};
    const struct ec2_query of_zone = {.filters = filters, .n_filters = 2};
    struct ec2_subnets subnets = {0};
    const struct ec2_subnet *s;
    int r = 0;

    if (ec2_describe_subnets(l->aws, given ? &by_id : &of_zone, &subnets, e) < 0)
        return given ? err_prefix(e, "--subnet %s", given) : -1;
    s = given ? (subnets.n ? &subnets.v[0] : NULL)
              : pick_subnet(&subnets, l->plan->instance_zone);
    if (!s)
        r = err_set(e, ERR_REQUIREMENT,
                    "zone %s has no default subnet; give one of that zone with --subnet",
                    l->plan->instance_zone);
    else if (!str_eq(s->zone, l->plan->instance_zone) && l->params->zone)
        r = err_set(e, ERR_REQUIREMENT, "--subnet %s is in zone %s, not in %s", given,
                    s->zone, l->params->zone);
    else if (!str_eq(s->zone, l->plan->instance_zone) && l->kind != RESTORE_IMPORT &&
             swap_is_wanted(l))
        r = err_set(e, ERR_REQUIREMENT,
                    "--subnet %s is in zone %s, and the volumes will be in %s, this "
                    "proxy's zone; choose a subnet there, run hotadd in %s, or choose "
                    "--finish image or auto",
                    given, s->zone, l->plan->zone, s->zone);
    else if (s->free_addresses == 0)
        r = err_set(e, ERR_REQUIREMENT, "subnet %s has no free address; choose another",
                    s->id);
    else if (plan_set(&l->plan->subnet_id, e, "%s", s->id) < 0 ||
             plan_set(&l->plan->instance_zone, e, "%s", s->zone) < 0 ||
             plan_set(&l->plan->subnet_why, e, "%s, %s, in %s",
                      given ? "given" : "the zone's default", s->cidr, s->vpc_id) < 0)
        r = -1;
    ec2_subnets_release(&subnets);
    return r;
}

static int choose_groups(struct look *l, struct err *e)
{
    vec_foreach (g, &l->params->security_groups) {
        struct ec2_security_groups found = {0};

        if (ec2_describe_security_groups(l->aws, &(struct ec2_query){.ids = EC2_STRS(*g)},
                                         &found, e) < 0)
            return err_prefix(e, "--security-group %s", *g);
        ec2_security_groups_release(&found);
        if (strv_add(&l->plan->security_group_ids, *g, e) < 0)
            return -1;
    }
    return 0;
}

static int say_the_rest(struct look *l, struct err *e)
{
    const struct restore_params *p = l->params;
    struct plan *plan = l->plan;
    bool by_default = false;

    if (ec2_get_ebs_encryption_by_default(l->aws, &by_default, e) < 0) {
        if (e->kind == ERR_NETWORK || e->kind == ERR_CANCELLED)
            return -1;
        by_default = false; /* not knowing changes nothing: EC2 does as it is set */
    }
    if (plan_set(&plan->volume_type, e, "%s", p->volume_type ? p->volume_type : "gp3") <
            0 ||
        plan_set(&plan->encryption, e, "%s%s%s",
                 p->encrypted || by_default ? "encrypted" : "not encrypted",
                 p->kms_key ? " with " : "",
                 p->kms_key   ? p->kms_key
                 : by_default ? " (the account's default)"
                              : "") < 0)
        return -1;
    /* Red Hat and SUSE billing codes exist only on AWS's own images. */
    if (plan->guest &&
        (strcasestr(plan->guest, "red hat") || strcasestr(plan->guest, "suse linux")))
        return plan_set(&plan->licence, e,
                        "bring your own subscription: EC2 does not bill one for %s",
                        plan->guest);
    if (plan_is_windows(plan) && str_eq_null(p->licence, "byol"))
        return plan_set(&plan->licence, e, "your own licence of Windows (BYOL)");
    if (plan_is_windows(plan))
        return plan_set(&plan->licence, e, "Windows, billed by EC2 with the instance%s",
                        finisher_of_plan(plan) == FINISH_SWAP ? ", as the carrier's"
                                                              : "");
    return plan_set(&plan->licence, e, "none billed by EC2");
}

/* ---- the finisher ---- */

/* What the guest is, or, where it was not looked into, what its description calls it. */
static int choose_platform(struct look *l, struct err *e)
{
    const char *id = l->machine->guest_id ? l->machine->guest_id : "";
    static const char *const linuxes[] = {"linux",  "debian", "ubuntu", "rhel",
                                          "centos", "fedora", "sles",   "suse",
                                          "rocky",  "amazon"};

    if (l->plan->guest_info)
        return plan_set(&l->plan->platform, e, "%s",
                        plan_is_windows(l->plan) ? "Windows" : "Linux");
    if (strcasestr(id, "windows"))
        return plan_set(&l->plan->platform, e, "Windows");
    for (size_t i = 0; i < sizeof linuxes / sizeof linuxes[0]; i++)
        if (strcasestr(id, linuxes[i]))
            return plan_set(&l->plan->platform, e, "Linux");
    if (l->kind != RESTORE_IMPORT && str_eq(l->plan->boot_mode, "uefi"))
        return err_set(
            e, ERR_REQUIREMENT,
            "VM Import must be told whether this UEFI machine is Linux or "
            "Windows, and its description does not say; leave --skip-check out");
    return 0;
}

static int choose_finisher(struct look *l, struct err *e)
{
    struct finish_facts f = {
        .windows = plan_is_windows(l->plan),
        .guest = l->plan->guest,
        .boot_mode = l->plan->boot_mode,
        .volume_zone = l->plan->zone,
        .instance_zone = l->plan->instance_zone,
        .byol = str_eq_null(l->params->licence, "byol"),
        .carrier = l->params->carrier != NULL,
        .keep_image = l->params->keep_image,
        .refused = l->refused,
        .n_disks = l->machine->disks.n,
    };
    struct finish_choice c;

    f.amazon_image =
        f.carrier || windows_image_version(l->plan->guest ? l->plan->guest : "");
    vec_foreach (d, &l->machine->disks)
        if (d->source->size_bytes > f.largest_bytes)
            f.largest_bytes = d->source->size_bytes;
    if (finish_choose(&f, l->params->finish, &c, e) < 0 ||
        plan_set(&l->plan->finisher, e, "%s", finisher_name(c.finisher)) < 0 ||
        plan_set(&l->plan->finisher_why, e, "%s", c.why) < 0 ||
        plan_set(&l->plan->finisher_others, e, "%s", c.others) < 0)
        return -1;
    if (c.finisher != FINISH_IMPORT || l->method == GUEST_IMPORT)
        return 0;
    /* It was looked at as the others want it. */
    l->method = GUEST_IMPORT;
    return look_at_guest(l, e);
}

static int look_at_instance(struct look *l, struct err *e)
{
    if (choose_subnet(l, e) < 0 || choose_groups(l, e) < 0)
        return -1;
    if (l->kind == RESTORE_IMPORT ? import_plan(l, e) < 0 : choose_finisher(l, e) < 0)
        return -1;
    if (choose_type(l, e) < 0 || say_the_rest(l, e) < 0 ||
        (finisher_of_plan(l->plan) == FINISH_IMPORT && choose_platform(l, e) < 0))
        return -1;
    return finisher_of_plan(l->plan) == FINISH_SWAP
               ? carrier_plan(l->aws, l->params, l->plan, e)
               : 0;
}

int preflight_again(const struct restore_params *params, struct aws *aws,
                    const struct cancel *cancel, uint32_t cpus, uint64_t memory_bytes,
                    struct plan *plan, struct err *e)
{
    struct machine machine = {.cpus = cpus, .memory_bytes = memory_bytes};
    bool nitro = str_eq_null(plan->hypervisor, "nitro");
    struct look l = {.params = params,
                     .aws = aws,
                     .cancel = cancel,
                     .plan = plan,
                     .machine = &machine,
                     .nitro_ok = nitro,
                     .xen_ok = !nitro};

    strv_release(&plan->security_group_ids);
    plan->security_group_ids = (struct strv){0};
    if (!plan->boot_mode || !plan->volumes.n)
        return err_set(e, ERR_INPUT, "the plan that was kept is not whole");
    if (params->name && str_set(&plan->name, params->name, e) < 0)
        return -1;
    return look_at_account(&l, e) < 0 || look_at_identity(&l, e) < 0 ||
                   look_at_slots(&l, e) < 0 || look_at_instance(&l, e) < 0 ||
                   permissions_check(aws, params, plan, e) < 0
               ? -1
               : 0;
}

int preflight(enum restore_kind kind, const struct restore_params *params,
              struct aws *aws, const struct cancel *cancel,
              const struct progress *progress, struct plan *plan, struct err *e)
{
    struct look l = {.kind = kind,
                     .params = params,
                     .aws = aws,
                     .cancel = cancel,
                     .progress = progress,
                     .plan = plan,
                     .method = method_wanted(kind, params)};
    int r = look_at_source(&l, e);

    if (r == 0)
        r = look_at_account(&l, e);
    if (r == 0)
        r = kind == RESTORE_IMPORT ? import_look(&l, e) : look_at_proxy(&l, e);
    if (r == 0 &&
        (check_digests(&l, e) < 0 || look_at_guest(&l, e) < 0 ||
         look_at_instance(&l, e) < 0 || permissions_check(aws, params, plan, e) < 0))
        r = -1;
    flow_source_close(&l.source);
    free(l.refused);
    return r;
}
