/* The head of one HTTP/1.x request of a guest (RFC 9112), under limits. */
#ifndef HOTADD_LAB_VM_HTTP_H
#define HOTADD_LAB_VM_HTTP_H

#include "lab/vm.h"

#define HTTP_HEAD_MAX    16384
#define HTTP_HEADERS_MAX 64
#define HTTP_BODY_MAX    4096

struct http_head {
    /* Everything points into the parsed bytes. instance_id is not set here. */
    struct vm_imds_request req;
    struct vm_imds_header headers[HTTP_HEADERS_MAX];
    size_t head_len; /* bytes up to and with the empty line */
    size_t body_len; /* from Content-Length; at most HTTP_BODY_MAX */
};

/* 1: parsed; data[0..head_len) was cut into NUL-terminated pieces in place.
 * 0: the empty line has not arrived yet, nothing was changed.
 * -1: ERR_INPUT (malformed, too long) or ERR_UNSUPPORTED (a transfer coding). */
int http_parse_head(char *data, size_t len, struct http_head *ret,
                    struct err *e) err_warn_unused;

/* "OK", "Not Found", …; "Unknown" for what IMDS has no use for. */
const char *http_status_text(unsigned status);

#endif
