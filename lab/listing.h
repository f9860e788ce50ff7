/* What the Describe actions share: selection by id, filters, pages.
 *
 * Filters look at documents as they will be answered; a path such as
 * "attachmentSet.instanceId" walks into arrays. Pages end after MaxResults documents;
 * NextToken holds the place (`_seq`) of the last one, so documents that come or go
 * between two pages neither repeat nor hide others. */
#ifndef HOTADD_LAB_LISTING_H
#define HOTADD_LAB_LISTING_H

#include "lab/act.h"

struct filter_def {
    const char *name; /* "attachment.instance-id"; NULL ends a table */
    const char *path; /* "attachmentSet.instanceId"; NULL: accepted, matches all */
};

struct listing {
    enum res res;
    const char *ids_param;            /* "VolumeId", NULL for none */
    const struct filter_def *filters; /* besides tag:KEY, tag-key and tag-value */
    json_int_t max_page;              /* larger MaxResults are cut to this */
    /* Owned document as answered; NULL: the stored one. */
    int (*view)(struct act *a, const json_t *doc, json_t **ret, struct err *e);
    /* Documents that others may not see; NULL: all are shown. */
    bool (*show)(const struct act *a, const json_t *doc);
};

/* Owned array of views: the ids asked for (or all), filtered, one page. Adds nextToken
 * to the answer when there is more. */
int listing_run(struct act *a, const struct listing *l, json_t **ret,
                struct err *e) err_warn_unused;

/* Same over a ready array (taken over), whose documents need no store. */
int listing_select(struct act *a, const struct listing *l, json_t *docs, json_t **ret,
                   struct err *e) err_warn_unused;

/* listing_run() and the set put into the answer under its name. */
int listing_answer(struct act *a, const struct listing *l, const char *set,
                   struct err *e) err_warn_unused;

/* The values of one filter, NULL when it was not given. */
const json_t *listing_filter_values(const struct act *a, const char *name);

/* '*' any run, '?' any one character, '\' takes the next as it is. */
bool wildcard_match(const char *pattern, const char *text);

/* Whether a value at `path` of doc matches one of the values. */
bool listing_path_matches(const json_t *doc, const char *path, const json_t *values);

#endif
