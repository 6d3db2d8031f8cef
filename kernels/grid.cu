/* Twins of grid.c: the same draws in double with the same bound on their error, a
 * thread a pair; the few pairs in doubt are worked out on the host by polar.c, the
 * CPU's own code, and as many as grid_n_exact says always are. So the integers are the
 * CPU's, whatever the device rounds otherwise within the bound.
 *
 * Floors: grid_round 16 n bytes; grid_add 20 n; grid_add_drawn 32 n; grid_noise 24 n
 * bytes and about 60 flops in double a draw (those decide where double is slow), and a
 * fixed number of polar_round's. */
#include "kernels/cuda.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include "kernels/polar.h"
}

/* The number of pairs that are worked out in any case is fixed for so many at a time.
 * More than the CPU's chunk, since it grows slowly; its bound holds for any number, so
 * more are needed with probability below 2^-64 a chunk here too. */
static const int64_t chunk_pairs = 1 << 20;

static __global__ void add_to_grid(struct grid grid, int64_t n, const float *x,
                                   double *sum)
{
    double step = grid.step, inverse = 1.0 / step, most = grid.max_steps;
    CUDA_EACH(i, n)
    {
        double steps = rint((double)x[i] * inverse);
        steps = steps < most ? steps : most;
        steps = steps > -most ? steps : -most;
        double total = sum[i] * inverse + (x[i] == x[i] ? steps : 0.0);
        total = total < most ? total : most;
        total = total > -most ? total : -most;
        sum[i] = total * step;
    }
}

static __global__ void round_to_grid(struct grid grid, int64_t n, double *x)
{
    double step = grid.step, inverse = 1.0 / step, most = grid.max_steps;
    CUDA_EACH(i, n)
    {
        double steps = rint(x[i] * inverse);
        steps = steps < most ? steps : most;
        steps = steps > -most ? steps : -most;
        x[i] = x[i] == x[i] ? steps * step : 0.0;
    }
}

static __global__ void add_drawn(int64_t n, double *drawn, double *x)
{
    CUDA_EACH(i, n)
    {
        x[i] += drawn[i];
        drawn[i] = 0.0;
    }
}

