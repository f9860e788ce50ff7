/* qcow2, VHD and VDI through a qemu-nbd child.
 *
 * The child gets the opened image as a descriptor, so it sees the very file that was
 * checked, and a listening socket by systemd's protocol (LISTEN_FDS), to which all our
 * connections exist before the child does. That settles three things at once: nobody
 * waits for a socket to appear; the socket's name is removed again before the child
 * starts, so that nothing is left behind and nobody else can connect; and qemu-nbd,
 * which ends with its last client, ends whenever and however we do. (Killed in the few
 * milliseconds between its start and its first handshake, we would leave it idle:
 * qemu-nbd counts only clients that shook hands.)
 *
 * Images are foreign. What would make QEMU open other files (backing files, external
 * data files) is refused by looking at the headers ourselves, and backing files are
 * switched off besides. */
#include "image/activated.h"
#include "image/nbd.h"

#include "base/json.h"
#include "base/str.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <sys/stat.h>

struct qemu {
    char *name;                        /* owned: the image's, for errors */
    struct activated server;           /* qemu-nbd */
    int socks[NBDSRC_MAX_CONNECTIONS]; /* owned: connected, waiting to be used */
    unsigned n_socks, next;
};

/* ------------------------------------------------------------- looking at headers */

static int refuse_qcow2(const struct blob *b, struct err *e)
{
    unsigned char h[104] = {0};
    uint32_t version, crypt;
    uint64_t backing, incompatible = 0;

    /* QEMU's docs/interop/qcow2.txt, "Header"; big-endian. */
    if (blob_read(b, h, b->len < sizeof h ? (size_t)b->len : sizeof h, 0, e) < 0)
        return -1;
    memcpy(&version, h + 4, 4);
    memcpy(&backing, h + 8, 8);
    memcpy(&crypt, h + 32, 4);
    version = be32toh(version);
    if (version != 2 && version != 3)
        return err_set(e, ERR_UNSUPPORTED, "%s: qcow2 of version %" PRIu32, b->name,
                       version);
    if (version == 3)
        memcpy(&incompatible, h + 72, 8);
    incompatible = be64toh(incompatible);
    if (backing)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a qcow2 overlay on a backing file: flatten it first: "
                       "qemu-img convert -O qcow2 IN OUT",
                       b->name);
    if (incompatible & 4)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a qcow2 with its data in another file: flatten it first: "
                       "qemu-img convert -O qcow2 IN OUT",
                       b->name);
    if (incompatible & 2)
        return err_set(e, ERR_INPUT,
                       "%s: its header says it is corrupt: qemu-img check -r all repairs "
                       "it if that is possible",
                       b->name);
    if (crypt)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: an encrypted qcow2: decrypt it first with qemu-img convert",
                       b->name);
    return 0;
}

static int refuse_vhd(const struct blob *b, struct err *e)
{
    unsigned char footer[512];
    uint32_t type;

    if (b->len < sizeof footer)
        return err_set(e, ERR_INPUT, "%s is too short for a VHD", b->name);
    if (blob_read(b, footer, sizeof footer, b->len - sizeof footer, e) < 0)
        return -1;
    if (memcmp(footer, "conectix", 8) != 0)
        return err_set(e, ERR_INPUT,
                       "%s: no VHD footer at byte %" PRIu64 ": the file is truncated",
                       b->name, b->len - sizeof footer);
    memcpy(&type, footer + 60, 4);
    if (be32toh(type) == 4)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a differencing VHD: merge it with its parent first", b->name);
    return 0;
}

static int refuse_vdi(const struct blob *b, struct err *e)
{
    uint32_t type;

    if (blob_read(b, &type, sizeof type, 0x4c, e) < 0)
        return -1;
    if (le32toh(type) != 1 && le32toh(type) != 2)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a VDI of type %" PRIu32 " (a snapshot): clone it with "
                       "VBoxManage clonemedium first",
                       b->name, le32toh(type));
    return 0;
}

static int refuse(const struct blob *b, enum image_format format, struct err *e)
{
    if (b->n_parts != 1)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s is %s in several chunks: put them together first", b->name,
                       image_format_text(format));
    return format == FORMAT_QCOW2 ? refuse_qcow2(b, e)
           : format == FORMAT_VHD ? refuse_vhd(b, e)
           : format == FORMAT_VDI ? refuse_vdi(b, e)
                                  : 0;
}

/* ----------------------------------------------------------------------- sockets */

/* A listening socket in a private folder with n connections waiting in it, and both
 * names gone again. */
static int make_sockets(struct qemu *q, unsigned n, int *ret_listen, struct err *e)
{
    char dir[] = "/tmp/hotadd-qemu-XXXXXX", path[sizeof dir + 2];
    auto_fd int s = -1;
    int r;

    if (!mkdtemp(dir))
        return err_sys(e, "%s: create", dir);
    snprintf(path, sizeof path, "%s/s", dir);
    r = activated_listen(path, (int)n, &s, e);
    while (r == 0 && q->n_socks < n) {
        r = activated_connect(path, &q->socks[q->n_socks], e);
        if (r == 0)
            q->n_socks++;
    }
    unlink(path);
    rmdir(dir);
    if (r == 0)
        *ret_listen = take_fd(&s);
    return r;
}

/* --------------------------------------------------------------------- the child */

