/* Stands in for CUDA on the CPU, for tests: kernels/[name].cu compiled as C++ with this
 * header in front runs a launch's blocks one after the other and a block's threads as
 * fibers, which change over at __syncthreads. The order of threads turns round at every
 * barrier and every other launch, so that a missing barrier is noticed. Device memory
 * is memory of malloc: AddressSanitizer watches it. Shared memory
 * keeps what the last block left, as it may on a device. The arithmetic is the host
 * compiler's. One host thread only.
 *
 * What is put in a stream runs when PPT_SIMT_ORDER says, so that a missing wait gives
 * wrong numbers in one order or the other (simt_streams.cc):
 *   late (or unset)  as late as may be: when the host waits for it, or a stream that
 *                    runs waits for an event of it
 *   late-first       the default stream as late as may be, others at once, or as soon
 *                    as the events are there that they wait for
 *   late-others      the other way round
 *   mixed            late, but when a stream runs others may run in between, as a die
 *                    says that falls the same every time
 */
#ifndef PPT_TESTS_TWINS_SIMT_H
#define PPT_TESTS_TWINS_SIMT_H

#define PPT_SIMT 1

#include <functional>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define __global__
#define __device__
#define __shared__ static

struct simt_index {
    unsigned x;
};
extern struct simt_index threadIdx, blockIdx, blockDim, gridDim;

void __syncthreads(void);

/* simt.cc */
void simt_launch(unsigned n_blocks, unsigned n_threads,
                 const std::function<void()> &kernel);

/* simt_streams.cc */
typedef struct simt_stream *cudaStream_t; /* NULL: the default one */
void simt_put(cudaStream_t stream, std::function<void()> work);

/* Arguments are copied at the launch, as on a device. */
template <typename... Types>
static inline void simt_start(cudaStream_t stream, void (*kernel)(Types...),
                              unsigned n_blocks, unsigned n_threads, Types... args)
{
    simt_put(stream,
             [=] { simt_launch(n_blocks, n_threads, [=] { kernel(args...); }); });
}

template <typename T> struct simt_same {
    typedef T type;
};
template <typename... Types>
static inline void simt_call(cudaStream_t stream, void (*kernel)(Types...),
                             unsigned n_blocks, unsigned n_threads,
                             typename simt_same<Types>::type... args)
{
    simt_start<Types...>(stream, kernel, n_blocks, n_threads, args...);
}

#define CUDA_LAUNCH(kernel, n_blocks, n_threads, ...)                                  \
    simt_call(cuda_stream(), kernel, (unsigned)(n_blocks), (unsigned)(n_threads),      \
              __VA_ARGS__)

/* The runtime: malloc, memcpy, streams of closures. */
enum cudaError_t {
    cudaSuccess,
    cudaErrorInvalidValue,
    cudaErrorMemoryAllocation,
    cudaErrorUnknown
};
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice
};
enum { cudaStreamNonBlocking };
enum { cudaEventDisableTiming };
typedef struct simt_event *cudaEvent_t;

static inline const char *cudaGetErrorString(cudaError_t status)
{
    return status == cudaErrorMemoryAllocation ? "out of memory" : "failed";
}

static inline cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

static inline cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 1;
    return cudaSuccess;
}

static inline cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : cudaErrorInvalidValue;
}

static inline cudaError_t cudaMalloc(void **memory, size_t n_bytes)
{
    *memory = n_bytes < (size_t)1 << 40 ? malloc(n_bytes) : NULL;
    return *memory == NULL ? cudaErrorMemoryAllocation : cudaSuccess;
}

static inline cudaError_t cudaMallocHost(void **memory, size_t n_bytes)
{
    return cudaMalloc(memory, n_bytes);
}

/* Nobody promises that this waits: a copy that is still to come is a use after free. */
static inline cudaError_t cudaFreeHost(void *memory)
{
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory); /* waits for all streams first */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n_bytes,
                            enum cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *memory, int value, size_t n_bytes,
                            cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);

/* cuBLAS: column-major plain loops, so that kernels/gemm.cu's shapes are tested. */
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
struct simt_blas {
    cudaStream_t stream;
};
typedef struct simt_blas *cublasHandle_t;

static inline cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    static struct simt_blas blas;
    *handle = &blas;
    return CUBLAS_STATUS_SUCCESS;
}

static inline cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

static inline void simt_gemm(cublasOperation_t op_a, cublasOperation_t op_b, int64_t m,
                             int64_t n, int64_t k, float alpha, const float *a,
                             int64_t lda, const float *b, int64_t ldb, float beta,
                             float *c, int64_t ldc)
{
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < m; i++) {
            double sum = 0.0;
            for (int64_t l = 0; l < k; l++) {
                sum += (double)(op_a == CUBLAS_OP_N ? a[i + l * lda] : a[l + i * lda]) *
                       (double)(op_b == CUBLAS_OP_N ? b[l + j * ldb] : b[j + l * ldb]);
            }
            float old = beta == 0.0f ? 0.0f : beta * c[i + j * ldc];
            c[i + j * ldc] = (float)((double)alpha * sum) + old;
        }
    }
}

/* alpha and beta are read at the call, as from host memory on a device. */
static inline cublasStatus_t
cublasSgemm_64(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
               int64_t m, int64_t n, int64_t k, const float *alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, const float *beta, float *c,
               int64_t ldc)
{
    float by = *alpha, old = *beta;
    simt_put(handle->stream,
             [=] { simt_gemm(op_a, op_b, m, n, k, by, a, lda, b, ldb, old, c, ldc); });
    return CUBLAS_STATUS_SUCCESS;
}

static inline cublasStatus_t cublasSgemmStridedBatched_64(
    cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int64_t m,
    int64_t n, int64_t k, const float *alpha, const float *a, int64_t lda,
    int64_t stride_a, const float *b, int64_t ldb, int64_t stride_b, const float *beta,
    float *c, int64_t ldc, int64_t stride_c, int64_t n_batch)
{
    for (int64_t i = 0; i < n_batch; i++) {
        cublasSgemm_64(handle, op_a, op_b, m, n, k, alpha, a + i * stride_a, lda,
                       b + i * stride_b, ldb, beta, c + i * stride_c, ldc);
    }
    return CUBLAS_STATUS_SUCCESS;
}

#endif
