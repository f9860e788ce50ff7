/* One bucket: its name, where it is reached, and sending to it; see s3.h.
 *
 * `now` points to one of two places, and changes at most once: from where the client's
 * region and settings put the bucket, to the region that S3 says it is in. Places live
 * as long as the bucket, so that calls under way need no lock. */
#include "aws/s3_impl.h"

#include "aws/uri.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xml.h"

#include <assert.h>
#include <ctype.h>

struct place {
    struct endpoint endpoint;
    char *region;
};

struct s3_bucket {
    struct aws *aws; /* borrowed */
    char *name;
    bool in_host;         /* virtual-host style */
    pthread_mutex_t lock; /* guards the making of `moved` */
    struct place home, moved;
    _Atomic(struct place *) now;
};

/* ---- Names ---- */

static bool is_address(const char *name)
{
    return strspn(name, "0123456789.") == strlen(name);
}

/* "Bucket naming rules" of the S3 User Guide. */
int s3_bucket_name_check(const char *name, struct err *e)
{
    size_t len = strlen(name);
    const char *why = NULL;

    if (len < 3 || len > 63)
        why = "it has 3 to 63 characters";
    else if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len)
        why = "it is made of lower-case letters, digits, '.' and '-'";
    else if (!isalnum((unsigned char)name[0]) || !isalnum((unsigned char)name[len - 1]))
        why = "it begins and ends with a letter or digit";
    else if (strstr(name, "..") || is_address(name))
        why = "it has no '..' and is no IP address";
    if (why)
        return err_set(e, ERR_USAGE, "'%.80s' is no bucket's name: %s", name, why);
    return 0;
}

