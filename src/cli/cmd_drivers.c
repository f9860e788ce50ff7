/* hotadd drivers */
#include "base/str.h"
#include "cli/command.h"
#include "guest/drivers/drivers.h"
#include "guest/guest.h"

#include <stdio.h>

struct drivers_options {
    char *folder;
    bool json;
};

static const struct option_def defs[] = {
    {"drivers", 0, OPTION_STRING, offsetof(struct drivers_options, folder), "DIR",
     "the folder (" GUEST_DRIVERS_DIR ")"},
    {"json", 0, OPTION_FLAG, offsetof(struct drivers_options, json), NULL,
     "as JSON on standard output"},
    OPTION_END,
};

static const struct {
    uint32_t build;
    const char *name;
} systems[] = {
    {9600, "2012 R2"}, {14393, "2016"}, {17763, "2019"}, {20348, "2022"}, {26100, "2025"},
};
#define N_SYSTEMS (sizeof systems / sizeof systems[0])

static json_t *served(const struct driver_package *p)
{
    json_t *a = json_array();

    for (size_t i = 0; a && i < N_SYSTEMS; i++)
        if (driver_package_serves(p, systems[i].build))
            json_array_append_new(a, json_string(systems[i].name));
    return a;
}

/* Systems that AWS has this package for and the folder has not. */
static json_t *unserved(const struct driver_store *s, const struct package_kind *k)
{
    json_t *a = json_array();

    for (size_t i = 0; a && i < N_SYSTEMS; i++)
        if (systems[i].build >= k->first && systems[i].build <= k->last &&
            !driver_store_choose(s, k->id, systems[i].build))
            json_array_append_new(a, json_string(systems[i].name));
    return a;
}

static json_t *describe(const struct driver_store *s)
{
    json_t *packages = json_array(), *missing = json_array();

    vec_foreach (p, &s->packages)
        json_array_append_new(
            packages,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s?}", "kind", p->kind->id,
                      "title", p->kind->title, "path", p->path, "version", p->version,
                      "sha256", p->sha256, "serves", served(p), "fault", p->fault));
    for (const struct package_kind *k = package_kinds; k->id; k++) {
        json_t *without = unserved(s, k);

        if (json_array_size(without))
            json_array_append_new(missing,
                                  json_pack("{s:s, s:s, s:O, s:s, s:s?}", "kind", k->id,
                                            "title", k->title, "for", without, "url",
                                            k->url, "newest_for_2012_r2", k->ceiling));
        json_decref(without);
    }
    return json_pack("{s:s, s:b, s:o, s:o}", "folder", s->dir, "exists", s->exists,
                     "packages", packages, "missing", missing);
}

static void print_list(const char *before, const json_t *list)
{
    const json_t *x;
    size_t i;

    printf("%s", before);
    json_array_foreach (list, i, x)
        printf("%s%s", i ? ", " : "", json_string_value(x));
    printf("%s\n", json_array_size(list) ? "" : "no Windows");
}

static void print_text(const struct driver_store *s, const json_t *o)
{
    const json_t *x;
    size_t i;

    printf("%s:%s\n", s->dir,
           !s->exists      ? " there is no such folder"
           : s->packages.n ? ""
                           : " no package of AWS's");
    json_array_foreach (json_object_get(o, "packages"), i, x) {
        const char *fault = json_string_value(json_object_get(x, "fault")),
                   *version = json_string_value(json_object_get(x, "version"));

        printf("  %s %s\n    %s\n", json_string_value(json_object_get(x, "title")),
               *version ? version : "(version unknown)",
               json_string_value(json_object_get(x, "path")));
        if (fault)
            printf("    cannot be used: %s\n", fault);
        else
            print_list("    serves Windows Server ", json_object_get(x, "serves"));
    }
    json_array_foreach (json_object_get(o, "missing"), i, x) {
        const char *ceiling = json_string_value(json_object_get(x, "newest_for_2012_r2"));

        printf("missing: %s\n", json_string_value(json_object_get(x, "title")));
        print_list("    for Windows Server ", json_object_get(x, "for"));
        printf("    AWS publishes it at %s\n",
               json_string_value(json_object_get(x, "url")));
        if (ceiling)
            printf("    the newest for 2012 R2 is %s\n", ceiling);
    }
}

static int drivers(const struct drivers_options *o, struct err *e)
{
    auto_driver_store struct driver_store *s = NULL;
    json_auto_t *all = NULL;

    if (driver_store_open(o->folder ? o->folder : GUEST_DRIVERS_DIR, &s, e) < 0)
        return -1;
    all = describe(s);
    if (!all)
        return err_nomem(e);
    if (o->json)
        return command_print_json(all);
    print_text(s, all);
    return fflush(stdout) == EOF ? EXIT_FAILED : EXIT_DONE;
}

int cmd_drivers(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "drivers",
        .args = "",
        .summary =
            "Says which of AWS's packages for Windows are in the folder of drivers, "
            "which guests they\nserve, what is missing, and where AWS publishes it. "
            "Downloads nothing.",
        .epilogue = "hotadd-drivers(1) says how they are used."};
    struct drivers_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc != first)
        code = command_usage("drivers", "it takes no arguments");
    else
        code = (r = drivers(&o, &e)) < 0 ? command_fail(&e, NULL) : r;
    options_release(defs, &o);
    return code;
}
