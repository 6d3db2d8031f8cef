#include "tests/unit/fl/fl_world.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "jobs/privacy/correlation.h"

void use_federation(enum spec_partition partition, int64_t cohort, int64_t rounds)
{
    bool is_private = spec.privacy.is_private;
    spec.federation =
        (struct spec_federation){.rounds = rounds,
                                 .partition = partition,
                                 .clients = partition == PARTITION_USERS ? 0 : 20,
                                 .alpha = 0.3,
                                 .shards = 2,
                                 .cohort = cohort,
                                 .server = {.learning_rate = 1.0,
                                            .momentum = 0.9,
                                            .beta1 = 0.9,
                                            .beta2 = 0.99,
                                            .tau = 1e-3}};
    double n_clients = partition == PARTITION_USERS ? (double)train.n : 20.0;
    plan = world_plan(&spec, &manifest, is_private ? 1e-9 : 0.0, rounds);
    plan.price.sample_rate = floor((double)cohort / n_clients * 0x1p53) * 0x1p-53;
    plan.price.releases[0].mechanism.sample_rate = plan.price.sample_rate;
    plan.price.unit = spec.privacy.unit;
}

void setup_federation(void)
{
    setup();
    spec.kind = JOB_FL;
    spec.training.batch_size = 5;
    spec.training.epochs = 2;
    spec.resources.memory_bytes = 1 << 30;
}

void use_privacy(double clip_norm)
{
    spec.privacy.is_private = true;
    spec.privacy.unit = UNIT_USER;
    spec.privacy.clip_norm = clip_norm;
}

struct world federation_of(int size)
{
    struct world world = world_of(size);
    world.run = fl_run;
    world.is_whole = true;
    return world;
}

void expect_same_model(const struct world *a, const struct world *b)
{
    ck_assert_int_eq(a->n_model, b->n_model);
    ck_assert_mem_eq(a->model, b->model, (size_t)a->n_model * sizeof *a->model);
}

void use_secagg(double max_norm)
{
    spec.federation.aggregation = AGGREGATION_SECAGG;
    spec.federation.secagg = (struct spec_secagg){.bits = 20,
                                                  .max_norm = max_norm,
                                                  .corrupt = 0.05,
                                                  .dropout = 0.05,
                                                  .min_clients = 4};
}

void use_noise_by_clients(enum spec_noise_kind kind, int64_t participants,
                          int64_t min_survivors)
{
    use_secagg(0.0);
    spec.federation.noise = (struct spec_noise){.by = NOISE_BY_CLIENTS,
                                                .kind = kind,
                                                .participants = participants,
                                                .min_survivors = min_survivors};
}

void use_fixed_order(double noise_multiplier, int64_t bands)
{
    double n_clients = (double)train.n;
    int64_t cohort = spec.federation.cohort, rounds = spec.federation.rounds;
    struct price *price = &plan.price;
    spec.federation.selection = SELECTION_FIXED_ORDER;
    spec.federation.bands = bands;
    price->n_bins = (int64_t)ceil(n_clients / (double)cohort);
    price->n_bands = correlation_bands(bands, price->n_bins);
    price->sample_rate = 1.0 / (double)price->n_bins;
    price->noise_multiplier = noise_multiplier;
    price->releases[0] =
        (struct price_release){.name = "pass",
                               .mechanism = {.kind = MECHANISM_GAUSSIAN,
                                             .noise_multiplier = correlation_priced(
                                                 noise_multiplier, price->n_bands),
                                             .sample_rate = 1.0},
                               .count = (rounds + price->n_bins - 1) / price->n_bins};
}

void use_rule(enum spec_rule rule, enum spec_before before)
{
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.robust = (struct spec_robust){.is_on = true,
                                                  .rule = rule,
                                                  .byzantine = 1,
                                                  .before = before,
                                                  .bucket = 2,
                                                  .clip_norm = 0.5,
                                                  .iterations = 3,
                                                  .smoothing = 1e-6};
}

void use_attack(enum spec_attack_kind kind)
{
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.attack = (struct spec_attack){
        .is_on = true, .kind = kind, .clients = 4, .strength = 0.5};
}

void use_users(void)
{
    train.users = calloc((size_t)train.n, sizeof *train.users);
    for (int64_t i = 0; i < train.n; i++) {
        train.users[i] = 1000 - (int64_t)sqrt(1.5 * (double)(i * 7 % train.n));
    }
    manifest.splits[0].nominal_users = 20;
}

static void see(void *state, int rank, const double *send, size_t n)
{
    (void)rank;
    struct seen *seen = state;
    pthread_mutex_lock(&seen->mutex);
    ck_assert_uint_le(n, sizeof seen->sum / sizeof *seen->sum);
    for (size_t j = 0; j < n; j++) {
        seen->sum[j] += send[j];
    }
    seen->n = n;
    pthread_mutex_unlock(&seen->mutex);
}

struct seen run_seen(int size)
{
    struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct world world = federation_of(size);
    world.on_sum = see;
    world.on_sum_state = &seen;
    unlink(meter_path);
    run_well(&world, 1);
    world_free(&world);
    return seen;
}

void softmax_gradient(const double *w, const float *x, int32_t label, double *ret)
{
    enum { D = FL_WORLD_DIMS, P = FL_WORLD_CLASSES };
    double score[P], sum = 0.0;
    for (int p = 0; p < P; p++) {
        score[p] = w[D * P + p];
        for (int d = 0; d < D; d++) {
            score[p] += (double)x[d] * w[d * P + p];
        }
        sum += exp(score[p]);
    }
    for (int p = 0; p < P; p++) {
        double g = exp(score[p]) / sum - (p == label ? 1.0 : 0.0);
        ret[D * P + p] = g;
        for (int d = 0; d < D; d++) {
            ret[d * P + p] = (double)x[d] * g;
        }
    }
}
