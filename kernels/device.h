/* A CUDA device's memory and streams, and kernels_cuda: the table of kernels.h with
 * device pointers.
 *
 * Arrays that a slot reads or writes lie in device memory; structs (window, grouping,
 * grid, optim, grid_source) and what is returned lie on the host. Scratch of unfold and
 * fold is not used and may be NULL. Calls are queued on the calling thread's stream;
 * xent_correct and grid_noise wait for it, the others return at once. NaN and Inf
 * rules, and bounds, are those of kernels.h.
 * Errors: slots return nothing, so the first failure of a thread is remembered until
 * device_error takes it; after one, results are undefined. Call device_sync before
 * results are used and stop where it is false.
 * Threads: each thread has its own current stream and its own remembered failure.
 */
#ifndef PPT_KERNELS_DEVICE_H
#define PPT_KERNELS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

extern const struct kernels kernels_cuda;

/* What the module ppt-kernels-cuda.so hands out, under the name ppt_device_module. It
 * and the program that opens it are of one build, or the tables differ. */
struct device_module {
    const char *version; /* PPT_VERSION */
    size_t n_bytes;      /* sizeof(struct kernels) */
    const struct kernels *kernels;
    int (*count)(void); /* device_count, and so on */
    bool (*use)(int device);
    const char *(*error)(void);
};
#define DEVICE_MODULE_SYMBOL "ppt_device_module"

/* Devices that can be used; 0 where there is no device or no driver. */
int device_count(void);

/* The device of the calling thread, its default stream current. False if it fails. */
bool device_use(int device);

/* n_bytes of device memory, freed by device_free; NULL where n_bytes is 0. False if
 * there is not so much. */
bool device_alloc(size_t n_bytes, void **ret_memory);
void device_free(void *memory);

/* Copies on the thread's stream. Host memory may be reused when these return. False if
 * the copy, or anything before it on the stream, failed. */
bool device_upload(void *to_device, const void *from_host, size_t n_bytes);
bool device_download(void *to_host, const void *from_device, size_t n_bytes);

/* Queued only: both ends in device memory; zeros, also to wipe secrets. */
bool device_copy(void *to_device, const void *from_device, size_t n_bytes);
bool device_zero(void *memory, size_t n_bytes);

/* A stream beside the default one (made: *ret_stream, freed by device_stream_free), and
 * the current one of the calling thread (NULL: the default). */
bool device_stream_new(void **ret_stream);
void device_stream_free(void *stream);
void device_stream_use(void *stream);

/* Waits for the thread's stream. False if anything on it failed. */
bool device_sync(void);

/* What failed first on the calling thread since the last call, in words; NULL if
 * nothing. The text is the thread's own until its next call. */
const char *device_error(void);

/* words[n] (device memory, n <= 2^35) of the ChaCha20 stream (RFC 8439) with this key:
 * the nonce's first 4 bytes are `stream`, the other 8 `step`, little-endian, and word
 * i, little-endian too, is bytes 8 i .. 8 i + 7 of the stream from block counter 0. A
 * (key, stream, step) must never be used twice. Floor: 8 n bytes written, about 60
 * integer operations a word. The key is passed to the device by value; wipe yours. */
void device_random_words(const uint8_t key[32], uint32_t stream, uint64_t step,
                         int64_t n, uint64_t *words);

/* For each row of each[n, len]: norm, clip factor (clip_factors, no slack) and, added
 * to sum[len], factor times row: square_rows, clip_factors, weighted_sum and accumulate
 * of kernels.h in two launches. factor[n] is set. Floor: 8 n len bytes read (the rows
 * twice), 4 n len flops. */
void device_clip_accumulate(int64_t n, int64_t len, double clip, const float *each,
                            float *factor, double *sum);

#endif
