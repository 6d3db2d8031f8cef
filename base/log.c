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

static void print_head(const char *level, const char *colour)
{
    if (with_time) {
        char stamp[32];
        time_t now = time(NULL);
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", &tm);
        fputs(stamp, stderr);
    }
    fprintf(stderr, "%s: ", program_name);
    if (*level == '\0')
        return;
    if (log_colour(STDERR_FILENO))
        fprintf(stderr, "\033[%sm%s:\033[0m ", colour, level);
    else
        fprintf(stderr, "%s: ", level);
}

int log_error(const struct error *err)
{
    print_head("error", "1;31");
    fprintf(stderr, "%s\n",
            err->text[0] != '\0' ? err->text : error_sentence(err->code));
    if (err->detail[0] != '\0') {
        print_head("detail", "1");
        fprintf(stderr, "%s\n", err->detail);
    }
    if (err->hint[0] != '\0') {
        print_head("hint", "1;36");
        fprintf(stderr, "%s\n", err->hint);
    }
    return err->code > 0 && err->code < 126 ? err->code : PPT_EINTERNAL;
}

static void print_line(const char *level, const char *colour, const char *format,
                       va_list ap)
{
    print_head(level, colour);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
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
