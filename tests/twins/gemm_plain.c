/* The products of kernels/gemm.c as plain loops in double: a reference that needs no
 * OpenBLAS. */
#include "kernels/cpu.h"

void gemm_set_threads(int n_threads)
{
    (void)n_threads;
}

const char *gemm_core(void)
{
    return "plain loops";
}

void gemm_part(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
               float scale, const float *a, int64_t a_stride, const float *b,
               int64_t b_stride, float *c, int64_t c_stride)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (int64_t l = 0; l < k; l++) {
                sum +=
                    (double)(a_transposed ? a[l * a_stride + i] : a[i * a_stride + l]) *
                    (double)(b_transposed ? b[j * b_stride + l] : b[l * b_stride + j]);
            }
            c[i * c_stride + j] = (float)(sum * (double)scale);
        }
    }
}

void gemm_f32(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
              const float *a, const float *b, float beta, float *c)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = beta == 0.0f ? 0.0 : (double)beta * (double)c[i * n + j];
            for (int64_t l = 0; l < k; l++) {
                sum += (double)(a_transposed ? a[l * m + i] : a[i * k + l]) *
                       (double)(b_transposed ? b[j * k + l] : b[l * n + j]);
            }
            c[i * n + j] = (float)sum;
        }
    }
}

void gemm_outer_each(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                     const float *g, float *each, int64_t stride)
{
    for (int64_t i = 0; i < n; i++) {
        gemm_f32(true, false, d, p, t, a + i * t * d, g + i * t * p, 0.0f,
                 each + i * stride);
    }
}

void gemm_add_bias(int64_t rows, int64_t cols, const float *bias, float *y)
{
    for (int64_t i = 0; i < rows * cols; i++) {
        y[i] += bias[i % cols];
    }
}

void gemm_sum_rows(int64_t rows, int64_t cols, const float *x, float *sum)
{
    for (int64_t j = 0; j < cols; j++) {
        double total = 0.0;
        for (int64_t i = 0; i < rows; i++) {
            total += (double)x[i * cols + j];
        }
        sum[j] = (float)total;
    }
}

void gemm_sum_rows_each(int64_t n, int64_t rows, int64_t cols, const float *x,
                        float *sum, int64_t stride)
{
    for (int64_t i = 0; i < n; i++) {
        gemm_sum_rows(rows, cols, x + i * rows * cols, sum + i * stride);
    }
}
