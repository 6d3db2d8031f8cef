/* The ChaCha20 stream of RFC 8439, section 2.3: a thread a block of 64 bytes. No branch
 * and no address depends on the key or the stream. */
#include "kernels/cuda.h"

struct chacha_input {
    uint32_t key[8];
    uint32_t nonce[3];
};

static __device__ inline uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static __device__ inline void quarter(uint32_t &a, uint32_t &b, uint32_t &c,
                                      uint32_t &d)
{
    a += b;
    d = rotate(d ^ a, 16);
    c += d;
    b = rotate(b ^ c, 12);
    a += b;
    d = rotate(d ^ a, 8);
    c += d;
    b = rotate(b ^ c, 7);
}

static __device__ inline void chacha_block(const struct chacha_input &in,
                                           uint32_t counter, uint32_t x[16])
{
    const uint32_t start[16] = {0x61707865, 0x3320646e,  0x79622d32,  0x6b206574,
                                in.key[0],  in.key[1],   in.key[2],   in.key[3],
                                in.key[4],  in.key[5],   in.key[6],   in.key[7],
                                counter,    in.nonce[0], in.nonce[1], in.nonce[2]};
#pragma unroll
    for (int i = 0; i < 16; i++) {
        x[i] = start[i];
    }
    for (int round = 0; round < 10; round++) {
        quarter(x[0], x[4], x[8], x[12]);
        quarter(x[1], x[5], x[9], x[13]);
        quarter(x[2], x[6], x[10], x[14]);
        quarter(x[3], x[7], x[11], x[15]);
        quarter(x[0], x[5], x[10], x[15]);
        quarter(x[1], x[6], x[11], x[12]);
        quarter(x[2], x[7], x[8], x[13]);
        quarter(x[3], x[4], x[9], x[14]);
    }
#pragma unroll
    for (int i = 0; i < 16; i++) {
        x[i] += start[i];
    }
}

static __global__ void random_words(struct chacha_input in, int64_t n, uint64_t *words)
{
    CUDA_EACH(block, (n + 7) / 8)
    {
        uint32_t x[16];
        chacha_block(in, (uint32_t)block, x);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (8 * block + i < n) {
                words[8 * block + i] = (uint64_t)x[2 * i + 1] << 32 | x[2 * i];
            }
        }
    }
}

static uint32_t little_endian(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

extern "C" void device_random_words(const uint8_t key[32], uint32_t stream,
                                    uint64_t step, int64_t n, uint64_t *words)
{
    struct chacha_input in;
    if (n < 0 || n > (int64_t)1 << 35) { /* the counter would begin again */
        (void)cuda_check(cudaErrorInvalidValue, "random words: more than 2^35");
        return;
    }
    for (int i = 0; i < 8; i++) {
        in.key[i] = little_endian(key + 4 * i);
    }
    in.nonce[0] = stream;
    in.nonce[1] = (uint32_t)step;
    in.nonce[2] = (uint32_t)(step >> 32);
    CUDA_LAUNCH(random_words, cuda_blocks((n + 7) / 8), CUDA_THREADS, in, n, words);
    volatile uint32_t *secret = in.key;
    for (int i = 0; i < 8; i++) {
        secret[i] = 0;
    }
}
