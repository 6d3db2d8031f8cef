/* What every benchmark prints: a table for people, or with --json one object a line,
 * with the keys bench, case, value, unit, peer, peer_value, ratio. */
#ifndef PPT_TESTS_BENCH_FIGURE_H
#define PPT_TESTS_BENCH_FIGURE_H

#include <stdbool.h>
#include <stddef.h>

/* Before the first figure. `bench` outlives the last. */
void figure_begin(const char *bench, bool is_json);

/* `peer` is what it is compared with, NULL where there is nothing; then peer_value and
 * ratio are not looked at. ratio over 1: ours is better. */
void figure_show(const char *name, double value, const char *unit, const char *peer,
                 double peer_value, double ratio);

/* The table is printed now. */
void figure_end(void);

/* Of n > 0 values, which are sorted. */
double figure_median(double *values, size_t n);

#endif
