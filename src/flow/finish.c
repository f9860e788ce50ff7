/* Which finisher, and why; see finish.h. Nothing is looked up here: the facts decide, so
 * that the decision can be tested as a table. */
#include "flow/finish.h"

#include "base/str.h"

#include <assert.h>

#define IMPORT_MAX_DISKS 21
#define IMPORT_MAX_BYTES ((uint64_t)8 << 40) /* of a disk of an image: below */

static const char *const names[N_FINISHERS] = {
    [FINISH_SWAP] = "swap", [FINISH_IMAGE] = "image", [FINISH_IMPORT] = "import"};

const char *finisher_name(enum finisher f)
{
    return names[f];
}

enum finisher finisher_of_plan(const struct plan *plan)
{
    for (size_t i = 0; plan->finisher && i < N_FINISHERS; i++)
        if (str_eq(plan->finisher, names[i]))
            return (enum finisher)i;
    return FINISH_SWAP;
}

/* ---- What is against each ---- */

#define OBSTACLE_LEN 320
typedef bool obstacle_fn(const struct finish_facts *f, char out[OBSTACLE_LEN]);

#define SAY(...)                                                                         \
    do {                                                                                 \
        snprintf(out, OBSTACLE_LEN, __VA_ARGS__);                                        \
        return true;                                                                     \
    } while (0)

static bool against_swap(const struct finish_facts *f, char out[OBSTACLE_LEN])
{
    if (f->instance_zone && f->volume_zone && !str_eq(f->instance_zone, f->volume_zone))
        SAY("volumes attach in their own zone only, %s, and the instance is wanted in %s",
            f->volume_zone, f->instance_zone);
    if (f->windows && f->byol)
        SAY("the carrier is an image of Amazon's with its licence billed, and an "
            "instance of it cannot become one with a licence of yours");
    if (f->windows && !f->amazon_image)
        SAY("Amazon has no image of %s to lend the instance a licence, and none is given "
            "with --carrier",
            f->guest ? f->guest : "this Windows");
    if (f->refused)
        SAY("the guest does not meet %s", f->refused);
    if (f->keep_image)
        SAY("it makes no image that could be kept");
    return false;
}

static bool against_image(const struct finish_facts *f, char out[OBSTACLE_LEN])
{
    if (f->windows)
        SAY("RegisterImage loses the licence of Windows: the instance would be billed, "
            "activated and updated as no Windows at all");
    if (f->carrier)
        SAY("it takes no carrier");
    if (f->refused)
        SAY("the guest does not meet %s", f->refused);
    return false;
}

static bool against_import(const struct finish_facts *f, char out[OBSTACLE_LEN])
{
    if (f->n_disks > IMPORT_MAX_DISKS)
        SAY("VM Import takes at most %d disks, and the machine has %zu", IMPORT_MAX_DISKS,
            f->n_disks);
    if (f->largest_bytes >= IMPORT_MAX_BYTES)
        SAY("VM Import takes disks of less than 8 TiB");
    if (f->carrier)
        SAY("it takes no carrier");
    return false;
}

/* In the order in which they are preferred. */
static const struct {
    enum finisher finisher;
    obstacle_fn *against;
    const char *merit;   /* why it is chosen when it can be */
    const char *demerit; /* why it is not when another can be, too */
} finishers[N_FINISHERS] = {
    {FINISH_SWAP, against_swap,
     "the restored volumes become the instance's: nothing is copied again and nothing "
     "loads lazily",
     "the other one was asked for"},
    {FINISH_IMAGE, against_image,
     "snapshots of the volumes become an image, which starts in any zone of the region",
     "snapshots take time, and the instance's disks load lazily from them"},
    {FINISH_IMPORT, against_import,
     "Amazon's VM Import makes the image, and changes the guest itself",
     "Amazon's import takes longest, and takes only the systems on its list"},
};

/* ---- The choice ---- */

static void say_why(const struct finish_facts *f, size_t chosen, const char *because,
                    struct finish_choice *ret)
{
    const char *lent = "";

    if (finishers[chosen].finisher == FINISH_SWAP)
        lent = f->windows ? "; the carrier lends its boot mode and its licence"
                          : "; the carrier lends its boot mode";
    snprintf(ret->why, sizeof ret->why, "%s%s%s", because, finishers[chosen].merit, lent);
}

static void say_others(const struct finish_facts *f, size_t chosen,
                       struct finish_choice *ret)
{
    size_t at = 0;

    ret->others[0] = 0;
    for (size_t i = 0; i < N_FINISHERS; i++) {
        char why[OBSTACLE_LEN];

        if (i == chosen)
            continue;
        at += (size_t)snprintf(ret->others + at, sizeof ret->others - at, "%snot %s: %s",
                               at ? "; " : "", names[finishers[i].finisher],
                               finishers[i].against(f, why) ? why : finishers[i].demerit);
        assert(at < sizeof ret->others);
    }
}

static int none(const struct finish_facts *f, struct err *e)
{
    struct finish_choice all;

    say_others(f, N_FINISHERS, &all);
    return err_set(e, ERR_REQUIREMENT, "no finisher can make this instance: %s",
                   all.others);
}

static int choose_auto(const struct finish_facts *f, struct finish_choice *ret,
                       struct err *e)
{
    char why[OBSTACLE_LEN], because[OBSTACLE_LEN + 40] = "";

    for (size_t i = 0; i < N_FINISHERS; i++) {
        if (finishers[i].against(f, why)) {
            /* The first obstacle, swap's, is what led away from the usual way. */
            if (i == 0)
                snprintf(because, sizeof because, "%s; ", why);
            continue;
        }
        ret->finisher = finishers[i].finisher;
        say_why(f, i, because, ret);
        say_others(f, i, ret);
        return 0;
    }
    return none(f, e);
}

int finish_choose(const struct finish_facts *f, const char *wanted,
                  struct finish_choice *ret, struct err *e)
{
    char why[OBSTACLE_LEN];

    if (!wanted)
        wanted = names[FINISH_SWAP];
    if (str_eq(wanted, "auto"))
        return choose_auto(f, ret, e);
    for (size_t i = 0; i < N_FINISHERS; i++) {
        if (!str_eq(wanted, names[finishers[i].finisher]))
            continue;
        if (finishers[i].against(f, why))
            return err_set(e, ERR_REQUIREMENT,
                           "the %s finisher cannot make this instance: %s; --finish auto "
                           "chooses one that can",
                           wanted, why);
        ret->finisher = finishers[i].finisher;
        say_why(f, i, "", ret);
        say_others(f, i, ret);
        return 0;
    }
    return err_set(e, ERR_USAGE, "--finish %s: there is no such finisher", wanted);
}
