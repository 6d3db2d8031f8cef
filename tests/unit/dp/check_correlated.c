/* Noise that is correlated over steps: that what is released is computed from one
 * Gaussian release, its covariance, and runs in a fixed order of the records.
 * Keys are fixed; for a key drawn at random a statistical bound would fail with a
 * probability under 1e-6 (5.5 standard deviations, each; 36 of them: 2e-6). */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/dp/correlated.h"
#include "jobs/dp/sampler.h"
#include "jobs/privacy/correlation.h"
#include "jobs/privacy/meter.h"
#include "tests/unit/dp/world.h"

static const double max_sigmas = 5.5;
static const unsigned char key[CRYPTO_KEY_SIZE] = {4, 2};
static const struct grid grid = {0x1p-20, 0x1.8p18, 0x1p50};
static struct error err;

/* So many steps of n coordinates, the parts of each split at `cut`; ret[t * n + i]. */
static void draw(int64_t n_bands, int64_t n_steps, int64_t n, int64_t first,
                 int64_t cut, double *ret)
{
    struct correlated correlated;
    struct noise noise;
    ck_assert_int_eq(noise_open(&noise, &kernels_cpu, key, n, &err), 0);
    ck_assert_msg(correlated_open(&correlated, &grid, n_bands, n, n, n_steps, &err) ==
                      0,
                  "%s", err.text);
    ck_assert_uint_eq(correlated_memory_bytes(&correlated), (size_t)(8 * n_bands * n));
    for (int64_t t = 0; t < n_steps; t++) {
        double *x = ret + t * n;
        correlated_add(&correlated, &noise, (uint64_t)t, first, 0, cut, x);
        if (cut < n) {
            correlated_add(&correlated, &noise, (uint64_t)t, first, cut, n, x);
        }
        correlated_next(&correlated);
    }
    correlated_close(&correlated);
    ck_assert_ptr_null(correlated.past);
    noise_close(&noise);
}

/* floor(w / 256 + 1/2) */
static __int128 coarse(__int128 w)
{
    __int128 shifted = w + CORRELATION_ONE / 2, cut = shifted / CORRELATION_ONE;
    return shifted % CORRELATION_ONE < 0 ? cut - 1 : cut;
}

/* In whole numbers of the fine step: y = C x + z from the fresh draws, and what is
 * released must be a function of y alone, r_t = coarse(y_t - sum c_j r_{t-j}), whatever
 * x is. */
START_TEST(releases_are_computed_from_a_gaussian_release)
{
    enum { T = 40, N = 64 };
    const int64_t all_bands[] = {1, 2, 3, 16, 37};
    int64_t n_bands = all_bands[_i], parts[CORRELATION_MAX_BANDS];
    static double x[T * N], released[T * N], z[T * N];
    static __int128 r[T][N];
    struct noise noise;
    struct grid fine = {grid.step / CORRELATION_ONE, grid.std_steps * CORRELATION_ONE,
                        grid.max_steps};
    correlation_parts(n_bands, parts);
    srand(3);
    for (int i = 0; i < T * N; i++) {
        x[i] = released[i] = (double)(rand() % 4000000 - 2000000) * grid.step;
    }
    draw(n_bands, T, N, 0, N, released);
    memset(z, 0, sizeof z);
    ck_assert_int_eq(noise_open(&noise, &kernels_cpu, key, N, &err), 0);
    for (int t = 0; t < T; t++) {
        noise_add(&noise, &fine, (uint64_t)t, 0, N, z + t * N);
    }
    noise_close(&noise);
    int64_t n_unlike = 0;
    for (int t = 0; t < T; t++) {
        for (int i = 0; i < N; i++) {
            __int128 y = (__int128)(z[t * N + i] / fine.step), w;
            for (int64_t j = 0; j < n_bands && j <= t; j++) {
                y += (__int128)parts[j] * (__int128)(x[(t - j) * N + i] / grid.step);
            }
            w = y;
            for (int64_t j = 1; j < n_bands && j <= t; j++) {
                w -= parts[j] * r[t - j][i];
            }
            r[t][i] = coarse(w);
            n_unlike += (double)r[t][i] * grid.step != released[t * N + i];
        }
    }
    ck_assert_int_eq(n_unlike, 0);
}
END_TEST

