#include "worker/lines.h"

#include <stdlib.h>
#include <string.h>

#include "worker/gz.h"

#define MAX_LINE_BYTES (16u << 20)
#define FIRST_LINE_BYTES 4096u
#define BLOCK_BYTES 65536u

struct lines {
    struct gz *file;
    char block[BLOCK_BYTES];
    size_t block_len, block_at;
    char *text; /* the current line, NUL-terminated, without its end */
    size_t size;
    int64_t number; /* from 1 */
};

static int grow(struct lines *lines, struct error *err)
{
    size_t size = lines->size == 0 ? FIRST_LINE_BYTES : 2 * lines->size;
    if (size > MAX_LINE_BYTES)
        return error_set(err, PPT_EDATA, "%s:%lld: a line longer than %u MiB",
                         gz_path(lines->file), (long long)lines->number,
                         MAX_LINE_BYTES >> 20);
    char *line = realloc(lines->text, size);
    if (line == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", gz_path(lines->file));
    lines->text = line;
    lines->size = size;
    return 0;
}

/* The next line, blank or not; *ret_has false at the end of the file. */
static int read_line(struct lines *lines, bool *ret_has, struct error *err)
{
    size_t len = 0;
    lines->number++;
    for (;;) {
        if (lines->block_at == lines->block_len) {
            int rc = gz_read(lines->file, lines->block, sizeof lines->block,
                             &lines->block_len, err);
            if (rc != 0)
                return rc;
            lines->block_at = 0;
        }
        if (len + 1 >= lines->size) {
            int rc = grow(lines, err);
            if (rc != 0)
                return rc;
        }
        *ret_has = lines->block_len > 0 || len > 0;
        if (lines->block_len == 0)
            break;
        char c = lines->block[lines->block_at++];
        if (c == '\n')
            break;
        if (c == '\0')
            return error_set(err, PPT_EDATA, "%s:%lld:%zu: a zero byte, expected text",
                             gz_path(lines->file), (long long)lines->number, len + 1);
        lines->text[len++] = c;
    }
    if (len > 0 && lines->text[len - 1] == '\r')
        len--;
    lines->text[len] = '\0';
    return 0;
}

int lines_next(struct lines *lines, char **ret_text, struct error *err)
{
    bool has_line;
    do {
        int rc = read_line(lines, &has_line, err);
        if (rc != 0)
            return rc;
    } while (has_line && lines->text[strspn(lines->text, " \t")] == '\0');
    *ret_text = has_line ? lines->text : NULL;
    return 0;
}

int64_t lines_number(const struct lines *lines)
{
    return lines->number;
}

const char *lines_path(const struct lines *lines)
{
    return gz_path(lines->file);
}

int lines_rewind(struct lines *lines, struct error *err)
{
    lines->block_len = lines->block_at = 0;
    lines->number = 0;
    return gz_rewind(lines->file, err);
}

int lines_open(const char *path, struct lines **ret_lines, struct error *err)
{
    struct lines *lines = calloc(1, sizeof *lines);
    if (lines == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", path);
    int rc = gz_open(path, &lines->file, err);
    if (rc != 0) {
        free(lines);
        return rc;
    }
    *ret_lines = lines;
    return 0;
}

void lines_close(struct lines *lines)
{
    if (lines == NULL)
        return;
    gz_close(lines->file);
    free(lines->text);
    free(lines);
}
