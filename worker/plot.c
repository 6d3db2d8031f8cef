#include "worker/plot.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"
#include "worker/lines.h"

/* The picture and its plane, in pixels; points beyond MOST_POINTS are left out. */
enum { WIDTH = 760, HEIGHT = 400, LEFT = 64, RIGHT = 696, TOP = 56, BOTTOM = 340 };
enum { MOST_POINTS = 1000, N_TICKS = 5 };

struct series {
    const char *key; /* of the journal */
    double *x, *y;
    size_t n, room;
};

static const char head[] =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
    "font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n"
    "<style>\n"
    ":root { --ground: #ffffff; --ink: #1c1c1c; --grid: #dddddd; --accuracy: #0b5fa5; "
    "--epsilon: #a8480a; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --ink: #e8e8e8; "
    "--grid: #3a3d42; --accuracy: #7ab8f5; --epsilon: #f0a060; } }\n"
    ".ground { fill: var(--ground) } text { fill: var(--ink) }\n"
    ".grid { stroke: var(--grid) } .line { fill: none; stroke-width: 2 }\n"
    ".accuracy { stroke: var(--accuracy) } .epsilon { stroke: var(--epsilon); "
    "stroke-dasharray: 6 4 }\n"
    "text.accuracy { stroke: none; fill: var(--accuracy) } "
    "text.epsilon { stroke: none; fill: var(--epsilon) }\n"
    "</style>\n<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n";

static int add(struct series *series, double x, double y, struct error *err)
{
    while (series->n > 0 && series->x[series->n - 1] >= x)
        series->n--; /* an attempt that came to nothing */
    if (series->n == series->room) {
        size_t room = series->room == 0 ? 256 : 2 * series->room;
        double *more_x = realloc(series->x, room * sizeof *more_x);
        if (more_x != NULL)
            series->x = more_x;
        double *more_y = realloc(series->y, room * sizeof *more_y);
        if (more_y != NULL)
            series->y = more_y;
        if (more_x == NULL || more_y == NULL)
            return error_set(err, PPT_ENOMEM, "no memory for a plot");
        series->room = room;
    }
    series->x[series->n] = x;
    series->y[series->n++] = y;
    return 0;
}

static bool find_number(const char *line, const char *key, double *ret_value)
{
    char wanted[40], *end;
    snprintf(wanted, sizeof wanted, "\"%s\": ", key);
    const char *at = strstr(line, wanted);
    if (at == NULL)
        return false;
    at += strlen(wanted);
    *ret_value = strtod(at, &end);
    return end != at && isfinite(*ret_value);
}

static int read_journal(const char *path, struct series *all, int n_series,
                        struct error *err)
{
    struct lines *lines = NULL;
    int rc = lines_open(path, &lines, err);
    while (rc == 0) {
        char *line = NULL;
        double round, value;
        rc = lines_next(lines, &line, err);
        if (rc != 0 || line == NULL)
            break;
        for (int s = 0; rc == 0 && s < n_series; s++)
            if (find_number(line, "round", &round) &&
                find_number(line, all[s].key, &value))
                rc = add(&all[s], round, value, err);
    }
    if (lines != NULL)
        lines_close(lines);
    return rc;
}

static double across(double round, double n_rounds)
{
    return LEFT + (RIGHT - LEFT) * round / n_rounds;
}

static double down(double value, double most)
{
    return BOTTOM - (BOTTOM - TOP) * value / most;
}

/* 1, 2 or 5 times a power of ten. */
static double round_up(double value)
{
    double power = value > 0 ? pow(10, floor(log10(value))) : 1;
    for (int i = 0; i < 3; i++) {
        double step = (double[]){1, 2, 5}[i] * power;
        if (value <= step)
            return step;
    }
    return 10 * power;
}

static void write_frame(FILE *file, const char *title, double n_rounds)
{
    fprintf(file, head, WIDTH, HEIGHT, WIDTH, HEIGHT);
    fprintf(file,
            "<title>%s</title>\n<text x=\"%d\" y=\"24\" font-size=\"16\">%s"
            "</text>\n",
            title, LEFT, title);
    for (int i = 0; i <= N_TICKS; i++) {
        double y = down(i, N_TICKS), x = across(i, N_TICKS);
        fprintf(file,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                LEFT, RIGHT, y, y);
        fprintf(file, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n",
                x, BOTTOM + 20, n_rounds * i / N_TICKS);
    }
    fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">round</text>\n",
            (LEFT + RIGHT) / 2, HEIGHT - 18);
}

static void write_series(FILE *file, const struct series *series, const char *name,
                         bool is_left, double n_rounds, double most, double unit)
{
    if (series->n == 0)
        return;
    int x = is_left ? LEFT - 8 : RIGHT + 8;
    const char *anchor = is_left ? "end" : "start";
    for (int i = 0; i <= N_TICKS; i++)
        fprintf(
            file,
            "<text class=\"%s\" x=\"%d\" y=\"%.1f\" text-anchor=\"%s\">%.4g</text>\n",
            name, x, down(i, N_TICKS) + 4, anchor, unit * most * i / N_TICKS);
    fprintf(file, "<text class=\"%s\" x=\"%d\" y=\"%d\" text-anchor=\"%s\">%s</text>\n",
            name, is_left ? LEFT : RIGHT, TOP - 12, is_left ? "start" : "end",
            is_left ? "test accuracy, %" : "epsilon so far (dashed)");
    fprintf(file, "<polyline class=\"line %s\" points=\"", name);
    size_t stride = series->n / MOST_POINTS + 1;
    for (size_t i = 0; i < series->n; i++)
        if (i % stride == 0 || i + 1 == series->n)
            fprintf(file, "%.1f,%.1f ", across(series->x[i], n_rounds),
                    down(series->y[i], most));
    fprintf(file, "\"/>\n");
    fprintf(file, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>\n", name,
            across(series->x[series->n - 1], n_rounds),
            down(series->y[series->n - 1], most));
}

static int write_svg(const char *path, const char *title, const struct series *accuracy,
                     const struct series *epsilon, double n_rounds, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    if (file == NULL)
        return error_errno(err, PPT_ENOMEM, "no memory for a plot");
    double most = epsilon->n > 0 ? round_up(epsilon->y[epsilon->n - 1]) : 1;
    write_frame(file, title, n_rounds);
    write_series(file, accuracy, "accuracy", true, n_rounds, 1, 100);
    write_series(file, epsilon, "epsilon", false, n_rounds, most, 1);
    fprintf(file, "</svg>\n");
    int rc = 0;
    if (fclose(file) != 0)
        rc = error_errno(err, PPT_ENOMEM, "no memory for a plot");
    if (rc == 0)
        rc = pathsafe_replace(path, text, len, 0644, err);
    free(text);
    return rc;
}

int plot_rounds(const char *journal, const char *svg, const char *title,
                int64_t n_rounds, struct error *err)
{
    struct series all[] = {{.key = "test_accuracy"}, {.key = "epsilon"}};
    int rc = read_journal(journal, all, 2, err);
    if (rc == 0)
        rc = write_svg(svg, title, &all[0], &all[1], (double)n_rounds, err);
    for (int s = 0; s < 2; s++)
        free(all[s].x), free(all[s].y);
    return rc;
}
