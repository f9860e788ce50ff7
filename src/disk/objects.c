/* A store of named objects; see objects.h. */
#include "disk/objects.h"

void objects_free(struct objects *o)
{
    if (o)
        o->ops->free(o);
}
