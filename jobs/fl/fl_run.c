#include "jobs/fl/fl_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/course.h"
#include "jobs/dp/verdict.h"
#include "jobs/fl/draw.h"
#include "jobs/fl/journal.h"
#include "jobs/fl/round.h"
#include "jobs/fl/weight.h"
#include "jobs/privacy/correlation.h"

/* Is the first release a pass over all users in a fixed order, with this noise? */
static bool is_ordered_pass(const struct price *price,
                            const struct spec_federation *federation)
{
    const struct mechanism *pass = &price->releases[PRICE_TRAINING_STEP].mechanism;
    int64_t n_bands = correlation_bands(federation->bands, price->n_bins);
    return n_bands >= 1 && price->n_bands == n_bands &&
           federation->aggregation == AGGREGATION_CLEAR &&
           federation->noise.by == NOISE_BY_SERVER &&
           price->sample_rate == 1.0 / (double)price->n_bins &&
           pass->kind == MECHANISM_GAUSSIAN && pass->sample_rate == 1.0 &&
           pass->noise_multiplier ==
               correlation_priced(price->noise_multiplier, n_bands);
}

static bool is_round(const struct price *price, const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    const struct mechanism *round = &price->releases[PRICE_TRAINING_STEP].mechanism;
    bool is_skellam = federation->noise.by == NOISE_BY_CLIENTS &&
                      federation->noise.kind == NOISE_SKELLAM;
    bool is_fixed = federation->selection == SELECTION_FIXED;
    enum mechanism_kind kind = is_skellam ? MECHANISM_SKELLAM
                               : is_fixed ? MECHANISM_GAUSSIAN
                                          : MECHANISM_SUBSAMPLED_GAUSSIAN;
    return round->kind == kind && round->sample_rate == price->sample_rate &&
           (round->sampling == SAMPLING_WITHOUT_REPLACEMENT) == is_fixed &&
           round->noise_multiplier * price_clip_norms(spec) ==
               price->noise_multiplier &&
           price->n_bins == 0;
}

/* Each pass is all of one message of each client, nothing of it sampled. */
static bool is_pass(const struct price *price, const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    const struct price_release *pass = &price->releases[PRICE_TRAINING_STEP];
    return federation->aggregation == AGGREGATION_CLEAR &&
           !federation->consent.is_asked && federation->noise.by == NOISE_BY_SERVER &&
           price->n_bins > 0 && price->n_steps == price->n_bins * pass->count &&
           price->sample_rate == 1.0 / (double)price->n_bins &&
           pass->mechanism.sample_rate == 1.0 &&
           (federation->local != LOCAL_STEPS || spec->training.steps >= 1) &&
           (federation->local == LOCAL_PRIVUNIT
                ? pass->mechanism.kind == MECHANISM_PURE
                : pass->mechanism.kind == MECHANISM_SUBSAMPLED_GAUSSIAN &&
                      pass->mechanism.noise_multiplier == price->noise_multiplier);
}

/* Is it what rounds of this selection release? */
static bool is_release(const struct price *price, const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    bool is_local = federation->local != LOCAL_NONE;
    if (federation->selection == SELECTION_FIXED_ORDER) {
        return !is_local && is_ordered_pass(price, federation);
    }
    if (is_local) {
        return price->n_bands == 0 && federation->selection == SELECTION_DEALT &&
               is_pass(price, spec);
    }
    return price->n_bands == 0 &&
           (federation->selection == SELECTION_POISSON ||
            federation->selection == SELECTION_FIXED) &&
           is_round(price, spec);
}