/* s^2 C^-1 C^-T, from the coefficients by forward substitution. */
static void covariance_of(int64_t n_bands, int n, double *ret)
{
    int64_t parts[CORRELATION_MAX_BANDS];
    double inverse[64] = {0};
    correlation_parts(n_bands, parts);
    for (int t = 0; t < n; t++) {
        inverse[t] = t == 0;
        for (int64_t j = 1; j < n_bands && j <= t; j++) {
            inverse[t] -= (double)parts[j] / CORRELATION_ONE * inverse[t - j];
        }
    }
    for (int t = 0; t < n; t++) {
        for (int u = 0; u < n; u++) {
            ret[t * n + u] = 0;
            for (int k = 0; k <= t && k <= u; k++) {
                ret[t * n + u] += inverse[t - k] * inverse[u - k];
            }
        }
    }
}

START_TEST(covariance_is_as_priced)
{
    enum { T = 8, N = 60000 };
    const int64_t all_bands[] = {1, 2, 5, 16};
    double want[T * T], std = grid.std_steps * grid.step;
    double *x = calloc((size_t)T * N, sizeof *x);
    ck_assert(x != NULL);
    draw(all_bands[_i], T, N, 0, N, x);
    covariance_of(all_bands[_i], T, want);
    for (int t = 0; t < T; t++) {
        for (int u = 0; u <= t; u++) {
            double sum = 0;
            for (int i = 0; i < N; i++) {
                sum += x[t * N + i] / std * (x[u * N + i] / std);
            }
            double tt = want[t * T + t], uu = want[u * T + u], tu = want[t * T + u];
            ck_assert_double_lt(fabs(sum / N - tu),
                                max_sigmas * sqrt((tt * uu + tu * tu) / N));
        }
    }
    free(x);
}
END_TEST

/* In parts or whole, on one rank or on four that share a key: the same bits. */
START_TEST(parts_and_ranks_do_not_matter)
{
    enum { T = 20, N = 128, RANKS = 4, SLICE = N / RANKS };
    static double whole[T * N], parts[T * N], slice[T * SLICE];
    memset(whole, 0, sizeof whole);
    memset(parts, 0, sizeof parts);
    draw(6, T, N, 0, N, whole);
    draw(6, T, N, 0, 48, parts);
    ck_assert_mem_eq(whole, parts, sizeof whole);
    for (int rank = 0; rank < RANKS; rank++) {
        memset(slice, 0, sizeof slice);
        draw(6, T, SLICE, rank * SLICE, SLICE, slice);
        for (int t = 0; t < T; t++) {
            ck_assert_mem_eq(slice + t * SLICE, whole + t * N + rank * SLICE,
                             SLICE * sizeof *slice);
        }
    }
}
END_TEST

/* Where sums would not be exact any more, nothing is drawn; all bands have room for
 * large models with much noise. */
START_TEST(room_for_exact_sums)
{
    struct correlated correlated;
    struct grid much = grid;
    for (int64_t n = 1; n <= CORRELATION_MAX_BANDS; n *= 4) {
        much.std_steps = 0x1p28;
        ck_assert_int_eq(
            correlated_open(&correlated, &much, n, 16, 1 << 20, 10000, &err), 0);
        ck_assert(correlated_is_for(&correlated, &much));
        ck_assert(!correlated_is_for(&correlated, &grid));
        ck_assert(!correlated_is_for(
            &correlated, &(struct grid){1.0, much.std_steps, much.max_steps}));
        correlated_close(&correlated);
        much.std_steps = 0x1p33; /* 2^41 fine steps */
        ck_assert_int_eq(correlated_open(&correlated, &much, n, 16, 16, 10, &err),
                         -PPT_ERANGE);
        ck_assert_ptr_null(correlated.past);
        much.std_steps = 0x1p31; /* too many draws of so much noise */
        ck_assert_int_eq(
            correlated_open(&correlated, &much, n, 16, (int64_t)1 << 30, 1 << 20, &err),
            -PPT_ERANGE);
    }
}
END_TEST

