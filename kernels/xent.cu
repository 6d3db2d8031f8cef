/* Twins of xent.c: a block a row, a small one where rows are short. Floors: xent 8 n
 * classes bytes; xent_correct 4 n classes bytes. */
#include "kernels/cuda.h"

#include <math.h>

#include "kernels/fastmath.h"

static __global__ void xent(int64_t n, int64_t classes, const float *logits,
                            const int32_t *label, float *grad, double *loss)
{
    CUDA_EACH_BLOCK(i, n)
    {
        const float *row = logits + i * classes;
        float max = -INFINITY;
        for (int64_t j = threadIdx.x; j < classes; j += blockDim.x) {
            max = row[j] > max ? row[j] : max;
        }
        max = cuda_block_max(max);
        double sum = 0.0;
        for (int64_t j = threadIdx.x; j < classes; j += blockDim.x) {
            sum += (double)fastmath_exp_negative(row[j] - max);
        }
        sum = cuda_block_sum(sum);
        float inverse = (float)(1.0 / sum);
        for (int64_t j = threadIdx.x; grad != NULL && j < classes; j += blockDim.x) {
            float share = fastmath_exp_negative(row[j] - max) * inverse;
            grad[i * classes + j] = share - (j == label[i] ? 1.0f : 0.0f);
        }
        if (loss != NULL && threadIdx.x == 0) {
            bool is_class = label[i] >= 0 && label[i] < classes;
            loss[i] = log(sum) - (double)((is_class ? row[label[i]] : NAN) - max);
        }
    }
}

/* One block; a thread a row. The count is a whole number below 2^53: exact. */
static __global__ void count_correct(int64_t n, int64_t classes, const float *logits,
                                     const int32_t *label, double *n_correct)
{
    double mine = 0.0;
    CUDA_EACH(i, n)
    {
        const float *row = logits + i * classes;
        int64_t best = 0;
        bool is_number = row[0] == row[0];
        for (int64_t j = 1; j < classes; j++) {
            best = row[j] > row[best] ? j : best;
            is_number = is_number && row[j] == row[j];
        }
        mine += is_number && best == label[i] ? 1.0 : 0.0;
    }
    mine = cuda_block_sum(mine);
    if (threadIdx.x == 0) {
        *n_correct = mine;
    }
}

void cuda_xent(int64_t n, int64_t classes, const float *logits, const int32_t *label,
               float *grad, double *loss)
{
    CUDA_LAUNCH(xent, cuda_rows(n), classes <= 64 ? 32 : CUDA_THREADS, n, classes,
                logits, label, grad, loss);
}

int64_t cuda_xent_correct(int64_t n, int64_t classes, const float *logits,
                          const int32_t *label)
{
    double n_correct = 0.0;
    void *count = NULL;
    if (!device_alloc(sizeof n_correct, &count)) {
        return 0;
    }
    CUDA_LAUNCH(count_correct, 1, CUDA_THREADS, n, classes, logits, label,
                (double *)count);
    (void)device_download(&n_correct, count, sizeof n_correct);
    device_free(count);
    return (int64_t)n_correct;
}