/* What runs must be what was priced. */
static int check_price(const struct price *price, const struct spec *spec,
                       struct error *err)
{
    const struct spec_federation *federation = &spec->federation;
    if (spec->kind != JOB_FL || spec->privacy.is_private != price->is_private ||
        price->n_steps != federation->rounds) {
        return error_set(err, PPT_EINTERNAL, "the plan's price is not this spec's");
    }
    if (!price->is_private) {
        return 0;
    }
    if (federation->robust.is_on || federation->attack.is_on ||
        federation->client_momentum > 0.0 || federation->compress.is_on ||
        federation->correction !=
            CORRECTION_NONE) { /* whose sensitivity is not shown */
        return error_set(err, PPT_EINTERNAL,
                         "a robust rule, an attack, a client's momentum or control or "
                         "compression in a private job");
    }
    if (federation->personal.is_on) {
        return error_set(err, PPT_EINTERNAL, "single clients told of in a private job");
    }
    bool is_local = federation->local != LOCAL_NONE;
    bool is_clipped_whole = spec->privacy.clipping.mode == CLIP_FLAT || !is_local;
    if (spec->privacy.unit != UNIT_USER || price->unit != UNIT_USER ||
        federation->partition != PARTITION_USERS ||
        (federation->weighting != WEIGHTING_EQUAL &&
         (is_local || federation->max_weight < 1)) ||
        !is_clipped_whole || !(spec->privacy.clip_norm > 0.0) ||
        !(price->noise_multiplier > 0.0) || price->n_releases != 1 ||
        !is_release(price, spec)) {
        return error_set(err, PPT_EINTERNAL, "the plan's price is not this spec's");
    }
    return 0;
}

static int check_env(const struct spec *spec, const struct env *env, struct error *err)
{
    if (spec->privacy.is_private && env->comm->rank == 0 && env->meter == NULL) {
        return error_set(err, PPT_EINTERNAL, "a private job was started unmetered");
    }
    if (spec->training.evaluation != EVALUATION_NONE && env->io->test == NULL) {
        return error_set(err, PPT_ESPEC,
                         "training.evaluation: dataset.test names no test split");
    }
    if (!env->kernels->memory->is_host) {
        return error_set(err, PPT_ESPEC, "clients of kind fl train on the CPU");
    }
    return 0;
}

/* The server's side as a training of its own: its optimizer, fed with the opposite of
 * the mean update (Reddi et al. 2021, arXiv 2003.00295). */
static struct spec server_spec(const struct spec *spec)
{
    const struct spec_server *server = &spec->federation.server;
    struct spec own = *spec;
    own.training.optimizer = server->optimizer;
    own.training.learning_rate = server->learning_rate;
    own.training.momentum = server->momentum;
    own.training.beta1 = server->beta1;
    own.training.beta2 = server->beta2;
    own.training.tau = server->tau;
    own.training.schedule = SCHEDULE_CONSTANT;
    own.training.noise_floor = 0.0;
    own.training.sum = SUM_FLOAT; /* a round's sums are in fixed point anyway */
    return own;
}

/* Public numbers only. */
static struct trainer_source source_of(const struct plan *plan, const struct spec *spec,
                                       const struct manifest *manifest)
{
    const struct spec_training *training = &spec->training;
    const struct manifest_split *train = manifest_split(manifest, spec->dataset.train);
    double nominal = train == NULL ? 0.0 : (double)train->nominal_count;
    double cohort = (double)spec->federation.cohort;
    struct trainer_source source = {
        .divisor = 1.0,
        .n_states = robust_n_states(&spec->federation.robust) +
                    scaffold_n_states(&spec->federation) +
                    subspace_n_states(&spec->federation),
        .has_noise = spec->federation.noise.by == NOISE_BY_CLIENTS ||
                     spec->federation.local != LOCAL_NONE};
    if (spec->federation.local != LOCAL_NONE) { /* seats, all of them taken */
        source.divisor = source.expected_votes = cohort;
    } else if (spec->privacy.is_private) {
        bool has_users = train != NULL && train->nominal_users > 0;
        double users = has_users ? (double)train->nominal_users : nominal;
        source.expected_votes = plan->price.sample_rate * users;
        source.divisor =
            source.expected_votes * weight_expected(&spec->federation, nominal / users);
    }
    source.expected_examples =
        training->steps > 0
            ? cohort * (double)training->steps * (double)training->batch_size
            : plan->price.sample_rate * nominal * (double)training->epochs;
    return source;
}