/* The steps of all records in an epoch: each record exactly once. */
static void deal(struct sampler *sampler, int64_t epoch, int64_t *ret_bins)
{
    int64_t n_dealt = 0, record;
    for (int64_t bin = 0; bin < sampler->n_bins; bin++) {
        sampler_begin(sampler, epoch * sampler->n_bins + bin);
        while (sampler_next(sampler, &record, 1) == 1) {
            ret_bins[record] = bin;
            n_dealt++;
        }
    }
    ck_assert_int_eq(n_dealt, sampler->n_rows);
}

/* Every epoch is the first one's, also for who begins in the middle of one; another key
 * deals anew; and bins are uniform (chi-square, 100 degrees of freedom). */
START_TEST(a_record_keeps_its_step)
{
    enum { N = 20000, BINS = 101 };
    static int64_t first[N], again[N], other[N];
    unsigned char other_key[CRYPTO_KEY_SIZE] = {4, 3};
    struct sampler sampler;
    double counts[BINS] = {0}, chi = 0, share = (double)N / BINS;
    int64_t record, n_same = 0;
    ck_assert_int_eq(sampler_open_dealt(&sampler, key, BINS, true, N, &err), 0);
    for (int64_t epoch = 0; epoch < 4; epoch++) {
        deal(&sampler, epoch, epoch == 0 ? first : again);
        ck_assert(epoch == 0 || memcmp(first, again, sizeof first) == 0);
    }
    sampler_close(&sampler);
    ck_assert_int_eq(sampler_open_dealt(&sampler, key, BINS, true, N, &err), 0);
    for (int64_t step = 5 * BINS + 70; step < 6 * BINS + 20; step++) {
        sampler_begin(&sampler, step);
        while (sampler_next(&sampler, &record, 1) == 1) {
            ck_assert_int_eq(first[record], step % BINS);
        }
    }
    sampler_close(&sampler);
    ck_assert_int_eq(sampler_open_dealt(&sampler, other_key, BINS, true, N, &err), 0);
    deal(&sampler, 0, other);
    sampler_close(&sampler);
    for (int i = 0; i < N; i++) {
        counts[first[i]]++;
        n_same += first[i] == other[i];
    }
    for (int b = 0; b < BINS; b++) {
        chi += (counts[b] - share) * (counts[b] - share) / share;
    }
    ck_assert_double_lt(fabs(chi - (BINS - 1)), max_sigmas * sqrt(2.0 * (BINS - 1)));
    ck_assert_double_lt(fabs((double)n_same - share), max_sigmas * sqrt(share));
}
END_TEST

enum { EPOCHS = 6, BINS = 8, STEPS = EPOCHS * BINS };
static const double noise_multiplier = 40.0;

static struct world_data train, test;
static struct manifest manifest;
static struct spec spec;
static struct plan plan;
static char meter_path[64];
static double *sums; /* of all ranks and steps, by parameter */
static size_t n_sums;

static void add_up(void *state, int rank, const double *send, size_t n)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    (void)state;
    (void)rank;
    pthread_mutex_lock(&mutex);
    sums = sums == NULL ? calloc(n, sizeof *sums) : sums;
    for (size_t i = 0; i < n; i++) {
        sums[i] += send[i];
    }
    n_sums = n;
    pthread_mutex_unlock(&mutex);
}

static void setup(void)
{
    int64_t dims[1] = {40};
    train = world_blobs(240, 40, 10, 0.8, 1);
    test = world_blobs(60, 40, 10, 0.8, 2);
    manifest = world_manifest(train.n, test.n, 1, dims, 10);
    spec = world_spec(PRESET_MLP, true);
    spec.model.hidden = 64;
    spec.training.sampling = SAMPLE_FIXED_ORDER;
    spec.training.bands = 6;
    spec.training.batch_size = 240 / BINS;
    spec.training.learning_rate = 0x1p-6;
    plan = world_plan(&spec, &manifest, noise_multiplier, STEPS);
    strcpy(meter_path, "/tmp/check_correlated.XXXXXX");
    int fd = mkstemp(meter_path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(meter_path);
    ck_assert_int_eq(meter_create(meter_path, &err), 0);
}

static void teardown(void)
{
    unlink(meter_path);
    world_data_free(&train);
    world_data_free(&test);
    free(sums);
    sums = NULL;
}

static struct world world_of(int size)
{
    return (struct world){.size = size,
                          .train = &train,
                          .test = &test,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest,
                          .on_sum = add_up};
}

/* An attempt has keys of its own. */
static void run(struct world *world, int attempt)
{
    world->noise_key[1] = world->sampling_key[1] = (unsigned char)attempt;
    ck_assert_int_eq(meter_open(meter_path, attempt, &plan.price, &world->meter, &err),
                     0);
    world_run(world);
    meter_close(world->meter);
}

/* Of the noise of n steps together, in variances of a fresh draw. */
static double together(int64_t n)
{
    double cov[STEPS * STEPS], sum = 0;
    covariance_of(spec.training.bands, STEPS, cov);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t u = 0; u < n; u++) {
            sum += cov[t * STEPS + u];
        }
    }
    return sum;
}

