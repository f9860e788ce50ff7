/* Drives the initramfs library from scripts, with a directory in the guest's place.
 *
 *     initrd-tool inspect IMAGE
 *     initrd-tool list IMAGE
 *     initrd-tool cat IMAGE PATH
 *     initrd-tool extend IMAGE OUT KERNEL ROOT auto|raw|lz4|recompress MODULE...
 *
 * extend prints "nothing-to-do" and writes no OUT, or "extended WAY". A test program: it
 * is not installed. */
#include "base/io.h"
#include "base/str.h"
#include "guest/initrd/initrd.h"

#include <sys/stat.h>

#define IMAGE_MAX (1u << 30)

static int read_from_root(void *ctx, const char *path, struct buf *out, struct err *e)
{
    auto_free char *full = str_fmt(e, "%s%s", (const char *)ctx, path);

    if (!full)
        return -1;
    if (access(full, F_OK) < 0)
        return err_set(e, ERR_NOT_FOUND, "no %s", full);
    return io_read_file(full, IMAGE_MAX, out, e);
}

static void print_kind(const struct initrd *im)
{
    struct initrd_kind kind;

    initrd_identify(im, &kind);
    printf("tool %s%s%s%s\n", initrd_tool_name(kind.tool), kind.version[0] ? " " : "",
           kind.version, kind.systemd ? ", systemd" : "");
}

static int inspect(const struct initrd *im, struct err *e)
{
    const struct initrd_segment *s;
    size_t n = initrd_segments(im, &s);

    print_kind(im);
    for (size_t i = 0; i < n; i++)
        printf("segment %s offset %llu length %llu unpacked %llu members %zu%s\n",
               initrd_format_name(s[i].format), (unsigned long long)s[i].offset,
               (unsigned long long)s[i].len_bytes,
               (unsigned long long)s[i].unpacked_bytes, s[i].n_entries,
               s[i].early ? " early" : "");
    return 0;
}

static int list_one(void *ctx, const char *path, const struct initrd_stat *st,
                    struct err *e)
{
    printf("%06o %u %u %llu %s%s%s\n", st->mode, st->uid, st->gid,
           (unsigned long long)st->size_bytes, path, st->link ? " -> " : "",
           st->link ? st->link : "");
    return 0;
}

static int cat(const struct initrd *im, const char *path, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (initrd_read(im, path, IMAGE_MAX, &b, e) < 0)
        return -1;
    return io_write_full(STDOUT_FILENO, b.data, b.len, "stdout", e);
}

static int parse_join(const char *word, enum initrd_join *ret, struct err *e)
{
    static const char *const words[] = {"auto", "raw", "lz4", "recompress"};

    for (unsigned i = 0; i < 4; i++)
        if (str_eq(word, words[i])) {
            *ret = (enum initrd_join)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "no way to join called '%s'", word);
}

static int extend(const struct initrd *im, char **argv, int argc, struct err *e)
{
    static const char *const ways[] = {"auto", "raw", "lz4", "recompress"};
    static const char *const states[] = {"added", "inside", "builtin", "absent"};
    auto_initrd_extension struct initrd_extension x = {0};
    auto_modules struct modules *guest = NULL;
    struct initrd_want want[16];
    struct initrd_request rq = {
        .kernel = argv[1], .want = want, .read = read_from_root, .ctx = argv[2]};

    for (int i = 4; i < argc && rq.n_want < 16; i++)
        want[rq.n_want++] = (struct initrd_want){.module = argv[i]};
    if (parse_join(argv[3], &rq.join, e) < 0 ||
        modules_load(rq.kernel, read_from_root, argv[2], &guest, e) < 0)
        return -1;
    rq.guest = guest;
    if (initrd_extend(im, &rq, &x, e) < 0)
        return -1;
    vec_foreach (m, &x.modules)
        fprintf(stderr, "%s %s%s\n", m->name, states[m->state],
                m->wanted ? " wanted" : "");
    if (x.nothing_to_do) {
        puts("nothing-to-do");
        return 0;
    }
    printf("extended %s supplement %llu%s\n", ways[x.join],
           (unsigned long long)x.supplement_bytes, x.replaced_earlier ? " replaced" : "");
    return io_write_file_atomic(argv[0], x.image.data, x.image.len, 0644, e);
}

static int run(int argc, char **argv, struct err *e)
{
    auto_buf struct buf image = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    if (argc < 3)
        return err_set(e, ERR_USAGE, "initrd-tool inspect|list|cat|extend IMAGE …");
    if (io_read_file(argv[2], IMAGE_MAX, &image, e) < 0 ||
        initrd_parse(image.data, image.len, NULL, &im, e) < 0)
        return -1;
    if (str_eq(argv[1], "inspect"))
        return inspect(im, e);
    if (str_eq(argv[1], "list"))
        return initrd_walk(im, "", list_one, NULL, e);
    if (str_eq(argv[1], "cat") && argc == 4)
        return cat(im, argv[3], e);
    if (str_eq(argv[1], "extend") && argc >= 8)
        return extend(im, argv + 3, argc - 3, e);
    return err_set(e, ERR_USAGE, "initrd-tool: wrong arguments");
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;

    if (run(argc, argv, &e) == 0)
        return 0;
    fprintf(stderr, "initrd-tool: %s\n", e.msg);
    return 1;
}
