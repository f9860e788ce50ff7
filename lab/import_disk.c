/* Disks of imports; see import_disk.h.
 *
 * qemu-img is told the format and never follows a name that a file holds: no backing
 * file is opened, and of VMDK only the kinds whose data lie in the file itself are let
 * through (EC2 takes those alone, too). A killed lab takes its child along; a half
 * written file has no document and is swept at the next start. */
#include "lab/import_disk.h"

#include "lab/helper.h"

#include "base/auto.h"
#include "base/bytes.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SECTOR   512u
#define MAX_TEXT 65536

#define BAD_FORMAT                                                                       \
    "ClientError: Disk validation failed [Unsupported specified file format]"

static const struct {
    const char *name, *driver, *options;
} formats[] = {
    {"RAW", "raw", ""},
    /* Not the size that the old geometry can tell, which is a little less. */
    {"VHD", "vpc", ", \"force_size_calc\": \"current_size\""},
    {"VHDX", "vhdx", ""},
    {"VMDK", "vmdk", ""},
};

static size_t format_index(const char *name)
{
    size_t i = 0;

    while (i < sizeof formats / sizeof formats[0] &&
           strcasecmp(formats[i].name, name) != 0)
        i++;
    return i;
}

const char *import_format(const char *name)
{
    size_t i = format_index(name);

    return i < sizeof formats / sizeof formats[0] ? formats[i].name : NULL;
}

/* ---- The child ---- */

/* What qemu-img says, and what is made of it meanwhile. */
struct run {
    struct child child;
    struct buf out, err;
    import_progress *progress; /* NULL: the output is kept in `out` */
    void *ctx;
    unsigned percent;
};

static void run_release(struct run *r)
{
    child_stop(&r->child, 0);
    buf_release(&r->out);
    buf_release(&r->err);
}

/* "    (12.34/100%)\r", again and again. */
static void read_progress(struct run *r)
{
    char *at = strrchr(buf_str(&r->out), '(');
    unsigned long percent = at ? strtoul(at + 1, NULL, 10) : 0;

    if (percent > r->percent && percent <= 100) {
        r->percent = (unsigned)percent;
        r->progress(r->ctx, r->percent);
    }
    buf_reset(&r->out);
}

/* 0 at the end of the pipe. */
static int take_output(int fd, struct buf *b)
{
    char data[4096];
    ssize_t n = read(fd, data, sizeof data);

    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : 0;
    if (n > 0 && b->len + (size_t)n <= MAX_TEXT)
        buf_add(b, data, (size_t)n);
    return n > 0;
}

static int listen_to(struct run *r, const struct cancel *cancel, struct err *e)
{
    struct pollfd p[3] = {{.fd = r->child.stdout_fd, .events = POLLIN},
                          {.fd = r->child.stderr_fd, .events = POLLIN},
                          {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};

    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return err_sys(e, "poll");
        if (cancel_check(cancel, e) < 0)
            return -1;
        if (p[0].revents && take_output(p[0].fd, &r->out) == 0)
            p[0].fd = -1;
        if (p[1].revents && take_output(p[1].fd, &r->err) == 0)
            p[1].fd = -1;
        if (r->progress)
            read_progress(r);
    }
    return 0;
}

static int start(struct run *r, const char *const *argv, const int *fds, size_t n_fds,
                 struct err *e)
{
    const char *const env[] = {"LC_ALL=C", "PATH=/usr/bin:/bin", NULL};
    struct child_spec spec = {.argv = argv,
                              .env = env,
                              .in = CHILD_NULL,
                              .out = CHILD_PIPE,
                              .err = CHILD_PIPE,
                              .fds = fds,
                              .n_fds = n_fds,
                              .new_group = true};

    return child_spawn(&spec, &r->child, e);
}

/* The last line of what it said, without the names it has for our descriptors. */
static int failed(struct run *r, int status, struct err *e)
{
    char *text = str_trim((char *)buf_str(&r->err));
    char *line = strrchr(text, '\n'), how[32];

    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(e, ERR_REQUIREMENT,
                       "imports need qemu-img, which is not here: install qemu-utils");
    if (strstr(text, "No space left"))
        return err_set(e, ERR_NOSPACE, "the lab's disk is full");
    log_debug("qemu-img: %.300s", text);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
        return err_set(e, ERR_INPUT, "%s", BAD_FORMAT);
    return err_set(e, ERR_FAILED, "qemu-img ended with %s: %.200s",
                   child_status_text(status, how, sizeof how), line ? line + 1 : text);
}

/* `args` (NULL-terminated) follow the program's name. */
static int run_qemu_img(struct run *r, uint64_t max_file, const char *const *args,
                        const int *fds, size_t n_fds, const struct cancel *cancel,
                        struct err *e)
{
    auto_free char *helper = helper_path("hotadd-lab-confine", "HOTADD_LAB_CONFINE", e);
    const char *argv[16] = {helper, NULL, n_fds > 1 ? "2" : "1", "qemu-img"};
    char bytes[24];
    int status;
    size_t n = 4;

    if (!helper)
        return -1;
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)max_file);
    argv[1] = bytes;
    while (*args && n < 15)
        argv[n++] = *args++;
    if (start(r, argv, fds, n_fds, e) < 0 || listen_to(r, cancel, e) < 0 ||
        child_wait(&r->child, UINT64_MAX, cancel, &status, e) < 0)
        return -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return failed(r, status, e);
    return 0;
}

static char *input_name(size_t format, struct err *e)
{
    return str_fmt(e,
                   "json:{\"driver\": \"%s\"%s, \"backing\": null, \"file\": "
                   "{\"driver\": \"file\", \"filename\": \"/proc/self/fd/3\", "
                   "\"locking\": \"off\"}}",
                   formats[format].driver, formats[format].options);
}

