/* Server children that are handed their listening socket (systemd's LISTEN_FDS protocol,
 * sd_listen_fds(3), which nbdkit speaks): clients can connect before the
 * child has even started, so nobody waits for a socket to appear. What the child says on
 * standard error is kept in memory for the error message. */
#ifndef HOTADD_IMAGE_ACTIVATED_H
#define HOTADD_IMAGE_ACTIVATED_H

#include "base/child.h"

struct activated {
    struct child child;
    int words_fd; /* owned */
};

#define ACTIVATED_INIT                                                                   \
    {                                                                                    \
        .child = CHILD_INIT, .words_fd = -1                                              \
    }

/* Connecting to a unix socket of that path: bound here. */
int activated_listen(const char *path, int backlog, int *ret_fd,
                     struct err *e) err_warn_unused;
int activated_connect(const char *path, int *ret_fd, struct err *e) err_warn_unused;

/* What of our environment the child sees. Servers parse foreign images, so they get no
 * credentials (AWS_…, HOTADD_KEY_…) unless a repository that they open needs them. */
enum activated_env { ACTIVATED_NO_SECRETS, ACTIVATED_WHOLE_ENV };

/* argv[0] is looked up in PATH. The descriptor stays the caller's, who closes it. At most
 * 24 arguments. */
int activated_start(struct activated *a, const char *const *argv, enum activated_env env,
                    int listen_fd, struct err *e) err_warn_unused;

/* The end of what it said, trimmed, "" for nothing; out_len at least 64. Returned. */
char *activated_words(const struct activated *a, char *out, size_t out_len);

/* Ends it. Nothing to do for one that was not started. */
void activated_stop(struct activated *a);

#endif
