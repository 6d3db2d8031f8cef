/* Rows of tests/vectors/accountant.csv. Those that a test has dealt with are written,
 * one id a line, to the file $PPT_ROWS_REACHED where that is set: every_row.sh looks
 * for rows that no test reached. */
#ifndef PPT_TESTS_UNIT_PRIVACY_ROWS_H
#define PPT_TESTS_UNIT_PRIVACY_ROWS_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers are NAN where the cell is empty; rate, sensitivity and steps are 1 there. */
struct golden {
    char id[16], quantity[16], mechanism[64], adjacency[16], bound[64], note[256];
    double sigma, sensitivity, rate, alpha, epsilon, delta, expected, tol, low, high,
        truth;
    int64_t steps;
};

/* Calls `check` for each row of this quantity; it returns whether it knew what to do
 * with it. Returns how many it did. */
int rows_each(const char *quantity, int (*check)(const struct golden *row));

/* The row of this id, for a test that is about it alone. */
struct golden rows_get(const char *id);

bool rows_is_gaussian(const struct golden *row); /* sampled or not */

#endif
