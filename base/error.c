#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fill(struct error *err, enum ppt_error code, const char *format, va_list ap)
{
    if (err != NULL) {
        memset(err, 0, sizeof *err);
        err->code = (int)code;
        vsnprintf(err->text, sizeof err->text, format, ap);
    }
    return -(int)code;
}

int error_set(struct error *err, enum ppt_error code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int rc = fill(err, code, format, ap);
    va_end(ap);
    return rc;
}

int error_errno(struct error *err, enum ppt_error code, const char *format, ...)
{
    int saved = errno;
    va_list ap;
    va_start(ap, format);
    int rc = fill(err, code, format, ap);
    va_end(ap);
    if (err != NULL) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(saved));
    }
    errno = saved;
    return rc;
}

int error_detail(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return -PPT_EINTERNAL;
    va_list ap;
    va_start(ap, format);
    vsnprintf(err->detail, sizeof err->detail, format, ap);
    va_end(ap);
    return -err->code;
}

int error_hint(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return -PPT_EINTERNAL;
    va_list ap;
    va_start(ap, format);
    vsnprintf(err->hint, sizeof err->hint, format, ap);
    va_end(ap);
    return -err->code;
}

int error_prefix(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return -PPT_EINTERNAL;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, format);
    vsnprintf(err->text, sizeof err->text, format, ap);
    va_end(ap);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", old);
    return -err->code;
}

const char *error_name(int code)
{
    switch (code < 0 ? -code : code) {
#define PPT_ERROR_NAME(name, status, text)                                             \
    case name:                                                                         \
        return #name;
        PPT_ERROR_TABLE(PPT_ERROR_NAME)
#undef PPT_ERROR_NAME
    default:
        return "PPT_EINTERNAL";
    }
}

const char *error_sentence(int code)
{
    switch (code < 0 ? -code : code) {
#define PPT_ERROR_TEXT(name, status, text)                                             \
    case name:                                                                         \
        return text;
        PPT_ERROR_TABLE(PPT_ERROR_TEXT)
#undef PPT_ERROR_TEXT
    default:
        return "a bug in ppt: please report it";
    }
}
