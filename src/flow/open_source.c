/* Opening sources; see open_source.h. Everything is opened for reading only; a crash
 * leaves nothing but the shared lock's file, which the kernel unlocks. */
#include "flow/open_source.h"

#include "base/str.h"
#include "reader/reader.h"

bool source_is_point(const struct source_spec *spec)
{
    const char *s = spec->source;

    return spec->repo.at && *s != '/' && *s != '.' && !strstr(s, "://");
}

void flow_source_close(struct flow_source *s)
{
    machine_free(s->machine); /* its sources read the point, which reads the repository */
    repo_point_free(s->point);
    flow_repo_close(&s->repo);
    free(s->pinned);
    *s = (struct flow_source){0};
}

/* ---- recovery points ---- */

enum which_disks { EVERY_DISK, ONE_DISK };

static int open_point(const struct source_spec *spec, const char *vm, const char *disk,
                      enum which_disks which, const struct cancel *cancel,
                      struct flow_source *ret, struct err *e)
{
    auto_free char *exact = NULL;
    struct repo_name name = {0};
    int r;

    if (spec->format)
        return err_set(e, ERR_USAGE,
                       "%s: a recovery point has no image format; leave "
                       "--format out, or write ./%s for a file",
                       vm, vm);
    if (flow_repo_name(&spec->repo, vm, &name, e) < 0)
        return -1;
    r = flow_repo_open(&spec->repo, REPO_MUST_EXIST, cancel, &ret->repo, e);
    if (r == 0)
        r = repo_point_open(ret->repo.repo, &name, &ret->point, e);
    if (r == 0) {
        exact = flow_point_text(&name, repo_point_time(ret->point), e);
        r = exact ? 0 : -1;
    }
    repo_name_release(&name);
    if (r < 0 && e->kind == ERR_NOT_FOUND && access(vm, F_OK) == 0)
        return err_prefix(e, "%s in the repository (write ./%s for the file)", vm, vm);
    if (r < 0 || repo_point_machine(ret->point, &ret->machine, e) < 0)
        return -1;
    if (disk || which == ONE_DISK) {
        if (machine_disk_find(ret->machine, vm, disk, &ret->point_disk, e) < 0)
            return -1;
        machine_keep_disk(ret->machine, ret->point_disk);
    }
    ret->pinned = str_fmt(e, "%s%s%s", exact, disk ? "#" : "", disk ? disk : "");
    return ret->pinned ? 0 : -1;
}

static int open_point_of(const struct source_spec *spec, const char *disk,
                         enum which_disks which, const struct cancel *cancel,
                         struct flow_source *ret, struct err *e)
{
    const char *hash = strchr(spec->source, '#');
    auto_free char *vm = NULL;

    if (!hash)
        return open_point(spec, spec->source, disk, which, cancel, ret, e);
    vm = str_ndup(spec->source, (size_t)(hash - spec->source), e);
    if (!vm)
        return -1;
    /* "VM#2" with disk 1: of the machine that "VM#2" names, which has one disk. */
    if (disk && !str_eq(disk, "1"))
        return err_set(e, ERR_USAGE, "%s: has one disk only", spec->source);
    return open_point(spec, vm, hash + 1, which, cancel, ret, e);
}

/* ---- images ---- */

static struct image_options image_options_of(const struct source_spec *spec)
{
    return (struct image_options){.format = spec->format,
                                  .trust_paths = spec->trust_paths,
                                  .note = spec->note,
                                  .note_ctx = spec->note_ctx};
}

int flow_source_open(const struct source_spec *spec, const struct cancel *cancel,
                     struct flow_source *ret, struct err *e)
{
    struct image_options opt = image_options_of(spec);

    if (source_is_point(spec))
        return open_point_of(spec, NULL, EVERY_DISK, cancel, ret, e);
    ret->pinned = str_dup(spec->source, e);
    return ret->pinned ? reader_open(spec->source, &opt, cancel, &ret->machine, e) : -1;
}

int flow_source_open_disk(const struct source_spec *spec, const char *disk,
                          const struct cancel *cancel, struct flow_source *ret,
                          struct err *e)
{
    struct image_options opt = image_options_of(spec);

    if (source_is_point(spec))
        return open_point_of(spec, disk, ONE_DISK, cancel, ret, e);
    ret->pinned = str_dup(spec->source, e);
    return ret->pinned
               ? reader_open_disk(spec->source, disk, &opt, cancel, &ret->machine, e)
               : -1;
}
