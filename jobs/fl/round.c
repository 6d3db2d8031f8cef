#include "jobs/fl/round.h"

#include <math.h>

#include "jobs/dp/votes.h"
#include "jobs/fl/journal.h"
#include "jobs/fl/weight.h"

/* Sums of so many clients' coordinates stay below 2^53 steps. */
#define MOST_MEMBERS (1 << 20)

/* Units of `scale` in an update's coordinate. */
static inline double scaled(float after, float before, double scale)
{
    return nearbyint(((double)after - (double)before) * scale);
}

/* The sum of squares of the rounded update; saturates far above any bound. */
static uint64_t square_of(const float *after, const float *before, int64_t n,
                          double scale)
{
    unsigned __int128 sum = 0;
    for (int64_t j = 0; j < n; j++) {
        int64_t k = (int64_t)scaled(after[j], before[j], scale);
        sum += (unsigned __int128)((__int128)k * k);
    }
    return sum > UINT64_MAX ? UINT64_MAX : (uint64_t)sum;
}

static double norm_of(const float *after, const float *before, int64_t n)
{
    double sum = 0.0;
    for (int64_t j = 0; j < n; j++) {
        double d = (double)after[j] - (double)before[j];
        sum += d * d;
    }
    return sqrt(sum);
}

double round_add_clipped(double *sum, const float *after, const float *before,
                         int64_t n, double clip_norm, double share, double step)
{
    double norm = norm_of(after, before, n), ratio = clip_norm / step;
    uint64_t most = (uint64_t)(ratio * ratio * (1.0 - 0x1p-50));
    if (!isfinite(norm)) {
        return norm;
    }
    double scale = share * (norm > clip_norm ? clip_norm / norm : 1.0) / step;
    while (square_of(after, before, n, scale) > most) {
        scale *= 1.0 - 0x1p-16; /* rounding has made it longer */
    }
    for (int64_t j = 0; j < n; j++) {
        sum[j] -= step * scaled(after[j], before[j], scale);
    }
    return norm;
}

static int add_weighted(struct round *round, double weight, struct error *err)
{
    struct trainer *trainer = &round->trainer;
    for (int64_t j = 0; j < trainer->net.n_params; j++) {
        double d = (double)round->local.params[j] - (double)trainer->params[j];
        if (!(fabs(d) <= STACK_MOST)) {
            error_set(
                err, PPT_ERANGE,
                "training diverged: a client's update is not finite, or too long");
            return error_hint(err, "lower training.learning_rate");
        }
        trainer->sum[j] -= STACK_STEP * nearbyint(d * weight / STACK_STEP);
    }
    return 0;
}

static double client_weight(const struct round *round, int64_t client)
{
    return (double)weight_of(&round->spec->federation,
                             partition_size(&round->partition, client));
}

/* A vote that is 0 adds 0; its weight is a whole number of steps, and even. */
static void add_private(struct round *round, int64_t client)
{
    struct trainer *trainer = &round->trainer;
    const struct threshold *threshold = &trainer->threshold;
    int64_t n = trainer->net.n_params;
    double clip =
        votes_are_taken(trainer) ? threshold->clip : round->spec->privacy.clip_norm;
    double share = weight_share(&round->spec->federation,
                                partition_size(&round->partition, client));
    double norm = round_add_clipped(trainer->sum, round->local.params, trainer->params,
                                    n, clip, share, threshold->grid.step);
    if (votes_are_taken(trainer)) {
        trainer->sum[n] += votes_of(trainer, norm) * threshold->weight;
    }
}

static int add_plain(struct round *round, int64_t client, double total_weight,
                     struct error *err)
{
    const struct local *local = &round->local;
    double weight = client_weight(round, client);
    int rc = weight > 0.0 ? add_weighted(round, weight / total_weight, err) : 0;
    if (rc == 0 && local->control != NULL && local->n_steps > 0) {
        rc = scaffold_move(&round->scaffold, local->params, local->learning_rate,
                           local->n_steps, local->control, err);
    }
    return rc;
}

static int add_client(struct round *round, int64_t client, double total_weight,
                      struct error *err)
{
    int rc = local_train(&round->local, client, err);
    if (rc != 0) {
        return rc;
    }
    if (!round->trainer.is_private) {
        return add_plain(round, client, total_weight, err);
    }
    add_private(round, client);
    return 0;
}

static int look(struct round *round, enum consent_when when, struct error *err)
{
    int rc = consent_look(&round->consent, err);
    return journal_consent(&round->trainer, &round->consent, when, rc, err);
}