/* The bytes of the image: the whole file, or a member of an archive. QEMU wants lengths
 * of whole sectors, and members of an archive are padded to them. */
static int file_spec(const struct blob *b, json_t **ret, struct err *e)
{
    json_auto_t *o = NULL;
    char path[32];
    struct stat st;

    snprintf(path, sizeof path, "/dev/fd/%d", ACTIVATED_EXTRA_FD);
    if (fstat(b->parts[0].fd, &st) < 0)
        return err_sys(e, "%s: stat", b->name);
    o = json_pack("{s:s, s:s}", "driver", b->is_device ? "host_device" : "file",
                  "filename", path);
    if (o && !b->is_device && b->len != (uint64_t)st.st_size)
        o = json_pack("{s:s, s:I, s:I, s:o}", "driver", "raw", "offset",
                      (json_int_t)b->parts[0].base, "size",
                      (json_int_t)(b->len + (512 - b->len % 512) % 512), "file",
                      take_ptr(o));
    if (!o)
        return err_nomem(e);
    *ret = take_ptr(o);
    return 0;
}

/* The image as QEMU is to open it: this driver over these bytes of that descriptor, and
 * nothing else. Owned. */
static int image_spec(const struct blob *b, const char *driver, char **ret, struct err *e)
{
    json_auto_t *o = json_object();
    auto_free char *text = NULL;
    json_t *file = NULL;

    if (file_spec(b, &file, e) < 0 || json_put(o, "file", file, e) < 0 ||
        json_put(o, "driver", json_string(driver), e) < 0)
        return -1;
    if (str_eq(driver, "qcow2") && json_put(o, "backing", json_null(), e) < 0)
        return -1;
    if (json_text(o, &text, e) < 0)
        return -1;
    *ret = str_fmt(e, "json:%s", text);
    return *ret ? 0 : -1;
}

static int start(struct qemu *q, const struct blob *b, const char *driver, unsigned n,
                 struct err *e)
{
    auto_free char *spec = NULL;
    auto_fd int listen_fd = -1;
    char shared[32];

    snprintf(shared, sizeof shared, "--shared=%u", n);
    if (image_spec(b, driver, &spec, e) < 0 || make_sockets(q, n, &listen_fd, e) < 0)
        return -1;
    return activated_start(&q->server,
                           (const char *[]){"qemu-nbd", "--read-only", "--discard=ignore",
                                            shared, spec, NULL},
                           ACTIVATED_NO_SECRETS, listen_fd, b->parts[0].fd, e);
}

/* -------------------------------------------------------------------- the dialer */

/* The end of what qemu-nbd said, without the specification of the image in it. */
static void qemu_explain(void *ctx, struct err *e)
{
    struct qemu *q = ctx;
    char words[800], *p = activated_words(&q->server, words, sizeof words);
    char *spec = strstr(p, "}': ");

    if (*p)
        err_set(e, ERR_INPUT, "%s: qemu-nbd: %s", q->name, spec ? spec + 4 : p);
}

static int qemu_dial(void *ctx, struct nbd_handle *h, struct err *e)
{
    struct qemu *q = ctx;
    int fd;

    if (q->next == q->n_socks)
        return err_set(e, ERR_NETWORK, "%s: qemu-nbd is gone", q->name);
    fd = q->socks[q->next];
    q->socks[q->next++] = -1;
    /* Takes the socket over in any case. */
    if (nbd_connect_socket(h, fd) == 0)
        return 0;
    err_set(e, ERR_FAILED, "%s: qemu-nbd: %s", q->name, nbd_get_error());
    qemu_explain(q, e);
    return -1;
}

static void qemu_free(void *ctx)
{
    struct qemu *q = ctx;

    if (!q)
        return;
    for (unsigned i = 0; i < q->n_socks; i++)
        if (q->socks[i] >= 0)
            close(q->socks[i]);
    activated_stop(&q->server);
    free(q->name);
    free(q);
}

static const char *driver_of(enum image_format f)
{
    return f == FORMAT_QCOW2 ? "qcow2" : f == FORMAT_VHD ? "vpc" : "vdi";
}

static const char *name_of(enum image_format f)
{
    return f == FORMAT_VHD ? "vhd" : driver_of(f);
}

/* Connections that nobody will use would keep qemu-nbd waiting for their handshakes. */
static void close_unused(struct qemu *q)
{
    while (q->next < q->n_socks) {
        close(q->socks[q->next]);
        q->socks[q->next++] = -1;
    }
}

int qemu_open(const struct blob *b, enum image_format format,
              const struct image_options *opt, struct source **ret, struct err *e)
{
    unsigned n = nbdsrc_connections(opt ? opt->connections : 0);
    struct nbd_dialer d = {
        .dial = qemu_dial, .explain = qemu_explain, .free = qemu_free, .eager = true};
    struct qemu *q;

    if (refuse(b, format, e) < 0)
        return -1;
    q = mem_zalloc(1, sizeof *q, e);
    if (!q)
        return -1;
    q->server = (struct activated)ACTIVATED_INIT;
    q->name = str_dup(b->name, e);
    if (!q->name || start(q, b, driver_of(format), n, e) < 0) {
        qemu_free(q);
        return -1;
    }
    d.ctx = q;
    if (nbdsrc_new(b->name, name_of(format), d, n, ret, e) < 0)
        return -1;
    close_unused(q);
    return 0;
}
