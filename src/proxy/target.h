/* What one disk is copied to by hand: a block device of this machine or a file. */
#ifndef HOTADD_PROXY_TARGET_H
#define HOTADD_PROXY_TARGET_H

#include "base/cancel.h"
#include "disk/sink.h"
#include "disk/source.h"
#include "proxy/device.h"

struct proxy_target;

struct proxy_target_how {
    const struct source *source; /* of what will be copied */
    bool force;                  /* write over what it holds */
    bool is_zero;  /* it reads as zeros everywhere: checked by samples only */
    bool has_base; /* it holds an older version of the disk, which is kept: it must
                      exist and is not emptied; what it holds is the caller's to
                      check */
};

/* Opens the target for the mover. Nothing is changed before every check has passed.
 *
 * A path that does not exist becomes a file of size_bytes, mode 0600: disks hold secrets.
 * A file without data (all of it a hole) is made as large as that if it is smaller. One
 * with data is refused (ERR_EXISTS) without force, and emptied with it, unless is_zero.
 *
 * A block device is opened O_EXCL and locked; ERR_REQUIREMENT when it or a partition of
 * it is mounted or in use, when it is a partition, or too small. One that seems to hold
 * data (both ends and samples between are read) is refused without force. Only is_zero
 * makes its sink known_zero.
 *
 * Refused is also what this process has open already: the source itself. Blocks up to ten
 * seconds for others to let go. Owned. */
int proxy_target_open(const struct proxy_paths *paths, const char *path,
                      const struct proxy_target_how *how, const struct cancel *cancel,
                      struct proxy_target **ret, struct err *e) err_warn_unused;

/* Borrowed. */
struct sink *proxy_target_sink(const struct proxy_target *t);

/* The copy is complete: a file that was made stays, and its name is durable. */
int proxy_target_keep(struct proxy_target *t, struct err *e) err_warn_unused;

/* Closes it. A file that proxy_target_open made and that was not kept is removed. */
void proxy_target_free(struct proxy_target *t);
DEFINE_AUTO_PTR(struct proxy_target, proxy_target_free)
#define auto_proxy_target auto_call(proxy_target_free_autop)

#endif
