/* NBD exports as sources: several connections used by any number of threads. Protocol:
 * the NetworkBlockDevice project's doc/proto.md, spoken by libnbd. Our functions are
 * called nbdsrc_ because libnbd's are called nbd_. */
#ifndef HOTADD_IMAGE_NBD_H
#define HOTADD_IMAGE_NBD_H

#include "image/formats.h"

struct nbd_handle; /* libnbd's */

/* How connections are made. */
struct nbd_dialer {
    /* Connects a fresh handle. By any thread, one at a time. */
    int (*dial)(void *ctx, struct nbd_handle *h, struct err *e);
    /* More about why the server is gone (its last words); may be NULL. Appends to e. */
    void (*explain)(void *ctx, struct err *e);
    /* When the source is freed, after all connections are closed. */
    void (*free)(void *ctx);
    void *ctx;
    bool eager; /* connect all at once: the server does not wait for latecomers */
};

#define NBDSRC_MAX_CONNECTIONS 16u

/* Connections to be used by default, and at most, for `wanted` (0: default). */
unsigned nbdsrc_connections(uint32_t wanted);

/* `format` (borrowed for ever) names the operations: "nbd", "qcow2". Takes the dialer
 * over, on failure too. Opens one connection, the others as threads want them and the
 * server allows. Maps where data is, as far as the server says. Blocks. */
int nbdsrc_new(const char *desc, const char *format, struct nbd_dialer dialer,
               unsigned max_connections, struct source **ret,
               struct err *e) err_warn_unused;

#endif
