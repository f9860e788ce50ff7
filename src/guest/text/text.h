/* Lines and words of the guest's configuration files. Pure. */
#ifndef HOTADD_GUEST_TEXT_TEXT_H
#define HOTADD_GUEST_TEXT_TEXT_H

#include "base/buf.h"
#include "base/strv.h"

/* Walks lines: `at` begins at the text and ends as NULL. A last line without newline
 * counts; an empty text has no lines. */
struct text_line {
    const char *s; /* borrowed, not terminated */
    size_t len;    /* without the newline and a carriage return before it */
};
bool text_next(const char **at, struct text_line *ret);
/* Appends what ended the line in its text: a newline, perhaps with a carriage return, or
 * nothing. */
void text_add_end(struct buf *b, struct text_line l);

/* Walks lines as text_next(), but gives an owned copy with white space removed at both
 * ends, comments (from the first non-blank character `comment`, 0 for none) and empty
 * lines left out, and lines ending in a backslash joined with their next when `join`.
 * 1 a line, 0 the end, -1 out of memory. */
int text_next_trimmed(const char **at, char comment, bool join, char **ret,
                      struct err *e) err_warn_unused;

/* Splits at white space. With `quotes`, single and double quotes keep white space
 * together and stay part of the word. Appends to ret. */
int text_words(const char *s, bool quotes, struct strv *ret,
               struct err *e) err_warn_unused;

/* Does the text hold this word, delimited by anything that is no letter, digit, '_',
 * '-' or '.'? */
bool text_has_word(const char *text, const char *word);

/* key of "key value" lines, case of the key ignored (sshd_config and its like): the
 * remainder of each such line, trimmed, without quotes around it. */
int text_values(const char *text, const char *key, struct strv *ret,
                struct err *e) err_warn_unused;

/* Removes one pair of equal quotes around s in place; returns the new start. */
char *text_unquote(char *s);

/* INI as systemd, NetworkManager and os-release's cousins write it: fn gets each
 * assignment with its section ("" before the first), all trimmed, a key once for each
 * time it occurs. '#' and ';' begin comment lines; a backslash joins lines. fn's
 * negative result ends the walk and is returned. */
int text_ini(const char *text,
             int (*fn)(void *ctx, const char *section, const char *key, const char *value,
                       struct err *e),
             void *ctx, struct err *e) err_warn_unused;

/* Last value of section/key, owned; *ret NULL when there is none. */
int text_ini_get(const char *text, const char *section, const char *key, char **ret,
                 struct err *e) err_warn_unused;

/* yes, true, on, 1 in any case. */
bool text_is_true(const char *s);

#endif
