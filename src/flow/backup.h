/* `hotadd backup`: machines into a repository, all at once, whole or what changed. */
#ifndef HOTADD_FLOW_BACKUP_H
#define HOTADD_FLOW_BACKUP_H

#include "flow/changed.h"
#include "flow/flow.h"
#include "flow/open_repo.h"

/* What is backed up; all borrowed. */
struct backup_item {
    const char *source;  /* path, URI, VM[@TIME] of `from`, or ec2://INSTANCE */
    const char *id;      /* "web01", "prod/vm/web01"; NULL: the machine's own name */
    const char *changed; /* file that says what changed since the base; NULL: none */
    /* A machine that is open already, for which `source` is only a name; NULL: `source`
     * is opened. */
    struct machine *machine;
    /* May be NULL. Asked for each of that machine's disks whose counterpart in the base
     * has an origin (disk/machine.h): what changed since then. Leaving *ret as it is
     * means that nothing is known. */
    int (*changes)(void *ctx, size_t disk, const char *base_origin,
                   struct changed_disk *ret, struct err *e);
    void *changes_ctx;
};

/* All zero but `repo` and the items is the default: a backup without encryption, whose
 * chunks are compared by digest with what the repository has. */
struct backup_params {
    struct repo_where repo;
    enum repo_open open;
    struct repo_where from; /* repository that the sources are recovery points of */
    const struct backup_item *items; /* borrowed */
    size_t n_items;
    const char *format; /* of bare images */
    /* NULL: the machine's newest point; "none"; "latest" or a time: that one, or it is an
     * error. What changed is told in relation to it. */
    const char *base;
    const char *bitmap; /* dirty bitmap of NBD sources that says what changed; or NULL */
    bool sign_only;     /* with a key: sign, do not encrypt */
    uint32_t chunk_bytes;    /* 0: the base's, else 4 MiB */
    int zstd_level;          /* as in struct repo_backup_options */
    uint64_t max_rate;       /* bytes of data per second; 0: no limit */
    unsigned workers;        /* 0: the mover's choice */
    bool drop_snapshots;     /* of instances: keep none for the next backup */
    const char *device_root; /* where attached volumes appear; NULL: /dev */
};

/* The words alone: what contradicts what. */
int backup_params_check(const struct backup_params *p, struct err *e) err_warn_unused;

/* Each machine becomes a recovery point of its own; one that fails leaves the others
 * alone and its unfinished point is removed. -1 when one failed (the first's error, how
 * many of how many) or all did. *ret_result (owned; NULL when nothing was begun) is
 * {backups: [{source, vm, point, base, bytes, data_bytes, reused_bytes, new_bytes,
 * chunks, new_chunks, error}], seconds}; `point` is null for one that failed, `error`
 * for one that did not. */
int flow_backup(const struct backup_params *p, const struct flow_env *env,
                json_t **ret_result, struct err *e) err_warn_unused;

/* The same without looking for instances among the sources: flow_backup() for those that
 * are none, and the job of an instance's backup for its opened machine. */
int flow_backup_opened(const struct backup_params *p, const struct flow_env *env,
                       json_t **ret_result, struct err *e) err_warn_unused;

#endif
