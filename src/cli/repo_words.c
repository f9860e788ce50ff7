/* Naming repositories; see repo_words.h. */
#include "cli/repo_words.h"

#include "base/str.h"

struct repo_where repo_words_where(const struct repo_words *w)
{
    return (struct repo_where){.at = w->repo,
                               .ns = w->ns,
                               .key = w->key,
                               .password_file = w->key_password_file,
                               .region = w->region,
                               .aws_profile = w->aws_profile};
}

char *repo_entry_text(const struct repo_entry *x, struct err *e)
{
    char time[REPO_TIME_LEN];

    return str_fmt(e, "%s%s%s/%s@%s", x->ns, *x->ns ? "/" : "", x->type, x->id,
                   repo_time_text(x->time, time));
}
