/* Parsing of a guest's requests to the metadata service; see vm_http.h.
 *
 * The guest is the enemy here: any bytes in any slices. The parser looks at complete
 * heads only, never beyond len, and refuses what a lenient server and a strict one could
 * read in two ways (folded lines, spaces before the colon, stray control characters). */
#include "lab/vm_http.h"

#include "base/str.h"

#include <strings.h>

const char *vm_imds_header(const struct vm_imds_request *req, const char *name)
{
    for (size_t i = 0; i < req->n_headers; i++)
        if (strcasecmp(req->headers[i].name, name) == 0)
            return req->headers[i].value;
    return NULL;
}

const char *http_status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } known[] = {{200, "OK"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Not Allowed"},
                 {413, "Request Entity Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == status)
            return known[i].text;
    return "Unknown";
}

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_len(const char *s)
{
    size_t n = 0;

    while (is_token_char(s[n]))
        n++;
    return n;
}

/* Visible ASCII, blanks and tabs; what is above 0x7f is let through (obs-text). */
static bool is_clean(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    return true;
}

/* Length of the head with its empty line, 0 when that is not there yet. */
static size_t find_end(const char *data, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (data[i] != '\n')
            continue;
        if (data[i + 1] == '\n')
            return i + 2;
        if (data[i + 1] == '\r' && i + 2 < len && data[i + 2] == '\n')
            return i + 3;
    }
    return 0;
}

/* Cuts the line at *at off and moves on; the line is NUL-terminated. */
static char *next_line(char *data, size_t *at, size_t end)
{
    char *line = data + *at, *nl = memchr(line, '\n', end - *at);

    *at = (size_t)(nl - data) + 1;
    *nl = 0;
    if (nl > line && nl[-1] == '\r')
        nl[-1] = 0;
    return line;
}

/* "METHOD /path HTTP/1.x" */
static int parse_request_line(char *line, struct vm_imds_request *req, struct err *e)
{
    size_t n = token_len(line);
    char *path = line + n + 1, *version;

    if (!n || line[n] != ' ')
        return err_set(e, ERR_INPUT, "malformed request line");
    version = strchr(path, ' ');
    if (path[0] != '/' || !version)
        return err_set(e, ERR_INPUT, "malformed request target");
    line[n] = 0;
    *version++ = 0;
    if (!str_eq(version, "HTTP/1.1") && !str_eq(version, "HTTP/1.0"))
        return err_set(e, ERR_INPUT, "not HTTP/1");
    req->method = line;
    req->path = path;
    return 0;
}

static int parse_header(char *line, struct vm_imds_header *h, struct err *e)
{
    size_t n = token_len(line);

    if (!n || line[n] != ':')
        return err_set(e, ERR_INPUT, "malformed header");
    line[n] = 0;
    h->name = line;
    h->value = str_trim(line + n + 1);
    return 0;
}

static int parse_framing(struct http_head *h, struct err *e)
{
    const char *length = NULL;
    uint64_t n = 0;

    for (size_t i = 0; i < h->req.n_headers; i++) {
        const struct vm_imds_header *x = &h->headers[i];

        if (strcasecmp(x->name, "Transfer-Encoding") == 0)
            return err_set(e, ERR_UNSUPPORTED, "transfer codings are not served");
        if (strcasecmp(x->name, "Content-Length") != 0)
            continue;
        if (length && !str_eq(length, x->value))
            return err_set(e, ERR_INPUT, "two Content-Lengths");
        length = x->value;
    }
    if (length && str_to_u64(length, &n, e) < 0)
        return err_prefix(e, "Content-Length");
    if (n > HTTP_BODY_MAX)
        return err_set(e, ERR_INPUT, "the body is too long");
    h->body_len = (size_t)n;
    return 0;
}

int http_parse_head(char *data, size_t len, struct http_head *ret, struct err *e)
{
    struct http_head h = {0};
    size_t end = find_end(data, len), at = 0;
    char *line;

    if (end > HTTP_HEAD_MAX || (!end && len >= HTTP_HEAD_MAX))
        return err_set(e, ERR_INPUT, "the request's head is too long");
    if (!end)
        return 0;
    if (memchr(data, 0, end))
        return err_set(e, ERR_INPUT, "a NUL in the request's head");
    line = next_line(data, &at, end);
    if (!is_clean(line))
        return err_set(e, ERR_INPUT, "control characters in the request line");
    if (parse_request_line(line, &h.req, e) < 0)
        return -1;
    while (*(line = next_line(data, &at, end))) {
        if (h.req.n_headers == HTTP_HEADERS_MAX)
            return err_set(e, ERR_INPUT, "more than %d headers", HTTP_HEADERS_MAX);
        if (!is_clean(line))
            return err_set(e, ERR_INPUT, "control characters in a header");
        if (parse_header(line, &h.headers[h.req.n_headers++], e) < 0)
            return -1;
    }
    if (parse_framing(&h, e) < 0)
        return -1;
    *ret = h;
    ret->req.headers = ret->headers;
    ret->head_len = end;
    return 1;
}
