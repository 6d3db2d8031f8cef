#include "kernels/polar.h"

#include <string.h>

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

/* x / divisor, cut, for a public divisor in 2 .. 2^12. Each half limb with the rest so
 * far is below 2^44, so one multiplication by 2^64 / divisor, rounded up, gives the
 * quotient exactly: hardware division may take longer for larger numbers. */
static inline struct fixed div_small(struct fixed x, uint64_t divisor)
{
    uint64_t inverse = UINT64_MAX / divisor + 1, rest = 0;
    for (int i = 3; i >= 0; i--) {
        uint64_t quotient = 0;
        for (int shift = 32; shift >= 0; shift -= 32) {
            uint64_t part = rest << 32 | (x.limb[i] >> shift & UINT32_MAX);
            uint64_t digit = (uint64_t)((unsigned __int128)part * inverse >> 64);
            rest = part - digit * divisor;
            quotient = quotient << 32 | digit;
        }
        x.limb[i] = quotient;
    }
    return x;
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

/* x / y for x < y < 2^63, digit by digit. */
static struct fixed divide(struct fixed x, struct fixed y)
{
    struct fixed quotient = {{0}};
    for (int i = 0; i < PLACES; i++) {
        uint64_t is_less;
        x = twice(x);
        struct fixed rest = sub(x, y, &is_less);
        x = choose(is_less, x, rest);
        quotient = twice(quotient);
        quotient.limb[0] |= is_less ^ 1;
    }
    return quotient;
}

/* The root of x, cut after 192 places: as an integer it is that of x's 256 digits and
 * 192 zeros. Two digits a turn give one of the root; what is left of x never has more
 * than two digits more than the root. */
static struct fixed root(struct fixed x)
{
    struct fixed digits = x, left = {{0}}, result = {{0}};
    for (int i = 0; i < 128 + PLACES / 2; i++) {
        uint64_t is_less;
        for (int j = 0; j < 2; j++) {
            left = twice(left);
            left.limb[0] |= digits.limb[3] >> 63;
            digits = twice(digits);
        }
        struct fixed trial = twice(twice(result));
        trial.limb[0] |= 1;
        struct fixed rest = sub(left, trial, &is_less);
        left = choose(is_less, left, rest);
        result = twice(result);
        result.limb[0] |= is_less ^ 1;
    }
    return result;
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

/* -ln U = exponent ln 2 + 2 artanh w, w = (1 - m) / (1 + m) <= 1/3. */
static struct fixed minus_log(struct fixed m, uint64_t exponent)
{
    struct fixed w = divide(sub(one, m, NULL), add(one, m)), square = mul(w, w);
    struct fixed sum = {{0}};
    for (uint64_t n = LOG_TERMS; n-- > 1;) {
        sum = add(mul(sum, square), div_small(one, 2 * n + 1));
    }
    sum = add(mul(sum, square), one);
    return add(mul((struct fixed){{0, 0, 0, exponent}}, ln_2), twice(mul(w, sum)));
}

/* 1 - x^2/(first (first + 1)) (1 - x^2/((first + 2)(first + 3)) (...)), x <= pi/4. */
static struct fixed alternate(struct fixed square, uint64_t first)
{
    struct fixed sum = one;
    for (uint64_t n = ANGLE_TERMS; n-- > 0;) {
        uint64_t k = first + 2 * n;
        sum = sub(one, div_small(mul(square, sum), k * (k + 1)), NULL);
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
    struct fixed sine = mul(x, alternate(square, 2)), cosine = alternate(square, 1);

    uint64_t is_odd = quarter & 1, is_back = quarter >> 1;
    uint64_t is_swapped = is_upper ^ is_odd;
    ret[0] = nearest(mul(radius, choose(is_swapped, sine, cosine)), is_odd ^ is_back);
    ret[1] = nearest(mul(radius, choose(is_swapped, cosine, sine)), is_back);
}
