/* Memory, streams and remembered failures: the runtime's door. */
#include "kernels/cuda.h"

#include <stdio.h>
#include <string.h>

static thread_local cudaStream_t current;
static thread_local bool has_failed;
static thread_local char failure[256], taken[256];

cudaStream_t cuda_stream(void)
{
    return current;
}

bool cuda_check(cudaError_t status, const char *what)
{
    if (status == cudaSuccess) {
        return true;
    }
    if (!has_failed) {
        has_failed = true;
        snprintf(failure, sizeof failure, "%s: %s", what, cudaGetErrorString(status));
    }
    return false;
}

extern "C" {

const char *device_error(void)
{
    if (!has_failed) {
        return NULL;
    }
    snprintf(taken, sizeof taken, "%s", failure);
    has_failed = false;
    return taken;
}

int device_count(void)
{
    int n = 0;
    if (cudaGetDeviceCount(&n) != cudaSuccess) {
        (void)cudaGetLastError(); /* having none is an answer, not a failure */
        return 0;
    }
    return n;
}

bool device_use(int device)
{
    current = NULL;
    return cuda_check(cudaSetDevice(device), "choose the device");
}

bool device_alloc(size_t n_bytes, void **ret_memory)
{
    void *memory = NULL;
    if (n_bytes > 0 && !cuda_check(cudaMalloc(&memory, n_bytes), "device memory")) {
        return false;
    }
    *ret_memory = memory;
    return true;
}

void device_free(void *memory)
{
    (void)cuda_check(cudaFree(memory), "free device memory");
}

static bool copy(void *to, const void *from, size_t n_bytes, enum cudaMemcpyKind kind,
                 const char *what)
{
    return n_bytes == 0 ||
           cuda_check(cudaMemcpyAsync(to, from, n_bytes, kind, current), what);
}

bool device_upload(void *to_device, const void *from_host, size_t n_bytes)
{
    return copy(to_device, from_host, n_bytes, cudaMemcpyHostToDevice, "upload") &&
           device_sync();
}

bool device_download(void *to_host, const void *from_device, size_t n_bytes)
{
    return copy(to_host, from_device, n_bytes, cudaMemcpyDeviceToHost, "download") &&
           device_sync();
}

bool device_copy(void *to_device, const void *from_device, size_t n_bytes)
{
    return copy(to_device, from_device, n_bytes, cudaMemcpyDeviceToDevice, "copy");
}

bool device_zero(void *memory, size_t n_bytes)
{
    return n_bytes == 0 ||
           cuda_check(cudaMemsetAsync(memory, 0, n_bytes, current), "zero");
}

bool device_stream_new(void **ret_stream)
{
    cudaStream_t stream;
    if (!cuda_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                    "make a stream")) {
        return false;
    }
    *ret_stream = stream;
    return true;
}

void device_stream_free(void *stream)
{
    (void)cuda_check(cudaStreamDestroy((cudaStream_t)stream), "free a stream");
}

void device_stream_use(void *stream)
{
    current = (cudaStream_t)stream;
}

bool device_sync(void)
{
    return cuda_check(cudaStreamSynchronize(current), "wait for the device") &&
           !has_failed;
}
}

/* memory.h's table; what the functions above return is remembered by cuda_check too. */
static void *memory_alloc(size_t n_bytes)
{
    void *memory = NULL;
    if (!device_alloc(n_bytes + 1, &memory) || !device_zero(memory, n_bytes)) {
        (void)device_error(); /* the caller says so in its own words */
        return NULL;
    }
    return memory;
}

