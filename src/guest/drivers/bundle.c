/* Archives through libarchive; see bundle.h. Only zip is switched on, no filters: each
 * further format would be one more parser of foreign data. */
#include "guest/drivers/bundle.h"

#include "base/str.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <strings.h>

#define CHUNK (256u << 10)

void bundle_release(struct bundle *b)
{
    vec_foreach (f, &b->files) {
        free(f->name);
        buf_release(&f->data);
    }
    vec_release(&b->files);
}

bool bundle_name_ends(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);

    return n >= m && !strcasecmp(name + n - m, suffix);
}

static int bad(struct archive *a, struct err *e)
{
    const char *why = archive_error_string(a);

    return err_set(e, ERR_INPUT, "not a sound zip archive: %s", why ? why : "damaged");
}

/* Names end up in paths of Windows: no drive, stream or device is to be named. */
static int check_name(const char *name, struct err *e)
{
    const char *part = name;

    if (!*name || strlen(name) > BUNDLE_NAME_BYTES)
        return err_set(e, ERR_INPUT, "the archive has a name of %zu bytes", strlen(name));
    for (const char *p = name; *p; p++)
        if (*p < 0x20 || *p > 0x7e || strchr("<>:\"|?*", *p))
            return err_set(e, ERR_INPUT, "the archive has a name with odd characters");
    do {
        size_t n = strcspn(part, "/");

        if (!n || part[n - 1] == '.' || part[n - 1] == ' ')
            return err_set(e, ERR_INPUT, "the archive has the unsafe name %s", name);
        part += n;
    } while (*part++ == '/');
    return 0;
}

static int check_new(const struct bundle *b, const char *name, struct err *e)
{
    vec_foreach (f, &b->files)
        if (!strcasecmp(f->name, name))
            return err_set(e, ERR_INPUT, "the archive has %s twice", name);
    return b->files.n < BUNDLE_MAX_FILES
               ? 0
               : err_set(e, ERR_INPUT, "the archive has more than %d files",
                         BUNDLE_MAX_FILES);
}

static int read_data(struct archive *a, struct buf *out, size_t *total, struct err *e)
{
    for (;;) {
        ssize_t n;

        if (buf_reserve(out, CHUNK, e) < 0)
            return -1;
        n = archive_read_data(a, out->data + out->len, CHUNK);
        if (n < 0)
            return bad(a, e);
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        *total += (size_t)n;
        if (out->len > BUNDLE_FILE_BYTES || *total > BUNDLE_MAX_BYTES)
            return err_set(
                e, ERR_INPUT, "the archive unpacks to more than %u MiB",
                (out->len > BUNDLE_FILE_BYTES ? BUNDLE_FILE_BYTES : BUNDLE_MAX_BYTES) >>
                    20);
    }
}

static int read_entry(struct archive *a, struct archive_entry *x, struct bundle *b,
                      size_t *total, struct err *e)
{
    const char *path = archive_entry_pathname(x);
    struct bundle_file f = {0};
    int r;

    if (archive_entry_filetype(x) == AE_IFDIR)
        return 0;
    if (!path)
        return err_set(e, ERR_INPUT, "the archive has a file without a name");
    if (archive_entry_filetype(x) != AE_IFREG)
        return err_set(e, ERR_INPUT, "the archive has something that is no plain file");
    f.name = str_dup(path, e);
    if (!f.name)
        return -1;
    /* Some tools of Windows write backslashes. */
    for (char *p = f.name; *p; p++)
        if (*p == '\\')
            *p = '/';
    r = check_name(f.name, e);
    if (r == 0)
        r = check_new(b, f.name, e);
    if (r == 0)
        r = read_data(a, &f.data, total, e);
    if (r == 0)
        r = vec_push(&b->files, f, e);
    if (r < 0) {
        free(f.name);
        buf_release(&f.data);
    }
    return r;
}

static int read_all(struct archive *a, const void *data, size_t len, struct bundle *b,
                    struct err *e)
{
    struct archive_entry *x;
    size_t total = 0, entries = 0;
    int r;

    if (archive_read_support_format_zip(a) != ARCHIVE_OK ||
        archive_read_open_memory(a, data, len) != ARCHIVE_OK)
        return bad(a, e);
    while ((r = archive_read_next_header(a, &x)) == ARCHIVE_OK) {
        if (++entries > 2 * BUNDLE_MAX_FILES)
            return err_set(e, ERR_INPUT, "the archive has more than %d entries",
                           2 * BUNDLE_MAX_FILES);
        if (read_entry(a, x, b, &total, e) < 0)
            return -1;
    }
    return r == ARCHIVE_EOF ? 0 : bad(a, e);
}

int bundle_read(const void *data, size_t len, struct bundle *ret, struct err *e)
{
    auto_bundle struct bundle b = {0};
    struct archive *a = archive_read_new();
    int r;

    if (!a)
        return err_nomem(e);
    r = read_all(a, data, len, &b, e);
    archive_read_free(a);
    if (r < 0)
        return -1;
    if (!b.files.n)
        return err_set(e, ERR_INPUT, "no files in the archive");
    *ret = b;
    b = (struct bundle){0};
    return 0;
}
