#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "worker/columns.h"
#include "worker/lines.h"
#include "worker/source.h"

struct csv {
    struct lines *lines;
    char *line; /* the current one, NUL-terminated, without its end */
    bool has_header;
    int64_t n_columns;
    int64_t label_column; /* from 0 */
    int64_t n_features;
    const struct columns *columns; /* what they mean; NULL: they are numbers */
};

/* A cell of the current line; `text` has no quotes and is NUL-terminated. */
struct cell {
    char *text;
    int64_t column; /* of its first character in the line, from 1 */
};

/* *ret_has false at the end of the file. */
static int next_line(struct csv *csv, bool *ret_has, struct error *err)
{
    int rc = lines_next(csv->lines, &csv->line, err);
    *ret_has = csv->line != NULL;
    return rc;
}

/* Takes one cell off the line at *at, which moves behind its comma, or becomes NULL
 * behind the last cell. Changes the line. */
static struct cell next_cell(struct csv *csv, char **at)
{
    char *text = *at + strspn(*at, " \t");
    struct cell cell = {text, text - csv->line + 1};
    char *end;
    if (*text == '"' && (end = strchr(text + 1, '"')) != NULL) {
        cell.text = text + 1;
        *end = '\0';
        end = strchr(end + 1, ',');
    } else {
        end = strchr(text, ',');
        char *last = end != NULL ? end : text + strlen(text);
        while (last > text && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (end != NULL)
            *end = '\0';
        *last = '\0';
    }
    *at = end != NULL ? end + 1 : NULL;
    return cell;
}

static bool is_number(const char *text, double *ret_value)
{
    char *end;
    *ret_value = strtod(text, &end);
    return end != text && *end == '\0';
}

static int cell_fault(const struct csv *csv, const struct cell *cell,
                      const char *wanted, struct error *err)
{
    return error_set(err, PPT_EDATA, "%s:%lld:%lld: expected %s, found \"%.40s\"",
                     lines_path(csv->lines), (long long)lines_number(csv->lines),
                     (long long)cell->column, wanted, cell->text);
}

/* *ret_x moves behind what the cell became. */
static int read_described(const struct csv *csv, int64_t column,
                          const struct cell *cell, float **ret_x, struct error *err)
{
    const char *wanted;
    int64_t n;
    if (!columns_feature(csv->columns, column, cell->text, *ret_x, &n, &wanted))
        return cell_fault(csv, cell, wanted, err);
    *ret_x += n;
    return 0;
}

static int read_feature(const struct csv *csv, const struct cell *cell, float *ret_x,
                        struct error *err)
{
    double value;
    if (!is_number(cell->text, &value))
        return cell_fault(csv, cell, "a number", err);
    float x = (float)value;
    if (!isfinite(x))
        return cell_fault(csv, cell, "a finite number that float32 can hold", err);
    *ret_x = x;
    return 0;
}

static int read_label(const struct csv *csv, const struct cell *cell, int64_t *ret_y,
                      struct error *err)
{
    double value;
    if (csv->columns != NULL && columns_n_labels(csv->columns) > 0)
        return columns_label_value(csv->columns, cell->text, ret_y)
                   ? 0
                   : cell_fault(csv, cell, "a label that is listed", err);
    if (!is_number(cell->text, &value) || value != floor(value) || value < 0 ||
        value > INT32_MAX)
        return cell_fault(csv, cell, "a label: a whole number from 0", err);
    *ret_y = (int64_t)value;
    return 0;
}

/* The current line as a record. */
static int parse_record(struct csv *csv, float *ret_x, int64_t *ret_y,
                        struct error *err)
{
    char *at = csv->line;
    int64_t n = 0;
    for (; at != NULL && n < csv->n_columns; n++) {
        struct cell cell = next_cell(csv, &at);
        int rc = n == csv->label_column ? read_label(csv, &cell, ret_y, err)
                 : csv->columns != NULL ? read_described(csv, n, &cell, &ret_x, err)
                                        : read_feature(csv, &cell, ret_x++, err);
        if (rc != 0)
            return rc;
    }
    if (at != NULL || n != csv->n_columns)
        return error_set(err, PPT_EDATA, "%s:%lld: %s cells, expected %lld",
                         lines_path(csv->lines), (long long)lines_number(csv->lines),
                         at != NULL ? "more" : "fewer", (long long)csv->n_columns);
    return 0;
}

static int csv_read(struct source *source, size_t max, void *ret_x, int64_t *ret_y,
                    size_t *ret_n, struct error *err)
{
    struct csv *csv = source->state;
    size_t n_features = (size_t)csv->n_features;
    float *x = ret_x;
    size_t n = 0;
    for (; n < max; n++) {
        bool has_line;
        int rc = next_line(csv, &has_line, err);
        if (rc == 0 && !has_line)
            break;
        if (rc == 0)
            rc = parse_record(csv, x + n * n_features, ret_y + n, err);
        if (rc != 0)
            return rc;
    }
    *ret_n = n;
    return 0;
}

static void csv_close(struct source *source)
{
    struct csv *csv = source->state;
    lines_close(csv->lines);
    free(csv);
}

/* Column `label` by its heading, else by its number. */
static int find_label(struct csv *csv, const char *label, int64_t by_heading,
                      struct error *err)
{
    csv->label_column = by_heading >= 0 ? by_heading : csv->n_columns - 1;
    if (label == NULL || by_heading >= 0)
        return 0;
    char *end;
    errno = 0;
    long long number = strtoll(label, &end, 10);
    if (end == label || *end != '\0' || number < 1 || number > csv->n_columns) {
        error_set(err, PPT_EUSAGE, "%s: no column \"%s\"", lines_path(csv->lines),
                  label);
        return error_hint(err,
                          "give a heading of the first line or a number from 1 to "
                          "%lld",
                          (long long)csv->n_columns);
    }
    csv->label_column = number - 1;
    return 0;
}

/* Counts the first line's columns, tells a header from a record, finds the label. */
static int read_first_line(struct csv *csv, const char *label, enum csv_header header,
                           struct error *err)
{
    bool has_line, all_numbers = true;
    int rc = next_line(csv, &has_line, err);
    if (rc != 0)
        return rc;
    if (!has_line)
        return error_set(err, PPT_EDATA, "%s: empty, expected records",
                         lines_path(csv->lines));
    int64_t by_heading = -1;
    char *at = csv->line;
    for (csv->n_columns = 0; at != NULL; csv->n_columns++) {
        double value;
        struct cell cell = next_cell(csv, &at);
        all_numbers = all_numbers && is_number(cell.text, &value);
        if (label != NULL && by_heading < 0 && strcmp(cell.text, label) == 0)
            by_heading = csv->n_columns;
    }
    csv->has_header =
        header == CSV_HEADER_YES || (header == CSV_HEADER_AUTO && !all_numbers);
    if (csv->n_columns < 2)
        return error_set(err, PPT_EDATA,
                         "%s:%lld: one column, expected features and a label separated "
                         "by commas",
                         lines_path(csv->lines), (long long)lines_number(csv->lines));
    return find_label(csv, label, csv->has_header ? by_heading : -1, err);
}

/* With columns described, a header is a first line of their names: such a line is never
 * a record, and another is no header. */
static int match_columns(struct csv *csv, enum csv_header header, struct error *err)
{
    int64_t n = 0;
    bool has_line, has_names = true;
    int rc = next_line(csv, &has_line, err);
    if (rc != 0)
        return rc;
    if (!has_line)
        return error_set(err, PPT_EDATA, "%s: empty, expected records",
                         lines_path(csv->lines));
    for (char *at = csv->line; at != NULL && n < csv->n_columns; n++) {
        struct cell cell = next_cell(csv, &at);
        if (strcmp(cell.text, columns_name(csv->columns, n)) == 0)
            continue;
        has_names = false;
        if (header == CSV_HEADER_YES)
            return cell_fault(csv, &cell, "the heading that the columns' file has",
                              err);
    }
    csv->has_header = has_names && header != CSV_HEADER_NO;
    return 0;
}

/* To the first record. */
static int start(struct csv *csv, struct error *err)
{
    bool has_line;
    int rc = lines_rewind(csv->lines, err);
    if (rc == 0 && csv->has_header)
        rc = next_line(csv, &has_line, err);
    return rc;
}

/* Reads every record once: how many there are, the range of labels, all faults. */
static int scan(struct csv *csv, struct source *source, struct error *err)
{
    float *x = malloc((size_t)csv->n_features * sizeof *x);
    if (x == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s",
                         lines_path(csv->lines));
    source->min_label = INT64_MAX;
    source->max_label = INT64_MIN;
    int rc = start(csv, err);
    while (rc == 0) {
        int64_t y;
        size_t n;
        rc = csv_read(source, 1, x, &y, &n, err);
        if (rc != 0 || n == 0)
            break;
        source->n_rows++;
        source->min_label = y < source->min_label ? y : source->min_label;
        source->max_label = y > source->max_label ? y : source->max_label;
    }
    free(x);
    if (rc == 0 && source->n_rows == 0)
        rc = error_set(err, PPT_EDATA, "%s: no records behind its header",
                       lines_path(csv->lines));
    return rc != 0 ? rc : start(csv, err);
}

int source_open_csv(const char *path, const char *label, enum csv_header header,
                    const struct columns *columns, struct source *ret_source,
                    struct error *err)
{
    struct csv *csv = calloc(1, sizeof *csv);
    if (csv == NULL)
        return error_set(err, PPT_ENOMEM, "no memory to read %s", path);
    struct source source = {.x_type = TYPE_FLOAT32,
                            .n_dims = 1,
                            .state = csv,
                            .read = csv_read,
                            .close = csv_close};
    int rc = lines_open(path, &csv->lines, err);
    if (rc == 0 && columns == NULL) {
        rc = read_first_line(csv, label, header, err);
        csv->n_features = csv->n_columns - 1;
    } else if (rc == 0) {
        csv->columns = columns;
        csv->n_columns = columns_count(columns);
        csv->n_features = columns_n_features(columns);
        csv->label_column = columns_label(columns);
        rc = match_columns(csv, header, err);
    }
    source.dims[0] = csv->n_features;
    if (rc == 0)
        rc = scan(csv, &source, err);
    if (rc != 0) {
        csv_close(&source);
        return rc;
    }
    *ret_source = source;
    return 0;
}
