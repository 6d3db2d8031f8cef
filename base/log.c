#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *program_name = "ppt";
static bool is_quiet;
static bool with_time;

void log_init(const char *program, bool quiet)
{
    program_name = program;
    is_quiet = quiet;
}

void log_timestamps(bool on)
{
    with_time = on;
}

bool log_colour(int fd)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(fd) && (no_color == NULL || *no_color == '\0');
}

#define HEAD_SIZE 160

static void make_head(const char *level, const char *colour, char ret_head[HEAD_SIZE])
{
    char stamp[32] = "";
    if (with_time) {
        time_t now = time(NULL);
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", &tm);
    }
    bool has_colour = *level != '\0' && log_colour(STDERR_FILENO);
    snprintf(ret_head, HEAD_SIZE, "%s%.60s: %s%s%s%s%s%s", stamp, program_name,
             has_colour ? "\033[" : "", has_colour ? colour : "", has_colour ? "m" : "",
             level, *level != '\0' ? ":" : "",
             has_colour       ? "\033[0m "
             : *level != '\0' ? " "
                              : "");
}

/* By one call, which is one write: lines of several processes do not mix. */
static void print_text(const char *level, const char *colour, const char *text)
{
    char head[HEAD_SIZE];
    make_head(level, colour, head);
    fprintf(stderr, "%s%s\n", head, text);
}

int log_error(const struct error *err)
{
    print_text("error", "1;31",
               err->text[0] != '\0' ? err->text : error_sentence(err->code));
    if (err->detail[0] != '\0')
        print_text("detail", "1", err->detail);
    if (err->hint[0] != '\0')
        print_text("hint", "1;36", err->hint);
    return err->code > 0 && err->code < 126 ? err->code : PPT_EINTERNAL;
}

static void print_line(const char *level, const char *colour, const char *format,
                       va_list ap)
{
    char *text = NULL;
    int len = vasprintf(&text, format, ap);
    print_text(level, colour, len < 0 ? format : text);
    if (len >= 0)
        free(text);
}

void log_warning(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    print_line("warning", "1;33", format, ap);
    va_end(ap);
}

void log_info(const char *format, ...)
{
    if (is_quiet)
        return;
    va_list ap;
    va_start(ap, format);
    print_line("", "", format, ap);
    va_end(ap);
}
