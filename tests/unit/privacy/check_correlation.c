/* The coefficients of correlated noise, its price by brute force over every way to take
 * part, and what it leaves in prefix sums. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/manifest.h"
#include "jobs/privacy/correlation.h"
#include "jobs/privacy/fixed_order.h"
#include "jobs/privacy/price.h"
#include "jobs/spec/spec.h"

enum { N = 12 };

static struct error err;

/* binom(2j, j) / 4^j, in long double from logarithms: another way than the code's. */
static long double root(int64_t j)
{
    long double n = (long double)j;
    return expl(lgammal(2 * n + 1) - 2 * lgammal(n + 1) - n * logl(4));
}

START_TEST(coefficients_are_those_of_the_square_root)
{
    int64_t parts[CORRELATION_MAX_BANDS], fewer[CORRELATION_MAX_BANDS];
    correlation_parts(CORRELATION_MAX_BANDS, parts);
    ck_assert_int_eq(parts[0], CORRELATION_ONE);
    for (int64_t j = 0; j < CORRELATION_MAX_BANDS; j++) {
        ck_assert(fabsl((long double)parts[j] - CORRELATION_ONE * root(j)) < 0.501L);
        ck_assert_int_ge(parts[j], 1);
        ck_assert(j == 0 || parts[j] <= parts[j - 1]);
    }
    /* the first ones of the published series: 1, 1/2, 3/8, 5/16, 35/128 */
    const int64_t first[] = {256, 128, 96, 80, 70};
    ck_assert_mem_eq(parts, first, sizeof first);
    correlation_parts(7, fewer);
    ck_assert_mem_eq(parts, fewer, 7 * sizeof *parts);
    ck_assert_int_eq(correlation_bands(16, 4), 4);
    ck_assert_int_eq(correlation_bands(16, 4000), 16);
    ck_assert_int_eq(correlation_bands(1 << 20, 1 << 20), CORRELATION_MAX_BANDS);
}
END_TEST

static void fill(double matrix[N][N], int64_t n_bands)
{
    int64_t parts[CORRELATION_MAX_BANDS];
    correlation_parts(n_bands, parts);
    memset(matrix, 0, N * sizeof *matrix);
    for (int t = 0; t < N; t++)
        for (int64_t j = 0; j < n_bands && t + j < N; j++)
            matrix[t + j][t] = (double)parts[j] / CORRELATION_ONE;
}

/* ||C u||^2 for u of +-1 in the steps of `set`; its signs are those of `signs`. */
static double moved(double matrix[N][N], unsigned set, unsigned signs)
{
    double square = 0;
    for (int r = 0; r < N; r++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            if (set >> i & 1)
                sum += signs >> i & 1 ? -matrix[r][i] : matrix[r][i];
        square += sum * sum;
    }
    return square;
}

/* How many passes of n_bins steps from `first` on the steps of a set lie in; 0 where
 * two of them are closer than the same step of the next pass. */
static int passes(unsigned set, int first, int n_bins)
{
    int last = -N, n = 0;
    for (int i = 0; i < N; i++) {
        if (!(set >> i & 1))
            continue;
        if (i < first || i - last < n_bins)
            return 0;
        last = i;
        n++;
    }
    return n;
}

/* A process that begins at any step, any number of bins and bands, every set of steps a
 * pass apart, every sign: what is paid, 1/priced^2 for each pass begun, covers it. */