/* The mean square of all noise that got into the model, in variances of a fresh draw:
 * (first model - last model) batch / rate is sums and noise of all steps. */
static double noise_in(const struct world *world, const float *first)
{
    double batch = 240.0 / BINS, square = 0, clip = spec.privacy.clip_norm;
    ck_assert_uint_ge(n_sums, (size_t)world->n_model);
    for (int64_t i = 0; i < world->n_model; i++) {
        double moved = ((double)first[i] - (double)world->model[i]) * batch /
                       spec.training.learning_rate;
        double noise = (moved - sums[i]) / (noise_multiplier * clip);
        square += noise * noise;
    }
    return square / (double)world->n_model;
}

/* The weights that the seed gives: those of a run whose rate moves nothing. */
static float *first_model(void)
{
    struct world world = world_of(1);
    double rate = spec.training.learning_rate;
    spec.training.learning_rate = 1e-30;
    run(&world, 1);
    ck_assert_msg(world.rc[0] == 0, "%s", world.err[0].text);
    float *first = malloc((size_t)world.n_model * sizeof *first);
    memcpy(first, world.model, (size_t)world.n_model * sizeof *first);
    world_free(&world);
    spec.training.learning_rate = rate;
    free(sums);
    sums = NULL;
    unlink(meter_path);
    ck_assert_int_eq(meter_create(meter_path, &err), 0);
    return first;
}

/* Chi-square of 3,300 parameters: 2.5 % is one standard deviation. */
static void expect_noise(double got, double want, int64_t n)
{
    ck_assert_double_lt(fabs(got / want - 1), max_sigmas * sqrt(2.0 / (double)n));
}

/* Steps take back what earlier ones added, on any number of ranks and cores; epochs are
 * what is charged. */
START_TEST(the_model_gets_what_is_left)
{
    const int sizes[] = {1, 3, 1}, cores[] = {1, 1, 2};
    float *first = first_model();
    struct world world = world_of(sizes[_i]);
    spec.resources.cores_per_rank = cores[_i];
    run(&world, 1);
    ck_assert_msg(world.rc[0] == 0, "%s", world.err[0].text);
    ck_assert_int_eq(world.report[0].n_steps, STEPS);
    ck_assert_int_eq(world.report[0].used[0], EPOCHS);
    ck_assert_double_lt(together(STEPS), 0.25 * STEPS); /* or nothing is to be seen */
    expect_noise(noise_in(&world, first), together(STEPS), world.n_model);
    world_free(&world);
    free(first);
}
END_TEST

static struct first_epoch {
    double *sums[BINS];
    int64_t n_steps, n_like;
} epochs;

static void compare_epochs(void *state, int rank, const double *send, size_t n)
{
    (void)state;
    (void)rank;
    double **first = &epochs.sums[epochs.n_steps % BINS];
    if (epochs.n_steps < BINS) {
        *first = malloc(n * sizeof **first);
        memcpy(*first, send, n * sizeof **first);
    } else {
        epochs.n_like += memcmp(*first, send, n * sizeof **first) == 0;
    }
    epochs.n_steps++;
}

/* The run's own sampler keeps to the order: with a model that does not move, each
 * step's sum is the same in every epoch, and no two of an epoch are. */
