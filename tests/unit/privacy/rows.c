#include "tests/unit/privacy/rows.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_COLUMNS = 17, LINE_SIZE = 4096 };

/* Cuts a line into its first cells; a quoted cell may hold commas. */
static int cut(char *line, char *cells[N_COLUMNS])
{
    for (int i = 0; i < N_COLUMNS; i++) {
        cells[i] = line;
        char *quote = line[0] == '"' ? strchr(line + 1, '"') : NULL;
        char *comma = strchr(quote != NULL ? quote : line, ',');
        if (comma == NULL)
            return 0;
        *comma = '\0';
        line = comma + 1;
    }
    return 1;
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
                         .epsilon = number(cells[9]),
                         .delta = number(cells[10]),
                         .expected = number(cells[11]),
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
    return row;
}

int rows_each(const char *quantity, int (*check)(const struct golden *row))
{
    char path[LINE_SIZE], line[LINE_SIZE], *cells[N_COLUMNS];
    snprintf(path, sizeof path, "%s/tests/vectors/accountant.csv",
             getenv("PPT_SOURCE_DIR"));
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    int n = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        strcat(line, ","); /* so that a last cell ends too */
        if (!cut(line, cells) || strcmp(cells[1], quantity) != 0)
            continue;
        struct golden row = parse(cells);
        n += check(&row);
    }
    fclose(file);
    return n;
}
