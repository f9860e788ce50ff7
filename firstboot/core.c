/* The first boot; see core.h. What a crash at any point leaves: Running names the step
 * that was under way, Next those that are behind. Both are written before anything else
 * is done. */
#include "core.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "hotadd: first-boot: "

struct boot {
    const struct fb_ops *ops;
    void *ctx;
    struct fb_plan *plan;
};

static void say(struct boot *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void say(struct boot *b, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    int n = snprintf(line, sizeof line, PREFIX);

    va_start(ap, fmt);
    vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    b->ops->say(b->ctx, line);
}

static unsigned get(struct boot *b, const char *name)
{
    return b->ops->get(b->ctx, name);
}

/* What cannot be remembered must not be done: it would be done for ever. */
static int set(struct boot *b, const char *name, unsigned value)
{
    int r = b->ops->set(b->ctx, name, value);

    if (r < 0)
        say(b, "the registry does not take %s", name);
    return r;
}

/* ---- the plan and what it lists ---- */

static const char *load(struct boot *b)
{
    char want[FB_DIGEST_LEN], have[FB_DIGEST_LEN];
    long len = b->ops->load_plan(b->ctx, b->plan->text, FB_PLAN_BYTES);

    if (len < 0)
        return "the plan cannot be read";
    if (b->ops->get_text(b->ctx, "PlanSha256", want, sizeof want) < 0 ||
        b->ops->hash(b->ctx, b->plan->text, (size_t)len, have) < 0 ||
        strcmp(want, have) != 0)
        return "the plan is not the one that was staged";
    return fb_plan_parse(b->plan, (size_t)len);
}

/* All of them at each start, before any is used. */
static const char *verify(struct boot *b)
{
    for (size_t i = 0; i < b->plan->n_files; i++) {
        const struct fb_file *f = &b->plan->files[i];
        char have[FB_DIGEST_LEN];

        if (b->ops->hash_file(b->ctx, f->path, have) < 0) {
            say(b, "%s cannot be read", f->path);
            return "a staged file is missing";
        }
        if (strcmp(f->digest, have) != 0) {
            say(b, "%s is not what was staged", f->path);
            return "a staged file was changed";
        }
    }
    return NULL;
}

/* ---- steps ---- */

enum outcome { OK, NEEDS_RESTART, WRONG };

/* 0 and "restart needed" of installers; 259, "no more items", of pnputil when the device
 * has a better driver or is not there. */
static enum outcome judge(enum fb_tool tool, unsigned code)
{
    if (code == 3010 || (code == 1641 && tool != FB_PNPUTIL))
        return NEEDS_RESTART;
    return code == 0 || (tool == FB_PNPUTIL && code == 259) ? OK : WRONG;
}

static enum outcome run(struct boot *b, enum fb_tool tool, const char *path)
{
    unsigned code = 0;
    enum outcome r;

    if (b->ops->run(b->ctx, tool, path, &code) < 0) {
        say(b, "%s: did not start or did not end in time", path);
        return WRONG;
    }
    r = judge(tool, code);
    say(b, "%s: exit code %u", path, code);
    return r;
}

static unsigned number(const char *s)
{
    unsigned v = 0;

    while (*s)
        v = v * 10 + (unsigned)(*s++ - '0');
    return v;
}

static enum outcome do_step(struct boot *b, const struct fb_step *s)
{
    int r = -1;

    switch (s->verb) {
    case FB_DRIVER:
        return run(b, FB_PNPUTIL, s->arg[0]);
    case FB_MSI:
        return run(b, FB_MSIEXEC, s->arg[0]);
    case FB_EXE:
        return run(b, FB_INSTALLER, s->arg[0]);
    case FB_SCRIPT:
        return run(b, FB_POWERSHELL, s->arg[0]);
    case FB_COPY:
        r = b->ops->copy(b->ctx, s->arg[0], s->arg[1]);
        break;
    case FB_DHCP:
        r = b->ops->dhcp(b->ctx);
        break;
    case FB_DISKS:
        r = b->ops->disks(b->ctx);
        break;
    case FB_DWORD:
        r = b->ops->dword(b->ctx, s->arg[0], s->arg[1], number(s->arg[2]));
        break;
    case FB_DEVICE_PATH:
        r = b->ops->device_path(b->ctx, s->arg[0]);
        break;
    }
    return r < 0 ? WRONG : OK;
}

static const char *subject(const struct fb_step *s)
{
    return s->arg[0] ? s->arg[0] : "";
}

/* An installer that was under way when the machine went down did that itself. */
static int was_interrupted(struct boot *b, unsigned i)
{
    const struct fb_step *s = &b->plan->steps[i];

    return get(b, "Running") == i + 1 && (s->verb == FB_MSI || s->verb == FB_EXE);
}

static int one_step(struct boot *b, unsigned i)
{
    const struct fb_step *s = &b->plan->steps[i];
    enum outcome r = OK;

    say(b, "step %u of %u: %s %s", i + 1, b->plan->n_steps, fb_verb_name(s->verb),
        subject(s));
    if (was_interrupted(b, i)) {
        say(b, "step %u: the machine was restarted by it", i + 1);
    } else {
        if (set(b, "Running", i + 1) < 0)
            return -1;
        r = do_step(b, s);
    }
    if ((r == WRONG && set(b, "Failed", get(b, "Failed") + 1) < 0) ||
        (r == NEEDS_RESTART && get(b, "Restart") == 0 && set(b, "Restart", 1) < 0) ||
        set(b, "Next", i + 1) < 0 || set(b, "Running", 0) < 0)
        return -1;
    say(b, "step %u: %s", i + 1,
        r == OK              ? "done"
        : r == NEEDS_RESTART ? "done, wants a restart"
                             : "failed");
    return 0;
}

/* ---- the whole ---- */

/* Before the registration goes: whoever is interrupted here is started again. */
static void clean_up(struct boot *b, int keep_files)
{
    int n = b->ops->put_back(b->ctx);

    if (n < 0)
        say(b, "some settings could not be put back");
    else if (n)
        say(b, "%d settings put back", n);
    if (b->ops->uninstall(b->ctx, keep_files) < 0)
        say(b, "some of what was staged could not be removed");
}

static enum fb_result refuse(struct boot *b, const char *why)
{
    clean_up(b, 1);
    say(b, "finished: refused: %s", why);
    return FB_REFUSED;
}

static enum fb_result give_up(struct boot *b, unsigned boots)
{
    clean_up(b, 1);
    say(b, "finished: gave up after %u starts, at step %u", boots - 1,
        get(b, "Next") + 1);
    return FB_GAVE_UP;
}

static enum fb_result finish(struct boot *b, unsigned boots)
{
    unsigned failed = get(b, "Failed");

    clean_up(b, 0);
    if (failed)
        say(b, "finished: %u of %u steps failed", failed, b->plan->n_steps);
    else
        say(b, "finished: ok: %u steps, %u starts", b->plan->n_steps, boots);
    return FB_FINISHED;
}

static enum fb_result steps(struct boot *b, unsigned boots)
{
    for (unsigned i = get(b, "Next"); i < b->plan->n_steps; i++)
        if (one_step(b, i) < 0)
            return give_up(b, boots + 1);
    if (get(b, "Restart") == 1) {
        if (set(b, "Restart", 2) < 0)
            return give_up(b, boots + 1);
        say(b, "restarting, as a driver asked for it");
        if (b->ops->restart(b->ctx) == 0)
            return FB_RESTART;
        say(b, "the restart was refused; restart the instance");
    }
    return finish(b, boots);
}

/* The password's turn comes before all else, since it is readable until then. */
static void conceal(struct boot *b)
{
    int r = b->ops->conceal(b->ctx);

    if (r > 0)
        say(b, "the password for automatic logon was taken out of the registry");
    else if (r < 0)
        say(b, "the password for automatic logon stays in the registry until the end");
}

enum fb_result fb_run(const struct fb_ops *ops, void *ctx, struct fb_plan *plan)
{
    struct boot b = {ops, ctx, plan};
    unsigned boots = ops->get(ctx, "Boots") + 1;
    const char *fault;

    say(&b, "start %u", boots);
    conceal(&b);
    if (ops->set(ctx, "Boots", boots) < 0)
        return refuse(&b, "the registry cannot be written");
    if (ops->protect(ctx) < 0)
        say(&b, "the folder's access could not be set");
    if ((fault = load(&b)) || (fault = verify(&b)))
        return refuse(&b, fault);
    if (boots > plan->boots)
        return give_up(&b, boots);
    ops->settle(ctx);
    return steps(&b, boots);
}
