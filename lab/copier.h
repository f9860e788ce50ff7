/* Volume and snapshot data: sparse files, and copies of them made in the background.
 *
 * A copy reflinks where the file system can, else copies the data and keeps the holes.
 * The document that waits for its data carries `_copy` with the source's path; the
 * copier removes that member when the file is whole, or marks the document as failed
 * (volume state "error", snapshot state "error"). After a crash the copies that were not
 * finished are made again from their start. */
#ifndef HOTADD_LAB_COPIER_H
#define HOTADD_LAB_COPIER_H

#include "lab/lab.h"

/* Makes (or truncates) a sparse file of that size; out of space is ERR_NOSPACE. */
int copier_make_blank(const char *path, uint64_t size, struct err *e) err_warn_unused;

/* Makes dst a copy of src, at least min_size long. Blocks for as long as it takes; on
 * failure dst is gone. */
int copier_copy_file(const char *src, const char *dst, uint64_t min_size,
                     struct err *e) err_warn_unused;

int copier_start(struct lab *lab, struct err *e) err_warn_unused;
void copier_stop(struct copier *c);

/* Under the lab's lock: looks for documents with `_copy` that nobody works on yet. */
void copier_kick(struct lab *lab);

/* Under the lab's lock, which it lets go meanwhile: waits until the document's copy is
 * made or has failed. The running transaction must be committed. */
void copier_wait(struct lab *lab, const char *kind, const char *id);

#endif
