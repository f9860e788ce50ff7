/* A machine's files: lock, process numbers, console, firmware variables; see vm.c for
 * the list and vm_files.h. Each is written whole or replaced atomically, so a crash
 * leaves the old one or the new one. */
#include "lab/vm_files.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "lab/vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RUN_DIR     "run"
#define LOCK_FILE   "lock"
#define PID_FILE    "pid"
#define VARS_FILE   "uefi-vars.fd"
#define BOOT_ID     "/proc/sys/kernel/random/boot_id"
#define PIDS        2 /* QEMU and its supervisor */
#define KILL_NS     (5 * NS_PER_S)
#define VARS_MAX    (16u << 20)
#define PID_MAX_LEN 256

char *vm_dir(const char *state_dir, const char *instance_id, struct err *e)
{
    const char *hex = instance_id + 2;

    if (!str_starts(instance_id, "i-") || strlen(hex) < 8 || strlen(hex) > 17 ||
        hex[strspn(hex, "0123456789abcdef")]) {
        err_set(e, ERR_USAGE, "%.40s is not an instance id", instance_id);
        return NULL;
    }
    return str_fmt(e, "%s/" RUN_DIR "/%s", state_dir, instance_id);
}

/* ---- processes ---- */

/* Field 22 of /proc/PID/stat, the time of its start in clock ticks since boot; the name
 * in field 2 may hold anything, so count from its last parenthesis. 0: no such process.
 */
static uint64_t start_time(pid_t pid)
{
    auto_buf struct buf b = BUF_INIT;
    struct err ignored;
    char path[40], *at, *field;
    uint64_t t = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (io_read_file(path, 4096, &b, &ignored) < 0 || !b.data)
        return 0;
    at = strrchr(b.data, ')');
    if (!at || !at[1])
        return 0;
    at += 2;
    for (int i = 3; i <= 22; i++) {
        field = strsep(&at, " ");
        if (!field)
            return 0;
        if (i == 22 && str_to_u64(field, &t, &ignored) < 0)
            return 0;
    }
    return t;
}

static int boot_id(struct buf *out, struct err *e)
{
    if (io_read_file(BOOT_ID, PID_MAX_LEN, out, e) < 0)
        return -1;
    out->len = strcspn(out->data, "\n");
    out->data[out->len] = 0;
    return 0;
}

int vm_pid_write(const char *dir, pid_t qemu, pid_t supervisor, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/" PID_FILE, dir);
    auto_buf struct buf b = BUF_INIT;

    if (!path || boot_id(&b, e) < 0)
        return -1;
    buf_addf(&b, " %d %" PRIu64 " %d %" PRIu64 "\n", qemu, start_time(qemu), supervisor,
             start_time(supervisor));
    if (buf_check(&b, e) < 0)
        return -1;
    return io_write_file_atomic(path, b.data, b.len, 0600, e);
}

void vm_pid_remove(const char *dir)
{
    struct err ignored;
    auto_free char *path = str_fmt(&ignored, "%s/" PID_FILE, dir);

    if (path)
        unlink(path);
}

/* Kills that very process and waits until it is gone. */
static int end_process(pid_t pid, uint64_t started, struct err *e)
{
    auto_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    /* The descriptor first, then the look at the start time: it cannot change owner. */
    if (fd < 0 || !started || start_time(pid) != started)
        return 0;
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return err_sys(e, "cannot end the left-over process %d", pid);
    if (poll(&p, 1, (int)(KILL_NS / NS_PER_MS)) == 0)
        return err_set(e, ERR_TIMEOUT, "the left-over process %d does not die", pid);
    return 0;
}

/* The caller holds the folder's lock. A file of another boot, or a damaged one, names
 * nobody. */
static int end_left_over(const char *dir, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/" PID_FILE, dir);
    auto_buf struct buf b = BUF_INIT, now = BUF_INIT;
    struct err ignored;
    char *rest, *word;

    if (!path || boot_id(&now, e) < 0)
        return -1;
    if (io_read_file(path, PID_MAX_LEN, &b, &ignored) < 0 || !b.data)
        return 0;
    rest = str_trim(b.data);
    word = strsep(&rest, " ");
    for (int i = 0; i < PIDS && rest && str_eq(word, buf_str(&now)); i++) {
        char *pid_text = strsep(&rest, " "), *time_text = rest ? strsep(&rest, " ") : "";
        uint64_t pid, started;

        if (str_to_u64(pid_text, &pid, &ignored) == 0 && pid > 1 && pid <= INT32_MAX &&
            str_to_u64(time_text, &started, &ignored) == 0 &&
            end_process((pid_t)pid, started, e) < 0)
            return -1;
    }
    unlink(path);
    return 0;
}

/* ---- the folder ---- */

