#include "base/keystream.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <string.h>

#define WIDE __attribute__((target("aes,vaes,avx2")))

/* Registers, not arrays: so the loops below are unrolled. */
enum { KEY_WORDS = 8, PAIRS = 8 }; /* so many pairs of blocks hide the latency */

bool keystream_is_there(void)
{
    return __builtin_cpu_supports("vaes") && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("aes");
}

/* The S-box on each byte of a word, and the same with the bytes turned by one. */
WIDE static uint32_t sub_word(uint32_t word, bool is_turned)
{
    __m128i both = _mm_aeskeygenassist_si128(_mm_set1_epi32((int)word), 0);
    return (uint32_t)(is_turned ? _mm_extract_epi32(both, 1) : _mm_cvtsi128_si32(both));
}

WIDE void keystream_set_key(struct keystream *keystream, const unsigned char key[32])
{
    uint32_t word[4 * (KEYSTREAM_ROUNDS + 1)], constant = 1;
    memcpy(word, key, KEY_WORDS * sizeof *word);
    for (int i = KEY_WORDS; i < 4 * (KEYSTREAM_ROUNDS + 1); i++) {
        uint32_t last = word[i - 1];
        if (i % KEY_WORDS == 0) {
            last = sub_word(last, true) ^ constant;
            constant *= 2;
        } else if (i % KEY_WORDS == KEY_WORDS / 2) {
            last = sub_word(last, false);
        }
        word[i] = word[i - KEY_WORDS] ^ last;
    }
    for (int round = 0; round <= KEYSTREAM_ROUNDS; round++) {
        memcpy(keystream->round_key[round], word + 4 * round, KEYSTREAM_BLOCK);
        memcpy(keystream->round_key[round] + KEYSTREAM_BLOCK, word + 4 * round,
               KEYSTREAM_BLOCK);
    }
    memset(word, 0, sizeof word);
    __asm__ volatile("" : : "r"(word) : "memory");
}

WIDE static inline __m256i key_of(const struct keystream *keystream, int round)
{
    return _mm256_loadu_si256((const __m256i *)keystream->round_key[round]);
}

/* n pairs of blocks, a number that the compiler knows. counter: of the next two blocks,
 * each as two 64-bit words, the lower first; it does not carry into the upper. */
WIDE static inline __attribute__((always_inline)) void
make_pairs(const struct keystream *keystream, int n, __m256i *counter,
           unsigned char *ret)
{
    const __m256i turn = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    const __m256i two = _mm256_setr_epi64x(2, 0, 2, 0);
    __m256i state[PAIRS];
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        state[i] =
            _mm256_xor_si256(_mm256_shuffle_epi8(*counter, turn), key_of(keystream, 0));
        *counter = _mm256_add_epi64(*counter, two);
    }
#pragma GCC unroll 16
    for (int round = 1; round < KEYSTREAM_ROUNDS; round++) {
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
            state[i] = _mm256_aesenc_epi128(state[i], key_of(keystream, round));
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        state[i] =
            _mm256_aesenclast_epi128(state[i], key_of(keystream, KEYSTREAM_ROUNDS));
        _mm256_storeu_si256((__m256i *)(ret + 2 * KEYSTREAM_BLOCK * i), state[i]);
    }
    /* keys are loaded anew each time: copies that the compiler kept on the stack would
     * not be wiped */
    __asm__ volatile("" : : : "memory");
}

/* The same, where the lower word does not pass 2^64. */
WIDE static void make_run(const struct keystream *keystream, uint64_t high,
                          uint64_t low, size_t n_blocks, unsigned char *ret)
{
    __m256i counter = _mm256_setr_epi64x((long long)low, (long long)high,
                                         (long long)(low + 1), (long long)high);
    for (; n_blocks >= 2 * PAIRS; n_blocks -= 2 * PAIRS) {
        make_pairs(keystream, PAIRS, &counter, ret);
        ret += 2 * PAIRS * KEYSTREAM_BLOCK;
    }
    for (; n_blocks >= 2; n_blocks -= 2) {
        make_pairs(keystream, 1, &counter, ret);
        ret += 2 * KEYSTREAM_BLOCK;
    }
    if (n_blocks == 1) {
        unsigned char last[2 * KEYSTREAM_BLOCK];
        make_pairs(keystream, 1, &counter, last);
        memcpy(ret, last, KEYSTREAM_BLOCK);
        memset(last, 0, sizeof last);
        __asm__ volatile("" : : "r"(last) : "memory");
    }
}

void keystream_blocks(const struct keystream *keystream, uint64_t high, uint64_t low,
                      size_t n_blocks, unsigned char *ret)
{
    uint64_t to_carry = 0 - low; /* blocks before the lower word is 0 again; 0: 2^64 */
    size_t n = to_carry > 0 && to_carry < n_blocks ? (size_t)to_carry : n_blocks;
    make_run(keystream, high, low, n, ret);
    if (n < n_blocks) {
        make_run(keystream, high + 1, 0, n_blocks - n, ret + n * KEYSTREAM_BLOCK);
    }
}

#else

#include <stdlib.h>

bool keystream_is_there(void)
{
    return false;
}

void keystream_set_key(struct keystream *keystream, const unsigned char key[32])
{
    (void)keystream, (void)key;
    abort();
}

void keystream_blocks(const struct keystream *keystream, uint64_t high, uint64_t low,
                      size_t n_blocks, unsigned char *ret)
{
    (void)keystream, (void)high, (void)low, (void)n_blocks, (void)ret;
    abort();
}

#endif
