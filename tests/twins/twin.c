#include "tests/twins/twin.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

long twin_n_checks, twin_n_faults;

uint64_t twin_random(void)
{
    static uint64_t state = 88172645463325252u; /* xorshift64*, Vigna 2016 */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u;
}

static double uniform(void)
{
    return (double)(twin_random() >> 11) * 0x1p-51 - 2.0;
}

static void must(bool is_done)
{
    if (!is_done) {
        const char *text = device_error();
        fprintf(stderr, "twins: %s\n", text != NULL ? text : "out of memory");
        exit(1);
    }
}

/* Exactly as long as asked for, so that AddressSanitizer sees the first value past it.
 */
static struct twin make(int64_t n, size_t size)
{
    struct twin twin = {.n = n, .size = size};
    twin.cpu = malloc((size_t)n * size);
    must(twin.cpu != NULL || n == 0);
    must(device_alloc((size_t)n * size, &twin.dev));
    return twin;
}

void twin_send(struct twin *twin)
{
    must(device_upload(twin->dev, twin->cpu, (size_t)twin->n * twin->size));
}

struct twin twin_floats(int64_t n)
{
    struct twin twin = make(n, sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        ((float *)twin.cpu)[i] = (float)uniform();
    }
    twin_send(&twin);
    return twin;
}

struct twin twin_doubles(int64_t n)
{
    struct twin twin = make(n, sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        ((double *)twin.cpu)[i] = uniform();
    }
    twin_send(&twin);
    return twin;
}

struct twin twin_ints(int64_t n, int32_t below)
{
    struct twin twin = make(n, sizeof(int32_t));
    for (int64_t i = 0; i < n; i++) {
        ((int32_t *)twin.cpu)[i] = (int32_t)(twin_random() % (uint64_t)below);
    }
    twin_send(&twin);
    return twin;
}

struct twin twin_words(int64_t n)
{
    struct twin twin = make(n, sizeof(uint64_t));
    for (int64_t i = 0; i < n; i++) {
        ((uint64_t *)twin.cpu)[i] = twin_random();
    }
    twin_send(&twin);
    return twin;
}

void twin_free(struct twin *twin)
{
    free(twin->cpu);
    device_free(twin->dev);
}

void twin_expect(const char *what, int is_right)
{
    twin_n_checks++;
    if (!is_right) {
        twin_n_faults++;
        printf("FAIL %s\n", what);
    }
}

static double value(const void *array, const struct twin *twin, int64_t i)
{
    return twin->size == sizeof(float) ? (double)((const float *)array)[i]
                                       : ((const double *)array)[i];
}

static bool is_near(double a, double b, double relative, double absolute)
{
    if (isnan(a) || isnan(b)) {
        return isnan(a) && isnan(b);
    }
    return a == b || fabs(a - b) <= relative * fabs(a) + absolute;
}

static void *fetch(const struct twin *twin)
{
    void *dev = malloc((size_t)twin->n * twin->size + 1);
    must(dev != NULL);
    must(device_download(dev, twin->dev, (size_t)twin->n * twin->size));
    return dev;
}

void twin_near(const char *what, const struct twin *twin, double relative,
               double absolute)
{
    void *dev = fetch(twin);
    int64_t n_wrong = 0;
    for (int64_t i = 0; i < twin->n; i++) {
        double a = value(twin->cpu, twin, i), b = value(dev, twin, i);
        if (!is_near(a, b, relative, absolute) && n_wrong++ == 0) {
            printf("%s: value %lld of %lld: cpu %.17g, device %.17g\n", what,
                   (long long)i, (long long)twin->n, a, b);
        }
    }
    free(dev);
    twin_expect(what, n_wrong == 0);
}

/* -0 and 0 differ, NaN and NaN do not. */
static bool is_same(const struct twin *twin, const void *dev, int64_t i, bool is_real)
{
    size_t at = (size_t)i * twin->size;
    if (memcmp((const char *)twin->cpu + at, (const char *)dev + at, twin->size) == 0) {
        return true;
    }
    return is_real && isnan(value(twin->cpu, twin, i)) && isnan(value(dev, twin, i));
}

void twin_same(const char *what, const struct twin *twin)
{
    void *dev = fetch(twin);
    int64_t n_wrong = 0;
    for (int64_t i = 0; i < twin->n; i++) {
        if (!is_same(twin, dev, i, true) && n_wrong++ == 0) {
            printf("%s: value %lld of %lld differs: cpu %.17g, device %.17g\n", what,
                   (long long)i, (long long)twin->n, value(twin->cpu, twin, i),
                   value(dev, twin, i));
        }
    }
    free(dev);
    twin_expect(what, n_wrong == 0);
}
