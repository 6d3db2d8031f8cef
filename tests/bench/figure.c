#include "tests/bench/figure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/table.h"

static const char *bench_name;
static struct table *table; /* NULL: JSON lines */

void figure_begin(const char *bench, bool is_json)
{
    const char *const headings[] = {"BENCH", "CASE",        ">VALUE", "UNIT",
                                    "PEER",  ">PEER VALUE", ">RATIO"};
    bench_name = bench;
    table = is_json ? NULL : table_new(headings, 7);
}

static void show_json(const char *name, double value, const char *unit,
                      const char *peer, double peer_value, double ratio)
{
    struct json json = {0};
    char *text = NULL;
    json_object(&json, NULL);
    json_string(&json, "bench", bench_name);
    json_string(&json, "case", name);
    json_number(&json, "value", value);
    json_string(&json, "unit", unit);
    peer == NULL ? json_null(&json, "peer") : json_string(&json, "peer", peer);
    json_number(&json, "peer_value", peer == NULL ? NAN : peer_value);
    json_number(&json, "ratio", peer == NULL ? NAN : ratio);
    json_close_object(&json);
    if (json_end(&json, &text, NULL) == 0) {
        fputs(text, stdout);
        fflush(stdout);
    }
    free(text);
}

void figure_show(const char *name, double value, const char *unit, const char *peer,
                 double peer_value, double ratio)
{
    if (table == NULL) {
        show_json(name, value, unit, peer, peer_value, ratio);
        return;
    }
    char cells[3][32] = {"", "", ""};
    snprintf(cells[0], sizeof cells[0], "%.6g", value);
    if (peer != NULL) {
        snprintf(cells[1], sizeof cells[1], "%.6g", peer_value);
        snprintf(cells[2], sizeof cells[2], "%.4g", ratio);
    }
    const char *row[] = {bench_name, name,    cells[0], unit, peer == NULL ? "" : peer,
                         cells[1],   cells[2]};
    table_row(table, row);
}

void figure_end(void)
{
    if (table != NULL)
        table_print(table, stdout, true);
    table_free(table);
    table = NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double figure_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_size);
    return values[n / 2];
}
