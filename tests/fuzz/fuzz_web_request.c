/* What strangers send to the monitor: paths, queries, cookies, hosts, bodies. A line
 * each. */
#include "lines.h"

#include "base/auto.h"
#include "web/request.h"
#include "web/sse.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A part that was let through has nothing that leads elsewhere. */
static void split(const char *path)
{
    auto_strv struct strv v = {0};
    struct err e = ERR_INIT;

    if (request_path_split(path, &v, &e) < 0)
        return;
    assert(v.n <= REQUEST_MAX_SEGMENTS);
    vec_foreach (s, &v) {
        assert(**s && **s != '.' && !strpbrk(*s, "/\\\n\r"));
        assert(!request_name_ok(*s) || **s != '-');
    }
}

static void host(const char *text)
{
    auto_free char *name = NULL;
    struct err e = ERR_INIT;

    if (request_host_split(text, &name, &e) == 0)
        assert(*name || *text == '[');
}

static void body(const char *type, const char *text)
{
    struct buf b = BUF_INIT;
    struct request rq = {.content_type = type, .body = &b};
    struct err e = ERR_INIT;
    json_t *o = NULL;

    buf_adds(&b, text);
    if (request_json(&rq, &o, &e) == 0)
        assert(json_is_object(o));
    json_decref(o);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *p = (const char *)data, *end = p + len;
    struct err e = ERR_INIT;
    auto_free char *path = fuzz_line(&p, end, &e), *query = fuzz_line(&p, end, &e);
    auto_free char *cookie = fuzz_line(&p, end, &e), *names = fuzz_line(&p, end, &e);
    auto_free char *type = fuzz_line(&p, end, &e), *text = fuzz_line(&p, end, &e);
    auto_free char *value = NULL, *session = NULL;
    auto_buf struct buf framed = BUF_INIT;
    uint64_t n = 0;

    if (!path || !query || !cookie || !names || !type || !text)
        return 0;
    split(path);
    if (request_query_get(query, "a", &value, &e) == 0 &&
        request_query_u64(query, "a", 1, 10, &n, &e) == 0)
        assert(n <= 10);
    if (request_cookie_get(cookie, "hotadd-session", &session, &e) == 0 && session)
        assert(!strchr(session, ';'));
    host(names);
    request_bearer(cookie);
    body(type, text);
    sse_add(&framed, "line", sse_last_id(query), text);
    /* One message: nothing but its end has an empty line. */
    assert(strstr(buf_str(&framed), "\n\n") == framed.data + framed.len - 2);
    return 0;
}