/* ---- Formats ---- */

/* Sparse with its own data (the signature is there and the capacity, without which
 * qemu-img would take a description of other files out of it). */
static int check_vmdk(int fd, struct err *e)
{
    unsigned char h[SECTOR];
    uint64_t capacity;

    if (pread(fd, h, sizeof h, 0) != (ssize_t)sizeof h || memcmp(h, "KDMV", 4) != 0)
        return err_set(e, ERR_INPUT,
                       "ClientError: Disk validation failed [Unsupported VMDK File "
                       "Format]");
    memcpy(&capacity, h + 12, sizeof capacity);
    if (le64toh(capacity) == 0)
        return err_set(e, ERR_INPUT, "%s", BAD_FORMAT);
    return 0;
}

int import_disk_size(int fd, const char *format, const struct cancel *cancel,
                     uint64_t *ret_bytes, struct err *e)
{
    size_t i = format_index(format);
    auto_free char *name = input_name(i, e);
    const char *args[] = {"info", "--output=json", name, NULL};
    struct run r = {.child = CHILD_INIT};
    json_t *info = NULL;
    uint64_t bytes;
    int rc;

    if (!name || (str_eq(formats[i].name, "VMDK") && check_vmdk(fd, e) < 0))
        return -1;
    rc = run_qemu_img(&r, 0, args, &fd, 1, cancel, e);
    if (rc == 0)
        rc = json_parse(buf_str(&r.out), r.out.len, "qemu-img", &info, e);
    if (rc == 0)
        rc = json_need_u64(info, "virtual-size", &bytes, e);
    json_decref(info);
    run_release(&r);
    if (rc < 0)
        return -1;
    if (bytes == 0)
        return err_set(e, ERR_INPUT, "%s", BAD_FORMAT);
    *ret_bytes = bytes;
    return 0;
}

int import_disk_convert(int fd, const char *format, const char *out_path,
                        uint64_t out_bytes, const struct cancel *cancel,
                        import_progress *progress, void *ctx, struct err *e)
{
    auto_free char *name = input_name(format_index(format), e);
    const char *args[] = {"convert", "-p",  "-n", "--target-is-zero",
                          "-O",      "raw", name, "/proc/self/fd/4",
                          NULL};
    auto_fd int out = open(out_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct run r = {.child = CHILD_INIT, .progress = progress, .ctx = ctx};
    int fds[] = {fd, out}, rc = -1;

    if (out < 0)
        return err_sys(e, "%s: create", out_path);
    if (!name)
        return -1;
    if (ftruncate(out, (off_t)out_bytes) < 0)
        err_sys(e, "%s: make it %llu bytes long", out_path,
                (unsigned long long)out_bytes);
    else
        rc = run_qemu_img(&r, out_bytes, args, fds, 2, cancel, e);
    run_release(&r);
    if (rc == 0 && fsync(out) < 0)
        rc = err_sys(e, "%s: sync", out_path);
    if (rc < 0)
        unlink(out_path);
    return rc;
}

/* ---- Partitions ---- */

static const unsigned char esp_guid[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8,
                                           0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0,
                                           0xc9, 0x3e, 0xc9, 0x3b};
static const unsigned char bios_guid[16] = {'H', 'a', 'h', '!', 'I', 'd', 'o', 'n',
                                            't', 'N', 'e', 'e', 'd', 'E', 'F', 'I'};
static const unsigned char no_guid[16];

static bool read_sector(int fd, uint64_t sector, unsigned char out[SECTOR])
{
    return sector < INT64_MAX / SECTOR &&
           pread(fd, out, SECTOR, (off_t)(sector * SECTOR)) == (ssize_t)SECTOR;
}

static bool is_ntfs(int fd, uint64_t sector)
{
    unsigned char s[SECTOR];

    return read_sector(fd, sector, s) && memcmp(s + 3, "NTFS    ", 8) == 0;
}

/* The usual table: 128 entries of 128 bytes behind the header. */
static void read_gpt(int fd, bool boot_code, struct import_traits *t)
{
    bool esp = false, bios = false;
    unsigned char s[SECTOR];

    for (uint64_t at = 2; at < 34 && read_sector(fd, at, s); at++)
        for (size_t i = 0; i < SECTOR; i += 128) {
            if (memcmp(s + i, no_guid, 16) == 0)
                continue;
            t->partitions = true;
            esp = esp || memcmp(s + i, esp_guid, 16) == 0;
            bios = bios || memcmp(s + i, bios_guid, 16) == 0;
            t->ntfs = t->ntfs || is_ntfs(fd, le64_at(s + i + 32));
        }
    t->uefi = esp && !(bios && boot_code);
}

int import_disk_traits(const char *path, struct import_traits *ret, struct err *e)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct import_traits t = {0};
    unsigned char mbr[SECTOR], gpt[SECTOR];
    bool boot_code = false;

    if (fd < 0)
        return err_sys(e, "%s: open", path);
    if (!read_sector(fd, 0, mbr) || mbr[510] != 0x55 || mbr[511] != 0xaa) {
        *ret = t;
        return 0;
    }
    for (size_t i = 0; i < 440; i++)
        boot_code = boot_code || mbr[i];
    if (read_sector(fd, 1, gpt) && memcmp(gpt, "EFI PART", 8) == 0) {
        read_gpt(fd, boot_code, &t);
    } else {
        for (size_t i = 446; i < 510; i += 16) {
            t.partitions = t.partitions || mbr[i + 4];
            t.ntfs = t.ntfs || (mbr[i + 4] && is_ntfs(fd, le32_at(mbr + i + 8)));
        }
    }
    *ret = t;
    return 0;
}
