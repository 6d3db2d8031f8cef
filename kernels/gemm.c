/* OpenBLAS's door. */
#include "kernels/cpu.h"

#include <cblas.h>
#include <string.h>

void gemm_set_threads(int n_threads)
{
    openblas_set_num_threads(n_threads);
}

void gemm_f32(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
              const float *a, const float *b, float beta, float *c)
{
    cblas_sgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
                b_transposed ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n,
                (blasint)k, 1.0f, a, (blasint)(a_transposed ? m : k), b,
                (blasint)(b_transposed ? k : n), beta, c, (blasint)n);
}

void gemm_part(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
               float scale, const float *a, int64_t a_stride, const float *b,
               int64_t b_stride, float *c, int64_t c_stride)
{
    cblas_sgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
                b_transposed ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n,
                (blasint)k, scale, a, (blasint)a_stride, b, (blasint)b_stride, 0.0f, c,
                (blasint)c_stride);
}

void gemm_outer_each(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                     const float *g, float *each, int64_t stride)
{
    for (int64_t i = 0; i < n; i++) {
        gemm_f32(true, false, d, p, t, a + i * t * d, g + i * t * p, 0.0f,
                 each + i * stride);
    }
}

CPU_CLONES void gemm_add_bias(int64_t rows, int64_t cols, const float *bias, float *y)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            y[i * cols + j] += bias[j];
        }
    }
}

CPU_CLONES void gemm_sum_rows(int64_t rows, int64_t cols, const float *x, float *sum)
{
    enum { BLOCK = 64 };
    for (int64_t j0 = 0; j0 < cols; j0 += BLOCK) {
        int64_t width = cols - j0 < BLOCK ? cols - j0 : BLOCK;
        double block[BLOCK] = {0};
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < width; j++) {
                block[j] += (double)x[i * cols + j0 + j];
            }
        }
        for (int64_t j = 0; j < width; j++) {
            sum[j0 + j] = (float)block[j];
        }
    }
}

void gemm_sum_rows_each(int64_t n, int64_t rows, int64_t cols, const float *x,
                        float *sum, int64_t stride)
{
    for (int64_t i = 0; i < n; i++) {
        gemm_sum_rows(rows, cols, x + i * rows * cols, sum + i * stride);
    }
}
