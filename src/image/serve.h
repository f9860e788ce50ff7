/* Serving a source's disks over NBD on private unix sockets, so that programs which know
 * no VMDK (libguestfs, qemu) can read them. nbdkit with our plugin does the work. */
#ifndef HOTADD_IMAGE_SERVE_H
#define HOTADD_IMAGE_SERVE_H

#include "image/image.h"

struct image_server;

/* Serves disks 1 to n_disks of the source, read-only. Returns when all sockets answer;
 * fails with nbdkit's own words when one does not. The servers end with image_serve_stop
 * or with the calling thread (Linux ties --exit-with-parent to it), so with this process
 * however it ends: call it from a thread that lives on. Blocks; thread-safe. Owned. */
int image_serve_start(const char *path_or_uri, size_t n_disks,
                      const struct image_options *opt, const struct cancel *cancel,
                      struct image_server **ret, struct err *e) err_warn_unused;

/* Path of the unix socket of disk i, counting from 0; borrowed. */
const char *image_server_socket(const struct image_server *s, size_t i);

/* NULL is fine. */
void image_serve_stop(struct image_server *s);

#endif
