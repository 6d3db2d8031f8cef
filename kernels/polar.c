#include "kernels/polar.h"

#include <math.h>
#include <string.h>

#include "kernels/polar_table.h"

enum {
    PLACES = 192,     /* binary places: limbs 0 .. 2 */
    LOG_TERMS = 61,   /* 9^-61 < 2^-193 */
    ANGLE_TERMS = 23, /* (pi/4)^46 / 46! < 2^-207 */
    U_WORDS = 5,
};

/* limb[3] + limb[2] 2^-64 + limb[1] 2^-128 + limb[0] 2^-192, never negative. */
struct fixed {
    uint64_t limb[4];
};

static const struct fixed one = {{0, 0, 0, 1}}, half = {{0, 0, 1ull << 63, 0}};
static const struct fixed ln_2 = {
    {0x40f343267298b62d, 0xc9e3b39803f2f6af, 0xb17217f7d1cf79ab, 0}};
static const struct fixed half_pi = {
    {0x52049c1114cf98e8, 0x898cc51701b839a2, 0x921fb54442d18469, 1}};

static inline struct fixed add(struct fixed x, struct fixed y)
{
    unsigned __int128 carry = 0;
    for (int i = 0; i < 4; i++) {
        carry += (unsigned __int128)x.limb[i] + y.limb[i];
        x.limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    return x;
}

/* Modulo 2^64; *ret_borrow, where not NULL, is 1 if x < y. */
static inline struct fixed sub(struct fixed x, struct fixed y, uint64_t *ret_borrow)
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        unsigned __int128 wide = (unsigned __int128)x.limb[i] - y.limb[i] - borrow;
        x.limb[i] = (uint64_t)wide;
        borrow = (uint64_t)(wide >> 64) & 1;
    }
    if (ret_borrow != NULL) {
        *ret_borrow = borrow;
    }
    return x;
}

/* The product, cut after 192 places. */
static struct fixed mul(struct fixed x, struct fixed y)
{
    uint64_t product[8] = {0};
    for (int i = 0; i < 4; i++) {
        unsigned __int128 carry = 0;
        for (int j = 0; j < 4; j++) {
            carry += (unsigned __int128)x.limb[i] * y.limb[j] + product[i + j];
            product[i + j] = (uint64_t)carry;
            carry >>= 64;
        }
        product[i + 4] = (uint64_t)carry;
    }
    struct fixed cut;
    memcpy(&cut, product + 3, sizeof cut);
    return cut;
}

/* The same product of two numbers below 1, in half the time. */
static inline struct fixed mul_fractions(struct fixed x, struct fixed y)
{
    uint64_t product[6] = {0};
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        unsigned __int128 carry = 0;
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) {
            carry += (unsigned __int128)x.limb[i] * y.limb[j] + product[i + j];
            product[i + j] = (uint64_t)carry;
            carry >>= 64;
        }
        product[i + 3] = (uint64_t)carry;
    }
    return (struct fixed){{product[3], product[4], product[5], 0}};
}

/* x if is_first is 1, y if it is 0. */
static inline struct fixed choose(uint64_t is_first, struct fixed x, struct fixed y)
{
    uint64_t mask = 0 - is_first;
    for (int i = 0; i < 4; i++) {
        y.limb[i] ^= mask & (x.limb[i] ^ y.limb[i]);
    }
    return y;
}

static inline struct fixed twice(struct fixed x)
{
    return add(x, x);
}

/* x in [0, 2^62), cut after 64 places, by additions, products and whole numbers only.
 */
static struct fixed from_secret(double x)
{
    int64_t whole = (int64_t)x;
    double rest = (x - (double)whole) * 0x1p32;
    int64_t high = (int64_t)rest;
    int64_t low = (int64_t)((rest - (double)high) * 0x1p32);
    return (struct fixed){
        {0, 0, (uint64_t)high << 32 | (uint64_t)low, (uint64_t)whole}};
}

/* Off by 2^-52 of it at most: the halves of limbs are exact, and each one that is not 0
 * is larger than all below it together. */
static double to_double(struct fixed x)
{
    double sum = 0.0, unit = 0x1p-192;
    for (int i = 0; i < 4; i++) {
        sum += (double)(int64_t)(x.limb[i] & UINT32_MAX) * unit;
        sum += (double)(int64_t)(x.limb[i] >> 32) * (unit * 0x1p32);
        unit *= 0x1p64;
    }
    return sum;
}

/* x / y for x < y in [1, 2], off by less than 2^-190. Newton's rule for 1 / y squares
 * the relative error of what it begins with, 2^-50 and from below, twice. */
static struct fixed divide(struct fixed x, struct fixed y)
{
    struct fixed inverse = from_secret(1.0 / to_double(y) * (1.0 - 0x1p-51));
    for (int i = 0; i < 2; i++) {
        struct fixed error = sub(one, mul(y, inverse), NULL);
        inverse = add(inverse, mul(inverse, error));
    }
    return mul(x, inverse);
}

/* The root of x < 2^9, off by less than 2^-183; less than the root where x < 2^-84.
 * Goldschmidt's rule: near goes to the root and half_inverse to half of 1 / root; a
 * relative error e becomes 1.5 e^2, from 2^-49 at first. What half_inverse loses by
 * cuts may lift near above the root, but no difference below 0 (samplers.md). */
