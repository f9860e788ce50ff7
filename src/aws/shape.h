/* Structs filled from XML by table: one line per member says where in the answer it is
 * and where in the struct it goes. Releasing works from the same table. */
#ifndef HOTADD_AWS_SHAPE_H
#define HOTADD_AWS_SHAPE_H

#include "base/err.h"

#include <libxml/tree.h>
#include <stddef.h>

enum field_type {
    FIELD_STR,   /* char *, owned; "" when absent */
    FIELD_U64,   /* uint64_t; 0 when absent */
    FIELD_BOOL,  /* bool; false when absent */
    FIELD_COUNT, /* size_t; how many <item>s there are */
    FIELD_LIST,  /* struct VEC(…) of `of`; one element per <item> */
};

struct shape;

struct field {
    const char *path; /* "ebs/volumeId"; "" is the node itself */
    enum field_type type;
    size_t offset;
    const struct shape *of;
};

struct shape {
    size_t size;
    const struct field *fields;
    size_t n_fields;
};

#define SHAPE(name, type, ...)                                                           \
    static const struct field name##_fields[] = {__VA_ARGS__};                           \
    static const struct shape name = {sizeof(type), name##_fields,                       \
                                      sizeof name##_fields / sizeof name##_fields[0]}

/* ERR_INPUT names the element. The object is overwritten without being released. */
int shape_read(const struct shape *s, xmlNode *node, void *ret,
               struct err *e) err_warn_unused;
void shape_release(const struct shape *s, void *obj);

/* Appends an element for each <item> of `set` (may be NULL: none) to a struct VEC(…);
 * more than max elements in all is ERR_UNSUPPORTED. */
int shape_read_list(const struct shape *s, xmlNode *set, size_t max, void *vec,
                    struct err *e) err_warn_unused;
void shape_release_list(const struct shape *s, void *vec);

#endif
