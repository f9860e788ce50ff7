/* QMP; see vm_qmp.h. The protocol: docs/interop/qmp-spec.txt of QEMU. */
#include "lab/vm_qmp.h"

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1u << 20)

#define SHOT_ID "shot"

/* Takes the message over. */
static int send_message(struct qmp *q, json_t *msg, struct err *e)
{
    json_auto_t *mine = msg;
    auto_free char *text = NULL;
    auto_buf struct buf line = BUF_INIT;

    if (!mine)
        return err_nomem(e);
    if (q->fd < 0)
        return err_set(e, ERR_FAILED, "QEMU is not there any more");
    if (json_text(mine, &text, e) < 0)
        return -1;
    buf_addf(&line, "%s\n", text);
    if (buf_check(&line, e) < 0)
        return -1;
    /* A line fits the socket's buffer, or QEMU has not read for thousands of lines. */
    if (send(q->fd, buf_str(&line), line.len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)line.len)
        return err_sys(e, "QMP %s", json_str_or(mine, "execute", ""));
    return 0;
}

int qmp_send(struct qmp *q, const char *command, struct err *e)
{
    return send_message(q, json_pack("{s:s}", "execute", command), e);
}

int qmp_screendump(struct qmp *q, const char *path, struct err *e)
{
    return send_message(q,
                        json_pack("{s:s, s:{s:s, s:s}, s:s}", "execute", "screendump",
                                  "arguments", "filename", path, "format", "ppm", "id",
                                  SHOT_ID),
                        e);
}

int qmp_press_key(struct qmp *q, struct err *e)
{
    return send_message(q,
                        json_pack("{s:s, s:{s:[{s:s, s:s}]}}", "execute", "send-key",
                                  "arguments", "keys", "type", "qcode", "data", "shift"),
                        e);
}

static enum qmp_event event_of(const char *name)
{
    if (str_eq(name, "SHUTDOWN"))
        return QMP_SHUTDOWN;
    return str_eq(name, "RESET") ? QMP_RESET : QMP_OTHER;
}

static int handle_line(struct qmp *q, const char *line, size_t len, qmp_handler *handler,
                       void *ctx, struct err *e)
{
    json_auto_t *msg = NULL;
    const json_t *error;

    if (json_parse(line, len, "QMP", &msg, e) < 0)
        return -1;
    error = json_object_get(msg, "error");
    if (str_eq(json_str_or(msg, "id", ""), SHOT_ID)) {
        if (error)
            log_debug("%s: QEMU: %s", q->who, json_str_or(error, "desc", "error"));
        handler(ctx, error ? QMP_NO_SHOT : QMP_SHOT);
        return 0;
    }
    if (json_object_get(msg, "QMP"))
        return qmp_send(q, "qmp_capabilities", e);
    if (error)
        log_debug("%s: QEMU: %s", q->who, json_str_or(error, "desc", "error"));
    else if (json_object_get(msg, "event"))
        handler(ctx, event_of(json_str_or(msg, "event", "")));
    else if (json_object_get(msg, "return"))
        handler(ctx, QMP_READY); /* the first return is that of qmp_capabilities */
    return 0;
}

static int handle_lines(struct qmp *q, qmp_handler *handler, void *ctx, struct err *e)
{
    size_t at = 0;
    char *nl;

    while ((nl = memchr(q->in.data + at, '\n', q->in.len - at))) {
        size_t len = (size_t)(nl - q->in.data) - at;

        if (handle_line(q, q->in.data + at, len, handler, ctx, e) < 0)
            return -1;
        at += len + 1;
    }
    memmove(q->in.data, q->in.data + at, q->in.len - at);
    q->in.len -= at;
    if (q->in.len > LINE_MAX_BYTES)
        return err_set(e, ERR_INPUT, "QMP: a line without end");
    return 0;
}

int qmp_read(struct qmp *q, qmp_handler *handler, void *ctx, struct err *e)
{
    char data[8192];
    ssize_t n = read(q->fd, data, sizeof data);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return err_sys(e, "QMP");
    if (n == 0)
        return err_set(e, ERR_FAILED, "QEMU has closed its control socket");
    buf_add(&q->in, data, (size_t)n);
    if (buf_check(&q->in, e) < 0)
        return -1;
    return handle_lines(q, handler, ctx, e);
}

void qmp_release(struct qmp *q)
{
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
    buf_release(&q->in);
}
