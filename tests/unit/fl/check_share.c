/* The shares of noise that clients add: their law, their size, and what sums of them
 * cost, against laws that are added up term by term. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/share.h"
#include "jobs/privacy/price.h"
#include "kernels/kernels.h"
#include "kernels/ring.h"

/* Standard deviations: a good sampler fails with a chance of 6e-7 a comparison. */
#define FAR 5.0

enum { N = 100001 }; /* odd, and more than is drawn at once */

static struct share_plan plan_of(int kind, double multiplier, double sensitivity,
                                 int64_t n_min)
{
    return (struct share_plan){.kind = (enum spec_noise_kind)kind,
                               .multiplier = multiplier,
                               .sensitivity = sensitivity,
                               .n_min = n_min};
}

static void open(struct share *share, const struct share_plan *plan, uint32_t n)
{
    static const unsigned char key[CRYPTO_KEY_SIZE] = {7};
    struct error err = {0};
    int rc = share_open(share, plan, n, &kernels_cpu, key, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
}

/* Two Poisson variables of mean v/2 that are k apart. */
static long double skellam_mass(long double variance, int64_t k)
{
    long double mean = variance / 2, sum = 0;
    for (int j = 0; j < 400; j++) {
        sum += expl((long double)(2 * j + k) * logl(mean) - variance -
                    lgammal((long double)j + 1) - lgammal((long double)(j + k) + 1));
    }
    return sum;
}

/* Probability of k in a share of this standard deviation, not normalised where it is
 * discrete. */
static long double mass_of(int kind, long double std, int64_t k)
{
    long double x = (long double)llabs(k);
    if (kind == NOISE_DISCRETE_GAUSSIAN) {
        return expl(-x * x / (2 * std * std));
    }
    if (kind == NOISE_SKELLAM) {
        return skellam_mass(ceill(64 * std * std * (1 - 1e-15L)) / 64, llabs(k));
    }
    long double root = std * sqrtl(2.0L);
    return k == 0 ? erfl(0.5L / root)
                  : (erfcl((x - 0.5L) / root) - erfcl((x + 0.5L) / root)) / 2;
}

enum { REACH = 320 };

/* Whole numbers -REACH .. REACH. */
struct law {
    long double mass[2 * REACH + 1];
};

static void normalise(struct law *law)
{
    long double sum = 0;
    for (int i = 0; i <= 2 * REACH; i++) {
        sum += law->mass[i];
    }
    for (int i = 0; i <= 2 * REACH; i++) {
        law->mass[i] /= sum;
    }
}

/* The law of n shares together. */
static struct law law_of(int kind, double std, int n)
{
    struct law one, sum, next;
    for (int i = 0; i <= 2 * REACH; i++) {
        one.mass[i] = mass_of(kind, std, i - REACH);
    }
    normalise(&one);
    sum = one;
    for (int m = 1; m < n; m++) {
        for (int i = 0; i <= 2 * REACH; i++) {
            next.mass[i] = 0;
            for (int j = 0; j <= 2 * REACH; j++) {
                int rest = i - (j - REACH);
                if (rest >= 0 && rest <= 2 * REACH) {
                    next.mass[i] += one.mass[j] * sum.mass[rest];
                }
            }
        }
        sum = next;
    }
    return sum;
}

/* Renyi divergence of the noise on an answer that moves by `shift` with chance q and is
 * 0 otherwise, from the noise alone; or the other way round. */
static double divergence(const struct law *noise, int shift, double q, double alpha,
                         bool is_back)
{
    long double sum = 0;
    for (int i = shift; i <= 2 * REACH; i++) {
        long double without = noise->mass[i],
                    with = (1 - q) * without + q * noise->mass[i - shift];
        long double p = is_back ? without : with, r = is_back ? with : without;
        if (p > 0 && r > 0) {
            sum += expl(alpha * logl(p) + (1 - alpha) * logl(r));
        }
    }
    return (double)(logl(sum) / (alpha - 1));
}

/* What the price is: real Gaussian noise, at the variance that the shares have beyond
 * SHARE_EXTRA_VARIANCE; or the Skellam mechanism's. */
static double price(int kind, double variance, int shift, double q, double alpha)
{
    struct mechanism m = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                          .sampling = SAMPLING_POISSON,
                          .sample_rate = q,
                          .noise_multiplier =
                              sqrt(variance - SHARE_EXTRA_VARIANCE) / shift};
    double rho;
    if (kind == NOISE_SKELLAM) {
        m.kind = MECHANISM_SKELLAM;
        m.variance = variance;
        m.sensitivity = m.sensitivity_l1 = shift;
    }
    mechanism_rho(&m, &alpha, 1, &rho);
    return rho;
}

