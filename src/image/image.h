/* Where a machine's disks come from: files of VMware and of other hypervisors, and NBD
 * servers, opened as a `struct machine` whose disks are sources (disk/source.h).
 *
 * What a file is is decided by its contents. Everything that is read is foreign: every
 * length, offset and count is checked against the file before it is used, memory is
 * bounded whatever the file claims, and what is refused is refused by name. Nothing is
 * ever written, and nothing is unpacked to disk.
 *
 * Formats: docs/formats/vmdk.md, vhdx.md and ovf.md say what is accepted, what is
 * refused, and where each rule comes from. */
#ifndef HOTADD_IMAGE_IMAGE_H
#define HOTADD_IMAGE_IMAGE_H

#include "base/cancel.h"
#include "base/progress.h"
#include "disk/machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zeros are the defaults. Strings are borrowed for the call. */
struct image_options {
    /* NULL: by content. "raw", "vmdk", "qcow2", "vhd", "vhdx", "vdi": what the one disk
     * image at the path is, whatever it looks like. Descriptions (OVA, OVF, VMX) and URIs
     * take no format. */
    const char *format;
    /* Descriptions name their disks' files. Only files at or below the description's own
     * folder are opened, so that a foreign description cannot make us copy the proxy's
     * files into a disk; true lifts that. */
    bool trust_paths;
    /* Connections to an NBD server, when it allows several; 0: 4. */
    uint32_t connections;
    /* What the user should know although it is no error ("the redundant grain directory
     * is used"); NULL: dropped. Called by the opening thread only. */
    void (*note)(void *ctx, const char *text);
    void *note_ctx;
};

/* Opens what `path_or_uri` names:
 *   OVA                  a tar archive, its disks read in place
 *   OVF, VMX             the description; its disks beside it
 *   VMDK, raw, qcow2, VHD, VHDX, VDI, a block device
 *                        a machine of one disk, named after the file
 *   nbd://… nbds://… nbd+unix://… nbds+unix://…
 *                        a machine of one disk: an NBD export
 * and validates all that can be validated without reading data: descriptions, headers,
 * tables. Digests of a manifest are not checked here: image_digests_* does that.
 *
 * *ret is owned; its sources live on their own (they keep their files open) and are
 * freed with it. Blocks on files and, for URIs, on the server. Errors: ERR_INPUT damaged,
 * ERR_UNSUPPORTED sound but not what we read (with the remedy), ERR_SYS. Thread-safe. */
int image_open(const char *path_or_uri, const struct image_options *opt,
               struct machine **ret, struct err *e) err_warn_unused;

/* The machine with one of its disks. `disk` is its number, counting from 1, or its name;
 * NULL: the text after '#' in path_or_uri when no file is called that, else the only disk
 * there is (ERR_USAGE lists the disks when there are several). Other disks are not
 * opened. */
int image_open_disk(const char *path_or_uri, const char *disk,
                    const struct image_options *opt, struct machine **ret,
                    struct err *e) err_warn_unused;

/* The digests that an OVF package's manifest (.mf) claims. A source without a manifest
 * has none: n is 0. The order is the manifest's. */
struct image_digests;

int image_digests_open(const char *path, const struct image_options *opt,
                       struct image_digests **ret, struct err *e) err_warn_unused;
void image_digests_free(struct image_digests *d);
DEFINE_AUTO_PTR(struct image_digests, image_digests_free)
#define auto_image_digests auto_call(image_digests_free_autop)

size_t image_digests_n(const struct image_digests *d);
const char *image_digests_name(const struct image_digests *d, size_t i); /* borrowed */
uint64_t image_digests_bytes(const struct image_digests *d, size_t i);

/* Reads file i to its end and compares. ERR_INPUT names the file, the digest in the
 * manifest and the digest found. `done_bytes` (may be NULL) is raised as it reads.
 * Threads: any number, each with its own i. */
int image_digests_verify(const struct image_digests *d, size_t i,
                         _Atomic uint64_t *done_bytes, const struct cancel *cancel,
                         struct err *e) err_warn_unused;

/* All of them, several files at once: starts up to one thread per core and joins them
 * before it returns. The first bad file in the manifest's order is the error reported.
 * Reports progress from the calling thread. */
int image_digests_verify_all(const struct image_digests *d,
                             const struct progress *progress, const struct cancel *cancel,
                             struct err *e) err_warn_unused;

#endif
