/* Whole reads and writes, small files, and files replaced atomically. All of these
 * restart after signals and never return short. */
#ifndef HOTADD_BASE_IO_H
#define HOTADD_BASE_IO_H

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

/* `what` names the file in errors. A read that meets the end early is ERR_INPUT
 * ("ends at byte N"). */
int io_pread_full(int fd, void *data, size_t len, uint64_t offset, const char *what,
                  struct err *e) err_warn_unused;
int io_pwrite_full(int fd, const void *data, size_t len, uint64_t offset,
                   const char *what, struct err *e) err_warn_unused;
int io_write_full(int fd, const void *data, size_t len, const char *what,
                  struct err *e) err_warn_unused;

/* For messages to a terminal, where there is nobody to tell of a failure. */
void io_write_best_effort(int fd, const void *data, size_t len);

/* Appends the whole file; more than max_bytes is ERR_INPUT. */
int io_read_file(const char *path, size_t max_bytes, struct buf *out,
                 struct err *e) err_warn_unused;

/* Same from a descriptor (pipe or file) to its end. */
int io_read_fd(int fd, size_t max_bytes, struct buf *out, const char *what,
               struct err *e) err_warn_unused;

/* Writes path.tmpXXXXXX, syncs it, renames it over path, syncs the directory: whoever
 * looks sees the old file or the new one, a crash may leave the .tmp file. */
int io_write_file_atomic(const char *path, const void *data, size_t len, mode_t mode,
                         struct err *e) err_warn_unused;

/* mkdir -p; existing directories are fine. */
int io_mkdir_all(const char *path, mode_t mode, struct err *e) err_warn_unused;

/* Removes a directory tree without following symbolic links; absent is fine. */
int io_remove_tree(const char *path, struct err *e) err_warn_unused;

#endif