START_TEST(no_pattern_costs_more_than_its_passes)
{
    double matrix[N][N], tightest = 0;
    int n_tried = 0;
    for (int n_bins = 1; n_bins <= N; n_bins++) {
        for (int n_bands = 1; n_bands <= n_bins; n_bands++) {
            double pass = 1 / correlation_priced(1, n_bands);
            fill(matrix, n_bands);
            for (unsigned set = 1; set < 1u << N; set++) {
                int n = passes(set, 0, n_bins);
                for (unsigned signs = 0; n > 0 && signs <= set; signs++) {
                    if ((signs & ~set) != 0)
                        continue;
                    double used = moved(matrix, set, signs) / (n * pass * pass);
                    ck_assert_double_le(used, 1);
                    tightest = fmax(tightest, used);
                    n_tried++;
                }
            }
        }
    }
    ck_assert_int_gt(n_tried, 10000);
    ck_assert_double_gt(tightest, 1 - 1e-14);
    /* with more bands than steps between two of them it would not be covered */
    fill(matrix, 4);
    double pass = 1 / correlation_priced(1, 4);
    ck_assert_double_gt(moved(matrix, 1 | 1 << 2, 0), 2 * pass * pass);
}
END_TEST

START_TEST(noise_there_and_back)
{
    ck_assert(correlation_priced(1.7, 1) == 1.7);
    ck_assert(correlation_fresh(1.7, 1) == 1.7);
    for (int64_t n = 2; n <= CORRELATION_MAX_BANDS; n = n * 3 / 2) {
        for (double noise = 0.3; noise < 40; noise *= 1.9) {
            double fresh = correlation_fresh(noise, n);
            ck_assert_double_ge(correlation_priced(fresh, n), noise);
            ck_assert_double_le(correlation_priced(fresh, n), noise * (1 + 1e-14));
            ck_assert_double_gt(fresh, noise);
        }
    }
}
END_TEST

/* Against the inverse of the matrix, and known ends: independent noise walks, and with
 * all bands the square root's prefix sums have the error of its rows. */
START_TEST(drift_is_that_of_the_prefix_sums)
{
    double matrix[N][N];
    for (int n_bands = 1; n_bands <= N; n_bands++) {
        double sum = 0;
        fill(matrix, n_bands);
        for (int t = 0; t < N; t++) { /* row of A C^-1 by solving v C = (1 .. 1 0 ..) */
            double v[N] = {0};
            for (int i = t; i >= 0; i--) {
                v[i] = 1;
                for (int r = i + 1; r <= t; r++)
                    v[i] -= v[r] * matrix[r][i];
                sum += v[i] * v[i];
            }
        }
        ck_assert_double_eq_tol(correlation_drift(n_bands, N), sqrt(sum / N), 1e-12);
    }
    ck_assert_double_eq_tol(correlation_drift(1, 999), sqrt(500), 1e-9);
    ck_assert_double_eq_tol(correlation_drift(1, 1000001), sqrt(500001), 1e-6);
    /* A C^-1 is C where all bands are there, but for the rounding of coefficients */
    double rows = 0, square = 0;
    for (int j = 0; j < 200; j++) {
        square += (double)(root(j) * root(j));
        rows += square;
    }
    ck_assert_double_eq_tol(correlation_drift(200, 200), sqrt(rows / 200), 0.01);
    for (int64_t n = 1; n < 64; n *= 2) /* more bands, less drift for the same price */
        ck_assert_double_lt(correlation_drift(2 * n, 5000) /
                                correlation_priced(1, 2 * n),
                            correlation_drift(n, 5000) / correlation_priced(1, n));
    ck_assert_double_eq_tol(
        correlation_drift(16, 100000) / correlation_drift(16, 20000), sqrt(5), 0.01);
}
END_TEST

static struct spec spec_of(int64_t epochs, int64_t bands)
{
    struct spec s = {.name = "fixed", .kind = JOB_DP};
    strcpy(s.dataset.train, "train");
    s.privacy.is_private = true;
    s.privacy.epsilon = 3;
    s.privacy.delta = 1e-6;
    s.privacy.clip_norm = 1;
    s.training.sampling = SAMPLE_FIXED_ORDER;
    s.training.epochs = epochs;
    s.training.batch_size = 1000;
    s.training.bands = bands;
    return s;
}

static struct price price_of(const struct spec *s)
{
    struct manifest m = {.n_splits = 1};
    struct price price;
    strcpy(m.splits[0].name, "train");
    m.splits[0].nominal_count = 59500;
    ck_assert_msg(price_job(s, &m, &price, &err) == 0, "%s", err.text);
    return price;
}

