/* Faults on demand; see faults.h. */
#include "lab/faults.h"

#include "base/rand.h"
#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>

static const char *const effects[] = {"delay",      "delay-reply", "drop-request",
                                      "drop-reply", "drop-body",   "deny",
                                      "fail",       "eventual"};

static bool is_effect(const char *s)
{
    for (size_t i = 0; i < sizeof effects / sizeof effects[0]; i++)
        if (str_eq(effects[i], s))
            return true;
    return false;
}

static bool is_code(const char *s)
{
    if (!isupper((unsigned char)*s) || strlen(s) >= 80)
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '.')
            return false;
    return true;
}

static bool matches(const json_t *f, const char *action, const struct principal *who)
{
    const char *fa = json_str_or(f, "action", "*"), *fw = json_str_or(f, "who", "");

    return (str_eq(fa, "*") || str_eq(fa, action)) &&
           (!*fw || str_eq(fw, who->access_key) || str_eq(fw, who->role));
}

static void apply(const json_t *f, const char *action, struct fault_outcome *out)
{
    const char *effect = json_str_or(f, "effect", "");

    if (str_eq(effect, "delay")) {
        out->delay_ms += (int64_t)json_u64_or(f, "ms", 0);
    } else if (str_eq(effect, "delay-reply")) {
        out->reply_delay_ms += (int64_t)json_u64_or(f, "ms", 0);
    } else if (str_eq(effect, "drop-request")) {
        out->drop_request = true;
    } else if (str_eq(effect, "drop-reply")) {
        out->drop_reply = true;
    } else if (str_eq(effect, "drop-body")) {
        out->drop_body = true;
    } else if (str_eq(effect, "deny")) {
        out->denied = true;
    } else if (str_eq(effect, "fail")) {
        out->fail_task = true;
        snprintf(
            out->message, sizeof out->message, "%s",
            json_str_or(f, "message", "ClientError: Unknown OS / Missing OS files."));
    } else if (!out->code[0] && is_code(effect)) {
        snprintf(out->code, sizeof out->code, "%s", effect);
        snprintf(out->message, sizeof out->message, "%s",
                 json_str_or(f, "message",
                             str_eq(effect, "RequestLimitExceeded")
                                 ? "Request limit exceeded."
                                 : "An error put in by 'hotadd-lab faults'"));
    }
}

static int count_down(struct lab *lab, const json_t *f, struct err *e)
{
    json_int_t times = json_integer_value(json_object_get(f, "times"));
    const char *id = json_str_or(f, "id", "");
    json_t *doc;

    if (times == 0)
        return 0;
    if (times == 1)
        return store_delete(lab->store, "fault", id, e);
    if (store_edit(lab->store, "fault", id, &doc, e) < 0)
        return -1;
    return json_put(doc, "times", json_integer(times - 1), e);
}

int faults_take(struct lab *lab, const char *action, const struct principal *who,
                struct fault_outcome *ret, struct err *e)
{
    struct fault_outcome out = {0};
    json_t *faults, *f;
    size_t i;
    int r = 0;

    if (store_list(lab->store, "fault", &faults, e) < 0)
        return -1;
    json_array_foreach (faults, i, f) {
        if (r < 0 || !matches(f, action, who))
            continue;
        apply(f, action, &out);
        r = count_down(lab, f, e);
    }
    json_decref(faults);
    if (r < 0 || store_commit(lab->store, e) < 0) {
        store_rollback(lab->store);
        return -1;
    }
    *ret = out;
    return 0;
}

void faults_delay(struct lab *lab, const struct fault_outcome *f)
{
    if (!f->delay_ms)
        return;
    pthread_mutex_unlock(&lab->lock);
    usleep((useconds_t)f->delay_ms * 1000);
    pthread_mutex_lock(&lab->lock);
}

void faults_delay_reply(const struct fault_outcome *f)
{
    if (f->reply_delay_ms)
        usleep((useconds_t)f->reply_delay_ms * 1000);
}

