/* What a machine keeps in STATE/run/INSTANCE/ (see vm.c). */
#ifndef HOTADD_LAB_VM_FILES_H
#define HOTADD_LAB_VM_FILES_H

#include "base/err.h"

#include <sys/types.h>

#define VM_CONSOLE_FILE "console.log"

/* Owned; NULL with e set, also for what is no instance id (it becomes a file name). */
char *vm_dir(const char *state_dir, const char *instance_id,
             struct err *e) err_warn_unused;

/* Makes the folder, takes its lock (ERR_BUSY when the instance runs already), ends what
 * an earlier life left running, and empties the console. */
int vm_dir_prepare(const char *dir, int *ret_lock_fd, struct err *e) err_warn_unused;

/* The firmware's code (borrowed) and the instance's own copy of its variables (owned). */
int vm_uefi_prepare(const char *dir, const char **ret_code, char **ret_vars,
                    struct err *e) err_warn_unused;

/* Records the processes of a machine, so that they can be found again and told from
 * strangers with the same numbers. */
int vm_pid_write(const char *dir, pid_t qemu, pid_t supervisor,
                 struct err *e) err_warn_unused;
void vm_pid_remove(const char *dir);

#endif
