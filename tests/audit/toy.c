/* T3: very many runs of a toy job, with a record and without it. Whoever guesses from
 * the model which it was errs as often as the price says, or the price is wrong.
 *
 * From the counts of true and false alarms of a rule that was fixed before, Clopper and
 * Pearson bound both rates, and those bound from below
 * - mu, of the Gaussian trade-off curve: Phi^-1(1 - FPR) - Phi^-1(FNR), at rate 1;
 * - epsilon at any delta, of any mechanism: log((TPR - delta) / FPR).
 * No lower bound may be above the price, at confidence 1 - SURE (1e-8 for each of about
 * ten): a sound engine fails a run with a probability below 10^-6. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/price.h"
#include "tests/audit/audit.h"
#include "tests/audit/stats.h"

enum { N_FEATURES = 2, N_CLASSES = 2, N_MODEL = N_FEATURES * N_CLASSES + N_CLASSES };

static const double SURE = 1e-8;   /* of a claim that the price is wrong */
static const double LIKELY = 0.05; /* of the lower bounds that are shown beside it */
static const double delta = 1e-5;

/* Small enough for the records' gradients to stay as they are at the start, so that
 * their direction is known; large enough for floats to hold the noise. */
static const double learning_rate = 0.01, clip_norm = 0.01;

static struct spec spec;
static struct plan plan;
static struct manifest manifest;
static float first_model[N_MODEL];

struct rates {
    int64_t n, true_alarms, false_alarms;
};

/* Record i has feature `feature` only. */
static void put(struct world_data *data, int64_t i, int feature)
{
    memset(data->x + i * N_FEATURES, 0, N_FEATURES * sizeof *data->x);
    data->x[i * N_FEATURES + feature] = 1.0f;
    data->y[i] = 0;
}

static void use(double noise_multiplier, double rate, int64_t nominal, int64_t n_steps)
{
    int64_t dims[1] = {N_FEATURES};
    manifest = world_manifest(nominal, 0, 1, dims, N_CLASSES);
    spec = world_spec(PRESET_LOGISTIC, true);
    spec.privacy.clip_norm = clip_norm;
    spec.training.learning_rate = learning_rate;
    spec.training.checkpoint_every = 0;
    plan = world_plan(&spec, &manifest, noise_multiplier, n_steps);
    plan.price.sample_rate = rate;
    plan.price.releases[0].mechanism.sample_rate = rate;
}

/* The weight of `feature` for class 0 less that for class 1 moves by sqrt(2) times the
 * part of the gradient that lies along it: all of it but for the biases' share. What it
 * moved by, in clip norms. */
static double moved(const struct world *world, int feature)
{
    const int64_t at = (int64_t)feature * N_CLASSES;
    double batch = plan.price.sample_rate * (double)manifest.splits[0].nominal_count;
    double d = (double)world->model[at] - first_model[at] -
               (double)world->model[at + 1] + first_model[at + 1];
    return d / sqrt(2.0) * batch / (learning_rate * clip_norm);
}

/* The same of the biases; together with the feature's all of the gradient. */
static double score(const struct world *world, int feature)
{
    double bias = moved(world, N_FEATURES);
    return (moved(world, feature) + bias) / sqrt(2.0);
}

static struct world begin(const struct world_data *data)
{
    struct world world = {
        .size = 1, .train = data, .plan = &plan, .spec = &spec, .manifest = &manifest};
    struct plan none = plan;
    none.price.n_steps = 0;
    world.plan = &none;
    world.meter = audit_meter(&plan, 1);
    audit_run(&world);
    audit_meter_close(world.meter);
    if (world.n_model != N_MODEL) {
        audit_stop("%lld parameters", (long long)world.n_model);
    }
    memcpy(first_model, world.model, sizeof first_model);
    world.plan = &plan;
    return world;
}

/* epsilon at `at_delta` that the rates prove, each bound at confidence 1 - alpha / 2.
 */
static double proven_epsilon(const struct rates *rates, double at_delta, double alpha)
{
    double fpr = stats_upper(rates->n, rates->false_alarms, alpha / 2);
    double tpr = stats_lower(rates->n, rates->true_alarms, alpha / 2);
    return tpr > at_delta ? fmax(0.0, log((tpr - at_delta) / fpr)) : 0.0;
}

static double proven_mu(const struct rates *rates, double alpha)
{
    double fpr = stats_upper(rates->n, rates->false_alarms, alpha / 2);
    double tpr = stats_lower(rates->n, rates->true_alarms, alpha / 2);
    return fmax(1e-4, stats_normal_inverse(tpr) - stats_normal_inverse(fpr));
}

/* What the ledger takes for the whole plan. */
static double charged(double at_delta)
{
    int64_t used[PRICE_MAX_RELEASES] = {plan.price.releases[0].count};
    struct cost cost;
    double epsilon;
    struct error err = {0};
    if (price_used(&plan.price, used, &cost, &err) != 0 ||
        cost_epsilon(&cost, at_delta, &epsilon, NULL, &err) != 0) {
        audit_stop("no price: %s", err.text);
    }
    return epsilon;
}

/* Every record in every step: the job is one Gaussian release of mu = sqrt(T) / sigma,
 * and half its mean is the best place to part the two cases. */
