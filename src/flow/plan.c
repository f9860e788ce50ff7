/* What is going to be done; see plan.h. */
#include "flow/plan.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"

#include <inttypes.h>

int plan_new(struct plan **ret, struct err *e)
{
    struct plan *p = mem_zalloc(1, sizeof *p, e);

    if (!p)
        return -1;
    p->notes = json_array();
    if (!p->notes) {
        free(p);
        return err_nomem(e);
    }
    *ret = p;
    return 0;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
#define FREE_FIELD(f) free(p->f);
    PLAN_STRINGS(FREE_FIELD)
    vec_foreach (g, &p->security_group_ids)
        free(*g);
    vec_release(&p->security_group_ids);
    vec_foreach (v, &p->volumes) {
        free(v->name);
        free(v->snapshot_id);
        free(v->copy_of);
    }
    vec_release(&p->volumes);
    json_decref(p->guest_info);
    json_decref(p->notes);
    free(p);
}

int plan_set(char **field, struct err *e, const char *fmt, ...)
{
    auto_buf struct buf b = BUF_INIT;
    char *text;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    if (buf_check(&b, e) < 0 || buf_take(&b, &text, e) < 0)
        return -1;
    free(*field);
    *field = text;
    return 0;
}

int plan_note(struct plan *p, struct err *e, const char *fmt, ...)
{
    auto_buf struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    if (buf_check(&b, e) < 0)
        return -1;
    return json_add(p->notes, json_string(buf_str(&b)), e);
}

static int put_volumes(json_t *o, const struct plan *p, struct err *e)
{
    json_t *a = json_array();

    if (json_put(o, "volumes", a, e) < 0)
        return -1;
    vec_foreach (v, &p->volumes)
        if (json_add(a,
                     json_pack("{s:s, s:I, s:I, s:s*, s:s*}", "name", v->name,
                               "source_bytes", (json_int_t)v->source_bytes, "size_gib",
                               (json_int_t)v->size_gib, "snapshot_id", v->snapshot_id,
                               "copy_of", v->copy_of),
                     e) < 0)
            return -1;
    return 0;
}

