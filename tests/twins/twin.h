/* Arrays that exist twice, on the host for kernels_cpu and on the device for
 * kernels_cuda, and how they are compared. For tests/twins; no Check, so that the
 * programs build where there is only a CUDA toolkit.
 */
#ifndef PPT_TESTS_TWINS_TWIN_H
#define PPT_TESTS_TWINS_TWIN_H

#include <stddef.h>
#include <stdint.h>

struct twin {
    void *cpu, *dev; /* the same bytes until a kernel writes them */
    int64_t n;
    size_t size; /* of a value */
};

/* What is random: uniform in [-2, 2), whole numbers below `below`, or 64 bits. */
struct twin twin_floats(int64_t n);
struct twin twin_doubles(int64_t n);
struct twin twin_ints(int64_t n, int32_t below);
struct twin twin_words(int64_t n);

/* The host's array again onto the device, after the test wrote to it. */
void twin_send(struct twin *twin);
void twin_free(struct twin *twin);

/* Equal bit for bit (any NaN equals any NaN), counted and printed where not. */
void twin_same(const char *what, const struct twin *twin);
/* |cpu - dev| <= relative |cpu| + absolute for floats and doubles; NaN and Inf must be
 * the same. */
void twin_near(const char *what, const struct twin *twin, double relative,
               double absolute);

/* Any other check. */
void twin_expect(const char *what, int is_right);

uint64_t twin_random(void);

/* Checks made and failed so far. */
extern long twin_n_checks, twin_n_faults;

#endif