/* One pass with one band is one Gaussian: the same job with everybody in one step. */
START_TEST(one_pass_of_one_band_is_a_gaussian)
{
    struct spec s = spec_of(1, 1), whole = spec_of(0, 0);
    whole.training = (struct spec_training){.steps = 1, .batch_size = 59500};
    struct price price = price_of(&s), gaussian = price_of(&whole);
    ck_assert_int_eq(price.n_steps, 60);
    ck_assert_int_eq(price.releases[0].count, 1);
    ck_assert_double_eq_tol(price.noise_multiplier, gaussian.noise_multiplier, 1e-9);
    ck_assert_double_eq_tol(price.epsilon, gaussian.epsilon, 1e-9);
    ck_assert(memcmp(price.cost.rho, gaussian.cost.rho, sizeof price.cost.rho) == 0);
    ck_assert_int_eq(price.cost.mu2, gaussian.cost.mu2);
}
END_TEST

/* mu of the whole against fixed_order.h, which searches all patterns of its matrix. */
START_TEST(a_job_costs_its_sensitivity)
{
    const int64_t epochs[] = {1, 2, 15, 15, 40}, bands[] = {16, 1, 4, 60, 1024};
    for (int i = 0; i < 5; i++) {
        struct spec s = spec_of(epochs[i], bands[i]);
        struct price price = price_of(&s);
        int64_t n_bands = bands[i] < 60 ? bands[i] : 60, parts[CORRELATION_MAX_BANDS];
        double c[CORRELATION_MAX_BANDS], sensitivity = NAN, mu = NAN;
        ck_assert_int_eq(price.n_bins, 60);
        ck_assert_int_eq(price.n_bands, n_bands);
        ck_assert_int_eq(price.n_steps, 60 * epochs[i]);
        ck_assert_int_eq(price.releases[0].count, epochs[i]);
        correlation_parts(n_bands, parts);
        for (int64_t j = 0; j < n_bands; j++)
            c[j] = (double)parts[j] / CORRELATION_ONE;
        struct participation p = {price.n_steps, epochs[i], price.n_bins};
        ck_assert_int_eq(fixed_order_toeplitz(c, n_bands, &p, &sensitivity, &err), 0);
        ck_assert_int_eq(fixed_order_mu(sensitivity, price.noise_multiplier,
                                        RELATION_ADD_REMOVE, &mu, &err),
                         0);
        double paid = sqrt((double)price.cost.mu2 / COST_RHO_PER_NAT);
        ck_assert_double_eq_tol(paid, mu, 1e-9);
        ck_assert_double_le(price.epsilon, 3);
        ck_assert_double_gt(price.epsilon, 3 * (1 - 1e-5));
        s.privacy.epsilon = 0;
        s.privacy.noise_multiplier = price.noise_multiplier;
        ck_assert_double_eq_tol(price_of(&s).epsilon, price.epsilon, 1e-12);
    }
    struct spec s = spec_of(2, 16);
    struct manifest m = {.n_splits = 1};
    struct price price;
    strcpy(m.splits[0].name, "train");
    m.splits[0].nominal_count = 59500;
    s.privacy.clipping.mode = CLIP_QUANTILE;
    ck_assert_int_eq(price_job(&s, &m, &price, &err), -PPT_ESPEC);
    s.privacy.is_private = false;
    ck_assert_int_eq(price_of(&s).n_releases, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("correlation");
    TCase *tcase = tcase_create("correlation");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, coefficients_are_those_of_the_square_root);
    tcase_add_test(tcase, no_pattern_costs_more_than_its_passes);
    tcase_add_test(tcase, noise_there_and_back);
    tcase_add_test(tcase, drift_is_that_of_the_prefix_sums);
    tcase_add_test(tcase, one_pass_of_one_band_is_a_gaussian);
    tcase_add_test(tcase, a_job_costs_its_sensitivity);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
