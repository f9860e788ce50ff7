/* hotadd backup */
#include "base/json.h"
#include "base/str.h"
#include "cli/progress_view.h"
#include "cli/repo_words.h"
#include "cli/restore_options.h"
#include "flow/backup.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

struct backup_options {
    struct common_options common;
    struct repo_words at;
    char *vm;
    bool create;
    bool sign_only;
    char *base;
    struct strv changed;
    char *bitmap;
    char *format;
    char *from;
    char *from_ns;
    char *from_key;
    char *from_key_password_file;
    uint64_t chunk_bytes;
    uint64_t level;
    bool no_compress;
    uint64_t max_rate;
    uint64_t workers;
    bool drop_snapshots;
    char *device_root;
};

#define AT(f) offsetof(struct backup_options, f)

static const struct option_def defs[] = {
    REPO_OPTIONS(struct backup_options, at),
    {"create", 0, OPTION_FLAG, AT(create), NULL,
     "make the repository if there is nothing yet"},
    {"vm", 0, OPTION_STRING, AT(vm), "ID",
     "what the machine is called there (its own name)"},
    {"sign-only", 0, OPTION_FLAG, AT(sign_only), NULL,
     "with --key: sign the manifest, encrypt nothing"},

    {.type = OPTION_HEADING, .help = "What is read"},
    {"base", 0, OPTION_STRING, AT(base), "TIME|latest|none",
     "point to compare with (the newest)"},
    {"changed", 0, OPTION_LIST, AT(changed), "[ID=]FILE",
     "says what changed since the base; the rest is not read"},
    {"bitmap", 0, OPTION_STRING, AT(bitmap), "NAME",
     "an NBD export's dirty bitmap says so"},
    {"format", 'f', OPTION_STRING, AT(format), "FORMAT",
     "of a bare image: raw, vmdk, qcow2, vhd, vhdx, vdi"},
    {"drop-snapshots", 0, OPTION_FLAG, AT(drop_snapshots), NULL,
     "of EC2 instances: keep none, read all next time"},
    {"device-root", 0, OPTION_STRING, AT(device_root), "DIR",
     "where attached volumes appear (/dev)"},
    {"from", 0, OPTION_STRING, AT(from), "DIR|s3://…",
     "sources are recovery points of this repository"},
    {"from-ns", 0, OPTION_STRING, AT(from_ns), "NAMESPACE", "namespace in it"},
    {"from-key", 0, OPTION_STRING, AT(from_key), "FILE", "key of its points"},
    {"from-key-password-file", 0, OPTION_STRING, AT(from_key_password_file), "FILE",
     "that key's password"},

    {.type = OPTION_HEADING, .help = "How it is stored"},
    {"chunk-size", 0, OPTION_BYTES, AT(chunk_bytes), "BYTES",
     "64K to 16M, a power of two (the base's, else 4M)"},
    {"level", 0, OPTION_U64, AT(level), "N", "of zstd, 1 to 22 (1)"},
    {"no-compress", 0, OPTION_FLAG, AT(no_compress), NULL, "store chunks as they are"},
    {"max-rate", 0, OPTION_BYTES, AT(max_rate), "BYTES",
     "read at most so many bytes of data a second (100M)"},
    {"workers", 0, OPTION_U64, AT(workers), "N",
     "threads (one per core, more where S3 is waited for)"},
    REPO_AWS_OPTIONS(struct backup_options, at),
    COMMON_OPTIONS(struct backup_options),
    OPTION_END,
};

/* ---- ID=SOURCE ---- */

struct items {
    struct VEC(struct backup_item) v; /* its strings are those of `words` */
    struct strv words;
};
#define auto_items auto_call(items_release)

static void items_release(struct items *i)
{
    vec_release(&i->v);
    strv_release(&i->words);
}

/* The length of the ID in "ID=…", 0 when the text does not begin so. No ID begins with
 * '.' or '/', so ./a=b.raw is a path. */
static size_t id_len(const char *word)
{
    size_t n = 0;

    while (isalnum((unsigned char)word[n]) || (word[n] && strchr("_-./", word[n])))
        n++;
    return n && word[n] == '=' && word[0] != '.' && word[0] != '/' && word[0] != '-' ? n
                                                                                     : 0;
}

/* A copy that lives as long as the items; NULL with e set. */
static const char *keep(struct items *items, const char *text, size_t len, struct err *e)
{
    return strv_add_n(&items->words, text, len, e) < 0
               ? NULL
               : items->words.v[items->words.n - 1];
}

static int add_item(struct items *items, const char *word, const char *from,
                    struct err *e)
{
    size_t n = id_len(word);
    struct backup_item item = {0};
    auto_free char *source = str_dup(n ? word + n + 1 : word, e);

    if (!source)
        return -1;
    if (!*source)
        return err_set(e, ERR_USAGE, "%s: a source is missing after the =", word);
    if (!from && source_make_absolute(&source, e) < 0)
        return -1;
    item.source = keep(items, source, strlen(source), e);
    if (item.source && n)
        item.id = keep(items, word, n, e);
    if (!item.source || (n && !item.id))
        return -1;
    return vec_push(&items->v, item, e);
}

