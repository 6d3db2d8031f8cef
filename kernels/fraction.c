#include "kernels/fraction.h"

#include <string.h>

enum {
    SQUARINGS = 20, /* exp(-x) is the 2^20th power of exp(-x 2^-20) */
    EXP_TERMS = 14, /* of the latter: samplers.md */
    RATE_PLACES = 320,
};

/* The product, rounded down to 256 places. */
static struct fraction mul(const struct fraction *x, const struct fraction *y)
{
    uint64_t product[8] = {0};
    struct fraction upper;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        unsigned __int128 carry = 0;
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            carry += (unsigned __int128)x->limb[i] * y->limb[j] + product[i + j];
            product[i + j] = (uint64_t)carry;
            carry >>= 64;
        }
        product[i + 4] = (uint64_t)carry;
    }
    memcpy(&upper, product + 4, sizeof upper);
    return upper;
}

/* x - y modulo 1, and whether that borrowed: x < y. */
static uint64_t subtract(struct fraction *x, const struct fraction *y)
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        unsigned __int128 difference =
            (unsigned __int128)x->limb[i] - y->limb[i] - borrow;
        x->limb[i] = (uint64_t)difference;
        borrow = (uint64_t)(difference >> 64) & 1;
    }
    return borrow;
}

uint64_t fraction_is_less(const struct fraction *x, const struct fraction *y)
{
    struct fraction difference = *x;
    return subtract(&difference, y);
}

struct fraction fraction_add(struct fraction x, const struct fraction *y)
{
    unsigned __int128 carry = 0;
    for (int i = 0; i < 4; i++) {
        carry += (unsigned __int128)x.limb[i] + y->limb[i];
        x.limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    return x;
}

/* 1 - x, less 2^-256. */
static void complement(struct fraction *x)
{
    for (int i = 0; i < 4; i++) {
        x->limb[i] = ~x->limb[i];
    }
}

/* 1 / k rounded down, k >= 2. */
static struct fraction one_over(uint64_t k)
{
    struct fraction quotient;
    uint64_t rest = 1;
    for (int i = 3; i >= 0; i--) {
        unsigned __int128 wide = (unsigned __int128)rest << 64;
        quotient.limb[i] = (uint64_t)(wide / k);
        rest = (uint64_t)(wide % k);
    }
    return quotient;
}

struct fraction_rate fraction_rate(uint64_t a, uint64_t b)
{
    /* a 2^300 / b, limb by limb */
    const int shift = RATE_PLACES - SQUARINGS - 4 * 64;
    uint64_t part[6] = {[4] = a << shift, [5] = a >> (64 - shift)}, rest = 0;
    struct fraction_rate rate;
    for (int i = 5; i >= 0; i--) {
        unsigned __int128 wide = (unsigned __int128)rest << 64 | part[i];
        part[i] = (uint64_t)(wide / b);
        rest = (uint64_t)(wide % b);
    }
    memcpy(&rate, part, sizeof rate);
    return rate;
}

struct fraction fraction_exp(uint64_t q, const struct fraction_rate *rate)
{
    struct fraction f, power;
    unsigned __int128 carry = (unsigned __int128)q * rate->limb[0] >> 64;
    for (int i = 0; i < 4; i++) {
        carry += (unsigned __int128)q * rate->limb[i + 1];
        f.limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    /* 1 - f/1 (1 - f/2 (1 - ...)) */
    memset(&power, 0xff, sizeof power);
    for (uint64_t k = EXP_TERMS; k > 1; k--) {
        struct fraction inverse = one_over(k);
        power = mul(&power, &f);
        power = mul(&power, &inverse);
        complement(&power);
    }
    power = mul(&power, &f);
    complement(&power);
    for (int i = 0; i < SQUARINGS; i++) {
        power = mul(&power, &power);
    }
    return power;
}

struct fraction fraction_divide(struct fraction part, const struct fraction *whole)
{
    struct fraction quotient = {{0}};
    for (int bit = 0; bit < 256; bit++) {
        uint64_t is_over = part.limb[3] >> 63;
        part = fraction_add(part, &part);
        quotient = fraction_add(quotient, &quotient);
        if (is_over || !fraction_is_less(&part, whole)) {
            subtract(&part, whole);
            quotient.limb[0] |= 1;
        }
    }
    return quotient;
}
