/* Clients that make their own updates noisy: who takes part when, how large a message
 * is and its noise, and what is charged for it. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/fl/cohort.h"
#include "jobs/fl/randomise.h"
#include "jobs/fl/walk.h"
#include "jobs/model/net.h"
#include "kernels/kernels.h"
#include "tests/unit/fl/fl_world.h"

enum { N_PARAMS = 259 };

/* So many seats a round, a pass of n_bins rounds. */
static void use_local(enum spec_local local, double clip_norm, double noise,
                      int64_t n_seats, int64_t n_bins, int64_t n_passes)
{
    use_privacy(clip_norm);
    use_federation(PARTITION_USERS, n_seats, n_bins * n_passes);
    spec.federation.selection = SELECTION_DEALT;
    spec.federation.local = local;
    struct price *price = &plan.price;
    price->n_bins = n_bins;
    price->sample_rate = 1.0 / (double)n_bins;
    price->noise_multiplier = noise;
    price->releases[0].mechanism.kind = MECHANISM_SUBSAMPLED_GAUSSIAN;
    price->releases[0].mechanism.noise_multiplier = noise;
    price->releases[0].mechanism.sample_rate = 1.0;
    price->releases[0].count = n_passes;
}

static struct cohort open_dealt(const struct partition *partition, int64_t n_bins,
                                int64_t n_seats, unsigned char key_byte)
{
    struct cohort cohort;
    unsigned char key[CRYPTO_KEY_SIZE] = {key_byte};
    ck_assert_int_eq(cohort_open(&cohort, SELECTION_DEALT, 1.0 / (double)n_bins,
                                 n_seats, 0, partition, key, NULL),
                     0);
    return cohort;
}

/* Nobody twice in a pass, nor more than there are seats; everybody now and then. */
START_TEST(each_once_a_pass)
{
    enum { N = 103, SEATS = 10, BINS = 11, PASSES = 60 };
    int times[N] = {0}, n_seated = 0;
    struct partition partition = {.n_clients = N};
    struct cohort cohort = open_dealt(&partition, BINS, SEATS, 3);
    for (int64_t pass = 0; pass < PASSES; pass++) {
        bool was_in[N] = {false};
        for (int64_t bin = 0; bin < BINS; bin++) {
            cohort_draw(&cohort, pass * BINS + bin, NULL);
            ck_assert_int_le(cohort.n, SEATS);
            for (int64_t i = 0; i < cohort.n; i++) {
                int64_t client = cohort.members[i];
                ck_assert(i == 0 || client > cohort.members[i - 1]);
                ck_assert(!was_in[client]);
                was_in[client] = true;
                times[client]++;
                n_seated++;
            }
        }
    }
    /* E min(K, 10) 11/103 for K ~ binomial(103, 1/11), summed term by term in Python:
     * 0.9066 of a client's passes, so 54.4 of 60, with standard deviation 2.3 */
    ck_assert_double_eq_tol((double)n_seated / (N * PASSES), 0.9066, 0.015);
    for (int c = 0; c < N; c++) {
        ck_assert_int_ge(times[c], 42);
    }
    cohort_close(&cohort);
}
END_TEST