static struct fixed root(struct fixed x)
{
    double from = to_double(x);
    double inverse = 1.0 / sqrt(from > 0x1p-84 ? from : 0x1p-84) * (1.0 - 0x1p-50);
    struct fixed near = mul(x, from_secret(inverse));
    struct fixed half_inverse = from_secret(0.5 * inverse);
    for (int i = 0; i < 2; i++) {
        struct fixed error = sub(half, mul(near, half_inverse), NULL);
        near = add(near, mul(near, error));
        half_inverse = add(half_inverse, mul(half_inverse, error));
    }
    return near;
}

/* Entry n of a table. */
static inline struct fixed constant(const uint64_t limb[4])
{
    return (struct fixed){{limb[0], limb[1], limb[2], limb[3]}};
}

/* U in [1/2, 1) after a shift by *ret_exponent places, cut after 192. */
static struct fixed normalise(uint64_t word[U_WORDS], uint64_t *ret_exponent)
{
    uint64_t exponent = 0;
    for (int shift = 256; shift > 0; shift >>= 1) {
        int n_words = shift / 64, n_bits = shift % 64;
        uint64_t above = 0; /* what a shift would lose */
        for (int i = 0; i < n_words && i < U_WORDS; i++) {
            above |= word[i];
        }
        if (n_words == 0) {
            above = word[0] >> (64 - n_bits);
        }
        uint64_t keep = 0 - ((above | (0 - above)) >> 63); /* all ones if above != 0 */
        for (int i = 0; i < U_WORDS; i++) {
            uint64_t high = i + n_words < U_WORDS ? word[i + n_words] : 0;
            uint64_t low = i + n_words + 1 < U_WORDS ? word[i + n_words + 1] : 0;
            uint64_t moved = n_bits == 0 ? high : high << n_bits | low >> (64 - n_bits);
            word[i] = (word[i] & keep) | (moved & ~keep);
        }
        exponent += (uint64_t)shift & ~keep;
    }
    *ret_exponent = exponent;
    /* all 320 places zero: 2^-320; any value will do */
    return (struct fixed){{word[2], word[1], word[0] | 1ull << 63, 0}};
}

/* -ln U = exponent ln 2 + 2 artanh w, w = (1 - m) / (1 + m) <= 1/3; in the series only
 * the first term is not below 1. */
static struct fixed minus_log(struct fixed m, uint64_t exponent)
{
    struct fixed w = divide(sub(one, m, NULL), add(one, m)), square = mul(w, w);
    struct fixed sum = constant(one_over_odd[LOG_TERMS - 1]);
    for (int n = LOG_TERMS - 1; n-- > 0;) {
        sum = add(mul_fractions(sum, square), constant(one_over_odd[n]));
    }
    return add(mul((struct fixed){{0, 0, 0, exponent}}, ln_2), twice(mul(w, sum)));
}

/* c_0 - c_1 x^2 + c_2 x^4 - ..., x <= pi/4; only c_0 is not below 1. */
static struct fixed alternate(struct fixed square, const uint64_t c[][4])
{
    struct fixed sum = constant(c[ANGLE_TERMS - 1]);
    for (int n = ANGLE_TERMS - 1; n-- > 0;) {
        sum = sub(constant(c[n]), mul_fractions(square, sum), NULL);
    }
    return sum;
}

/* The integer nearest to |x|, with the sign. */
static int64_t nearest(struct fixed x, uint64_t is_negative)
{
    int64_t mask = -(int64_t)is_negative;
    return ((int64_t)add(x, half).limb[3] ^ mask) - mask;
}

static struct fixed from_double(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1075; /* x = fraction * 2^exponent */
    uint64_t fraction = (bits & 0xfffffffffffff) | 1ull << 52;
    int at = exponent + PLACES; /* x is public: so are its branches */
    struct fixed result = {{0}};
    if (at < 0) {
        result.limb[0] = at > -64 ? fraction >> -at : 0;
        return result;
    }
    result.limb[at / 64] = fraction << at % 64;
    if (at % 64 != 0 && at / 64 < 3) {
        result.limb[at / 64 + 1] = fraction >> (64 - at % 64);
    }
    return result;
}

void polar_round(double std_steps, const uint64_t bits[2],
                 const uint64_t extra[POLAR_EXTRA_WORDS], int64_t ret[2])
{
    uint64_t u[U_WORDS] = {bits[0], extra[0], extra[1], extra[2], extra[3]}, exponent;
    struct fixed m = normalise(u, &exponent);
    struct fixed radius = root(twice(minus_log(m, exponent)));
    radius = mul(from_double(std_steps), radius);

    /* the angle: a quarter, and a part of a quarter, mirrored where above a half */
    uint64_t quarter = bits[1] >> 62;
    struct fixed part = {{extra[5], extra[4], bits[1], 0}};
    part = twice(twice(part));
    part.limb[3] = 0;
    uint64_t is_upper = part.limb[2] >> 63;
    struct fixed x = mul(choose(is_upper, sub(one, part, NULL), part), half_pi);
    struct fixed square = mul(x, x);
    struct fixed sine = mul(x, alternate(square, one_over_sine));
    struct fixed cosine = alternate(square, one_over_cosine);

    uint64_t is_odd = quarter & 1, is_back = quarter >> 1;
    uint64_t is_swapped = is_upper ^ is_odd;
    ret[0] = nearest(mul(radius, choose(is_swapped, sine, cosine)), is_odd ^ is_back);
    ret[1] = nearest(mul(radius, choose(is_swapped, cosine, sine)), is_back);
}
