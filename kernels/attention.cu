/* Twins of attention.c: a block a query of a head, or a thread a channel of a place.
 * Floors, with T places and n_share = n heads T^2: forward 16 n T c + 4 n_share bytes
 * and 4 n T^2 c flops; backward 32 n T c + 8 n_share bytes and 8 n T^2 c flops (it does
 * 10: the shares' gradients are worked out twice and stored nowhere). Products are
 * summed in float, in order. */
#include "kernels/cuda.h"

#include <math.h>

#include "kernels/fastmath.h"

static __device__ inline bool is_seen(const struct heads &s, const float *ids,
                                      int64_t t, int64_t r)
{
    return (ids == NULL || (ids[t] >= 1.0f && ids[r] >= 1.0f)) &&
           !(s.is_causal && r > t);
}

static __device__ inline float dot(int64_t n, const float *a, const float *b)
{
    float sum = 0.0f;
    for (int64_t j = 0; j < n; j++) {
        sum += a[j] * b[j];
    }
    return sum;
}

static __global__ void forward(struct heads s, int64_t n, const float *ids,
                               const float *x, float *y, float *share)
{
    int64_t places = s.n_places, c = s.c, width = c / s.heads;
    float scale = (float)(1.0 / sqrt((double)width));
    CUDA_EACH_BLOCK(query, n * s.heads * places)
    {
        int64_t t = query % places, h = query / places % s.heads;
        int64_t i = query / places / s.heads;
        const float *own = ids == NULL ? NULL : ids + i * places;
        const float *from = x + i * places * 3 * c + h * width;
        float *row = share + query * places;
        float most = -INFINITY;
        for (int64_t r = threadIdx.x; r < places; r += blockDim.x) {
            row[r] = dot(width, from + t * 3 * c, from + r * 3 * c + c) * scale;
            most = is_seen(s, own, t, r) && row[r] > most ? row[r] : most;
        }
        most = cuda_block_max(most);
        double sum = 0.0;
        for (int64_t r = threadIdx.x; r < places; r += blockDim.x) {
            float e = fastmath_exp_negative(row[r] - most);
            row[r] = is_seen(s, own, t, r) ? e : 0.0f;
            sum += (double)row[r];
        }
        sum = cuda_block_sum(sum);
        float inverse = sum == 0.0 ? 0.0f : (float)(1.0 / sum);
        for (int64_t r = threadIdx.x; r < places; r += blockDim.x) {
            row[r] *= inverse;
        }
        __syncthreads(); /* the row is read by all */
        for (int64_t j = threadIdx.x; j < width; j += blockDim.x) {
            float total = 0.0f;
            for (int64_t r = 0; r < places; r++) {
                total += row[r] * from[r * 3 * c + 2 * c + j];
            }
            y[(i * places + t) * c + h * width + j] = total;
        }
    }
}

/* dv of place r: a thread a channel. */
static __global__ void values(struct heads s, int64_t n, const float *dy,
                              const float *share, float *dx)
{
    int64_t places = s.n_places, c = s.c, width = c / s.heads;
    CUDA_EACH(at, n * places * c)
    {
        int64_t j = at % c, r = at / c % places, i = at / c / places;
        const float *p = share + (i * s.heads + j / width) * places * places + r;
        float total = 0.0f;
        for (int64_t t = 0; t < places; t++) {
            total += p[t * places] * dy[(i * places + t) * c + j];
        }
        dx[(i * places + r) * 3 * c + 2 * c + j] = total;
    }
}

/* The scores' gradients over the shares. */
static __global__ void scores(struct heads s, int64_t n, const float *x,
                              const float *dy, float *share)
{
    int64_t places = s.n_places, c = s.c, width = c / s.heads;
    CUDA_EACH_BLOCK(query, n * s.heads * places)
    {
        int64_t t = query % places, h = query / places % s.heads;
        int64_t i = query / places / s.heads;
        const float *value = x + i * places * 3 * c + 2 * c + h * width;
        const float *out = dy + (i * places + t) * c + h * width;
        float *row = share + query * places;
        double sum = 0.0;
        for (int64_t r = threadIdx.x; r < places; r += blockDim.x) {
            sum += (double)row[r] * (double)dot(width, out, value + r * 3 * c);
        }
        float mean = (float)cuda_block_sum(sum);
        for (int64_t r = threadIdx.x; r < places; r += blockDim.x) {
            float off = dot(width, out, value + r * 3 * c) - mean;
            row[r] = row[r] == 0.0f ? 0.0f : row[r] * off;
        }
    }
}

/* dq and dk of a place from the scores' gradients: a thread a channel. */
static __global__ void queries_and_keys(struct heads s, int64_t n, const float *x,
                                        const float *share, float *dx)
{
    int64_t places = s.n_places, c = s.c, width = c / s.heads;
    float scale = (float)(1.0 / sqrt((double)width));
    CUDA_EACH(at, n * places * c)
    {
        int64_t j = at % c, t = at / c % places, i = at / c / places;
        const float *p = share + (i * s.heads + j / width) * places * places;
        const float *from = x + i * places * 3 * c + j;
        float dq = 0.0f, dk = 0.0f;
        for (int64_t r = 0; r < places; r++) {
            dq += p[t * places + r] * from[r * 3 * c + c];
            dk += p[r * places + t] * from[r * 3 * c];
        }
        float *to = dx + (i * places + t) * 3 * c + j;
        to[0] = dq * scale;
        to[c] = dk * scale;
    }
}

void cuda_attention_forward(const struct heads *heads, int64_t n, const float *ids,
                            const float *x, float *y, float *share)
{
    CUDA_LAUNCH(forward, cuda_rows(n * heads->heads * heads->n_places), CUDA_THREADS,
                *heads, n, ids, x, y, share);
}

void cuda_attention_backward(const struct heads *heads, int64_t n, const float *x,
                             const float *dy, float *share, float *scratch, float *dx)
{
    int64_t n_values = n * heads->n_places * heads->c;
    (void)scratch;
    CUDA_LAUNCH(values, cuda_blocks(n_values), CUDA_THREADS, *heads, n, dy, share, dx);
    CUDA_LAUNCH(scores, cuda_rows(n * heads->heads * heads->n_places), CUDA_THREADS,
                *heads, n, x, dy, share);
    CUDA_LAUNCH(queries_and_keys, cuda_blocks(n_values), CUDA_THREADS, *heads, n, x,
                share, dx);
}