/* One client more takes one seat, of one other client at most, whoever it is. */
START_TEST(one_client_takes_one_seat)
{
    enum { N = 30, SEATS = 12, ROUNDS = 50 };
    int64_t ids[N], fewer[N];
    int n_swaps = 0;
    for (int i = 0; i < N; i++) {
        ids[i] = 1000 + 7 * i;
    }
    int64_t gone = _i * 5, n = 0;
    for (int i = 0; i < N; i++) {
        fewer[n] = ids[i];
        n += i != gone;
    }
    struct partition all = {.n_clients = N, .ids = ids};
    struct partition some = {.n_clients = N - 1, .ids = fewer};
    struct cohort with = open_dealt(&all, 1, SEATS, 4);
    struct cohort without = open_dealt(&some, 1, SEATS, 4);
    for (int64_t round = 0; round < ROUNDS; round++) {
        int n_new = 0;
        bool has_gone = false;
        cohort_draw(&with, round, NULL);
        cohort_draw(&without, round, NULL);
        ck_assert_int_eq(with.n, SEATS);
        ck_assert_int_eq(without.n, SEATS);
        for (int64_t i = 0; i < SEATS; i++) {
            bool is_old = false;
            for (int64_t j = 0; j < SEATS; j++) {
                is_old = is_old || ids[with.members[i]] == fewer[without.members[j]];
            }
            n_new += !is_old;
            has_gone = has_gone || with.members[i] == gone;
        }
        ck_assert_int_eq(n_new, has_gone);
        n_swaps += has_gone;
    }
    ck_assert_int_gt(n_swaps, 5);
    ck_assert_int_lt(n_swaps, 40);
    cohort_close(&with);
    cohort_close(&without);
}
END_TEST

/* Root mean square of how far the model is from its first weights. */
static double moved(const struct world *world)
{
    struct net net;
    float first[N_PARAMS];
    double square = 0.0;
    ck_assert_int_eq(world->n_model, N_PARAMS);
    ck_assert_int_eq(net_build(&spec.model, &manifest.splits[0], false, &net, NULL), 0);
    net_init(&net, spec.training.seed, first);
    for (int64_t j = 0; j < N_PARAMS; j++) {
        double d = (double)world->model[j] - (double)first[j];
        square += d * d;
    }
    return sqrt(square / N_PARAMS);
}

/* Of updates that are nothing beside the noise: that of as many messages as there are
 * seats, whoever sits there: all users, more than there are seats, few, over one round
 * or twelve; and the same bits from any number of ranks. */