START_TEST(sums_cost_what_real_noise_does)
{
    static const double alphas[] = {1.25, 2, 3.5, 8, 24}, rates[] = {1, 0.3, 0.01};
    static const int shares[] = {1, 2, 3, 5};
    for (int s = 0; s < 4; s++) {
        struct law sum = law_of(_i, SHARE_LEAST_STD, shares[s]);
        double variance = SHARE_LEAST_STD * SHARE_LEAST_STD * shares[s];
        for (int a = 0; a < 5; a++) {
            for (int r = 0; r < 3; r++) {
                for (int shift = 1; shift <= 9; shift += 4) {
                    double most = price(_i, variance, shift, rates[r], alphas[a]);
                    double there = divergence(&sum, shift, rates[r], alphas[a], false);
                    double back = divergence(&sum, shift, rates[r], alphas[a], true);
                    ck_assert_msg(there <= most && back <= most,
                                  "%d shares, shift %d, rate %g, order %g: %g, %g > %g",
                                  shares[s], shift, rates[r], alphas[a], there, back,
                                  most);
                }
            }
            /* and nearly as much: a rounding has a variance of 1/12; Skellam noise
             * has longer tails */
            double least = alphas[a] / (2 * (variance + shares[s] / 12.0));
            ck_assert_double_gt(divergence(&sum, 1, 1, alphas[a], false),
                                (_i == NOISE_SKELLAM ? 0.75 : 0.999) * least);
        }
    }
}
END_TEST

/* Sums of very small shares are no Gaussian noise of their variance: what the least
 * standard deviation is for. */
START_TEST(small_shares_would_cost_more)
{
    struct law sum = law_of(NOISE_DISCRETE_GAUSSIAN, 0.4, 2);
    double real = 8 / (2 * 2 * 0.4 * 0.4);
    ck_assert_double_gt(divergence(&sum, 1, 1, 8, false), 1.02 * real);
    struct share share;
    struct share_plan plan = plan_of(_i, 1.0, 12.0, 16); /* 3.09 a share */
    struct error err = {0};
    ck_assert_int_eq(
        share_open(&share, &plan, 4, &kernels_cpu, (unsigned char[32]){0}, &err),
        -PPT_ERANGE);
    ck_assert_msg(strstr(err.text, "standard deviation 3.09") != NULL, "%s", err.text);
    plan.n_min = 9;
    if (_i == NOISE_SKELLAM) { /* whose price is for larger sensitivities */
        ck_assert_int_eq(
            share_open(&share, &plan, 4, &kernels_cpu, (unsigned char[32]){0}, &err),
            -PPT_ERANGE);
        ck_assert_msg(strstr(err.text, "expected at least 256") != NULL, "%s",
                      err.text);
        plan.sensitivity = 256.0;
    }
    open(&share, &plan, 4);
    share_close(&share);
}
END_TEST

/* What is priced falls as the sensitivity grows at the same multiplier, whatever the
 * vectors: their L1 norm is at most the square of the L2 norm. */
START_TEST(the_coarsest_skellam_noise_is_priced)
{
    static const double alphas[] = {1.25, 2, 3.5, 8, 24, 200};
    struct mechanism priced = price_skellam(0.7, 0.05);
    for (int a = 0; a < 6; a++) {
        double most, rho;
        mechanism_rho(&priced, &alphas[a], 1, &most);
        for (double l2 = 256; l2 < 1e6; l2 *= 3) {
            for (double l1 = l2; l1 <= l2 * l2; l1 *= 10) {
                struct mechanism m = priced;
                m.variance = 0.7 * l2 * 0.7 * l2;
                m.sensitivity = l2;
                m.sensitivity_l1 = l1;
                mechanism_rho(&m, &alphas[a], 1, &rho);
                ck_assert_double_le(rho, most * (1 + 1e-9));
            }
        }
    }
}
END_TEST

