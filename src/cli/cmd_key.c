/* hotadd key */
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/repo_words.h"

#include <stdio.h>
#include <termios.h>

#define MAX_PASSWORD 1024

struct key_options {
    struct common_options common;
    char *kdf;
    char *password_file;
};

static const struct option_def defs[] = {
    {"kdf", 0, OPTION_STRING, offsetof(struct key_options, kdf), "KDF",
     "of create: scrypt, pbkdf2, or none: no password (scrypt)"},
    {"key-password-file", 0, OPTION_STRING, offsetof(struct key_options, password_file),
     "FILE", "the password (else $HOTADD_KEY_PASSWORD, else asked for)"},
    COMMON_OPTIONS(struct key_options),
    OPTION_END,
};

/* ---- the password ---- */

/* One line from the terminal, without echo, into buf; its length. */
static int read_hidden(FILE *tty, const char *prompt, char buf[MAX_PASSWORD],
                       struct err *e)
{
    struct termios was, hidden;
    char *got;

    if (tcgetattr(fileno(tty), &was) < 0)
        return err_sys(e, "terminal");
    hidden = was;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    hidden.c_lflag |= ECHONL;
    fputs(prompt, tty);
    fflush(tty);
    if (tcsetattr(fileno(tty), TCSAFLUSH, &hidden) < 0)
        return err_sys(e, "terminal");
    got = fgets(buf, MAX_PASSWORD, tty);
    tcsetattr(fileno(tty), TCSAFLUSH, &was);
    if (!got)
        return err_set(e, ERR_CANCELLED, "no password was given");
    buf[strcspn(buf, "\r\n")] = 0;
    return 0;
}

enum how_often { ONCE, TWICE };

static int ask(enum how_often how, struct secret **ret, struct err *e)
{
    auto_file FILE *tty = fopen("/dev/tty", "r+e");
    char first[MAX_PASSWORD] = "", again[MAX_PASSWORD] = "";
    int r;

    if (!tty)
        return err_set(e, ERR_USAGE,
                       "there is no terminal to ask for the password; give it with "
                       "--key-password-file or " KEY_PASSWORD_ENV);
    setvbuf(tty, NULL, _IONBF, 0); /* no copy stays in stdio's memory */
    r = read_hidden(tty, "Password of the key: ", first, e);
    if (r == 0 && how == TWICE)
        r = read_hidden(tty, "Once more: ", again, e);
    if (r == 0 && how == TWICE && !str_eq(first, again))
        r = err_set(e, ERR_USAGE, "the two passwords differ");
    if (r == 0)
        r = secret_new(first, strlen(first), ret, e);
    secret_wipe(first, sizeof first);
    secret_wipe(again, sizeof again);
    return r;
}

/* ---- create, show ---- */

static int kdf_of(const char *word, enum repo_kdf *ret, struct err *e)
{
    *ret = REPO_KDF_SCRYPT;
    if (!word || str_eq(word, "scrypt"))
        return 0;
    *ret = str_eq(word, "none") ? REPO_KDF_NONE : REPO_KDF_PBKDF2;
    if (!str_eq(word, "none") && !str_eq(word, "pbkdf2"))
        return err_set(e, ERR_USAGE, "--kdf %s: must be scrypt, pbkdf2 or none", word);
    return 0;
}

static int print_key(const struct key_options *o, const char *file,
                     const struct repo_key *key, struct err *e)
{
    char fingerprint[REPO_FINGERPRINT_LEN];
    json_auto_t *result = NULL;

    repo_key_fingerprint(key, fingerprint);
    if (!o->common.json) {
        printf("%s: fingerprint %s\n", file, fingerprint);
        return EXIT_DONE;
    }
    result = json_pack("{s:s, s:s}", "file", file, "fingerprint", fingerprint);
    return result ? command_print_json(result) : err_nomem(e);
}

static int create(const struct key_options *o, const char *file, struct secret **password,
                  struct repo_key **key, struct err *e)
{
    enum repo_kdf kdf;

    if (kdf_of(o->kdf, &kdf, e) < 0)
        return -1;
    if (kdf == REPO_KDF_NONE && o->password_file)
        return err_set(e, ERR_USAGE, "--kdf none: such a key has no password");
    if (kdf != REPO_KDF_NONE && flow_key_password(o->password_file, password, e) < 0)
        return -1;
    if (kdf != REPO_KDF_NONE && !*password && ask(TWICE, password, e) < 0)
        return -1;
    if (kdf != REPO_KDF_NONE && secret_len(*password) < 5)
        return err_set(e, ERR_USAGE, "a key's password has at least 5 characters");
    if (repo_key_create(file, kdf, *password, e) < 0)
        return -1;
    /* Read back: what cannot be read would cost the backups made with it. */
    return repo_key_load(file, *password, key, e);
}

static int show(const struct key_options *o, const char *file, struct secret **password,
                struct repo_key **key, struct err *e)
{
    if (flow_key_password(o->password_file, password, e) < 0)
        return -1;
    if (repo_key_load(file, *password, key, e) == 0)
        return 0;
    if (*password || e->kind != ERR_DENIED || ask(ONCE, password, e) < 0)
        return -1;
    return repo_key_load(file, *password, key, e);
}

static int key(const struct key_options *o, const char *what, const char *file,
               struct err *e)
{
    struct secret *password = NULL;
    struct repo_key *k = NULL;
    int r;

    command_begin(&o->common);
    if (str_eq(what, "create"))
        r = create(o, file, &password, &k, e);
    else if (str_eq(what, "show"))
        r = show(o, file, &password, &k, e);
    else
        r = err_set(e, ERR_USAGE, "%s: say `key create FILE` or `key show FILE`", what);
    if (r == 0)
        r = print_key(o, file, k, e);
    if (r == EXIT_DONE && str_eq(what, "create"))
        log_info(
            "keep a copy of %s, and of its password, apart from the backups: without "
            "them nothing encrypted can be restored",
            file);
    repo_key_free(k);
    secret_free(password);
    return r;
}

int cmd_key(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "key",
        .args = "create|show FILE",
        .summary = "Makes a key for encrypting and signing backups, or shows a key's "
                   "fingerprint."};
    struct key_options o = {0};
    struct err e = ERR_INIT;
    int first, code, r = options_parse(argc, argv, &help, defs, &o, &first, &e);

    if (r != 0)
        code = r > 0 ? EXIT_DONE : command_fail(&e, NULL);
    else if (argc - first != 2)
        code = command_usage("key", "give create or show, and one file");
    else
        code = (r = key(&o, argv[first], argv[first + 1], &e)) < 0
                   ? command_fail(&e, NULL)
                   : r;
    options_release(defs, &o);
    return code;
}