START_TEST(noise_has_its_size)
{
    static const struct {
        int64_t n_users, n_seats, n_bins;
    } cases[] = {{240, 240, 1}, {3, 240, 1}, {240, 100, 1}, {240, 20, 12}, {0, 20, 12}};
    int64_t n = train.n, seats = cases[_i].n_seats, bins = cases[_i].n_bins;
    spec.training.learning_rate = 1e-12;
    use_local(LOCAL_GAUSSIAN, 0.5, 3.0, seats, bins, 1);
    train.n = cases[_i].n_users;
    struct world one = federation_of(1), many = federation_of(3);
    run_well(&one, 1);
    unlink(meter_path);
    run_well(&many, 1);
    train.n = n;
    expect_same_model(&one, &many);
    double expected = 2.0 * 3.0 * 0.5 * sqrt((double)bins / (double)seats);
    ck_assert_double_eq_tol(moved(&one) / expected, 1.0, 5.0 / sqrt(2.0 * N_PARAMS));
    unlink(meter_path);
    many.sampling_key[7] = 1; /* another process: another noise */
    run_well(&many, 1);
    ck_assert_int_ne(
        memcmp(one.model, many.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&one);
    world_free(&many);
}
END_TEST

/* The last user's place is a stand-in's without it: the noise is the same, and what is
 * missing is an update no longer than the clip norm, on the grid. */
START_TEST(a_user_moves_one_message)
{
    spec.training.epochs = 5;
    spec.training.learning_rate = 5.0;
    use_local(LOCAL_GAUSSIAN, 0.25, 2.0, 240, 1, 1);
    struct seen with = run_seen(2);
    train.n--;
    struct seen without = run_seen(3);
    train.n++;
    double square = 0.0, noise = 0.0;
    for (size_t j = 0; j < N_PARAMS; j++) {
        double d = with.sum[j] - without.sum[j];
        square += d * d;
        noise += with.sum[j] * with.sum[j];
    }
    ck_assert_double_le(sqrt(square), 0.25 * (1 + 1e-12));
    ck_assert_double_gt(sqrt(square), 0.2499);
    ck_assert_double_gt(sqrt(noise), 0.8 * sqrt(240.0 * N_PARAMS));
}
END_TEST

/* Four noisy steps at a rate of 1/4, whose clipped gradients are little beside the
 * noise: each has twice the noise of an update that is made noisy once (the root of
 * four), and all four together, at that rate, four times it over four. Whoever sits
 * there, and with the same bits from any ranks. */
START_TEST(steps_have_their_noise)
{
    static const struct {
        int64_t n_users, n_seats, n_bins;
    } cases[] = {{240, 240, 1}, {3, 240, 1}, {240, 20, 12}, {0, 20, 12}};
    int64_t n = train.n, seats = cases[_i].n_seats, bins = cases[_i].n_bins;
    spec.training.learning_rate = 0.25;
    spec.training.epochs = 0;
    spec.training.steps = 4;
    use_local(LOCAL_STEPS, 0.5, 3.0, seats, bins, 1);
    train.n = cases[_i].n_users;
    struct world one = federation_of(1), many = federation_of(3);
    run_well(&one, 1);
    unlink(meter_path);
    run_well(&many, 1);
    train.n = n;
    expect_same_model(&one, &many);
    double expected = 2.0 * 3.0 * 0.5 * sqrt((double)bins / (double)seats);
    ck_assert_double_eq_tol(moved(&one) / expected, 1.0, 5.5 / sqrt(2.0 * N_PARAMS));
    world_free(&one);
    world_free(&many);
}
END_TEST

/* Where the last user is missing a stand-in walks with its noise and gradients of zero:
 * so far apart as all clipped steps together, and no farther. Every other client's
 * noise and draws are the same. Of 1, 2 or 6 steps. */
START_TEST(a_users_walk_is_bounded)
{
    static const int64_t steps[] = {1, 2, 6};
    double rate = 2.0, n_steps = (double)steps[_i], unit;
    spec.training.learning_rate = rate;
    spec.training.epochs = 0;
    spec.training.steps = steps[_i];
    use_local(LOCAL_STEPS, 0.25, 0.01, 240, 1, 1);
    struct seen with = run_seen(2);
    train.n--;
    struct seen without = run_seen(3);
    train.n++;
    /* the public unit of a message, as randomise.c has it: 16 standard deviations of
     * 2 C z sqrt(S) beyond C, for all steps, in 2^32 units */
    double far = 0.25 + 16.0 * 2.0 * 0.25 * 0.01 * sqrt(n_steps);
    unit = exp2(ceil(log2(n_steps * rate * far)) - 32.0);
    double square = 0.0, most = rate * n_steps * 0.25;
    for (size_t j = 0; j < N_PARAMS; j++) {
        double d = (with.sum[j] - without.sum[j]) * unit;
        square += d * d;
    }
    ck_assert_double_le(sqrt(square), most * (1 + 1e-5)); /* parameters are floats */
    ck_assert_double_gt(sqrt(square), 0.3 * most);
}
END_TEST

/* A step's gradient: whole numbers of the grid, no longer than the clip norm, whatever
 * comes in; then noise of its size, another one in each step, seat and round. */
START_TEST(a_step_is_clipped_and_noisy)
{
    enum { N = 2048 };
    static double x[4][N];
    const unsigned char key[CRYPTO_KEY_SIZE] = {9};
    double clip_norm = 0.75, clip;
    struct noise noise;
    struct grid grid;
    struct walk walk;
    ck_assert_int_eq(noise_open(&noise, &kernels_cpu, key, N, NULL), 0);
    ck_assert(grid_plan(clip_norm, 2.0, N, 1, &grid, &clip));
    ck_assert(walk_plan(&walk, &noise, &grid, clip_norm, 2.0, 9));
    ck_assert_double_eq_tol(walk.grid.std_steps * grid.step, 2 * 0.75 * 2 * 3, 1e-9);
    ck_assert(walk.grid.std_steps * grid.step >= 9.0);
    double std = walk.grid.std_steps;
    walk.grid.std_steps = 0x1p-30; /* no noise that a grid would show */
    for (int kind = 0; kind < 4; kind++) {
        double square = 0.0, dot = 0.0;
        walk_begin(&walk, 3, kind);
        for (int j = 0; j < N; j++) {
            x[1][j] = x[0][j] = (kind == 0 ? 1e-3 : kind == 1 ? 1e30 : 0.1) * sin(j);
        }
        x[0][7] = kind == 3 ? NAN : x[0][7];
        walk_step(&walk, N, x[0]);
        for (int j = 0; j < N; j++) {
            double k = x[0][j] / grid.step;
            ck_assert(k == nearbyint(k));
            square += k * k; /* whole numbers below 2^53: exact */
            dot += x[0][j] * x[1][j];
        }
        double most = clip_norm / grid.step;
        ck_assert_double_le(square, most * most);
        ck_assert(kind == 3 ? square == 0.0 : dot > 0.0);
        ck_assert(kind != 0 || fabs(dot / (N * 0.5e-6) - 1.0) < 0.01); /* not clipped */
        ck_assert(kind != 1 || square > 0.999 * most * most);
    }
    walk.grid.std_steps = std;
    for (int i = 0; i < 4; i++) { /* two steps, another seat, another round */
        double square = 0.0;
        if (i != 1) {
            walk_begin(&walk, i == 3, i == 2);
        }
        memset(x[i], 0, sizeof x[i]);
        walk_step(&walk, N, x[i]);
        for (int j = 0; j < N; j++) {
            square += x[i][j] * x[i][j];
        }
        ck_assert_double_eq_tol(sqrt(square / N) / 9.0, 1.0, 5.0 / sqrt(2.0 * N));
        for (int h = 0; h < i; h++) {
            ck_assert_int_ne(memcmp(x[h], x[i], sizeof x[i]), 0);
        }
    }
    ck_assert(!walk_plan(&walk, &noise, &grid, clip_norm, 2.0, WALK_MOST_STEPS));
    ck_assert(!walk_plan(&walk, &noise, &grid, clip_norm, 2.0, 0));
    ck_assert(!walk_plan(&walk, &noise, &grid, clip_norm, 0x1p20, 9));
    noise_close(&noise);
}
END_TEST

enum { MOST_VALUES = 16 };

/* Messages of one client of few values. */
struct small {
    struct trainer trainer;
    struct env env;
    struct plan plan;
    struct spec spec;
    struct randomise randomise;
    double sum[MOST_VALUES];
};

static void open_small(struct small *small, int64_t n_values, double epsilon,
                       double clip_norm, unsigned char key_byte)
{
    unsigned char master[CRYPTO_KEY_SIZE] = {key_byte};
    *small = (struct small){.env = {.kernels = &kernels_cpu}};
    small->plan.price.releases[0].mechanism =
        (struct mechanism){.kind = MECHANISM_PURE, .epsilon = epsilon};
    small->spec.federation.local = LOCAL_PRIVUNIT;
    small->spec.federation.cohort = 1000;
    small->spec.privacy.clip_norm = clip_norm;
    small->trainer = (struct trainer){.plan = &small->plan,
                                      .env = &small->env,
                                      .net = {.n_params = n_values},
                                      .sum = small->sum,
                                      .n_padded = MOST_VALUES,
                                      .threshold = {.grid = {.max_steps = 0x1p52}}};
    ck_assert_int_eq(randomise_open(&small->randomise, &small->spec, &small->trainer,
                                    NULL, NULL, master, NULL),
                     0);
}

/* The next one, in the model's unit. */
static void say(struct small *small, const float *after, const float *before,
                double *ret_message)
{
    int64_t n = small->trainer.net.n_params;
    memset(small->sum, 0, sizeof small->sum);
    randomise_add(&small->randomise, 7, after, before);
    small->trainer.step++;
    for (int64_t j = 0; j < n; j++) {
        ck_assert(small->sum[j] == nearbyint(small->sum[j]));
        ret_message[j] = -small->sum[j] * small->randomise.unit;
    }
}

/* The mean of 8000 messages is the update, shortened to the clip norm; of no update,
 * one of zeros and one that is none: zeros. 5 standard deviations, of 5 values in 6
 * cases: it fails by chance once in 60000 keys. */
START_TEST(privunit_is_unbiased)
{
    enum { N = 8000, D = 5 };
    static const float before[D] = {1.0f, -2.0f, 0.5f, 0.0f, 3.0f};
    static const float direction[D] = {0.5f, -0.1f, 0.7f, 0.0f, 0.5f}; /* length 1 */
    static const double lengths[] = {0.3, 0.75, 5.0, 0.0};
    double clip_norm = 0.75, mean[D] = {0}, square[D] = {0}, message[D];
    float after[D];
    struct small small;
    open_small(&small, D, _i % 2 == 0 ? 2.0 : 5.0, clip_norm, 11);
    double length = _i < 4 ? lengths[_i] : 0.0;
    for (int j = 0; j < D; j++) {
        after[j] = before[j] + (float)length * direction[j];
    }
    after[2] = _i == 5 ? NAN : after[2];
    for (int i = 0; i < N; i++) {
        say(&small, _i == 4 ? NULL : after, before, message);
        for (int j = 0; j < D; j++) {
            mean[j] += message[j] / N;
            square[j] += message[j] * message[j] / N;
        }
    }
    for (int j = 0; j < D; j++) {
        double expected = fmin(length, clip_norm) * (double)direction[j];
        double std = sqrt((square[j] - mean[j] * mean[j]) / N);
        ck_assert_double_eq_tol(mean[j], expected, 5.0 * std + 1e-6);
        ck_assert_double_lt(std, 3.0 * clip_norm / small.randomise.plan.m / sqrt(N));
    }
    randomise_close(&small.randomise);
}
END_TEST

enum { SECTORS = 12, RINGS = 3, CELLS = SECTORS * RINGS };
/* Rings of equal mass under the normal law: r^2 = -2 ln(1 - k/3). */
static int cell_of(double x, double y)
{
    double share = 1.0 - exp(-0.5 * (x * x + y * y)), angle = atan2(y, x) + M_PI;
    int ring = (int)fmin(share * RINGS, RINGS - 1);
    return ring * SECTORS + (int)fmin(angle / (2 * M_PI) * SECTORS, SECTORS - 1);
}

/* The chances of the cells by the density, on a fine polar grid of equal masses. */
static void integrate(const struct priv_unit *unit, double angle,
                      double ret_chance[CELLS])
{
    enum { FINE_R = 900, FINE_T = 3600 };
    double near = 0.0, weight[2][CELLS] = {{0}};
    for (int i = 0; i < FINE_R; i++) {
        double r = sqrt(-2.0 * log(1.0 - (i + 0.5) / FINE_R));
        for (int k = 0; k < FINE_T; k++) {
            double t = 2 * M_PI * (k + 0.5) / FINE_T;
            double x = r * cos(t), y = r * sin(t);
            bool is_near = x * cos(angle) + y * sin(angle) >= unit->gamma;
            weight[is_near][cell_of(x, y)] += 1.0 / ((double)FINE_R * FINE_T);
            near += is_near / ((double)FINE_R * FINE_T);
        }
    }
    ck_assert_double_eq_tol(near, 0.5 * erfc(unit->gamma * M_SQRT1_2), 1e-4);
    for (int c = 0; c < CELLS; c++) {
        ret_chance[c] = weight[1][c] * unit->p / near +
                        weight[0][c] * (1.0 - unit->p) / (1.0 - near);
    }
}

/* Two opposite directions in the plane: messages fall into cells as the density says
 * (chi-square with 35 degrees of freedom is above 89.9 once in 10^6), and into none
 * more often than e^epsilon times as often as the other's, which some come close to. */
START_TEST(privunit_keeps_to_its_epsilon)
{
    enum { N = 20000 };
    double epsilon = _i == 0 ? 1.0 : 3.0, chance[2][CELLS], worst = 0.0;
    int count[2][CELLS] = {{0}};
    for (int side = 0; side < 2; side++) {
        struct small small;
        double chi_square = 0.0, angle = side * M_PI + 0.4;
        const float zero[2] = {0.0f, 0.0f};
        const float after[2] = {(float)cos(angle) * 9.0f, (float)sin(angle) * 9.0f};
        open_small(&small, 2, epsilon, 1.0, (unsigned char)(20 + side));
        double scale = small.randomise.plan.m;
        for (int i = 0; i < N; i++) {
            double message[2];
            say(&small, after, zero, message);
            count[side][cell_of(message[0] * scale, message[1] * scale)]++;
        }
        integrate(&small.randomise.plan, angle, chance[side]);
        for (int c = 0; c < CELLS; c++) {
            double d = count[side][c] - N * chance[side][c];
            chi_square += d * d / (N * chance[side][c]);
        }
        ck_assert_double_lt(chi_square, 89.9);
        randomise_close(&small.randomise);
    }
    for (int c = 0; c < CELLS; c++) {
        double a = count[0][c], b = count[1][c], most = exp(epsilon) * b;
        worst = fmax(worst, chance[0][c] / chance[1][c]);
        ck_assert_double_le(a, most + 5.0 * sqrt(a + most * exp(epsilon)) + 5.0);
    }
    ck_assert_double_le(worst, exp(epsilon) * 1.001);
    ck_assert_double_gt(worst, 0.99 * exp(epsilon));
}
END_TEST

/* A federation of them: as many messages as seats, whoever sits there, the same bits
 * from any ranks, and another process draws others. The updates are next to nothing, so
 * that a coordinate of a message has variance 1 but for the direction's. */
START_TEST(privunit_has_its_size)
{
    static const struct {
        int64_t n_users, n_seats, n_bins;
    } cases[] = {{240, 40, 6}, {3, 240, 1}, {0, 40, 3}};
    int64_t n = train.n, seats = cases[_i].n_seats, bins = cases[_i].n_bins;
    struct priv_unit unit;
    spec.training.learning_rate = 1e-12;
    use_local(LOCAL_PRIVUNIT, 0.5, 1.0, seats, bins, 1);
    plan.price.releases[0].mechanism.kind = MECHANISM_PURE;
    plan.price.releases[0].mechanism.epsilon = 3.0;
    train.n = cases[_i].n_users;
    struct world one = federation_of(1), many = federation_of(3);
    run_well(&one, 1);
    unlink(meter_path);
    run_well(&many, 1);
    expect_same_model(&one, &many);
    ck_assert_int_eq(priv_unit_plan(3.0, &unit, NULL), 0);
    double expected = 0.5 / unit.m * sqrt((double)bins / (double)seats);
    ck_assert_double_eq_tol(moved(&one) / expected, 1.0, 5.5 / sqrt(2.0 * N_PARAMS));
    unlink(meter_path);
    many.sampling_key[7] = 1;
    run_well(&many, 1);
    train.n = n;
    ck_assert_int_ne(
        memcmp(one.model, many.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&one);
    world_free(&many);
}
END_TEST

/* A pass is charged at its first round. Who goes on in the middle of one pays for
 * another, and stops where none is left. */
START_TEST(passes_are_charged)
{
    use_local(LOCAL_GAUSSIAN, 0.5, 1e-3, 20, 12, 2);
    spec.training.checkpoint_every = 5;
    struct world whole = federation_of(2);
    run_well(&whole, 1);
    ck_assert_int_eq(whole.report[0].n_steps, 24);
    ck_assert_int_eq(whole.report[0].used[0], 2);
    world_free(&whole);
    unlink(meter_path);
    struct world parts = federation_of(2);
    parts.stop_after_reads = 3;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    ck_assert_int_eq(parts.report[0].used[0], 1);
    ck_assert_int_lt(parts.report[0].n_steps, 12);
    ck_assert_int_gt(parts.report[0].n_steps, 0);
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    ck_assert_int_eq(parts.report[0].used[0], 2);
    ck_assert_int_eq(parts.report[0].n_steps, 12);
    world_free(&parts);
}
END_TEST

START_TEST(learns)
{
    use_local(_i == 0 ? LOCAL_GAUSSIAN : LOCAL_STEPS, 1.0, 0.05, 60, 4, 10);
    if (_i == 1) {
        spec.training.epochs = 0;
        spec.training.steps = 2;
    }
    spec.training.evaluation = EVALUATION_PUBLIC;
    spec.training.learning_rate = 0.5;
    struct world world = federation_of(2);
    run_well(&world, 1);
    ck_assert_double_gt(world.report[0].test_accuracy, 0.9);
    world_free(&world);
}
END_TEST

/* What would cost more than was priced does not run. */
START_TEST(refuses_other_prices)
{
    use_local(LOCAL_GAUSSIAN, 1.0, 1.0, 20, 12, 2);
    if (_i == 0) {
        spec.federation.selection = SELECTION_POISSON;
    } else if (_i == 1) {
        plan.price.releases[0].mechanism.sample_rate = 1.0 / 12.0;
    } else if (_i == 2) {
        plan.price.releases[0].count = 1;
    } else if (_i == 3) {
        plan.price.n_bins = 24;
    } else if (_i == 4) {
        use_secagg(0.0);
    } else if (_i == 5) {
        spec.federation.consent.is_asked = true;
    } else if (_i == 6) {
        spec.privacy.clipping.mode = CLIP_QUANTILE;
    } else if (_i == 7) {
        spec.federation.weighting = WEIGHTING_EXAMPLES;
        spec.federation.max_weight = 3;
    } else if (_i == 9) {
        spec.federation.local = LOCAL_PRIVUNIT; /* and a Gaussian price */
    } else if (_i == 11) {
        spec.federation.local = LOCAL_STEPS; /* of no stated number */
    } else if (_i == 8) {
        plan.price.releases[0].mechanism.noise_multiplier = 2.0;
    } else {
        spec.federation.local = LOCAL_NONE;
        spec.federation.selection = SELECTION_POISSON;
    }
    struct world world = federation_of(2);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
    ck_assert_int_eq(world.rc[1], -PPT_EINTERNAL);
    world_free(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("local");
    TCase *tcase = tcase_create("local");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup_federation, teardown);
    tcase_add_test(tcase, each_once_a_pass);
    tcase_add_loop_test(tcase, one_client_takes_one_seat, 0, 6);
    tcase_add_loop_test(tcase, noise_has_its_size, 0, 5);
    tcase_add_test(tcase, a_user_moves_one_message);
    tcase_add_loop_test(tcase, privunit_is_unbiased, 0, 6);
    tcase_add_loop_test(tcase, privunit_keeps_to_its_epsilon, 0, 2);
    tcase_add_loop_test(tcase, privunit_has_its_size, 0, 3);
    tcase_add_test(tcase, passes_are_charged);
    tcase_add_loop_test(tcase, steps_have_their_noise, 0, 4);
    tcase_add_loop_test(tcase, a_users_walk_is_bounded, 0, 3);
    tcase_add_test(tcase, a_step_is_clipped_and_noisy);
    tcase_add_loop_test(tcase, learns, 0, 2);
    tcase_add_loop_test(tcase, refuses_other_prices, 0, 12);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
