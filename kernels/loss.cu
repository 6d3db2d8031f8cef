/* Twins of loss.c: a block a row, a small one where rows are short. Floors: 8 n classes
 * bytes. */
#include "kernels/cuda.h"

#include <math.h>

static __global__ void mse(int64_t n, int64_t classes, const float *logits,
                           const int32_t *label, float *grad, double *loss)
{
    CUDA_EACH_BLOCK(i, n)
    {
        const float *row = logits + i * classes;
        double sum = 0.0;
        for (int64_t j = threadIdx.x; j < classes; j += blockDim.x) {
            float off = row[j] - (j == label[i] ? 1.0f : 0.0f);
            sum += (double)off * (double)off;
            if (grad != NULL) {
                grad[i * classes + j] = off * (2.0f / (float)classes);
            }
        }
        sum = cuda_block_sum(sum);
        if (loss != NULL && threadIdx.x == 0) {
            bool is_class = label[i] >= 0 && label[i] < classes;
            loss[i] = is_class ? sum / (double)classes : NAN;
        }
    }
}

static __global__ void hinge(int64_t n, int64_t classes, const float *logits,
                             const int32_t *label, float *grad, double *loss)
{
    float share = 1.0f / (float)classes;
    CUDA_EACH_BLOCK(i, n)
    {
        const float *row = logits + i * classes;
        bool is_class = label[i] >= 0 && label[i] < classes;
        float right = is_class ? row[label[i]] : NAN;
        double sum = 0.0, n_near = 0.0;
        for (int64_t j = threadIdx.x; j < classes; j += blockDim.x) {
            double margin = 1.0 - (double)right + (double)row[j];
            double slope = margin > 0.0 ? 1.0 : margin <= 0.0 ? 0.0 : margin;
            bool is_other = j != label[i];
            sum += is_other && margin > 0.0 ? margin : is_other ? slope : 0.0;
            n_near += is_other ? slope : 0.0;
            if (grad != NULL && is_other) {
                grad[i * classes + j] = (float)slope * share;
            }
        }
        sum = cuda_block_sum(sum);
        n_near = cuda_block_sum(n_near);
        if (grad != NULL && is_class && threadIdx.x == 0) {
            grad[i * classes + label[i]] = (float)-n_near * share;
        }
        if (loss != NULL && threadIdx.x == 0) {
            loss[i] = sum / (double)classes;
        }
    }
}

void cuda_mse(int64_t n, int64_t classes, const float *logits, const int32_t *label,
              float *grad, double *loss)
{
    CUDA_LAUNCH(mse, cuda_rows(n), classes <= 64 ? 32 : CUDA_THREADS, n, classes,
                logits, label, grad, loss);
}

void cuda_hinge(int64_t n, int64_t classes, const float *logits, const int32_t *label,
                float *grad, double *loss)
{
    CUDA_LAUNCH(hinge, cuda_rows(n), classes <= 64 ? 32 : CUDA_THREADS, n, classes,
                logits, label, grad, loss);
}
