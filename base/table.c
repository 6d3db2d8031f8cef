#include "base/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct table {
    int n_columns, n_rows;
    char *headings[TABLE_MAX_COLUMNS];
    bool is_right[TABLE_MAX_COLUMNS];
    char **cells; /* n_rows * n_columns */
};

static char *copy(const char *text)
{
    char *result = strdup(text);
    if (result == NULL)
        abort();
    return result;
}

struct table *table_new(const char *const *headings, int n_columns)
{
    assert(n_columns > 0 && n_columns <= TABLE_MAX_COLUMNS);
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        abort();
    table->n_columns = n_columns;
    for (int c = 0; c < n_columns; c++) {
        table->is_right[c] = headings[c][0] == '>';
        table->headings[c] = copy(headings[c] + table->is_right[c]);
    }
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    for (int c = 0; c < table->n_columns; c++)
        free(table->headings[c]);
    for (int i = 0; i < table->n_rows * table->n_columns; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

void table_row(struct table *table, const char *const *cells)
{
    size_t n = (size_t)(table->n_rows + 1) * (size_t)table->n_columns;
    char **larger = realloc(table->cells, n * sizeof *larger);
    if (larger == NULL)
        abort();
    table->cells = larger;
    for (int c = 0; c < table->n_columns; c++)
        table->cells[table->n_rows * table->n_columns + c] = copy(cells[c]);
    table->n_rows++;
}

/* Characters, not bytes: UTF-8 continuation bytes take no column. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static int terminal_width(FILE *file)
{
    struct winsize size;
    if (isatty(fileno(file)) && ioctl(fileno(file), TIOCGWINSZ, &size) == 0 &&
        size.ws_col > 0)
        return size.ws_col;
    return 1 << 20;
}

static void print_row(const struct table *table, FILE *file, char *const *cells,
                      const int *widths, int room)
{
    for (int c = 0; c < table->n_columns; c++) {
        int pad = widths[c] - width_of(cells[c]);
        bool is_last = c == table->n_columns - 1;
        if (is_last && !table->is_right[c]) {
            int left = room < 1 ? 1 : room;
            if (width_of(cells[c]) > left && left > 3)
                fprintf(file, "%.*s...", left - 3, cells[c]);
            else
                fputs(cells[c], file);
            break;
        }
        fprintf(file, "%*s%s%*s%s", table->is_right[c] ? pad : 0, "", cells[c],
                table->is_right[c] ? 0 : pad, "", is_last ? "" : "  ");
        room -= widths[c] + 2;
    }
    fputc('\n', file);
}

void table_print(const struct table *table, FILE *file, bool with_head)
{
    int widths[TABLE_MAX_COLUMNS] = {0};
    for (int c = 0; c < table->n_columns; c++) {
        widths[c] = with_head ? width_of(table->headings[c]) : 0;
        for (int r = 0; r < table->n_rows; r++) {
            int width = width_of(table->cells[r * table->n_columns + c]);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    int room = terminal_width(file);
    if (with_head)
        print_row(table, file, table->headings, widths, room);
    for (int r = 0; r < table->n_rows; r++)
        print_row(table, file, table->cells + r * table->n_columns, widths, room);
}
