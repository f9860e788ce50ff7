/* Where the monitor listens, and whether that is safe. */
#ifndef HOTADD_WEB_LISTEN_H
#define HOTADD_WEB_LISTEN_H

#include "base/err.h"

struct listen_place {
    int fd; /* owned */
    bool unix_socket;
    bool loopback; /* addresses only this machine reaches */
    char *where;   /* owned: "127.0.0.1:8321", "[::1]:8321", or the socket's path */
    char *host;    /* owned: the address without port; NULL for a socket */
};

enum listen_reach { LISTEN_LOOPBACK_ONLY, LISTEN_ANYWHERE };

/* "127.0.0.1:8321", "localhost:8321", "[::1]:0", "unix:PATH". ERR_USAGE: not such a
 * place, or one that others reach where LISTEN_LOOPBACK_ONLY is asked for. A socket left
 * by a monitor that was killed is replaced, one that answers is ERR_BUSY; its mode is
 * 0660. */
int listen_open(const char *text, enum listen_reach reach, struct listen_place *ret,
                struct err *e) err_warn_unused;

/* Removes the socket's file. A zeroed one with fd -1 is fine. */
void listen_release(struct listen_place *p);

#endif