static int set_eventual(struct lab *lab, json_int_t ms, struct err *e)
{
    return store_put(lab->store, "meta", "eventual_ms", json_pack("{s:I}", "value", ms),
                     e);
}

static int check_spec(const json_t *spec, struct err *e)
{
    const char *action = json_str_or(spec, "action", "");
    const char *effect = json_str_or(spec, "effect", "");
    uint64_t ms = json_u64_or(spec, "ms", 0);
    bool needs_ms = str_starts(effect, "delay") || str_eq(effect, "eventual");

    if (!*action || strlen(action) > 64)
        return err_set(e, ERR_USAGE, "a fault needs an action's name, or '*' for all");
    if (!is_effect(effect) && !is_code(effect))
        return err_set(e, ERR_USAGE,
                       "'%.60s' is neither an error code (VolumeInUse) nor one of delay, "
                       "delay-reply, drop-request, drop-reply, drop-body, deny, fail, "
                       "eventual",
                       effect);
    if (str_eq(effect, "fail") && !str_eq(action, "ImportImage") &&
        !str_eq(action, "ImportSnapshot"))
        return err_set(e, ERR_USAGE,
                       "the fault 'fail' is for ImportImage and ImportSnapshot");
    if (needs_ms && ms == 0)
        return err_set(e, ERR_USAGE, "the fault '%s' needs --ms MILLISECONDS", effect);
    if (ms > FAULT_MAX_DELAY_MS)
        return err_set(e, ERR_USAGE, "%" PRIu64 " ms is more than the %d allowed", ms,
                       FAULT_MAX_DELAY_MS);
    if (json_u64_or(spec, "times", 0) > 1000000)
        return err_set(e, ERR_USAGE, "--times is too large");
    return 0;
}

int faults_add(struct lab *lab, const json_t *spec, const json_t **ret, struct err *e)
{
    json_int_t ms = json_integer_value(json_object_get(spec, "ms"));
    json_t *doc;
    char id[20];

    if (check_spec(spec, e) < 0)
        return -1;
    do
        snprintf(id, sizeof id, "fault-%04x", (unsigned)rand_below(0x10000));
    while (store_get(lab->store, "fault", id));
    doc = json_deep_copy(spec);
    if (!doc || json_object_set_new(doc, "id", json_string(id)) < 0) {
        json_decref(doc);
        return err_nomem(e);
    }
    if (store_put(lab->store, "fault", id, doc, e) < 0 ||
        (str_eq(json_str_or(spec, "effect", ""), "eventual") &&
         set_eventual(lab, ms, e) < 0) ||
        store_commit(lab->store, e) < 0) {
        store_rollback(lab->store);
        return -1;
    }
    *ret = store_get(lab->store, "fault", id);
    return 0;
}

int faults_list(struct lab *lab, json_t **ret, struct err *e)
{
    return store_list(lab->store, "fault", ret, e);
}

int faults_clear(struct lab *lab, const char *id, struct err *e)
{
    json_t *faults, *f;
    bool found = false;
    size_t i;
    int r = 0;

    if (store_list(lab->store, "fault", &faults, e) < 0)
        return -1;
    json_array_foreach (faults, i, f) {
        const char *own = json_str_or(f, "id", "");

        if (r < 0 || (id && !str_eq(id, own)))
            continue;
        found = true;
        if (str_eq(json_str_or(f, "effect", ""), "eventual"))
            r = set_eventual(lab, 0, e);
        if (r == 0)
            r = store_delete(lab->store, "fault", own, e);
    }
    json_decref(faults);
    if (r == 0 && id && !found)
        r = err_set(e, ERR_NOT_FOUND, "there is no fault %.40s", id);
    if (r < 0 || store_commit(lab->store, e) < 0) {
        store_rollback(lab->store);
        return -1;
    }
    return 0;
}