/* grid.c derives and comments these four. */
static __device__ inline double log_uniform(double u)
{
    uint64_t bits;
    memcpy(&bits, &u, sizeof bits);
    uint64_t offset = bits - 0x3fe6a09e667f3bcdu + 0x4000000000000000u;
    double e = (double)(int64_t)(offset >> 52) - 1024.0, m;
    bits = (offset & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu;
    memcpy(&m, &bits, sizeof m);
    double f = (m - 1.0) / (m + 1.0), s = f * f;
    double sum = 1.0 / 23.0;
    sum = sum * s + 1.0 / 21.0;
    sum = sum * s + 1.0 / 19.0;
    sum = sum * s + 1.0 / 17.0;
    sum = sum * s + 1.0 / 15.0;
    sum = sum * s + 1.0 / 13.0;
    sum = sum * s + 1.0 / 11.0;
    sum = sum * s + 1.0 / 9.0;
    sum = sum * s + 1.0 / 7.0;
    sum = sum * s + 1.0 / 5.0;
    sum = sum * s + 1.0 / 3.0;
    return e * 0.6931471805599453 + 2.0 * (f + f * s * sum);
}

static __device__ inline double sin_small(double t)
{
    double s = t * t;
    double sum = 1.0 / 355687428096000.0;
    sum = sum * s - 1.0 / 1307674368000.0;
    sum = sum * s + 1.0 / 6227020800.0;
    sum = sum * s - 1.0 / 39916800.0;
    sum = sum * s + 1.0 / 362880.0;
    sum = sum * s - 1.0 / 5040.0;
    sum = sum * s + 1.0 / 120.0;
    sum = sum * s - 1.0 / 6.0;
    return t + t * s * sum;
}

static __device__ inline double cos_small(double t)
{
    double s = t * t;
    double sum = -1.0 / 6402373705728000.0;
    sum = sum * s + 1.0 / 20922789888000.0;
    sum = sum * s - 1.0 / 87178291200.0;
    sum = sum * s + 1.0 / 479001600.0;
    sum = sum * s - 1.0 / 3628800.0;
    sum = sum * s + 1.0 / 40320.0;
    sum = sum * s - 1.0 / 720.0;
    sum = sum * s + 1.0 / 24.0;
    sum = sum * s - 0.5;
    return 1.0 + s * sum;
}

static __device__ inline double nearest(double x)
{
    return (x + 0x1.8p52) - 0x1.8p52;
}

/* Adds the pairs that are sure; doubt[i] = 1 for the others, whose x stays. */
static __global__ void add_sure(struct grid grid, int64_t n_pairs, const uint64_t *bits,
                                double *x, uint8_t *doubt)
{
    CUDA_EACH(i, n_pairs)
    {
        double u = (double)(int64_t)(bits[2 * i] >> 11) * 0x1p-53 + 0x1p-53;
        double v = (double)(int64_t)(bits[2 * i + 1] >> 11) * 0x1p-53;
        double radius = sqrt(fabs(2.0 * log_uniform(u)));
        double quarter = nearest(4.0 * v);
        double t = (v - 0.25 * quarter) * 6.283185307179586;
        double s = sin_small(t), c = cos_small(t);
        bool is_half = quarter == 2.0, is_first = quarter == 1.0;
        bool is_third = quarter == 3.0;
        double a = is_first || is_third ? s : c, b = is_first || is_third ? c : s;
        a = grid.std_steps * (radius * (is_first || is_half ? -a : a));
        b = grid.std_steps * (radius * (is_half || is_third ? -b : b));

        double k = nearest(a), l = nearest(b);
        double error = grid.std_steps * (0x1p-48 * radius + 0x1p-52 / (u * radius));
        bool is_sure = fabs(a - k) + error < 0.5 && fabs(b - l) + error < 0.5 &&
                       u > 0x1p-53; /* false for NaN */
        x[2 * i] += grid.step * (is_sure ? k : 0.0);
        x[2 * i + 1] += grid.step * (is_sure ? l : 0.0);
        doubt[i] = is_sure ? 0 : 1;
    }
}

/* A pair to be worked out: its bits come down, its draw goes up. */
struct exact {
    int64_t pair;
    uint64_t bits[2];
    int64_t draw[2];
};

enum { BATCH = 512 };

static __global__ void get_bits(int64_t n, const uint64_t *bits, struct exact *exact)
{
    CUDA_EACH(i, n)
    {
        exact[i].bits[0] = bits[2 * exact[i].pair];
        exact[i].bits[1] = bits[2 * exact[i].pair + 1];
    }
}

/* One thread: pairs that fill up the number may be the same one, with draws of 0. */
static __global__ void add_draws(struct grid grid, int64_t n, const struct exact *exact,
                                 double *x)
{
    for (int64_t i = 0; i < n && threadIdx.x == 0; i++) {
        x[2 * exact[i].pair] += grid.step * (double)exact[i].draw[0];
        x[2 * exact[i].pair + 1] += grid.step * (double)exact[i].draw[1];
    }
}

/* What one call of cuda_grid_noise works with. */
struct noise {
    struct grid grid;
    const uint64_t *bits;
    const struct grid_source *source;
    double *x;
    struct exact *exact_on_device;
    struct exact exact[BATCH];
    bool is_wanted[BATCH]; /* false: fills up the number */
    int64_t n;
};

static void work_out(struct noise *noise)
{
    size_t n_bytes = (size_t)noise->n * sizeof *noise->exact;
    if (!device_upload(noise->exact_on_device, noise->exact, n_bytes)) {
        return;
    }
    CUDA_LAUNCH(get_bits, cuda_blocks(noise->n), CUDA_THREADS, noise->n, noise->bits,
                noise->exact_on_device);
    if (!device_download(noise->exact, noise->exact_on_device, n_bytes)) {
        return;
    }
    for (int64_t i = 0; i < noise->n; i++) {
        struct exact *exact = &noise->exact[i];
        uint64_t extra[GRID_EXTRA_WORDS];
        int64_t mask = -(int64_t)noise->is_wanted[i];
        noise->source->extra(noise->source->state, exact->pair, extra);
        polar_round(noise->grid.std_steps, exact->bits, extra, exact->draw);
        exact->draw[0] &= mask;
        exact->draw[1] &= mask;
        explicit_bzero(extra, sizeof extra);
    }
    if (device_upload(noise->exact_on_device, noise->exact, n_bytes)) {
        CUDA_LAUNCH(add_draws, 1, 1, noise->grid, noise->n, noise->exact_on_device,
                    noise->x);
    }
    noise->n = 0;
}

static void work_out_pair(struct noise *noise, int64_t pair, bool is_wanted)
{
    noise->exact[noise->n].pair = pair;
    noise->is_wanted[noise->n] = is_wanted;
    noise->n++;
    if (noise->n == BATCH) {
        work_out(noise);
    }
}

/* As many pairs of each chunk as grid_n_exact says, in doubt or not. list has room for
 * one more than a chunk. */
static void add_exact(struct noise *noise, int64_t n_pairs, const uint8_t *doubt,
                      int32_t *list)
{
    for (int64_t at = 0; at < n_pairs; at += chunk_pairs) {
        int64_t left = n_pairs - at, n = left < chunk_pairs ? left : chunk_pairs;
        int64_t n_exact = grid_n_exact(noise->grid.std_steps, n), n_listed = 0;
        memset(list, 0, (size_t)(n + 1) * sizeof *list);
        for (int64_t i = 0; i < n; i++) {
            list[n_listed] = (int32_t)i;
            n_listed += doubt[at + i];
        }
        for (int64_t i = 0; i < n_exact || i < n_listed; i++) {
            work_out_pair(noise, at + list[i], i < n_listed);
        }
    }
    if (noise->n > 0) {
        work_out(noise);
    }
}

/* Flags, then exact pairs: kept by each thread for its life, since memory of a device
 * is dear to get. NULL if there is not so much. */
static uint8_t *scratch(size_t n_bytes)
{
    static thread_local void *memory;
    static thread_local size_t n_held;
    if (n_bytes > n_held) {
        device_free(memory);
        memory = NULL;
        n_held = device_alloc(n_bytes, &memory) ? n_bytes : 0;
    }
    return (uint8_t *)memory;
}

void cuda_grid_add(const struct grid *grid, int64_t n, const float *x, double *sum)
{
    CUDA_LAUNCH(add_to_grid, cuda_blocks(n), CUDA_THREADS, *grid, n, x, sum);
}

void cuda_grid_round(const struct grid *grid, int64_t n, double *x)
{
    CUDA_LAUNCH(round_to_grid, cuda_blocks(n), CUDA_THREADS, *grid, n, x);
}

void cuda_grid_add_drawn(int64_t n, double *drawn, double *x)
{
    CUDA_LAUNCH(add_drawn, cuda_blocks(n), CUDA_THREADS, n, drawn, x);
}

void cuda_grid_noise(const struct grid *grid, int64_t n, const uint64_t *bits,
                     const struct grid_source *source, double *x)
{
    int64_t n_pairs = n / 2;
    size_t n_flags = ((size_t)n_pairs + 63) / 64 * 64;
    uint8_t *doubt_here = (uint8_t *)malloc((size_t)n_pairs + 1);
    struct noise *noise = (struct noise *)calloc(1, sizeof *noise);
    size_t list_bytes =
        (size_t)((n_pairs < chunk_pairs ? n_pairs : chunk_pairs) + 1) * sizeof(int32_t);
    int32_t *list = (int32_t *)malloc(list_bytes);
    uint8_t *doubt = n_pairs > 0 ? scratch(n_flags + sizeof noise->exact) : NULL;
    if (doubt_here == NULL || noise == NULL || list == NULL) {
        (void)cuda_check(cudaErrorMemoryAllocation, "grid noise");
    } else if (doubt != NULL) {
        noise->grid = *grid;
        noise->bits = bits;
        noise->source = source;
        noise->x = x;
        noise->exact_on_device = (struct exact *)(void *)(doubt + n_flags);
        CUDA_LAUNCH(add_sure, cuda_blocks(n_pairs), CUDA_THREADS, *grid, n_pairs, bits,
                    x, doubt);
        if (device_download(doubt_here, doubt, (size_t)n_pairs)) {
            add_exact(noise, n_pairs, doubt_here, list);
            explicit_bzero(list, list_bytes);
            explicit_bzero(doubt_here, (size_t)n_pairs);
        }
        /* With it the sum could be had. The next call may be on another stream. */
        (void)device_zero(doubt, n_flags + sizeof noise->exact);
        (void)device_sync();
    }
    if (noise != NULL) {
        explicit_bzero(noise, sizeof *noise);
    }
    free(list);
    free(noise);
    free(doubt_here);
}
