/* Form bodies; see form.h. */
#include "aws/form.h"

#include "aws/uri.h"

#include <string.h>

__attribute__((format(printf, 2, 0))) static void add_pair(struct form *f,
                                                           const char *name, va_list ap,
                                                           const char *value)
{
    if (f->body.len)
        buf_addc(&f->body, '&');
    buf_vaddf(&f->body, name, ap);
    buf_addc(&f->body, '=');
    uri_encode(&f->body, value, strlen(value));
}

void form_str(struct form *f, const char *value, const char *name, ...)
{
    va_list ap;

    if (!value)
        return;
    va_start(ap, name);
    add_pair(f, name, ap, value);
    va_end(ap);
}

void form_u64(struct form *f, uint64_t value, const char *name, ...)
{
    char text[24];
    va_list ap;

    if (!value)
        return;
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    va_start(ap, name);
    add_pair(f, name, ap, text);
    va_end(ap);
}

void form_bool(struct form *f, bool value, const char *name, ...)
{
    va_list ap;

    va_start(ap, name);
    add_pair(f, name, ap, value ? "true" : "false");
    va_end(ap);
}

void form_begin(struct form *f, const char *action, const char *version)
{
    f->action = action;
    buf_reset(&f->body);
    form_str(f, action, "Action");
    form_str(f, version, "Version");
}

void form_release(struct form *f)
{
    buf_release(&f->body);
}
