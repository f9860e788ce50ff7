/* The QEMU Machine Protocol, as far as a machine's life needs it: JSON lines over a
 * socket pair whose other end QEMU inherited. Commands are sent and forgotten (a failed
 * one is logged); what happens is learned from events. One thread; nothing blocks. */
#ifndef HOTADD_LAB_VM_QMP_H
#define HOTADD_LAB_VM_QMP_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

struct qmp {
    int fd; /* owned, non-blocking; -1 once QEMU has hung up */
    struct buf in;
    const char *who; /* borrowed, for log lines */
};

enum qmp_event {
    QMP_READY,    /* commands are taken */
    QMP_SHUTDOWN, /* the guest switched itself off (QEMU is kept, paused) */
    QMP_RESET,    /* the machine was reset, by us or by the guest */
    QMP_SHOT,     /* the answer to qmp_screendump(): the file is there */
    QMP_NO_SHOT,  /* or not */
    QMP_OTHER,
};

typedef void qmp_handler(void *ctx, enum qmp_event event);

/* {"execute": command}. -1 when QEMU has gone or does not read. */
int qmp_send(struct qmp *q, const char *command, struct err *e) err_warn_unused;

/* Writes the display's picture to that file, as PPM. */
int qmp_screendump(struct qmp *q, const char *path, struct err *e) err_warn_unused;
/* Presses Shift and lets it go. */
int qmp_press_key(struct qmp *q, struct err *e) err_warn_unused;

/* Reads what there is and calls the handler for each event. -1: QEMU has hung up or
 * talks nonsense; nothing more will come. */
int qmp_read(struct qmp *q, qmp_handler *handler, void *ctx,
             struct err *e) err_warn_unused;

void qmp_release(struct qmp *q);

#endif
