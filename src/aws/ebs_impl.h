/* What ebs.c shares with its tests: reading one page of a list. */
#ifndef HOTADD_AWS_EBS_IMPL_H
#define HOTADD_AWS_EBS_IMPL_H

#include "aws/ebs.h"

enum ebs_list { EBS_SNAPSHOT_BLOCKS, EBS_CHANGED_BLOCKS };

/* What must hold from page to page. Zeroed at first. */
struct ebs_cursor {
    struct ebs_shape shape;
    bool shaped;
    uint64_t next_index; /* no block may come below this */
    char *token;         /* of the next page, owned; NULL at the end */
};

/* Gives the page's blocks to `each`. 0: read to its end; 1: `each` had enough. */
int ebs_page_read(const char *text, size_t len, enum ebs_list kind, struct ebs_cursor *c,
                  ebs_block_fn *each, void *ctx, struct err *e) err_warn_unused;
void ebs_cursor_release(struct ebs_cursor *c);

#endif
