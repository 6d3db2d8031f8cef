#include "tests/unit/privacy/rows.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_COLUMNS = 20, LINE_SIZE = 4096 };

/* Cuts a line into its first cells; a quoted cell may hold commas and doubled quotes.
 */
static bool cut(char *line, char *cells[N_COLUMNS])
{
    for (int i = 0; i < N_COLUMNS; i++) {
        bool is_quoted = false;
        cells[i] = line;
        while (*line != '\0' && (is_quoted || *line != ','))
            is_quoted ^= *line++ == '"';
        if (*line == '\0')
            return false;
        *line++ = '\0';
    }
    return true;
}

static double number(const char *cell)
{
    return cell[0] == '\0' ? NAN : strtod(cell, NULL);
}

static struct golden parse(char *cells[N_COLUMNS])
{
    struct golden row = {.sigma = number(cells[3]),
                         .sensitivity = number(cells[4]),
                         .rate = number(cells[5]),
                         .alpha = number(cells[8]),
                         .epsilon = number(cells[9]),
                         .delta = number(cells[10]),
                         .expected = number(cells[11]),
                         .tol = number(cells[12]),
                         .low = number(cells[14]),
                         .high = number(cells[15]),
                         .truth = number(cells[16])};
    row.steps = cells[6][0] == '\0' ? 1 : (int64_t)strtod(cells[6], NULL);
    if (isnan(row.sensitivity))
        row.sensitivity = 1;
    if (isnan(row.rate))
        row.rate = 1;
    snprintf(row.id, sizeof row.id, "%s", cells[0]);
    snprintf(row.quantity, sizeof row.quantity, "%s", cells[1]);
    snprintf(row.mechanism, sizeof row.mechanism, "%s", cells[2]);
    snprintf(row.adjacency, sizeof row.adjacency, "%s", cells[7]);
    snprintf(row.bound, sizeof row.bound, "%s", cells[13]);
    snprintf(row.note, sizeof row.note, "%s", cells[19]);
    return row;
}

static void reached(const char *id)
{
    const char *path = getenv("PPT_ROWS_REACHED");
    FILE *file = path == NULL ? NULL : fopen(path, "a");
    if (file == NULL)
        return;
    fprintf(file, "%s\n", id);
    fclose(file);
}

static FILE *open_rows(void)
{
    char path[LINE_SIZE];
    snprintf(path, sizeof path, "%s/tests/vectors/accountant.csv",
             getenv("PPT_SOURCE_DIR"));
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    return file;
}

static bool next(FILE *file, struct golden *ret_row)
{
    char line[LINE_SIZE], *cells[N_COLUMNS];
    while (fgets(line, sizeof line, file) != NULL)
        if (line[0] != '#' && cut(line, cells)) {
            *ret_row = parse(cells);
            return true;
        }
    return false;
}

int rows_each(const char *quantity, int (*check)(const struct golden *row))
{
    FILE *file = open_rows();
    struct golden row;
    int n = 0;
    while (next(file, &row)) {
        if (strcmp(row.quantity, quantity) != 0 || !check(&row))
            continue;
        reached(row.id);
        n++;
    }
    fclose(file);
    return n;
}

struct golden rows_get(const char *id)
{
    FILE *file = open_rows();
    struct golden row;
    bool is_found = false;
    while (!is_found && next(file, &row))
        is_found = strcmp(row.id, id) == 0;
    fclose(file);
    ck_assert_msg(is_found, "no row %s", id);
    reached(id);
    return row;
}

bool rows_is_gaussian(const struct golden *row)
{
    return strcmp(row->mechanism, "gaussian") == 0 ||
           strcmp(row->mechanism, "poisson_gaussian") == 0;
}