static struct rates play_full(double mu, int64_t n_steps, int64_t n_runs)
{
    struct world_data one = world_blobs(1, N_FEATURES, N_CLASSES, 0.5, 1), none = one;
    struct rates rates = {.n = n_runs};
    use(sqrt((double)n_steps) / mu, 1.0, 1, n_steps);
    put(&one, 0, 0);
    none.n = 0;
    struct world world = begin(&one);
    world.meter = audit_meter(&plan, 2 * n_runs);
    for (int64_t i = 0; i < 2 * n_runs; i++) {
        world.train = i % 2 == 0 ? &one : &none;
        audit_run_fresh(&world);
        bool is_alarm = score(&world, 0) > 0.5 * (double)n_steps;
        *(i % 2 == 0 ? &rates.true_alarms : &rates.false_alarms) += is_alarm;
    }
    audit_meter_close(world.meter);
    world_free(&world);
    world_data_free(&one);
    return rates;
}

static void judge_full(double price, int64_t n_steps, int64_t n_runs, bool is_tight)
{
    double mu = stats_mu(price, delta);
    struct rates rates = play_full(mu, n_steps, n_runs);
    double likely = stats_epsilon(proven_mu(&rates, LIKELY), 1.0, delta);
    double sure = stats_epsilon(proven_mu(&rates, SURE), 1.0, delta);
    double any = proven_epsilon(&rates, 0.0, SURE), ledger = charged(delta);
    printf(
        "%lld + %lld runs of %lld steps at epsilon %g (charged %.4f): proven %.4f at "
        "95 %%, %.4f at 1 - 1e-8, by any mechanism %.4f\n",
        (long long)n_runs, (long long)n_runs, (long long)n_steps, price, ledger, likely,
        sure, proven_epsilon(&rates, delta, LIKELY));
    audit_judge(sure <= price, "bound", "proven %.4f is above the price %g", sure,
                price);
    audit_judge(any <= price, "bound", "proven %.4f is above the price %g", any, price);
    audit_judge(ledger >= price * (1.0 - 1e-9), "charge",
                "the ledger takes %.6f for what costs %.6f", ledger, price);
    if (is_tight) {
        audit_judge(likely >= 0.9 * price, "tightness",
                    "proven %.4f is below 0.9 of the price %g", likely, price);
    }
}

/* At epsilon 1 and 4 * 10^5 runs of each kind the bound at 95 % has mean .967 of the
 * price and standard deviation .012: below 0.9 once in 10^7 runs. */
void audit_toy(int64_t n_runs)
{
    judge_full(1.0, 1, 4 * n_runs, true);
    judge_full(2.0, 4, n_runs / 2, false);
    judge_full(4.0, 4, n_runs / 2, false);
}

/* A rate of 1/16, and an attacker who knows everybody but one: the seven others of its
 * block of eight have one direction, the record another. Sampled one by one the others
 * say nothing of the record. Sampled together they say when it was in, and the price of
 * a sample is no longer earned. The mates' seven gradients, clipped to 1, move their
 * feature and the biases by 7 / sqrt(2) = 4.95 each, and with that the record's score
 * by 3.5. */
static void play_chunks(struct rates *ret_alone, struct rates *ret_with_mates)
{
    enum { N_CHUNK = 8 };
    struct world_data all = world_blobs(N_CHUNK, N_FEATURES, N_CLASSES, 0.5, 1),
                      but_one;
    for (int64_t i = 0; i < N_CHUNK; i++) {
        put(&all, i, i < N_CHUNK - 1 ? 1 : 0);
    }
    but_one = all;
    but_one.n = N_CHUNK - 1;
    struct world world = begin(&all);
    world.meter = audit_meter(&plan, 2 * ret_alone->n);
    for (int64_t i = 0; i < 2 * ret_alone->n; i++) {
        world.train = i % 2 == 0 ? &all : &but_one;
        audit_run_fresh(&world);
        bool is_alarm = moved(&world, 0) > 1.5;
        bool is_chosen = moved(&world, 1) > 3.5 && score(&world, 0) - 3.5 > 1.5;
        *(i % 2 == 0 ? &ret_alone->true_alarms : &ret_alone->false_alarms) += is_alarm;
        *(i % 2 == 0 ? &ret_with_mates->true_alarms : &ret_with_mates->false_alarms) +=
            is_chosen;
    }
    audit_meter_close(world.meter);
    world_free(&world);
    world_data_free(&all);
}

void audit_chunks(int64_t n_runs)
{
    const double at_delta = 1e-3, noise_multiplier = 1.0, rate = 0.0625;
    struct rates alone = {.n = n_runs}, with_mates = {.n = n_runs};
    use(noise_multiplier, rate, 16, 1);
    play_chunks(&alone, &with_mates);
    double price = stats_epsilon(1.0 / noise_multiplier, rate, at_delta);
    const struct rates *rules[2] = {&alone, &with_mates};
    const char *names[2] = {"its own trace", "its own trace and its mates'"};
    for (int i = 0; i < 2; i++) {
        double sure = proven_epsilon(rules[i], at_delta, SURE);
        printf(
            "%lld + %lld runs at rate 1/16, epsilon %.4f at delta %g (charged %.4f), "
            "by %s: proven %.4f at 95 %%, %.4f at 1 - 1e-8\n",
            (long long)n_runs, (long long)n_runs, price, at_delta, charged(at_delta),
            names[i], proven_epsilon(rules[i], at_delta, LIKELY), sure);
        audit_judge(sure <= price, "bound",
                    "proven %.4f is above the price %.4f, by %s", sure, price,
                    names[i]);
    }
    audit_judge(charged(at_delta) >= price, "charge",
                "the ledger takes %.6f for what costs %.6f", charged(at_delta), price);
}
