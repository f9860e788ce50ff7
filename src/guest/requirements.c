/* Running requirement tables; see subject.h.
 *
 * Here, once for all, purpose and method are applied: a method that does not ask for a
 * requirement makes it not needed, and a restore, which changes nothing, turns what a
 * conversion would mend into a refusal (or, for mere advice, into not needed). */
#include "guest/subject.h"

#include "base/str.h"
#include "guest/info.h"
#include "guest/windows/windows.h"

#include <stdarg.h>

static int say(struct verdict *v, enum finding_state state, enum finding_fix fix,
               struct err *e, const char *fmt, va_list ap)
    __attribute__((format(printf, 5, 0)));
static int say(struct verdict *v, enum finding_state state, enum finding_fix fix,
               struct err *e, const char *fmt, va_list ap)
{
    v->state = state;
    v->fix = fix;
    buf_reset(&v->seen);
    buf_vaddf(&v->seen, fmt, ap);
    return buf_check(&v->seen, e);
}

#define SAY(state, fix)                                                                  \
    va_list ap;                                                                          \
    int r;                                                                               \
    va_start(ap, fmt);                                                                   \
    r = say(v, state, fix, e, fmt, ap);                                                  \
    va_end(ap);                                                                          \
    return r

int verdict_met(struct verdict *v, struct err *e, const char *fmt, ...)
{
    SAY(FINDING_MET, FINDING_FIX_NONE);
}

int verdict_fixable(struct verdict *v, enum finding_fix fix, struct err *e,
                    const char *fmt, ...)
{
    SAY(FINDING_FIXABLE, fix);
}

int verdict_refused(struct verdict *v, struct err *e, const char *fmt, ...)
{
    SAY(FINDING_REFUSED, FINDING_FIX_NONE);
}

int verdict_unknown(struct verdict *v, struct err *e, const char *fmt, ...)
{
    SAY(FINDING_UNKNOWN, FINDING_FIX_NONE);
}

int verdict_not_needed(struct verdict *v, struct err *e, const char *fmt, ...)
{
    SAY(FINDING_NOT_NEEDED, FINDING_FIX_NONE);
}

static void verdict_release(struct verdict *v)
{
    buf_release(&v->seen);
    buf_release(&v->remedy);
}

/* The guest's fault makes an answer unknown; ours ends the check. */
static bool guest_is_to_blame(const struct err *e)
{
    return e->kind == ERR_INPUT || e->kind == ERR_NOT_FOUND || e->kind == ERR_UNSUPPORTED;
}

static int run_check(const struct subject *s, const struct requirement *r,
                     struct verdict *v, struct err *e)
{
    struct err why = ERR_INIT;

    v->state = FINDING_UNKNOWN;
    if (r->check(s, v, &why) == 0)
        return 0;
    if (!guest_is_to_blame(&why)) {
        *e = why;
        return -1;
    }
    buf_reset(&v->remedy);
    return verdict_unknown(v, e, "%s", why.msg);
}

/* Amazon's import changes the guest as it needs it, and we do not. */
static bool nobody_mends(const struct subject *s)
{
    return s->options->purpose == GUEST_RESTORE || s->options->method == GUEST_IMPORT;
}

static int apply_purpose(const struct subject *s, const struct requirement *r,
                         struct verdict *v, struct err *e)
{
    bool open = v->state == FINDING_FIXABLE || v->state == FINDING_REFUSED ||
                v->state == FINDING_UNKNOWN;

    if (open && !(r->methods & 1u << s->options->method)) {
        v->state = FINDING_NOT_NEEDED;
        buf_addf(&v->seen, "; the %s finisher does not need it",
                 guest_method_name(s->options->method));
    } else if (v->state == FINDING_FIXABLE && nobody_mends(s)) {
        bool import = s->options->method == GUEST_IMPORT;

        if (r->weight == WEIGHT_ADVICE) {
            v->state = FINDING_NOT_NEEDED;
            buf_addf(&v->seen, "; %s leaves it as it is",
                     import ? "an import" : "a restore");
        } else {
            v->state = FINDING_REFUSED;
            buf_reset(&v->remedy);
            buf_addf(
                &v->remedy,
                "mend it in the source machine, or use hotadd convert%s, which mends "
                "this, instead of %s",
                v->fix == FINDING_FIX_OPTION ? " --fix" : "",
                import ? "the import" : "hotadd restore");
        }
        v->fix = FINDING_FIX_NONE;
    }
    return buf_check(&v->seen, e) < 0 ? -1 : buf_check(&v->remedy, e);
}

static int append(struct subject *s, const struct requirement *r, struct verdict *v,
                  struct err *e)
{
    bool done = v->state == FINDING_MET || v->state == FINDING_NOT_NEEDED;
    struct finding f = {.state = v->state, .fix = v->fix};

    if (str_set(&f.id, r->id, e) < 0 || str_set(&f.title, r->title, e) < 0 ||
        str_set(&f.seen, buf_str(&v->seen), e) < 0 || str_set(&f.why, r->why, e) < 0 ||
        str_set(&f.remedy,
                done            ? ""
                : v->remedy.len ? buf_str(&v->remedy)
                                : r->remedy,
                e) < 0 ||
        vec_push(&s->info->findings, f, e) < 0) {
        finding_release(&f);
        return -1;
    }
    return 0;
}

int requirement_run(struct subject *s, const struct requirement *r, struct err *e)
{
    auto_call(verdict_release) struct verdict v = {0};

    if (run_check(s, r, &v, e) < 0 || apply_purpose(s, r, &v, e) < 0)
        return err_prefix(e, "check %s", r->id);
    return append(s, r, &v, e);
}

int requirements_run(struct subject *s, const struct requirement *const *table,
                     struct err *e)
{
    for (; *table; table++)
        if (requirement_run(s, *table, e) < 0)
            return -1;
    return 0;
}

void subject_release(struct subject *s)
{
    vec_foreach (k, &s->images) {
        initrd_free(k->initrd);
        modules_free(k->modules);
        buf_release(&k->bytes);
        free(k->fault);
    }
    vec_release(&s->images);
    storage_release(&s->storage);
    guest_info_free(s->info);
    fstab_release(&s->fstab);
    grub_menu_release(&s->menu);
    net_profiles_release(&s->network);
    strv_release(&s->network_files);
    strv_release(&s->systemd_names);
    strv_release(&s->wanted_units);
    free(s->grub_cfg);
    free(s->esp);
    windows_free(s->windows);
}
