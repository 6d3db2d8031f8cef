/* A clip norm that follows a quantile of the clients' norms: it goes where the norms
 * say, one user moves the sum and its votes by what is priced, whatever the norm is,
 * and both have the noise that they should have. In the clear, by secure aggregation,
 * and with noise by the clients. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/fl/encode.h"
#include "jobs/fl/fl_run.h"
#include "jobs/fl/secure.h"
#include "jobs/privacy/meter.h"
#include "jobs/privacy/split.h"
#include "tests/unit/dp/world.h"

enum { N_USERS = 20, N_PARAMS = 259, MOST_ROUNDS = 1000 };
enum way { CLEAR, SECURE, BY_CLIENTS, N_WAYS };

static struct world_data train;
static struct manifest manifest;
static struct spec spec;
static struct plan plan;
static char meter_path[64];
static char notes[200 * MOST_ROUNDS];

/* Users of 1 to 40 records. */
static void setup(void)
{
    int64_t dims[1] = {12};
    train = world_blobs(240, 12, 3, 0.8, 1);
    train.users = calloc((size_t)train.n, sizeof *train.users);
    for (int64_t i = 0; i < train.n; i++) {
        train.users[i] = (int64_t)sqrt(1.5 * (double)(i * 7 % train.n));
    }
    manifest = world_manifest(train.n, 0, 1, dims, 3);
    manifest.splits[0].nominal_users = N_USERS;
    spec = world_spec(PRESET_MLP, false);
    spec.kind = JOB_FL;
    spec.training.batch_size = train.n; /* so that a client's norm does not depend on
                                           the order of its records */
    spec.training.epochs = 3;
    spec.training.learning_rate = 1.0;
    spec.resources.memory_bytes = 1 << 30;
    strcpy(meter_path, "/tmp/check_quantile.XXXXXX");
    int fd = mkstemp(meter_path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(meter_path);
}

static void teardown(void)
{
    unlink(meter_path);
    world_data_free(&train);
}

/* All users, every round, and a model that does not move. */
static void use(enum way way, double clip_norm, double quantile, double noise,
                double count_noise, int64_t rounds)
{
    spec.privacy = (struct spec_privacy){.is_private = true,
                                         .unit = UNIT_USER,
                                         .delta = 1e-6,
                                         .clip_norm = clip_norm,
                                         .clipping = {.mode = CLIP_QUANTILE,
                                                      .quantile = quantile,
                                                      .count_noise = count_noise,
                                                      .rate = 0.5}};
    spec.federation = (struct spec_federation){.rounds = rounds,
                                               .partition = PARTITION_USERS,
                                               .cohort = N_USERS,
                                               .server = {.learning_rate = 1e-12}};
    if (way != CLEAR) {
        spec.federation.aggregation = AGGREGATION_SECAGG;
        spec.federation.secagg = (struct spec_secagg){
            .bits = 24, .corrupt = 0.05, .dropout = 0.05, .min_clients = 4};
    }
    if (way == BY_CLIENTS) {
        spec.federation.noise = (struct spec_noise){.by = NOISE_BY_CLIENTS,
                                                    .kind = NOISE_ROUNDED_GAUSSIAN,
                                                    .participants = N_USERS,
                                                    .min_survivors = N_USERS};
    }
    plan = world_plan(&spec, &manifest, noise, rounds);
    plan.price.unit = UNIT_USER;
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 1.0;
}

static void run(struct world *world, int attempt)
{
    struct error err = {0};
    if (attempt == 1) {
        unlink(meter_path);
        ck_assert_int_eq(meter_create(meter_path, &err), 0);
    }
    ck_assert_int_eq(meter_open(meter_path, attempt, &plan.price, &world->meter, &err),
                     0);
    notes[0] = '\0';
    world_run(world);
    meter_close(world->meter);
}

static struct world world_of(int size)
{
    return (struct world){.size = size,
                          .train = &train,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest,
                          .run = fl_run,
                          .is_whole = true,
                          .notes = notes,
                          .notes_size = sizeof notes};
}

static void run_well(struct world *world, int attempt)
{
    run(world, attempt);
    for (int r = 0; r < world->size; r++) {
        ck_assert_msg(world->rc[r] == 0, "rank %d: %s", r, world->err[r].text);
    }
}

/* What the journal says of a round, or 0. */
static double norm_of_round(int64_t round)
{
    char text[64];
    snprintf(text, sizeof text, "\"round\": %lld, \"clip_norm\": ", (long long)round);
    const char *at = strstr(notes, text);
    return at == NULL ? 0.0 : strtod(at + strlen(text), NULL);
}

/* What went into the reductions, over all ranks: one sum a round. */
struct seen {
    pthread_mutex_t mutex;
    int n_calls, size;
    double square[MOST_ROUNDS]; /* of what one rank alone has */
    double sum[1024];           /* of the first round */
    size_t n;
};

static void see(void *state, int rank, const double *send, size_t n)
{
    struct seen *seen = state;
    pthread_mutex_lock(&seen->mutex);
    int round = seen->n_calls++ / seen->size;
    ck_assert_uint_le(n, 1024);
    for (size_t j = 0; j < n; j++) {
        seen->square[round] += send[j] * send[j];
        seen->sum[j] += round == 0 ? send[j] : 0.0;
    }
    seen->n = n;
    pthread_mutex_unlock(&seen->mutex);
    (void)rank;
}

static void run_seen(int size, struct seen *ret_seen)
{
    *ret_seen = (struct seen){.mutex = PTHREAD_MUTEX_INITIALIZER, .size = size};
    struct world world = world_of(size);
    world.on_sum = see;
    world.on_sum_state = ret_seen;
    run_well(&world, 1);
    world_free(&world);
}

/* The records of that user alone, or of all others. */
static struct world_data some_of(int64_t user, bool is_alone)
{
    struct world_data some = world_blobs(train.n, 12, 3, 0.8, 1);
    some.users = calloc((size_t)train.n, sizeof *some.users);
    some.n = 0;
    for (int64_t i = 0; i < train.n; i++) {
        if ((train.users[i] == user) == is_alone) {
            memcpy(some.x + 12 * some.n, train.x + 12 * i, 12 * sizeof *some.x);
            some.y[some.n] = train.y[i];
            some.users[some.n++] = train.users[i];
        }
    }
    return some;
}

/* How long each user's update is: a sum of it alone, with room for all of it. */
static void find_norms(double ret_norms[N_USERS])
{
    struct world_data all = train;
    int n = 0;
    use(CLEAR, 1e3, 0.5, 1e-9, 1.0, 1);
    spec.privacy.clipping = (struct spec_clipping){.mode = CLIP_FLAT};
    for (int64_t user = 0; user < N_USERS; user++) {
        struct world_data some = some_of(user, true);
        if (some.n > 0) {
            struct seen seen;
            train = some;
            run_seen(1, &seen);
            ret_norms[n++] = sqrt(seen.square[0]);
            train = all;
        }
        world_data_free(&some);
    }
    ck_assert_int_ge(n, N_USERS - 1);
    for (; n < N_USERS; n++) {
        ret_norms[n] = NAN; /* nobody has this number */
    }
}

/* Round by round as the paper's rule says (Andrew et al. 2021, section 2.1), from below
 * and from above, with the norms measured by themselves; next to no noise. */
START_TEST(follows_the_rule)
{
    static const double quantiles[] = {0.3, 0.5, 0.9};
    enum way way = (enum way)(_i / 3);
    double norms[N_USERS], quantile = quantiles[_i % 3];
    double norm = _i % 2 == 0 ? 3.0 : 0.01;
    /* shares of the noise cannot be as small */
    double noise = way == BY_CLIENTS ? 1e-3 : 1e-6, count_noise = noise;
    int64_t rounds = way == CLEAR ? 60 : 15;
    find_norms(norms);
    use(way, norm, quantile, noise, count_noise, rounds);
    struct world world = world_of(2);
    run_well(&world, 1);
    for (int64_t t = 1; t <= rounds; t++) {
        double told = norm_of_round(t), votes = 0.0;
        ck_assert_double_eq_tol(told, norm, 2e-3 * norm);
        norm = told; /* so that errors do not add up */
        for (int u = 0; u < N_USERS; u++) {
            votes += isnan(norms[u]) ? 0.0 : norms[u] <= norm ? 0.5 : -0.5;
        }
        norm *= exp(-0.5 * (votes / N_USERS + 0.5 - quantile));
    }
    world_free(&world);
}
END_TEST

/* The length of what one user may add, clip norm and vote together; and of its part of
 * a secure sum, in whole numbers. */
static double bound_of(enum way way, double norm, double noise, double count_noise)
{
    double gradients, n = N_USERS + (way == SECURE ? 4.0 : 0.0);
    ck_assert_int_eq(split_gradient_noise(noise, count_noise, &gradients, NULL), 0);
    double ratio = gradients / (2.0 * count_noise), both = sqrt(1.0 + ratio * ratio);
    if (way == CLEAR) {
        return norm * both;
    }
    struct encode_terms terms = {.n_values = N_PARAMS + 1,
                                 .clip_norm = spec.privacy.clip_norm * both};
    double std = noise * terms.clip_norm / sqrt(n);
    ck_assert_int_eq(
        encode_scale(&terms, (uint32_t)n, 24, std, SECURE_SPREAD, &terms.scale, NULL),
        0);
    return encode_bound(&terms);
}

/* Everybody with and without one user, whose part with its vote is as long as it may be
 * where the update is longer than the clip norm. */
START_TEST(one_user_moves_sum_and_votes_by_the_bound)
{
    enum way way = (enum way)(_i % N_WAYS);
    bool is_short = _i >= N_WAYS;
    double noise = 2.0, count_noise = 1.5;
    struct world_data all = train, some;
    use(way, is_short ? 3.0 : 0.05, 0.5, noise, count_noise, 1);
    struct seen with, without;
    run_seen(2, &with);
    some = some_of(11, false);
    ck_assert_int_lt(some.n, all.n);
    train = some;
    run_seen(3, &without);
    train = all;
    world_data_free(&some);
    double square = 0.0, bound = bound_of(way, spec.privacy.clip_norm, noise, 1.5);
    for (size_t j = 0; j < N_PARAMS + 1; j++) {
        double d = with.sum[j] - without.sum[j];
        ck_assert(way == CLEAR || d == nearbyint(d));
        square += d * d;
    }
    ck_assert_double_le(sqrt(square), bound * (1.0 + 1e-12));
    if (!is_short) {
        ck_assert_double_gt(sqrt(square), 0.99 * bound);
    }
    if (way == CLEAR) { /* half of a vote's weight, which says which way it went */
        double vote = with.sum[N_PARAMS] - without.sum[N_PARAMS];
        double gradients;
        ck_assert_int_eq(split_gradient_noise(noise, count_noise, &gradients, NULL), 0);
        double half = spec.privacy.clip_norm * gradients / (2.0 * count_noise);
        ck_assert_double_eq_tol(vote, is_short ? half : -half, 1e-4 * half);
    }
}
END_TEST

/* One user alone, round after round, while the clip norm goes down from far above its
 * update to below it: never longer than the bound of the clip norm of that round. Whole
 * numbers have one bound for all rounds. */
START_TEST(the_bound_goes_with_the_norm)
{
    enum way way = (enum way)_i;
    int64_t rounds = 40;
    double least = INFINITY, most = 0.0;
    struct world_data all = train, some = some_of(11, true);
    struct seen seen;
    use(way, 3.0, 0.01, 1e-6, 2e-6, rounds);
    train = some;
    run_seen(1, &seen);
    train = all;
    world_data_free(&some);
    for (int64_t t = 1; t <= rounds; t++) {
        double length = sqrt(seen.square[t - 1]), norm = norm_of_round(t);
        double bound = bound_of(way, norm, 1e-6, 2e-6);
        ck_assert_double_gt(norm, 0.0);
        ck_assert_double_le(length, bound * (1.0 + 1e-12));
        least = fmin(least, length / bound);
        most = fmax(most, length / bound);
    }
    ck_assert_double_lt(norm_of_round(rounds), 0.3);
    ck_assert_double_gt(most, 0.99);
    ck_assert_double_lt(least, 0.9);
}
END_TEST

/* Standard deviation of the logarithm's steps over their size: the votes' noise over
 * the expected cohort. Nobody's vote changes: all are far below the clip norm, which
 * has no way to go but for the noise. The model's noise is measured in the last round,
 * and goes with that round's clip norm, which is not the first. 5 standard deviations.
 */
START_TEST(sums_and_votes_have_their_noise)
{
    enum way way = (enum way)_i;
    int64_t rounds = way == CLEAR ? 400 : 80, n = rounds - 1;
    double noise = 2.0, count_noise = 1.5, gradients, mean = 0.0, square = 0.0;
    spec.training.learning_rate = 1e-9;
    use(way, 1.0, 0.99, noise, count_noise, rounds);
    struct world world = world_of(2);
    run_well(&world, 1);
    for (int64_t t = 1; t <= n; t++) {
        double step = log(norm_of_round(t + 1) / norm_of_round(t));
        mean += step / (double)n;
        square += step * step / (double)n;
    }
    double std = sqrt(square - mean * mean) / 0.5 * N_USERS;
    ck_assert_double_eq_tol(std / count_noise, 1.0, 5.0 / sqrt(2.0 * (double)n));
    double last_norm = 0.0, moved = 0.0;
    world_free(&world);
    ck_assert_int_eq(split_gradient_noise(noise, count_noise, &gradients, NULL), 0);
    float *before = NULL;
    for (int64_t last = 3; last <= 4; last++) {
        use(way, 1.0, 0.5, noise, count_noise, last);
        spec.federation.server.learning_rate = 1.0;
        struct world part = world_of(2);
        run_well(&part, 1);
        ck_assert_int_eq(part.n_model, N_PARAMS);
        if (before == NULL) {
            before = part.model;
            part.model = NULL;
        } else {
            last_norm = norm_of_round(4);
            for (int64_t j = 0; j < N_PARAMS; j++) {
                double d = (double)part.model[j] - (double)before[j];
                moved += d * d;
            }
        }
        world_free(&part);
    }
    free(before);
    double expected = gradients * last_norm / N_USERS;
    ck_assert_double_lt(last_norm, 0.8);
    ck_assert_double_eq_tol(sqrt(moved / N_PARAMS) / expected, 1.0,
                            5.0 / sqrt(2.0 * N_PARAMS));
}
END_TEST

/* Stopped and resumed by other ranks: the clip norm goes on from where it was. */
START_TEST(a_clip_norm_resumes)
{
    enum way way = (enum way)_i;
    int64_t rounds = way == CLEAR ? 200 : 50;
    double whole[MOST_ROUNDS] = {0.0};
    use(way, 3.0, 0.4, 1e-4, 1e-4, rounds);
    struct world one = world_of(1), parts = world_of(2);
    run_well(&one, 1);
    for (int64_t t = 1; t <= rounds; t++) {
        whole[t] = norm_of_round(t);
        ck_assert_double_gt(whole[t], 0.0);
    }
    parts.stop_after_reads = way == CLEAR ? 100 : 20;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    int64_t done = parts.report[0].n_steps;
    ck_assert_int_gt(done, 0);
    ck_assert_int_lt(done, rounds);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    ck_assert_double_eq(norm_of_round(done), 0.0);
    ck_assert_double_lt(whole[done + 1], 2.9);
    for (int64_t t = done + 1; t <= rounds; t++) {
        ck_assert_double_eq_tol(norm_of_round(t), whole[t], 0.1 * whole[t]);
    }
    world_free(&one);
    world_free(&parts);
}
END_TEST

/* Votes of clients that send what is no update count for nothing, as their updates do.
 */
START_TEST(damage_has_no_vote)
{
    use(CLEAR, 1.0, 0.5, 1e-6, 1e-6, 1);
    spec.training.learning_rate = 1e38; /* ends at no numbers */
    struct seen seen;
    run_seen(1, &seen);
    ck_assert_double_eq(seen.square[0], 0.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantile");
    TCase *tcase = tcase_create("quantile");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, follows_the_rule, 0, 3 * N_WAYS);
    tcase_add_loop_test(tcase, one_user_moves_sum_and_votes_by_the_bound, 0,
                        2 * N_WAYS);
    tcase_add_loop_test(tcase, the_bound_goes_with_the_norm, 0, BY_CLIENTS);
    tcase_add_loop_test(tcase, sums_and_votes_have_their_noise, 0, N_WAYS);
    tcase_add_loop_test(tcase, a_clip_norm_resumes, 0, N_WAYS);
    tcase_add_test(tcase, damage_has_no_vote);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
