/* Kernel command lines as boot loaders keep them. Words are separated by white space;
 * quotes keep it inside a word. Pure. */
#ifndef HOTADD_GUEST_TEXT_CMDLINE_H
#define HOTADD_GUEST_TEXT_CMDLINE_H

#include "base/buf.h"
#include "base/strv.h"

/* Value of the last "key=value", owned; "" for the bare word; *ret NULL when absent. */
int cmdline_get(const char *args, const char *key, char **ret,
                struct err *e) err_warn_unused;

/* Device names (root=, resume=) to say otherwise: gets "/dev/sda1", returns an owned
 * replacement or NULL to leave it. -1 on error. */
struct cmdline_map {
    int (*fn)(void *ctx, const char *spec, char **ret, struct err *e);
    void *ctx;
};

/* What is to be on the line. */
struct cmdline_want {
    bool serial_console; /* console=tty0 console=ttyS0,115200n8 */
    bool eth_names;      /* net.ifnames=0 biosdevname=0 */
    bool xen_disk_names; /* xen_blkfront.sda_is_xvda=1 */
    /* "nvme_core.io_timeout=4294967295"; borrowed; NULL for none. A value that is there
     * already stays. */
    const char *nvme_timeout;
    const struct cmdline_map *map; /* NULL: names stay */
};

/* The words with the wanted ones added at the end; nothing changes when all are there.
 * Appends to out. ERR_UNSUPPORTED: a quote stays open. */
int cmdline_apply(const char *args, const struct cmdline_want *want, struct buf *out,
                  struct err *e) err_warn_unused;

#endif
