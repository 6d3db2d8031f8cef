/* Rows of tests/vectors/accountant.csv for the tests of the tight accountants. */
#ifndef PPT_TESTS_UNIT_PRIVACY_ROWS_H
#define PPT_TESTS_UNIT_PRIVACY_ROWS_H

#include <stdint.h>

/* Numbers are NAN where the cell is empty. */
struct golden {
    char id[16], quantity[16], mechanism[64], adjacency[16], bound[64];
    double sigma, sensitivity, rate, epsilon, delta, expected, low, high, truth;
    int64_t steps;
};

/* Calls `check` for each row of this quantity; it returns whether it knew what to do
 * with it. Returns how many it did. */
int rows_each(const char *quantity, int (*check)(const struct golden *row));

#endif
