#include "kernels/ring.h"

#include <string.h>

#include "kernels/cpu.h"

enum { PIECE = 4096 }; /* words of a mask at a time: they stay in the nearest cache */

CPU_CLONES
void ring_add(uint32_t *acc, const uint32_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        acc[i] += x[i];
    }
}

CPU_CLONES
void ring_sub(uint32_t *acc, const uint32_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        acc[i] -= x[i];
    }
}

void ring_mask(uint32_t *acc, size_t n, bool is_minus,
               void (*random)(void *state, uint32_t *ret_words, size_t n), void *state)
{
    uint32_t words[PIECE];
    for (size_t i = 0; i < n; i += PIECE) {
        size_t n_here = n - i < PIECE ? n - i : PIECE;
        random(state, words, n_here);
        if (is_minus) {
            ring_sub(acc + i, words, n_here);
        } else {
            ring_add(acc + i, words, n_here);
        }
    }
    /* Masks are secrets; the barrier keeps the compiler from dropping the zeros. */
    memset(words, 0, sizeof words);
    __asm__ volatile("" : : "r"(words) : "memory");
}

size_t ring_size_bytes(size_t n, int n_bits)
{
    return (n * (size_t)n_bits + 7) / 8;
}

static uint32_t low_bits(int n_bits)
{
    return UINT32_MAX >> (RING_MAX_BITS - n_bits);
}

void ring_pack(const uint32_t *x, size_t n, int n_bits, unsigned char *ret_bytes)
{
    const uint32_t keep = low_bits(n_bits);
    uint64_t held = 0;
    int n_held = 0;
    for (size_t i = 0; i < n; i++) {
        held |= (uint64_t)(x[i] & keep) << n_held;
        n_held += n_bits;
        for (; n_held >= 8; n_held -= 8) {
            *ret_bytes++ = (unsigned char)held;
            held >>= 8;
        }
    }
    if (n_held > 0) {
        *ret_bytes = (unsigned char)held;
    }
}

bool ring_add_packed(uint32_t *acc, size_t n, int n_bits, const unsigned char *bytes)
{
    const uint32_t keep = low_bits(n_bits);
    const size_t n_spare = 8 * ring_size_bytes(n, n_bits) - n * (size_t)n_bits;
    uint64_t held = 0;
    int n_held = 0;
    if (n > 0 && n_spare > 0 &&
        bytes[ring_size_bytes(n, n_bits) - 1] >> (8 - n_spare) != 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        for (; n_held < n_bits; n_held += 8) {
            held |= (uint64_t)*bytes++ << n_held;
        }
        acc[i] += (uint32_t)held & keep;
        held >>= n_bits;
        n_held -= n_bits;
    }
    return true;
}