/* The cohort's updates, in the clear. */
static int add_clients(struct round *round, struct error *err)
{
    struct trainer *trainer = &round->trainer;
    const struct cohort *cohort = &round->cohort;
    double total_weight = 0.0;
    int64_t client = 0;
    trainer->env->kernels->memory->zero(trainer->sum, (size_t)trainer->n_padded *
                                                          sizeof *trainer->sum);
    for (int64_t i = 0; i < cohort->n; i++) {
        total_weight += client_weight(round, cohort->members[i]);
    }
    int rc = pull_begin(&round->pull, cohort->members, cohort->n, err);
    while (rc == 0 && client >= 0) {
        rc = pull_next(&round->pull, &client, err);
        if (rc == 0 && client >= 0) {
            rc = add_client(round, client, total_weight, err);
        }
    }
    return rc;
}

/* Adds up until nobody has withdrawn meanwhile: whoever did is in none of the sum, nor
 * in the losses since the last look at them. Each time the cohort is smaller. */
static int sum_in_the_clear(struct round *round, struct error *err)
{
    struct cohort *cohort = &round->cohort;
    struct comm *comm = round->trainer.env->comm;
    int64_t n_before;
    int rc = add_clients(round, err);
    for (enum consent_when when = CONSENT_BETWEEN; rc == 0; when = CONSENT_END) {
        n_before = cohort->n;
        rc = look(round, when, err);
        cohort->n = consent_filter(&round->consent, cohort->members, cohort->n);
        if (rc == 0 && cohort->n < n_before) {
            double loss, count;
            trainer_take_loss(&round->trainer, &loss, &count);
            rc = journal_excluded(&round->trainer, n_before - cohort->n, err);
            rc = rc != 0 ? rc : consent_enough(&round->consent, cohort->n, err);
            rc = rc != 0 ? rc : comm->ops->barrier(comm, err);
            rc = rc != 0 ? rc : add_clients(round, err);
        } else if (when == CONSENT_END) {
            break;
        }
    }
    return rc;
}

int round_run(struct round *round, struct error *err)
{
    struct trainer *trainer = &round->trainer;
    struct cohort *cohort = &round->cohort;
    int rc = look(round, CONSENT_BEFORE, err);
    round->secure.n_bytes = 0;
    round->clip_norm = trainer->threshold.norm;
    if (rc != 0) {
        return rc;
    }
    trainer->env->kernels->memory->zero(trainer->sum, (size_t)trainer->n_padded *
                                                          sizeof *trainer->sum);
    if (round->device.terms != NULL) {
        device_draw(&round->device, cohort, trainer->step);
    } else {
        cohort_draw(cohort, trainer->step, round->consent.allows);
    }
    if (cohort->n > MOST_MEMBERS) {
        return error_set(err, PPT_EINTERNAL, "a cohort is larger than 2^20 clients");
    }
    rc = consent_enough(&round->consent, cohort->n, err);
    if (rc != 0) {
        return rc;
    }
    if (round->randomise.kind != LOCAL_NONE) {
        return randomise_run(&round->randomise, err);
    }
    if (round->is_gathered) {
        return robust_run(&round->robust, err);
    }
    rc = scaffold_begin(&round->scaffold, err);
    rc = rc != 0 ? rc : subspace_begin(&round->compress.subspace, err);
    if (round->spec->federation.aggregation == AGGREGATION_SECAGG) {
        return rc != 0 ? rc : secure_run(&round->secure, err);
    }
    if (rc == 0) {
        rc = sum_in_the_clear(round, err);
    }
    if (rc == 0) {
        rc = scaffold_end(&round->scaffold, err);
    }
    return rc != 0 ? rc : trainer_release(trainer, err);
}

static bool is_secure(const struct round *round)
{
    return round->spec->federation.aggregation == AGGREGATION_SECAGG;
}

int64_t round_dropped(const struct round *round)
{
    return is_secure(round) && !round->is_gathered
               ? round->cohort.n - (int64_t)round->secure.n_survivors
               : 0;
}

int64_t round_bytes(const struct round *round)
{
    int64_t model = (int64_t)sizeof(float) * round->trainer.net.n_params *
                    scaffold_n_vectors(&round->spec->federation);
    int64_t asked = round->cohort.n + round->device.n_late;
    int64_t sent = round->spec->federation.compress.is_on ? round->client_bytes : model;
    return model * asked +
           (is_secure(round) ? round->secure.n_bytes : sent * round->cohort.n);
}

int round_count_bytes(struct round *round, struct error *err)
{
    struct comm *comm = round->trainer.env->comm;
    if (!round->spec->federation.compress.is_on) {
        return 0;
    }
    round->client_bytes =
        is_secure(round) ? round->secure.most_bytes : round->compress.most_bytes;
    round->compress.most_bytes = round->secure.most_bytes = 0;
    return comm->ops->max_i64(comm, &round->client_bytes, 1, err);
}