static int put_all(json_t *o, const struct plan *p, struct err *e)
{
    json_t *groups = json_array();

#define PUT_FIELD(f)                                                                     \
    if (p->f && json_put(o, #f, json_string(p->f), e) < 0)                               \
        goto fail;
    PLAN_STRINGS(PUT_FIELD)
    vec_foreach (g, &p->security_group_ids)
        if (json_add(groups, json_string(*g), e) < 0)
            goto fail;
    if (json_object_set(o, "security_group_ids", groups) < 0) {
        err_nomem(e);
        goto fail;
    }
    json_decref(groups);
    if (put_volumes(o, p, e) < 0 ||
        json_put(o, "slot_limit", json_integer((json_int_t)p->slot_limit), e) < 0 ||
        json_put(o, "proxy_xen", json_boolean(p->proxy_xen), e) < 0 ||
        json_put(o, "notes", json_incref(p->notes), e) < 0)
        return -1;
    return p->guest_info ? json_put(o, "guest_info", json_incref(p->guest_info), e) : 0;
fail:
    json_decref(groups);
    return -1;
}

json_t *plan_json(const struct plan *p, struct err *e)
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

static int get_lists(const json_t *o, struct plan *p, struct err *e)
{
    const json_t *v;
    size_t i;

    json_array_foreach (json_object_get(o, "security_group_ids"), i, v) {
        char *s = str_dup(json_string_value(v) ? json_string_value(v) : "", e);

        if (!s || vec_push(&p->security_group_ids, s, e) < 0) {
            free(s);
            return -1;
        }
    }
    json_array_foreach (json_object_get(o, "volumes"), i, v) {
        struct plan_volume pv = {0};

        if (json_need_u64(v, "source_bytes", &pv.source_bytes, e) < 0 ||
            json_need_u64(v, "size_gib", &pv.size_gib, e) < 0 ||
            !(pv.name = str_dup(json_str_or(v, "name", ""), e)))
            return -1;
        if (vec_push(&p->volumes, pv, e) < 0) {
            free(pv.name);
            return -1;
        }
        if (str_set(&p->volumes.v[i].snapshot_id, json_str_or(v, "snapshot_id", NULL),
                    e) < 0 ||
            str_set(&p->volumes.v[i].copy_of, json_str_or(v, "copy_of", NULL), e) < 0)
            return -1;
    }
    return 0;
}

int plan_from_json(const json_t *o, struct plan **ret, struct err *e)
{
    auto_plan struct plan *p = NULL;

    if (plan_new(&p, e) < 0)
        return -1;
#define GET_FIELD(f)                                                                     \
    if (json_str_or(o, #f, NULL) && str_set(&p->f, json_str_or(o, #f, NULL), e) < 0)     \
        return -1;
    PLAN_STRINGS(GET_FIELD)
    if (get_lists(o, p, e) < 0)
        return err_prefix(e, "the plan in the journal");
    p->slot_limit = json_u64_or(o, "slot_limit", 0);
    p->proxy_xen = json_bool_or(o, "proxy_xen", false);
    p->guest_info = json_incref(json_object_get(o, "guest_info"));
    json_decref(p->notes);
    p->notes = json_is_array(json_object_get(o, "notes"))
                   ? json_incref(json_object_get(o, "notes"))
                   : json_array();
    *ret = take_ptr(p);
    return 0;
}

static void line(FILE *out, const char *label, const char *value, const char *why)
{
    if (!value || !*value)
        return;
    fprintf(out, "  %-15s %s", label, value);
    if (why && *why)
        fprintf(out, "  (%s)", why);
    fputc('\n', out);
}

void plan_print(const struct plan *p, FILE *out)
{
    const json_t *note;
    char size[32], proxy[128];
    size_t i;

    fprintf(out, "Plan: %s %s\n", p->kind, p->source);
    snprintf(proxy, sizeof proxy, "%s, %s", p->proxy_id, p->proxy_type);
    line(out, "guest", p->guest, NULL);
    line(out, "proxy", proxy, p->zone);
    line(out, "instance", p->name, NULL);
    line(out, "instance type", p->instance_type, p->instance_type_why);
    line(out, "boot mode", p->boot_mode, NULL);
    line(out, "subnet", p->subnet_id, p->subnet_why);
    vec_foreach (g, &p->security_group_ids)
        line(out, "security group", *g, NULL);
    line(out, "finisher", p->finisher, p->finisher_why);
    line(out, "", p->finisher_others, NULL);
    if (!p->finisher || str_eq(p->finisher, "swap"))
        line(out, "carrier", p->carrier_id ? p->carrier_id : "made by this job",
             p->carrier_why);
    if (p->bucket)
        line(out, "bucket", p->bucket, p->disk_format);
    line(out, "licence", p->licence, NULL);
    line(out, "encryption", p->encryption, NULL);
    vec_foreach (v, &p->volumes)
        fprintf(out, "  %-15s %" PRIu64 " GiB %s for %s (%s)\n", "volume", v->size_gib,
                p->volume_type, v->name, str_bytes(size, sizeof size, v->source_bytes));
    json_array_foreach (p->notes, i, note)
        fprintf(out, "  %-15s %s\n", "note", json_string_value(note));
}

void plan_print_findings(const json_t *guest_info, bool all, FILE *out)
{
    const json_t *f;
    size_t i;

    json_array_foreach (json_object_get(guest_info, "findings"), i, f) {
        const char *state = json_str_or(f, "state", "unknown");
        bool dull = str_eq(state, "met") || str_eq(state, "not-needed");
        const char *remedy = json_str_or(f, "remedy", "");

        if (dull && !all)
            continue;
        fprintf(out, "  %-10s  %-24s  %s\n", state, json_str_or(f, "id", "?"),
                json_str_or(f, "title", ""));
        if (*json_str_or(f, "seen", ""))
            fprintf(out, "  %-10s  %-24s  seen: %s\n", "", "",
                    json_str_or(f, "seen", ""));
        if (!dull && *json_str_or(f, "why", ""))
            fprintf(out, "  %-10s  %-24s  why: %s\n", "", "", json_str_or(f, "why", ""));
        if (!dull && *remedy)
            fprintf(out, "  %-10s  %-24s  remedy: %s\n", "", "", remedy);
    }
}