/* Of draws that nobody outside of the ranks may know: rank 0's fresh key, for all. */
static int share_master(const struct env *env, unsigned char ret_key[CRYPTO_KEY_SIZE],
                        struct error *err)
{
    memcpy(ret_key, env->sampling_key, CRYPTO_KEY_SIZE);
    return env->comm->ops->broadcast(env->comm, ret_key, CRYPTO_KEY_SIZE, 0, err);
}

/* Secret where privacy counts on the draw, else by the spec's seed. */
static int open_cohort(struct round *round, const struct price *price,
                       const unsigned char master[CRYPTO_KEY_SIZE], struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    if (round->spec->privacy.is_private) {
        draw_key_secret(master, "cohort", key);
    } else {
        draw_key_public(round->spec->training.seed, "cohort", key);
    }
    const struct spec_federation *federation = &round->spec->federation;
    int64_t n_clients = round->partition.n_clients;
    int64_t n_fixed = federation->cohort > n_clients
                          ? federation->cohort
                          : device_asked(federation, n_clients);
    /* in a private job the rate holds whatever number of users there is */
    int64_t n_least = 0;
    if (price->is_private) {
        n_least = (int64_t)ceil((double)federation->cohort / price->sample_rate);
    }
    int rc = cohort_open(&round->cohort, federation->selection, price->sample_rate,
                         n_fixed, n_least, &round->partition, key, err);
    crypto_wipe(key, sizeof key);
    return rc;
}

static int open_round(struct round *round, const struct spec *own,
                      const struct plan *plan, const struct manifest *manifest,
                      struct env *env, const unsigned char master[CRYPTO_KEY_SIZE],
                      struct error *err)
{
    struct trainer_source source = source_of(plan, round->spec, manifest);
    int rc = trainer_open(&round->trainer, plan, own, manifest, env, &source, err);
    const struct spec_personal *personal = &round->spec->federation.personal;
    if (rc == 0) {
        rc = partition_open(&round->partition, round->spec, env->io->train, err);
    }
    if (rc == 0 && personal->is_on) {
        rc = partition_hold_out(&round->partition, personal->holdout,
                                round->spec->training.seed, err);
    }
    if (rc == 0) {
        rc = open_cohort(round, &plan->price, master, err);
    }
    int64_t n_clients = round->partition.n_clients;
    if (rc == 0) {
        rc = attack_open(&round->attack, round->spec, n_clients, err);
    }
    if (rc == 0) {
        rc = keep_open(&round->keep, round->spec, &round->trainer, n_clients, err);
    }
    if (rc == 0) {
        rc = pull_open(&round->pull, env->comm, round->spec, &round->partition,
                       &round->keep, err);
    }
    if (rc == 0) {
        rc = device_open(&round->device, round->spec, &round->partition,
                         round->trainer.net.n_params, env->io, err);
    }
    if (rc == 0) {
        rc = consent_open(&round->consent, round->spec, &round->partition, env, err);
    }
    if (rc == 0) {
        rc = compress_open(&round->compress, round->spec, &round->trainer, err);
    }
    if (rc == 0) {
        rc = scaffold_open(&round->scaffold, round->spec, &round->trainer,
                           &round->partition, err);
    }
    if (rc == 0) {
        rc = local_open(&round->local, &round->trainer, round->spec, &round->partition,
                        &round->attack, &round->keep, &round->compress,
                        round->scaffold.trainer != NULL ? &round->scaffold : NULL, err);
    }
    if (rc == 0) {
        rc = randomise_open(&round->randomise, round->spec, &round->trainer,
                            &round->local, &round->cohort, master, err);
    }
    if (rc == 0 && round->spec->federation.aggregation == AGGREGATION_SECAGG) {
        rc = secure_open(&round->secure, round->spec, &round->trainer, &round->local,
                         &round->cohort, &round->consent, master, err);
    }
    round->is_gathered =
        round->spec->federation.robust.is_on || round->spec->federation.attack.is_on;
    if (rc == 0 && round->is_gathered) {
        rc = robust_open(&round->robust, round->spec, &round->trainer, &round->local,
                         &round->cohort,
                         round->secure.spec != NULL ? &round->secure : NULL, err);
    }
    return rc;
}

