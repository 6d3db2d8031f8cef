#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/lines.h"
#include "worker/redact.h"
#include "worker/source.h"
#include "worker/tokeniser.h"

struct text {
    struct lines *lines;
    struct redact *redact; /* NULL: none */
    const struct tokeniser *tokeniser;
    bool is_counting; /* the first pass, in which redactions are not counted */
    int32_t *ids;     /* one record */
};

static int fault(const struct text *text, const char *wanted, struct error *err)
{
    return error_set(err, PPT_EDATA, "%s:%lld: expected %s", lines_path(text->lines),
                     (long long)lines_number(text->lines), wanted);
}

/* "label, tab, text": the label, and where the text begins. */
static int read_label(const struct text *text, char *line, int64_t *ret_y,
                      char **ret_words, struct error *err)
{
    char *end;
    errno = 0;
    long long label = strtoll(line, &end, 10);
    if (end == line || *end != '\t' || errno != 0 || label < 0 || label > INT32_MAX)
        return fault(text, "a label, a whole number from 0, then a tab and the text",
                     err);
    if (end[1] == '\0')
        return fault(text, "a text behind the tab", err);
    *ret_y = label;
    *ret_words = end + 1;
    return 0;
}

/* Ids at the width of the source's type, zeros behind them. */
static void store(const struct source *source, const int32_t *ids, void *ret_x)
{
    for (int64_t j = 0; j < source->dims[0]; j++) {
        if (source->x_type == TYPE_UINT8)
            ((unsigned char *)ret_x)[j] = (unsigned char)ids[j];
        else
            ((uint16_t *)ret_x)[j] = (uint16_t)ids[j];
    }
}

static int text_read(struct source *source, size_t max, void *ret_x, int64_t *ret_y,
                     size_t *ret_n, struct error *err)
{
    struct text *text = source->state;
    size_t bytes = source_row_bytes(source), length = (size_t)source->dims[0], n = 0;
    struct redact uncounted;
    for (; n < max; n++) {
        char *line, *words = NULL;
        int rc = lines_next(text->lines, &line, err);
        if (rc == 0 && line == NULL)
            break;
        if (rc == 0)
            rc = read_label(text, line, ret_y + n, &words, err);
        if (rc != 0)
            return rc;
        if (text->redact != NULL) {
            uncounted = *text->redact;
            redact_text(text->is_counting ? &uncounted : text->redact, words);
        }
        memset(text->ids, 0, length * sizeof *text->ids);
        tokeniser_encode(text->tokeniser, words, length, text->ids);
        store(source, text->ids, (unsigned char *)ret_x + n * bytes);
    }
    *ret_n = n;
    return 0;
}

static void text_close(struct source *source)
{
    struct text *text = source->state;
    lines_close(text->lines);
    free(text->ids);
    free(text);
}

/* Reads every record once: how many there are, the range of labels, all faults. */
static int scan(struct source *source, struct error *err)
{
    struct text *text = source->state;
    void *x = malloc(source_row_bytes(source));
    int rc = x == NULL ? error_set(err, PPT_ENOMEM, "no memory to read %s",
                                   lines_path(text->lines))
                       : 0;
    source->min_label = INT64_MAX;
    source->max_label = INT64_MIN;
    text->is_counting = true;
    while (rc == 0) {
        int64_t y;
        size_t n;
        rc = text_read(source, 1, x, &y, &n, err);
        if (rc != 0 || n == 0)
            break;
        source->n_rows++;
        source->min_label = y < source->min_label ? y : source->min_label;
        source->max_label = y > source->max_label ? y : source->max_label;
    }
    text->is_counting = false;
    free(x);
    if (rc == 0 && source->n_rows == 0)
        rc = error_set(err, PPT_EDATA, "%s: empty, expected records",
                       lines_path(text->lines));
    return rc != 0 ? rc : lines_rewind(text->lines, err);
}

int source_open_text(const char *path, int64_t length,
                     const struct tokeniser *tokeniser, struct redact *redact,
                     struct source *ret_source, struct error *err)
{
    struct text *text = calloc(1, sizeof *text);
    int64_t n_tokens = tokeniser_n_tokens(tokeniser);
    if (text == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", path);
    struct source source = {.x_type = n_tokens <= 256 ? TYPE_UINT8 : TYPE_UINT16,
                            .n_dims = 1,
                            .dims = {length},
                            .n_tokens = n_tokens,
                            .state = text,
                            .read = text_read,
                            .close = text_close};
    text->tokeniser = tokeniser;
    text->redact = redact;
    text->ids = calloc((size_t)length, sizeof *text->ids);
    int rc = text->ids == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to read %s", path)
                 : lines_open(path, &text->lines, err);
    if (rc == 0)
        rc = scan(&source, err);
    if (rc != 0) {
        text_close(&source);
        return rc;
    }
    *ret_source = source;
    return 0;
}
