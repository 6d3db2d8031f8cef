/* Twins of gemm.c; cuBLAS's door, in full float precision (no TF32).
 *
 * Floors: gemm and outer_each 2 m n k flops and each operand once; add_bias 8 rows cols
 * bytes; sum_rows 4 rows cols bytes. cuBLAS promises the same bits again only for one
 * stream and one version of it on one kind of device. */
#include "kernels/cuda.h"

static bool blas_check(cublasStatus_t status, const char *what)
{
    return cuda_check(status == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorUnknown,
                      what);
}

/* One a thread, for its life; NULL if there is none. */
static cublasHandle_t blas(void)
{
    static thread_local cublasHandle_t handle;
    if (handle == NULL && !blas_check(cublasCreate(&handle), "start cuBLAS")) {
        return NULL;
    }
    (void)blas_check(cublasSetStream(handle, cuda_stream()), "cuBLAS's stream");
    return handle;
}

static int64_t at_least_1(int64_t x)
{
    return x > 1 ? x : 1;
}

/* cuBLAS is column-major: it is asked for the transpose, op(b)^T op(a)^T. */
void cuda_gemm(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k,
               const float *a, const float *b, float beta, float *c)
{
    cublasHandle_t handle = m > 0 && n > 0 ? blas() : NULL;
    const float one = 1.0f;
    if (handle == NULL) {
        return;
    }
    (void)blas_check(cublasSgemm_64(handle, b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                                    a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k,
                                    &one, b, at_least_1(b_transposed ? k : n), a,
                                    at_least_1(a_transposed ? m : k), &beta, c, n),
                     "gemm");
}

void cuda_outer_each(int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                     const float *g, float *each, int64_t stride)
{
    cublasHandle_t handle = n > 0 && d > 0 && p > 0 ? blas() : NULL;
    const float one = 1.0f, zero = 0.0f;
    if (handle == NULL) {
        return;
    }
    (void)blas_check(cublasSgemmStridedBatched_64(handle, CUBLAS_OP_N, CUBLAS_OP_T, p,
                                                  d, t, &one, g, p, t * p, a, d, t * d,
                                                  &zero, each, p, stride, n),
                     "outer_each");
}

static __global__ void add_bias(int64_t rows, int64_t cols, const float *bias, float *y)
{
    CUDA_EACH(at, rows * cols)
    {
        y[at] += bias[at % cols];
    }
}

/* Few columns of many rows: a block takes WIDTH columns, each by as many threads as
 * are left, which share the rows and are added up as a tree. */
enum { WIDTH = 8, LANES = CUDA_THREADS / WIDTH };

static __global__ void sum_tall(int64_t rows, int64_t cols, const float *x, float *sum)
{
    __shared__ double part[LANES][WIDTH];
    unsigned lane = threadIdx.x / WIDTH, in_block = threadIdx.x % WIDTH;
    CUDA_EACH_BLOCK(block, (cols + WIDTH - 1) / WIDTH)
    {
        int64_t j = block * WIDTH + in_block;
        double total = 0.0;
        for (int64_t i = lane; j < cols && i < rows; i += LANES) {
            total += (double)x[i * cols + j];
        }
        part[lane][in_block] = total;
        __syncthreads();
        for (unsigned half = LANES / 2; half > 0; half /= 2) {
            if (lane < half) {
                part[lane][in_block] += part[lane + half][in_block];
            }
            __syncthreads();
        }
        if (lane == 0 && j < cols) {
            sum[j] = (float)part[0][in_block];
        }
        __syncthreads(); /* part may be written again only when all have read it */
    }
}

/* A thread a column, rows in order. */
static __global__ void sum_rows(int64_t n, int64_t rows, int64_t cols, const float *x,
                                float *sum, int64_t stride)
{
    CUDA_EACH(at, n * cols)
    {
        int64_t example = at / cols, j = at % cols;
        const float *from = x + example * rows * cols + j;
        double total = 0.0;
        for (int64_t i = 0; i < rows; i++) {
            total += (double)from[i * cols];
        }
        sum[example * stride + j] = (float)total;
    }
}

void cuda_add_bias(int64_t rows, int64_t cols, const float *bias, float *y)
{
    CUDA_LAUNCH(add_bias, cuda_blocks(rows * cols), CUDA_THREADS, rows, cols, bias, y);
}

void cuda_sum_rows(int64_t rows, int64_t cols, const float *x, float *sum)
{
    if (rows >= 2 * LANES && cols < 16384) {
        CUDA_LAUNCH(sum_tall, cuda_rows((cols + WIDTH - 1) / WIDTH), CUDA_THREADS, rows,
                    cols, x, sum);
        return;
    }
    cuda_sum_rows_each(1, rows, cols, x, sum, cols);
}

void cuda_sum_rows_each(int64_t n, int64_t rows, int64_t cols, const float *x,
                        float *sum, int64_t stride)
{
    CUDA_LAUNCH(sum_rows, cuda_blocks(n * cols), CUDA_THREADS, n, rows, cols, x, sum,
                stride);
}