static void close_round(struct round *round)
{
    robust_close(&round->robust);
    secure_close(&round->secure);
    randomise_close(&round->randomise);
    local_close(&round->local);
    scaffold_close(&round->scaffold);
    compress_close(&round->compress);
    pull_close(&round->pull);
    keep_close(&round->keep);
    attack_close(&round->attack);
    consent_close(&round->consent);
    device_close(&round->device);
    cohort_close(&round->cohort);
    partition_close(&round->partition);
    trainer_close(&round->trainer);
}

static int run_round(struct trainer *trainer, void *state, struct error *err)
{
    (void)trainer;
    int rc = round_run(state, err);
    if (rc == 0) {
        rc = round_count_bytes(state, err);
    }
    return rc != 0 ? rc : journal_round(state, err);
}

static int note_look(struct trainer *trainer, void *state, double accuracy,
                     struct error *err)
{
    (void)trainer;
    return journal_look(state, accuracy, err);
}

static int personalise(struct round *round, struct error *err)
{
    struct personal_outcome outcome;
    int rc = personal_run(round, &outcome, err);
    return rc != 0 ? rc : journal_personal(round, &outcome, err);
}

/* Nobody shall take such a model for another one. */
static void mark_attack(const struct spec_attack *attack, struct report *report)
{
    if (attack->is_on) {
        snprintf(report->attack, sizeof report->attack, "%s by %lld clients",
                 spec_attack_name(attack->kind), (long long)attack->clients);
    }
}

/* How many came is a secret of private jobs. */
static void describe(const struct trainer *trainer, const void *state,
                     struct progress *progress)
{
    const struct round *round = state;
    progress->is_round = true;
    if (!trainer->is_private && trainer->step > 0) {
        progress->has_cohort = true;
        progress->n_clients = round->cohort.n;
        progress->n_dropped = round_dropped(round);
        progress->n_late = round->device.n_late;
        progress->n_bytes = round_bytes(round);
    }
}

int fl_run(const struct plan *plan, const struct spec *spec,
           const struct manifest *manifest, struct env *env, struct report *ret_report,
           struct error *err)
{
    struct round round = {.spec = spec};
    struct course_work work = {.noun = "round",
                               .step = run_round,
                               .looked = note_look,
                               .describe = describe,
                               .state = &round};
    unsigned char master[CRYPTO_KEY_SIZE];
    struct spec *own = malloc(sizeof *own);
    int64_t n_threads =
        env->n_threads > 0 ? env->n_threads : spec->resources.cores_per_rank;
    env->kernels->set_threads(n_threads > 0 ? (int)n_threads : 1);
    int rc = own == NULL ? error_set(err, PPT_ENOMEM, "no memory for a spec") : 0;
    if (rc == 0) {
        *own = server_spec(spec);
        rc = check_price(&plan->price, spec, err);
    }
    if (rc == 0) {
        rc = check_env(spec, env, err);
    }
    rc = verdict_join(env->comm, rc, err);
    if (rc == 0) {
        rc = share_master(env, master, err);
    }
    if (rc == 0) {
        rc = open_round(&round, own, plan, manifest, env, master, err);
        crypto_wipe(master, sizeof master);
        rc = verdict_join(env->comm, rc, err);
    }
    if (rc == 0) {
        rc = course_run(&round.trainer, &work, ret_report, err);
    }
    if (rc == 0 || rc == -PPT_EINTERRUPTED) {
        mark_attack(&spec->federation.attack, ret_report);
    }
    if (rc == 0 && spec->federation.personal.is_on) {
        rc = personalise(&round, err);
    }
    close_round(&round);
    free(own);
    return rc;
}
