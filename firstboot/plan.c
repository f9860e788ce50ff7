/* Parsing a plan; see plan.h. It is checked before although its digest is known to be
 * right: what it names is run by LocalSystem. */
#include "plan.h"

#include <string.h>

static const struct {
    const char *name;
    size_t args;
    int file; /* its first argument is a staged file */
} verbs[] = {
    [FB_DRIVER] = {"driver", 1, 1},
    [FB_MSI] = {"msi", 1, 1},
    [FB_EXE] = {"exe", 1, 1},
    [FB_SCRIPT] = {"script", 1, 1},
    [FB_COPY] = {"copy", 2, 1},
    [FB_DHCP] = {"dhcp", 0, 0},
    [FB_DISKS] = {"disks", 0, 0},
    [FB_DWORD] = {"dword", 3, 0},
    [FB_DEVICE_PATH] = {"device-path", 1, 0},
};
#define N_VERBS (sizeof verbs / sizeof verbs[0])

const char *fb_verb_name(enum fb_verb v)
{
    return verbs[v].name;
}

/* Cuts the text up to `end` off *at; NULL at the end of the text. */
static char *cut(char **at, char end)
{
    char *s = *at, *stop;

    if (!s)
        return NULL;
    stop = strchr(s, end);
    if (stop)
        *stop++ = 0;
    *at = stop;
    return s;
}

static int is_digest(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* Relative, below the folder, of plain characters. */
static int is_path(const char *s)
{
    if (!*s || *s == '/' || strlen(s) > 220)
        return 0;
    for (const char *p = s; *p; p++)
        if (*p < 0x20 || *p > 0x7e || strchr("\\:*?\"<>|", *p))
            return 0;
    for (const char *p = s;; p++) {
        size_t n = strcspn(p, "/");

        if (!n || p[n - 1] == '.' || p[n - 1] == ' ')
            return 0;
        p += n;
        if (!*p)
            return 1;
    }
}

static int is_number(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n && n <= 9 && !s[n];
}

static unsigned number(const char *s)
{
    unsigned v = 0;

    while (*s)
        v = v * 10 + (unsigned)(*s++ - '0');
    return v;
}

static const char *add_file(struct fb_plan *p, char *rest)
{
    char *digest = cut(&rest, '\t'), *path = cut(&rest, '\t');

    if (!path || rest || !is_digest(digest) || !is_path(path))
        return "a line of a file is not as it should be";
    if (p->n_files == FB_MAX_FILES)
        return "it names too many files";
    p->files[p->n_files++] = (struct fb_file){digest, path};
    return NULL;
}

static int listed(const struct fb_plan *p, const char *path)
{
    for (size_t i = 0; i < p->n_files; i++)
        if (!strcmp(p->files[i].path, path))
            return 1;
    return 0;
}

static const char *add_step(struct fb_plan *p, const char *verb, char *rest)
{
    struct fb_step s = {.verb = FB_DRIVER};
    size_t v = 0;

    while (v < N_VERBS && strcmp(verbs[v].name, verb) != 0)
        v++;
    if (v == N_VERBS)
        return "it has a step that this service does not know";
    s.verb = (enum fb_verb)v;
    for (size_t i = 0; i < verbs[v].args; i++) {
        s.arg[i] = cut(&rest, '\t');
        if (!s.arg[i] || !*s.arg[i])
            return "a step lacks a word";
    }
    if (rest)
        return "a step has a word too many";
    if (verbs[v].file && !listed(p, s.arg[0]))
        return "a step uses a file that is not listed";
    if (s.verb == FB_DWORD && ((strncmp(s.arg[0], "SYSTEM\\", 7) != 0 &&
                                strncmp(s.arg[0], "SOFTWARE\\", 9) != 0) ||
                               !is_number(s.arg[2])))
        return "a step's registry value is not as it should be";
    if (p->n_steps == FB_MAX_STEPS)
        return "it has too many steps";
    p->steps[p->n_steps++] = s;
    return NULL;
}

const char *fb_plan_parse(struct fb_plan *p, size_t len)
{
    char *at = p->text, *line;
    const char *fault = NULL;

    p->n_files = p->n_steps = 0;
    p->boots = 0;
    if (len > FB_PLAN_BYTES || memchr(p->text, 0, len))
        return "it is no text, or too long";
    p->text[len] = 0;
    line = cut(&at, '\n');
    if (!line || strcmp(line, "hotadd-first-boot\t1") != 0)
        return "it is no plan of this version";
    while (!fault && (line = cut(&at, '\n')) && *line) {
        char *rest = line, *word = cut(&rest, '\t');

        if (!strcmp(word, "end"))
            return at && !*at && p->boots ? NULL : "it goes on after its end";
        if (!strcmp(word, "boots") && rest && is_number(rest))
            p->boots = number(rest);
        else if (!strcmp(word, "file") && !p->n_steps)
            fault = add_file(p, rest);
        else
            fault = add_step(p, word, rest);
    }
    return fault ? fault : "it has no end";
}