/* Goodness of fit over N draws, in bins that expect 200 draws or more. */
START_TEST(draws_have_their_law)
{
    static uint32_t ring[N];
    struct share share;
    struct share_plan plan = plan_of(_i, 28.0 / 256.0, 256.0, 4);
    open(&share, &plan, N);
    memset(ring, 0, sizeof ring);
    share_add(&share, 5, ring);
    struct law law = law_of(_i, share.std, 1);
    static int64_t found[2 * REACH + 1];
    memset(found, 0, sizeof found);
    for (int j = 0; j < N; j++) {
        int64_t k = ring_signed(ring[j], 20);
        ck_assert(k >= -REACH && k <= REACH);
        found[k + REACH]++;
    }
    double square = 0, expected = 0;
    int64_t seen = 0, n_bins = 0;
    for (int i = 0; i <= 2 * REACH; i++) {
        expected += (double)law.mass[i] * N;
        seen += found[i];
        if (expected >= 200 || i == 2 * REACH) {
            square += (expected - (double)seen) * (expected - (double)seen) / expected;
            expected = 0;
            seen = 0;
            n_bins++;
        }
    }
    double n_free = (double)n_bins - 1;
    ck_assert_int_gt(n_bins, 50);
    ck_assert_msg(square < n_free + FAR * sqrt(2 * n_free) + 10, "chi square %g of %g",
                  square, n_free);
    share_close(&share);
}
END_TEST

/* The variance of n shares over the priced one, from N coordinates: off by a factor of
 * 1 +- 0.0045 in a standard deviation. */
static double variance_ratio(const struct share_plan *plan, int n)
{
    static uint32_t ring[N];
    struct share share;
    double priced = plan->multiplier * plan->sensitivity, square = 0;
    open(&share, plan, N);
    memset(ring, 0, sizeof ring);
    for (int i = 0; i < n; i++) {
        share_add(&share, (uint64_t)3 << 32 | (uint64_t)i, ring);
    }
    for (int j = 0; j < N; j++) {
        double x = (double)ring_signed(ring[j], 24);
        square += x * x;
    }
    share_close(&share);
    return square / N / (priced * priced);
}

/* The audit: as many shares as are counted on are at least the priced noise. It sees a
 * calibration to the clients that begin (30) instead of those that are left (20). */
START_TEST(the_fewest_survivors_are_noise_enough)
{
    const double room = FAR * sqrt(2.0 / N);
    struct share_plan right = plan_of(_i, 1.5, 400.0, 20);
    struct share_plan wrong = plan_of(_i, 1.5, 400.0, 30);
    double ratio = variance_ratio(&right, 20);
    ck_assert_msg(ratio >= 1 - room && ratio < 1.01 + room, "%g", ratio);
    ck_assert_double_lt(variance_ratio(&wrong, 20), 1 - room);
    ck_assert_double_gt(variance_ratio(&right, 21), 1.05 - room);
}
END_TEST

/* No share is like another: not of another client or round, nor with another key. */
START_TEST(no_noise_comes_twice)
{
    enum { M = 5000, N_SHARES = 4 };
    static uint32_t rings[N_SHARES][M];
    struct share share, other;
    struct share_plan plan = plan_of(_i, 100.0 / 256.0, 256.0, 1);
    open(&share, &plan, M);
    ck_assert_int_eq(
        share_open(&other, &plan, M, &kernels_cpu, (unsigned char[32]){8}, NULL), 0);
    memset(rings, 0, sizeof rings);
    share_add(&share, 0, rings[0]);
    share_add(&share, 1, rings[1]);
    share_add(&share, (uint64_t)1 << 32, rings[2]);
    share_add(&other, 0, rings[3]);
    for (int a = 0; a < N_SHARES; a++) {
        for (int b = 0; b < a; b++) {
            for (int lag = 0; lag < 3; lag++) {
                double sum = 0;
                for (int j = 0; j + lag < M; j++) {
                    sum += (double)ring_signed(rings[a][j + lag], 32) *
                           (double)ring_signed(rings[b][j], 32);
                }
                ck_assert_double_lt(fabs(sum) / (100.0 * 100.0 * sqrt(M)), FAR);
            }
        }
    }
    static uint32_t again[M];
    memset(again, 0, sizeof again);
    share_add(&share, 0, again); /* a draw is a function of key and substream */
    ck_assert_mem_eq(again, rings[0], sizeof again);
    share_close(&share);
    share_close(&other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("share");
    TCase *tcase = tcase_create("share");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, sums_cost_what_real_noise_does, 0, NOISE_KIND_N);
    tcase_add_loop_test(tcase, small_shares_would_cost_more, 0, NOISE_KIND_N);
    tcase_add_test(tcase, the_coarsest_skellam_noise_is_priced);
    tcase_add_loop_test(tcase, draws_have_their_law, 0, NOISE_KIND_N);
    tcase_add_loop_test(tcase, the_fewest_survivors_are_noise_enough, 0, NOISE_KIND_N);
    tcase_add_loop_test(tcase, no_noise_comes_twice, 0, NOISE_KIND_N);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