/* RFC 3629 section 4. Returns the length of the sequence at p, 0 for none. */
static size_t utf8_len(const unsigned char *p)
{
    size_t n = *p < 0x80   ? 1
               : *p < 0xc2 ? 0
               : *p < 0xe0 ? 2
               : *p < 0xf0 ? 3
               : *p < 0xf5 ? 4
                           : 0;

    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
        (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

int s3_key_check(const char *key, struct err *e)
{
    size_t len = strlen(key), n;

    if (len == 0 || len > S3_MAX_KEY)
        return err_set(e, ERR_USAGE, "'%.80s': a key has 1 to %d bytes, this one %zu",
                       key, S3_MAX_KEY, len);
    for (const char *p = key; *p; p += n) {
        n = utf8_len((const unsigned char *)p);
        if (!n)
            return err_set(e, ERR_USAGE, "a key that is no UTF-8 at its byte %zu",
                           (size_t)(p - key));
    }
    return 0;
}

int s3_url_parse(const char *url, char **ret_bucket, char **ret_prefix, struct err *e)
{
    auto_free char *bucket = NULL, *prefix = NULL;
    const char *p = url + 5, *end;

    if (!s3_url_is(url))
        return err_set(e, ERR_USAGE,
                       "'%.200s' is no S3 URL: one looks like "
                       "s3://bucket/prefix",
                       url);
    bucket = str_ndup(p, strcspn(p, "/"), e);
    if (!bucket || s3_bucket_name_check(bucket, e) < 0)
        return -1;
    p += strcspn(p, "/");
    p += strspn(p, "/");
    end = p + strlen(p);
    while (end > p && end[-1] == '/')
        end--;
    prefix = str_ndup(p, (size_t)(end - p), e);
    if (!prefix || (prefix[0] && s3_key_check(prefix, e) < 0))
        return -1;
    *ret_bucket = take_ptr(bucket);
    *ret_prefix = take_ptr(prefix);
    return 0;
}

/* ---- Places ---- */

static void place_release(struct place *p)
{
    endpoint_release(&p->endpoint);
    free(p->region);
}

/* "scheme://host/…" with the bucket before the host's name. */
static char *with_bucket(const char *url, const char *bucket, struct err *e)
{
    const char *host = strstr(url, "://");

    assert(host); /* was checked when the endpoints were made */
    host += 3;
    return str_fmt(e, "%.*s%s.%s", (int)(host - url), url, bucket, host);
}

static int place_make(const struct s3_bucket *b, const char *region, struct place *ret,
                      struct err *e)
{
    const struct client *c = b->aws->client;
    const char *given = c->settings.endpoints[AWS_S3];
    auto_free char *url =
        given ? str_dup(given, e)
              : str_fmt(e, "https://s3.%s.%s", region, settings_dns_suffix(region));
    auto_free char *own = url && b->in_host ? with_bucket(url, b->name, e) : NULL;
    struct place p = {.region = str_dup(region, e)};

    if (!url || (b->in_host && !own) || !p.region ||
        endpoint_make(own ? own : url, &p.endpoint, e) < 0) {
        place_release(&p);
        return -1;
    }
    *ret = p;
    return 0;
}

/* There is nothing below an address, and a dot in the bucket's name would make one name
 * too many for the certificate's wildcard. */
static bool fits_in_host(const char *bucket, const char *host)
{
    return !strchr(bucket, '.') && host[0] != '[' &&
           strspn(host, "0123456789.") != strcspn(host, ":");
}

int s3_bucket_new(struct aws *aws, const char *name, struct s3_bucket **ret,
                  struct err *e)
{
    const struct settings *s = &aws->client->settings;
    struct s3_bucket *b;

    if (s3_bucket_name_check(name, e) < 0 || !(b = mem_zalloc(1, sizeof *b, e)))
        return -1;
    pthread_mutex_init(&b->lock, NULL);
    b->aws = aws;
    b->in_host = s->addressing == S3_VIRTUAL ||
                 (s->addressing == S3_AUTO && !s->endpoints[AWS_S3]);
    b->in_host &= fits_in_host(name, aws->client->endpoints[AWS_S3].host);
    b->now = &b->home;
    b->name = str_dup(name, e);
    if (!b->name || place_make(b, s->region, &b->home, e) < 0) {
        s3_bucket_free(b);
        return -1;
    }
    *ret = b;
    return 0;
}

void s3_bucket_free(struct s3_bucket *b)
{
    if (!b)
        return;
    place_release(&b->home);
    place_release(&b->moved);
    pthread_mutex_destroy(&b->lock);
    free(b->name);
    free(b);
}

const char *s3_bucket_name(const struct s3_bucket *b)
{
    return b->name;
}

/* Goes to `region` unless somebody did before. */
static int move(struct s3_bucket *b, const char *region, struct err *e)
{
    int done = 0;

    if (!settings_is_region(region))
        return err_set(e, ERR_INPUT, "S3 names '%.63s' as the bucket's region", region);
    pthread_mutex_lock(&b->lock);
    if (b->now == &b->home) {
        done = place_make(b, region, &b->moved, e);
        if (done == 0) {
            log_debug("bucket %s is in region %s", b->name, region);
            b->now = &b->moved;
        }
    }
    pthread_mutex_unlock(&b->lock);
    return done;
}

/* ---- Sending ---- */

static int send_to(struct s3_bucket *b, const struct place *p, const char *key,
                   struct call *call, struct reply *ret, bool *ret_maybe_done,
                   struct err *e)
{
    auto_buf struct buf path = BUF_INIT;

    if (!b->in_host)
        buf_addf(&path, "/%s", b->name);
    if (b->in_host || key)
        buf_addc(&path, '/');
    if (key)
        uri_encode_path(&path, key, strlen(key));
    if (buf_check(&path, e) < 0)
        return -1;
    call->path = buf_str(&path);
    call->endpoint = &p->endpoint;
    call->region = p->region;
    return call_send(b->aws, call, ret, ret_maybe_done, e);
}

int s3_send(struct s3_bucket *b, const char *key, struct call *call, struct reply *ret,
            bool *ret_maybe_done, struct err *e)
{
    char region[CALL_REGION_LEN];
    const struct place *first = b->now;
    int done;

    if (key && s3_key_check(key, e) < 0)
        return err_prefix(e, "s3://%s", b->name);
    call->service = AWS_S3;
    call->query = call->query ? call->query : "";
    call->ret_region = region;
    done = send_to(b, first, key, call, ret, ret_maybe_done, e);
    if (done < 0 && region[0] && first == &b->home) {
        struct err why;

        if (move(b, region, &why) == 0)
            done = send_to(b, b->now, key, call, ret, ret_maybe_done, e);
        else
            *e = why;
    }
    if (done < 0)
        return err_prefix(e, "s3://%s%s%s", b->name, key ? "/" : "", key ? key : "");
    return done;
}

int s3_do(struct s3_bucket *b, const char *key, struct call *call, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;

    return s3_send(b, key, call, &reply, NULL, e);
}

int s3_head_bucket(struct s3_bucket *b, char **ret_region, struct err *e)
{
    struct call call = {.action = "HeadBucket", .method = "HEAD"};
    auto_reply struct reply reply = REPLY_INIT;
    auto_free char *region = NULL;

    if (s3_send(b, NULL, &call, &reply, NULL, e) < 0 ||
        http_answer_header(&reply.http, "x-amz-bucket-region", &region, e) < 0)
        return -1;
    /* Other makes of S3 leave it out: then it is where we found it. */
    if (!region && !(region = str_dup(b->now->region, e)))
        return -1;
    *ret_region = take_ptr(region);
    return 0;
}

/* ---- Reading and writing ---- */

int s3_check_root(const struct reply *r, const char *name, struct err *e)
{
    if (xml_is(xml_root(r->doc), name))
        return 0;
    return err_set(e, ERR_INPUT, "answered with <%.60s>, not <%s>: is the endpoint S3's?",
                   (const char *)xml_root(r->doc)->name, name);
}

int s3_header(const struct reply *r, const char *name, char **ret, struct err *e)
{
    char *value;

    if (http_answer_header(&r->http, name, &value, e) < 0)
        return -1;
    if (!value)
        return err_set(e, ERR_INPUT, "the answer has no header %s", name);
    *ret = value;
    return 0;
}

int s3_text(xmlNode *parent, const char *name, bool coded, char **ret, struct err *e)
{
    auto_free char *text = NULL;
    auto_buf struct buf plain = BUF_INIT;

    if (xml_child_text(parent, name, &text, e) < 0)
        return -1;
    if (!text || !coded) {
        *ret = text ? take_ptr(text) : str_dup("", e);
        return *ret ? 0 : -1;
    }
    /* As in forms: a blank is '+'. */
    for (char *p = text; *p; p++)
        if (*p == '+')
            *p = ' ';
    uri_decode(&plain, text, strlen(text));
    if (plain.len && memchr(plain.data, 0, plain.len))
        return err_set(e, ERR_INPUT, "<%s> holds a NUL", name);
    return buf_take(&plain, ret, e);
}

int s3_u64(xmlNode *parent, const char *name, uint64_t *ret, struct err *e)
{
    auto_free char *text = NULL;

    if (s3_text(parent, name, false, &text, e) < 0)
        return -1;
    if (str_to_u64(text, ret, e) < 0)
        return err_prefix(e, "<%s>", name);
    return 0;
}

bool s3_is_true(xmlNode *parent, const char *name)
{
    auto_free char *text = NULL;
    struct err e;

    return s3_text(parent, name, false, &text, &e) == 0 && str_eq(text, "true");
}

void s3_query(struct buf *query, const char *name, const char *value)
{
    if (!value)
        return;
    buf_addf(query, "%s%s=", query->len ? "&" : "", name);
    uri_encode(query, value, strlen(value));
}

int s3_xml_begin(struct s3_xml *x, const char *root, struct err *e)
{
    *x = (struct s3_xml){.text = xmlBufferCreate()};
    x->w = x->text ? xmlNewTextWriterMemory(x->text, 0) : NULL;
    if (!x->w) {
        xmlBufferFree(x->text);
        return err_nomem(e);
    }
    x->failed |= xmlTextWriterStartDocument(x->w, NULL, "UTF-8", NULL) < 0;
    s3_xml_open(x, root);
    x->failed |= xmlTextWriterWriteAttribute(
                     x->w, (const xmlChar *)"xmlns",
                     (const xmlChar *)"http://s3.amazonaws.com/doc/2006-03-01/") < 0;
    return 0;
}

void s3_xml_open(struct s3_xml *x, const char *name)
{
    x->failed |= xmlTextWriterStartElement(x->w, (const xmlChar *)name) < 0;
}

void s3_xml_close(struct s3_xml *x)
{
    x->failed |= xmlTextWriterEndElement(x->w) < 0;
}

void s3_xml_text(struct s3_xml *x, const char *name, const char *value)
{
    x->failed |= xmlTextWriterWriteElement(x->w, (const xmlChar *)name,
                                           (const xmlChar *)value) < 0;
}

int s3_xml_end(struct s3_xml *x, struct buf *out, struct err *e)
{
    x->failed |= xmlTextWriterEndDocument(x->w) < 0;
    xmlFreeTextWriter(x->w); /* flushes into the buffer */
    if (!x->failed)
        buf_add(out, xmlBufferContent(x->text), (size_t)xmlBufferLength(x->text));
    xmlBufferFree(x->text);
    return x->failed ? err_nomem(e) : buf_check(out, e);
}