static int add_changed(struct items *items, const char *word, struct err *e)
{
    size_t n = id_len(word);
    struct backup_item *item = !n && items->v.n == 1 ? items->v.v : NULL;

    for (size_t i = 0; n && i < items->v.n; i++) {
        const char *id = items->v.v[i].id;

        if (id && strlen(id) == n && strncmp(id, word, n) == 0)
            item = &items->v.v[i];
    }
    if (!item)
        return err_set(e, ERR_USAGE,
                       "--changed %s: with several machines say whose: ID=FILE", word);
    if (item->changed)
        return err_set(e, ERR_USAGE, "--changed %s: given twice for one machine", word);
    item->changed =
        keep(items, word + (n ? n + 1 : 0), strlen(word + (n ? n + 1 : 0)), e);
    return item->changed ? 0 : -1;
}

static int gather_items(const struct backup_options *o, char **words, int n,
                        struct items *items, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (add_item(items, words[i], o->from, e) < 0)
            return -1;
    if (!items->v.n)
        return err_set(e, ERR_USAGE, "give a source; see `hotadd backup --help`");
    if (o->vm && (items->v.n > 1 || items->v.v[0].id))
        return err_set(e, ERR_USAGE,
                       "--vm names a single source; write ID=SOURCE for each of several");
    if (o->vm)
        items->v.v[0].id = o->vm;
    vec_foreach (c, &o->changed)
        if (add_changed(items, *c, e) < 0)
            return -1;
    return 0;
}

/* ---- the result ---- */

static void print_backup(const json_t *b)
{
    char bytes[32], data[32], reused[32], stored[32];

    if (!json_str_or(b, "point", NULL)) {
        printf("%s: failed\n", json_str_or(b, "source", "?"));
        return;
    }
    printf("%s: %s, %s read, %s taken over, %s new in %" PRIu64 " of %" PRIu64
           " chunks\n",
           json_str_or(b, "point", "?"),
           str_bytes(bytes, sizeof bytes, json_u64_or(b, "bytes", 0)),
           str_bytes(data, sizeof data, json_u64_or(b, "data_bytes", 0)),
           str_bytes(reused, sizeof reused, json_u64_or(b, "reused_bytes", 0)),
           str_bytes(stored, sizeof stored, json_u64_or(b, "new_bytes", 0)),
           json_u64_or(b, "new_chunks", 0), json_u64_or(b, "chunks", 0));
    if (json_str_or(b, "base", NULL))
        printf("  base %s\n", json_str_or(b, "base", ""));
}

static void print_result(const json_t *result)
{
    const json_t *b;
    size_t i;

    json_array_foreach (json_object_get(result, "backups"), i, b)
        print_backup(b);
    printf("%.1f s\n", json_real_value(json_object_get(result, "seconds")));
}

static int backup(struct backup_options *o, char **words, int n, struct err *e)
{
    auto_items struct items items = {0};
    json_auto_t *result = NULL;
    struct backup_params p = {
        .repo = repo_words_where(&o->at),
        .open = o->create ? REPO_CREATE : REPO_MUST_EXIST,
        .from = {.at = o->from,
                 .ns = o->from_ns,
                 .key = o->from_key,
                 .password_file = o->from_key_password_file,
                 .region = o->at.region,
                 .aws_profile = o->at.aws_profile},
        .format = o->format,
        .base = o->base,
        .bitmap = o->bitmap,
        .sign_only = o->sign_only,
        .max_rate = o->max_rate,
        .workers = (unsigned)o->workers,
        .drop_snapshots = o->drop_snapshots,
        .device_root = o->device_root,
    };
    struct flow_env env;
    int r;

    if (o->chunk_bytes > UINT32_MAX || o->level > 22 || o->workers > 1024)
        return err_set(e, ERR_USAGE,
                       "--chunk-size is at most 16M, --level 22, --workers 1024");
    if (o->no_compress && o->level)
        return err_set(e, ERR_USAGE, "--no-compress and --level exclude each other");
    p.chunk_bytes = (uint32_t)o->chunk_bytes;
    p.zstd_level = o->no_compress ? -1 : (int)o->level;
    if (gather_items(o, words, n, &items, e) < 0)
        return -1;
    p.items = items.v.v;
    p.n_items = items.v.n;
    env = command_begin(&o->common);
    r = flow_backup(&p, &env, &result, e);
    progress_view_clear();
    if (result && o->common.json && command_print_json(result) != EXIT_DONE)
        return EXIT_FAILED;
    if (result && !o->common.json && (r == 0 || p.n_items > 1))
        print_result(result);
    if (fflush(stdout) == EOF)
        return EXIT_FAILED;
    return r;
}

int cmd_backup(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "backup",
        .args = "[ID=]SOURCE...",
        .summary = "Backs up machines into a repository: each becomes a recovery point. "
                   "SOURCE is whatever\nconvert takes (OVA, OVF, VMX, VMDK, raw, qcow2, "
                   "VHD, VHDX, NBD), or an EC2 instance\n(ec2://i-…). Only chunks that "
                   "the repository does not have are stored."};
    struct backup_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else
        code = (r = backup(&o, argv + first, argc - first, &e)) < 0
                   ? command_fail(&e, NULL)
                   : r;
    options_release(defs, &o);
    return code;
}