static void *memory_stage(size_t n_bytes)
{
    void *memory = NULL;
    if (cudaMallocHost(&memory, n_bytes + 1) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    memset(memory, 0, n_bytes);
    return memory;
}

static void memory_unstage(void *memory)
{
    if (memory != NULL) {
        (void)cuda_check(cudaFreeHost(memory), "free host memory");
    }
}

static void memory_upload(void *to, const void *from_host, size_t n_bytes)
{
    (void)device_upload(to, from_host, n_bytes);
}

static void memory_download(void *to_host, const void *from, size_t n_bytes)
{
    (void)device_download(to_host, from, n_bytes);
}

static void memory_copy(void *to, const void *from, size_t n_bytes)
{
    (void)device_copy(to, from, n_bytes);
}

static void memory_zero(void *memory, size_t n_bytes)
{
    (void)device_zero(memory, n_bytes);
}

static const char *memory_fault(void)
{
    (void)device_sync();
    return device_error();
}

static const struct memory memory_cuda = {
    .is_host = false,
    .most_examples = 8192,
    .near_bytes = (size_t)1 << 30,
    .beside = &cuda_beside,
    .alloc = memory_alloc,
    .free = device_free,
    .stage = memory_stage,
    .unstage = memory_unstage,
    .upload = memory_upload,
    .download = memory_download,
    .copy = memory_copy,
    .zero = memory_zero,
    .fault = memory_fault,
};

void cuda_set_threads(int n_threads)
{
    (void)n_threads; /* the device has its own */
}

extern "C" const struct kernels kernels_cuda = {
    .name = "cuda",
    .memory = &memory_cuda,
    .set_threads = cuda_set_threads,
    .gemm = cuda_gemm,
    .add_bias = cuda_add_bias,
    .sum_rows = cuda_sum_rows,
    .sum_rows_each = cuda_sum_rows_each,
    .unfold = cuda_unfold,
    .fold = cuda_fold,
    .channels_last = cuda_channels_last,
    .max_pool_forward = cuda_max_pool_forward,
    .max_pool_backward = cuda_max_pool_backward,
    .avg_pool_forward = cuda_avg_pool_forward,
    .avg_pool_backward = cuda_avg_pool_backward,
    .group_norm_forward = cuda_group_norm_forward,
    .group_norm_backward = cuda_group_norm_backward,
    .group_norm_each = cuda_group_norm_each,
    .layer_norm_each = cuda_layer_norm_each,
    .relu_forward = cuda_relu_forward,
    .relu_backward = cuda_relu_backward,
    .tanh_forward = cuda_tanh_forward,
    .tanh_backward = cuda_tanh_backward,
    .squash_forward = cuda_squash_forward,
    .squash_backward = cuda_squash_backward,
    .gelu_forward = cuda_gelu_forward,
    .gelu_backward = cuda_gelu_backward,
    .embed = cuda_embed,
    .embed_norms = cuda_embed_norms,
    .embed_sum = cuda_embed_sum,
    .waves = cuda_waves,
    .mean_forward = cuda_mean_forward,
    .mean_backward = cuda_mean_backward,
    .attention_forward = cuda_attention_forward,
    .attention_backward = cuda_attention_backward,
    .scale = cuda_scale,
    .lstm_forward = cuda_lstm_forward,
    .lstm_backward = cuda_lstm_backward,
    .xent = cuda_xent,
    .mse = cuda_mse,
    .hinge = cuda_hinge,
    .xent_correct = cuda_xent_correct,
    .square_rows = cuda_square_rows,
    .add_square_rows = cuda_add_square_rows,
    .outer_norms = cuda_outer_norms,
    .ghost_square = cuda_ghost_square,
    .ghost_norms = cuda_ghost_norms,
    .outer_each = cuda_outer_each,
    .clip_factors = cuda_clip_factors,
    .auto_factors = cuda_auto_factors,
    .drop_factors = cuda_drop_factors,
    .scale_rows = cuda_scale_rows,
    .drop_rows = cuda_drop_rows,
    .weighted_sum = cuda_weighted_sum,
    .accumulate = cuda_accumulate,
    .add_total = cuda_add_total,
    .add_votes = cuda_add_votes,
    .divide = cuda_divide,
    .random_words = device_random_words,
    .grid_round = cuda_grid_round,
    .grid_add = cuda_grid_add,
    .grid_noise = cuda_grid_noise,
    .grid_add_drawn = cuda_grid_add_drawn,
    .sgd = cuda_sgd,
    .momentum = cuda_momentum,
    .adam = cuda_adam,
    .yogi = cuda_yogi,
};
