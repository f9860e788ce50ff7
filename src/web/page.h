/* The page's files, compiled in: nothing is read from a directory, nothing fetched. */
#ifndef HOTADD_WEB_PAGE_H
#define HOTADD_WEB_PAGE_H

#include <stddef.h>

struct page_file {
    const char *path; /* "/app.js" */
    const char *type; /* content type */
    const char *etag; /* with its quotes; of the content */
    const unsigned char *data;
    size_t len;
};

/* Ends with path NULL; page_data.c is made by embed.py. */
extern const struct page_file page_files[];

#endif