START_TEST(sums_come_again)
{
    struct world world = world_of(1);
    spec.training.learning_rate = 1e-30;
    world.on_sum = compare_epochs;
    epochs = (struct first_epoch){0};
    run(&world, 1);
    ck_assert_msg(world.rc[0] == 0, "%s", world.err[0].text);
    ck_assert_int_eq(epochs.n_steps, STEPS);
    ck_assert_int_eq(epochs.n_like, STEPS - BINS);
    for (int b = 0; b < BINS; b++) {
        ck_assert(b == 0 || memcmp(epochs.sums[0], epochs.sums[b],
                                   (size_t)world.n_model * sizeof(double)) != 0);
    }
    for (int b = 0; b < BINS; b++) {
        free(epochs.sums[b]);
    }
    world_free(&world);
}
END_TEST

/* Stopped and gone on with: the second process has no past and noise of its own, so
 * that the variances of the two add up; the broken epoch is paid for twice. */
START_TEST(a_second_process_begins_without_a_past)
{
    float *first = first_model();
    struct world world = world_of(2);
    world.stop_after_reads = 3 * BINS / 2;
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERRUPTED);
    int64_t done = world.report[0].n_steps;
    ck_assert(done > 0 && done < STEPS - BINS);
    ck_assert_int_eq(world.report[0].used[0], (done + BINS - 1) / BINS);
    world.stop_after_reads = 0;
    memset((void *)world.stop, 0, sizeof world.stop);
    run(&world, 2);
    ck_assert_msg(world.rc[0] == 0, "%s", world.err[0].text);
    int64_t all = (EPOCHS - (done % BINS != 0)) * BINS;
    ck_assert_int_eq(world.report[0].n_steps, all);
    ck_assert_int_eq(world.report[0].used[0], EPOCHS);
    expect_noise(noise_in(&world, first), together(done) + together(all - done),
                 world.n_model);
    world_free(&world);
    free(first);
}
END_TEST

/* Another price than this spec's is refused before anything is drawn. */
START_TEST(only_what_was_priced)
{
    for (int fault = 0; fault < 7; fault++) {
        struct world world = world_of(2);
        spec.training.sampling = SAMPLE_FIXED_ORDER;
        spec.training.bands = 6;
        plan = world_plan(&spec, &manifest, 1.0, STEPS);
        struct mechanism *pass = &plan.price.releases[0].mechanism;
        switch (fault) {
        case 0: /* fewer bands than are priced cost less, more cost more */
            spec.training.bands = 7;
            break;
        case 1:
            plan.price.n_bands = 5;
            break;
        case 2: /* fresh noise is not what a pass costs */
            pass->noise_multiplier = plan.price.noise_multiplier;
            break;
        case 3:
            pass->kind = MECHANISM_RANDOM_ALLOCATION;
            break;
        case 4:
            plan.price.n_bins = 0;
            break;
        case 5:
            plan.price.n_steps--;
            break;
        default:
            spec.training.sampling = SAMPLE_BALLS_IN_BINS;
        }
        unlink(meter_path);
        ck_assert_int_eq(meter_create(meter_path, &err), 0);
        run(&world, 1);
        ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
        ck_assert_int_eq(world.rc[1], -PPT_EINTERNAL);
        ck_assert_int_eq(world.n_models_saved, 0);
        world_free(&world);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("correlated");
    TCase *noise = tcase_create("noise"), *runs = tcase_create("runs");
    tcase_set_timeout(noise, 60);
    tcase_add_loop_test(noise, releases_are_computed_from_a_gaussian_release, 0, 5);
    tcase_add_loop_test(noise, covariance_is_as_priced, 0, 4);
    tcase_add_test(noise, parts_and_ranks_do_not_matter);
    tcase_add_test(noise, room_for_exact_sums);
    tcase_add_test(noise, a_record_keeps_its_step);
    suite_add_tcase(suite, noise);
    tcase_set_timeout(runs, 60);
    tcase_add_checked_fixture(runs, setup, teardown);
    tcase_add_loop_test(runs, the_model_gets_what_is_left, 0, 3);
    tcase_add_test(runs, sums_come_again);
    tcase_add_test(runs, a_second_process_begins_without_a_past);
    tcase_add_test(runs, only_what_was_priced);
    suite_add_tcase(suite, runs);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
