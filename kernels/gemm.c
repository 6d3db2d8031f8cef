/* OpenBLAS's door. */
#include "kernels/cpu.h"

#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Not in its header, and not in every build of it. */
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));

const char *gemm_core_wanted(const char *found, bool has_v3, bool has_v4)
{
    if (strcmp(found, "Prescott") != 0) {
        return NULL;
    }
    return has_v4 ? "SkylakeX" : has_v3 ? "Haswell" : NULL;
}

#if defined(__x86_64__) && defined(__GNUC__)
static bool has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#else
static bool has_v3(void)
{
    return false;
}

static bool has_v4(void)
{
    return false;
}
#endif

/* OpenBLAS knows CPUs by their model numbers; one that is newer than the library gets
 * kernels of 2004, up to six times slower. It is made to choose again by features. */
static void choose_core(void)
{
    static const char variable[] = "OPENBLAS_CORETYPE";
    const char *wanted = gemm_core_wanted(openblas_get_corename(), has_v3(), has_v4());
    if (wanted == NULL || gotoblas_dynamic_init == NULL ||
        gotoblas_dynamic_quit == NULL || getenv(variable) != NULL) {
        return;
    }
    setenv(variable, wanted, 1);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv(variable);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

void gemm_set_threads(int n_threads)
{
    pthread_once(&once, choose_core);
    openblas_set_num_threads(n_threads);
}

const char *gemm_core(void)
{
    pthread_once(&once, choose_core);
    return openblas_get_corename();
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
