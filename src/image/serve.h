/* Serving a source's disks over NBD on private unix sockets, so that programs which know
 * no VMDK (libguestfs, qemu) can read them. nbdkit with our plugin does the work. */
#ifndef HOTADD_IMAGE_SERVE_H
#define HOTADD_IMAGE_SERVE_H

#include "base/strv.h"
#include "image/image.h"

struct image_server;

/* Serves disks 1 to n_disks of the source, read-only. `words` (may be NULL) are more
 * parameters of the plugin, "key=value"; others can see them, so none is a secret: those
 * the plugin finds in the environment, which it shares with us. Returns when all sockets
 * answer; fails with nbdkit's own words when one does not. The servers end with
 * image_serve_stop or with the calling thread (Linux ties --exit-with-parent to it), so
 * with this process however it ends: call it from a thread that lives on. Blocks;
 * thread-safe. Owned. */
int image_serve_start(const char *path_or_uri, size_t n_disks,
                      const struct image_options *opt, const struct strv *words,
                      const struct cancel *cancel, struct image_server **ret,
                      struct err *e) err_warn_unused;

/* Path of the unix socket of disk i, counting from 0; borrowed. */
const char *image_server_socket(const struct image_server *s, size_t i);

/* NULL is fine. */
void image_serve_stop(struct image_server *s);

#endif