static int take_lock(const char *dir, int *ret_fd, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/" LOCK_FILE, dir);
    auto_fd int fd = -1;

    if (!path)
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(e, "%s: open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? err_set(e, ERR_BUSY, "the instance of %s is running already", dir)
                   : err_sys(e, "%s: lock", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int empty_console(const char *dir, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/" VM_CONSOLE_FILE, dir);
    auto_fd int fd = -1;

    if (!path)
        return -1;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? err_sys(e, "%s: open", path) : 0;
}

int vm_dir_prepare(const char *dir, int *ret_lock_fd, struct err *e)
{
    auto_fd int fd = -1;

    if (io_mkdir_all(dir, 0700, e) < 0 || take_lock(dir, &fd, e) < 0 ||
        end_left_over(dir, e) < 0 || empty_console(dir, e) < 0)
        return -1;
    *ret_lock_fd = take_fd(&fd);
    return 0;
}

/* ---- firmware ---- */

struct firmware {
    const char *code, *vars;
};

static const struct firmware *find_firmware(void)
{
    /* Debian's ovmf; the 2 MiB build is what older releases have. */
    static const struct firmware known[] = {
        {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
        {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (access(known[i].code, R_OK) == 0 && access(known[i].vars, R_OK) == 0)
            return &known[i];
    return NULL;
}

int vm_uefi_prepare(const char *dir, const char **ret_code, char **ret_vars,
                    struct err *e)
{
    const struct firmware *fw = find_firmware();
    auto_free char *vars = str_fmt(e, "%s/" VARS_FILE, dir);
    auto_buf struct buf b = BUF_INIT;
    struct stat mine, original;

    if (!vars)
        return -1;
    if (!fw)
        return err_set(e, ERR_REQUIREMENT,
                       "the UEFI firmware OVMF is not there: install ovmf");
    if (stat(fw->vars, &original) < 0)
        return err_sys(e, "%s", fw->vars);
    /* One of another size belongs to another build of the firmware. */
    if (stat(vars, &mine) < 0 || mine.st_size != original.st_size) {
        if (io_read_file(fw->vars, VARS_MAX, &b, e) < 0 ||
            io_write_file_atomic(vars, b.data, b.len, 0600, e) < 0)
            return -1;
    }
    *ret_code = fw->code;
    *ret_vars = take_ptr(vars);
    return 0;
}

/* ---- vm.h ---- */

int vm_console(const char *state_dir, const char *instance_id, struct buf *out,
               struct err *e)
{
    auto_free char *dir = vm_dir(state_dir, instance_id, e), *path = NULL;
    auto_fd int fd = -1;
    struct stat st;
    off_t from;
    size_t len;

    path = dir ? str_fmt(e, "%s/" VM_CONSOLE_FILE, dir) : NULL;
    if (!path)
        return -1;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(e, "%s: open", path);
    if (fstat(fd, &st) < 0)
        return err_sys(e, "%s: stat", path);
    from = st.st_size > VM_CONSOLE_MAX ? st.st_size - VM_CONSOLE_MAX : 0;
    len = (size_t)(st.st_size - from);
    if (buf_reserve(out, len + 1, e) < 0 ||
        io_pread_full(fd, out->data + out->len, len, (uint64_t)from, path, e) < 0)
        return -1;
    out->len += len;
    out->data[out->len] = 0;
    return 0;
}

int vm_forget(const char *state_dir, const char *instance_id, struct err *e)
{
    auto_free char *dir = vm_dir(state_dir, instance_id, e);
    auto_fd int lock = -1;

    if (!dir)
        return -1;
    if (access(dir, F_OK) < 0)
        return errno == ENOENT ? 0 : err_sys(e, "%s", dir);
    if (take_lock(dir, &lock, e) < 0 || end_left_over(dir, e) < 0)
        return -1;
    return io_remove_tree(dir, e);
}

static int reap_one(const char *dir, struct err *e)
{
    auto_fd int lock = -1;

    if (take_lock(dir, &lock, e) < 0)
        return e->kind == ERR_BUSY ? 0 : -1;
    return end_left_over(dir, e);
}

int vm_reap_stale(const char *state_dir, struct err *e)
{
    auto_free char *run = str_fmt(e, "%s/" RUN_DIR, state_dir);
    struct dirent *de;
    int r = 0;
    DIR *d;

    if (!run)
        return -1;
    d = opendir(run);
    if (!d)
        return errno == ENOENT ? 0 : err_sys(e, "%s: open", run);
    while (r == 0 && (de = readdir(d))) {
        struct err not_one;
        auto_free char *dir = vm_dir(state_dir, de->d_name, &not_one);

        if (dir)
            r = reap_one(dir, e);
    }
    closedir(d);
    return r;
}
