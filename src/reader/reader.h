/* Images that were made by somebody else, read in a process of their own.
 *
 * OVA, OVF, VMX, VMDK, VHDX, VHD, qcow2 and VDI are opened, parsed and decoded by
 * hotadd-reader, a child without credentials, which can open no file but those in the
 * source's folder, reach no network and change nothing (sandbox.h). What it says is
 * checked as what a file says is: a reader that was taken over can give wrong bytes of
 * its own disks, and nothing else.
 *
 * What has no format to parse is read by us: raw images and block devices; so is an NBD
 * server, whose protocol is libnbd's. */
#ifndef HOTADD_READER_READER_H
#define HOTADD_READER_READER_H

#include "image/image.h"

/* As image_open() and image_open_disk(), with the same errors; ERR_FAILED when the
 * reader ends unexpectedly, then or later. The sources are thread-safe and keep the
 * reader alive; it ends with the last of them. `cancel` (may be NULL) is asked during
 * the call only. */
int reader_open(const char *path_or_uri, const struct image_options *opt,
                const struct cancel *cancel, struct machine **ret,
                struct err *e) err_warn_unused;
int reader_open_disk(const char *path_or_uri, const char *disk,
                     const struct image_options *opt, const struct cancel *cancel,
                     struct machine **ret, struct err *e) err_warn_unused;

/* Compares the files of an OVF package with its manifest, if there is one. ERR_INPUT
 * names the first bad file in the manifest's order. Reports progress from the calling
 * thread. */
int reader_verify_digests(const char *path, const struct image_options *opt,
                          const struct progress *progress, const struct cancel *cancel,
                          struct err *e) err_warn_unused;

#endif
