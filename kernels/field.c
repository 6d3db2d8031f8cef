#include "kernels/field.h"

#include <string.h>

/* p - 2 = 2^61 - 3: sixty bits, all set but that of 2. */
uint64_t field_inverse(uint64_t a)
{
    uint64_t power = 1;
    for (int bit = 60; bit >= 0; bit--) {
        power = field_mul(power, power);
        if (bit != 1) {
            power = field_mul(power, a); /* the exponent is public */
        }
    }
    return power;
}

void field_pack(const void *bytes, size_t len, uint64_t *ret_words)
{
    const unsigned char *from = bytes;
    memset(ret_words, 0, FIELD_WORDS(len) * sizeof *ret_words);
    for (size_t i = 0; i < len; i++) {
        ret_words[i / FIELD_BYTES] |= (uint64_t)from[i] << (8 * (i % FIELD_BYTES));
    }
}

bool field_unpack(const uint64_t *words, size_t len, void *ret_bytes)
{
    unsigned char *to = ret_bytes;
    uint64_t excess = 0;
    for (size_t i = 0; i < len; i++) {
        to[i] = (unsigned char)(words[i / FIELD_BYTES] >> (8 * (i % FIELD_BYTES)));
    }
    for (size_t w = 0; w < FIELD_WORDS(len); w++) {
        size_t n = len - w * FIELD_BYTES;
        excess |= words[w] >> (8 * (n < FIELD_BYTES ? n : FIELD_BYTES));
    }
    if (excess != 0) {
        memset(to, 0, len);
    }
    return excess == 0;
}
