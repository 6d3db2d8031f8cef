#include "jobs/fl/cause.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    enum ppt_error code;
} causes[] = {
#define CAUSE_ROW(cause, text, code) [cause] = {text, code},
    CAUSE_TABLE(CAUSE_ROW)
#undef CAUSE_ROW
};

const char *cause_name(enum cause cause)
{
    return causes[cause].name;
}

int cause_set(struct error *err, enum cause cause, const char *format, ...)
{
    char words[ERROR_TEXT_SIZE / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    return error_set(err, causes[cause].code, "%s: %s", causes[cause].name, words);
}
