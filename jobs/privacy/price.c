#include "jobs/privacy/price.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "jobs/manifest.h"
#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/correlation.h"
#include "jobs/privacy/price_memo.h"
#include "jobs/privacy/price_split.h"
#include "jobs/privacy/priv_unit.h"
#include "jobs/spec/spec.h"

/* Looked up here, not with manifest_split: this library stands below the parser's. */
static const struct manifest_split *find_split(const struct manifest *manifest,
                                               const char *name)
{
    for (int i = 0; i < manifest->n_splits; i++)
        if (strcmp(manifest->splits[i].name, name) == 0)
            return &manifest->splits[i];
    return NULL;
}

static int need_split(const struct manifest *manifest, const char *name,
                      const char *field, const struct manifest_split **ret_split,
                      struct error *err)
{
    *ret_split = find_split(manifest, name);
    if (*ret_split != NULL)
        return 0;
    error_set(err, PPT_ESPEC, "%s is '%s', but data set '%s' has no such split", field,
              name, manifest->name);
    char list[ERROR_TEXT_SIZE / 4] = "";
    size_t used = 0;
    for (int i = 0; i < manifest->n_splits && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 i == 0 ? "" : ", ", manifest->splits[i].name);
    error_hint(err, "use one of the manifest's splits: %s", list);
    return -PPT_ESPEC;
}

/* A mechanism over records, each of which would count as a user. */
static int check_users(const struct spec *spec, const struct manifest *manifest,
                       const struct manifest_split *train, struct error *err)
{
    bool has_users = false;
    for (int i = 0; i < manifest->n_splits; i++)
        has_users = has_users || manifest->splits[i].nominal_users > 0;
    if (!has_users || (spec->kind == JOB_FL && train->nominal_users > 0))
        return 0;
    error_set(err, PPT_ESPEC,
              spec->kind == JOB_FL
                  ? "data set '%s' has users with several records, but split '%s' does "
                    "not say whose they are"
                  : "data set '%s' has users with several records, and kind 'dp' would "
                    "price the records of '%s' as if each were a user",
              manifest->name, train->name);
    return error_hint(err, "use kind: fl with partition: users on a split with "
                           "nominal_users, or import one record per user");
}

static int check_unit(const struct spec *spec, const struct manifest *manifest,
                      struct error *err)
{
    if (spec->privacy.unit != manifest->unit) {
        error_set(err, PPT_ESPEC,
                  "privacy.unit is '%s', but the records of data set '%s' are one per "
                  "%s",
                  unit_name(spec->privacy.unit), manifest->name,
                  unit_name(manifest->unit));
        return error_hint(err,
                          "set privacy.unit to '%s', or import the data anew "
                          "with one record per %s",
                          unit_name(manifest->unit), unit_name(spec->privacy.unit));
    }
    if (manifest->relation != RELATION_ADD_REMOVE) {
        error_set(err, PPT_ESPEC,
                  "data set '%s' is protected under %s, and this version prices "
                  "private training under add_remove only",
                  manifest->name, relation_name(manifest->relation));
        return error_hint(err, "import the data set with relation add_remove");
    }
    return 0;
}

/* batch / count, rounded up to a multiple of 2^-53: the sampler draws by whole-number
 * thresholds, and its rate must be exactly the one that is paid for. */
static double sample_rate_up(int64_t batch, int64_t count)
{
    unsigned __int128 scaled = (unsigned __int128)batch << 53;
    unsigned __int128 n = (unsigned __int128)count;
    uint64_t thresholds = (uint64_t)((scaled + n - 1) / n);
    return (double)thresholds * 0x1p-53; /* thresholds <= 2^53: exact */
}

static int check_nominal(const struct manifest_split *train, struct error *err)
{
    if (train->nominal_count >= 1)
        return 0;
    return error_set(err, PPT_ESPEC,
                     "the manifest states no nominal_count for split '%s', "
                     "expected a number of at least 1 for training",
                     train->name);
}

static int sampling(const struct spec *spec, const struct manifest_split *train,
                    struct price *price, struct error *err)
{
    int64_t batch = spec->training.batch_size, count = train->nominal_count;
    if (batch < 1 || batch > count) {
        error_set(err, PPT_ERANGE,
                  "training.batch_size is %lld, expected a number in [1, %lld]",
                  (long long)batch, (long long)count);
        return error_hint(err, "split '%s' has a nominal count of %lld records",
                          train->name, (long long)count);
    }
    price->sample_rate = sample_rate_up(batch, count);
    if (spec->training.sampling != SAMPLE_POISSON) {
        price->n_bins = count / batch + (count % batch != 0);
        price->sample_rate = 1 / (double)price->n_bins;
    }
    if (spec->training.sampling == SAMPLE_FIXED_ORDER)
        price->n_bands = correlation_bands(spec->training.bands, price->n_bins);
    int64_t steps = spec->training.steps, per_epoch = 1;
    if (steps == 0) { /* an epoch: the fewest steps that expect to see every record */
        steps = spec->training.epochs;
        per_epoch = count / batch + (count % batch != 0);
    }
    if (steps < 1 || steps > CALIBRATE_MAX_STEPS / per_epoch)
        return error_set(err, PPT_ERANGE,
                         "training.%s is %lld (%lld steps each), expected between 1 "
                         "and %lld steps in all",
                         spec->training.steps == 0 ? "epochs" : "steps",
                         (long long)steps, (long long)per_epoch,
                         (long long)CALIBRATE_MAX_STEPS);
    price->n_steps = steps * per_epoch;
    return 0;
}

/* Dealt clients: a pass has a round for each `cohort` of them. Whole passes only, each
 * of which is paid for by everybody. */
static int passes(const struct spec_federation *federation, int64_t clients,
                  struct price *price, struct error *err)
{
    int64_t cohort = federation->cohort, rounds = federation->rounds;
    price->n_bins = clients / cohort + (clients % cohort != 0);
    price->sample_rate = 1 / (double)price->n_bins;
    if (rounds % price->n_bins == 0)
        return 0;
    error_set(err, PPT_ERANGE,
              "federation.rounds is %lld, expected a multiple of %lld: with local each "
              "client takes part once in so many rounds, nominally %lld clients over "
              "cohorts of %lld",
              (long long)rounds, (long long)price->n_bins, (long long)clients,
              (long long)cohort);
    return error_hint(err, "take %lld rounds",
                      (long long)((rounds / price->n_bins + 1) * price->n_bins));
}

/* Passes over all clients, of whom each is in one round, always the same; the last may
 * be cut short. */
static int fixed_order(const struct spec *spec, int64_t clients, struct price *price,
                       struct error *err)
{
    const struct spec_federation *federation = &spec->federation;
    if (spec->privacy.is_private && federation->aggregation != AGGREGATION_CLEAR)
        return error_set(err, PPT_ESPEC,
                         "federation.aggregation is 'secagg', but noise that is "
                         "correlated over rounds is for sums in the clear");
    price->n_bins = (clients - 1) / federation->cohort + 1;
    price->sample_rate = 1 / (double)price->n_bins;
    price->n_bands = correlation_bands(federation->bands, price->n_bins);
    return 0;
}

/* The clients of a federation, of whom each round draws `cohort`: in public numbers. */
static int cohort_sampling(const struct spec *spec, const struct manifest *manifest,
                           const struct manifest_split *train, struct price *price,
                           struct error *err)
{
    const struct spec_federation *federation = &spec->federation;
    bool is_made_up = federation->partition != PARTITION_USERS;
    int64_t cohort = federation->cohort;
    int64_t clients = is_made_up                 ? federation->clients
                      : train->nominal_users > 0 ? train->nominal_users
                                                 : train->nominal_count;
    if (!is_made_up && manifest->unit != UNIT_USER) {
        error_set(err, PPT_ESPEC,
                  "federation.partition is 'users', but the records of data set '%s' "
                  "are one per %s",
                  manifest->name, unit_name(manifest->unit));
        return error_hint(err, "use iid, dirichlet or shards, which make clients up, "
                               "or a data set whose unit is user");
    }
    if (federation->consent.is_asked && !is_made_up && train->nominal_users < 1) {
        error_set(err, PPT_ESPEC,
                  "federation.consent is asked for, but data set '%s' does not say "
                  "whose its records are",
                  manifest->name);
        return error_hint(err, "import it with ppt-data import --train-users");
    }
    bool is_local = federation->local != LOCAL_NONE;
    enum spec_selection priced = is_local ? SELECTION_DEALT : SELECTION_POISSON;
    if (is_local &&
        (!spec->privacy.is_private || federation->aggregation != AGGREGATION_CLEAR ||
         federation->weighting != WEIGHTING_EQUAL || federation->consent.is_asked ||
         spec->privacy.clipping.mode != CLIP_FLAT ||
         (federation->local == LOCAL_STEPS && spec->training.steps < 1) ||
         (federation->local == LOCAL_PRIVUNIT && spec->privacy.noise_multiplier != 0)))
        return error_set(err, PPT_ESPEC,
                         "federation.local is priced for updates in the clear with "
                         "equal weights and flat clipping, without consent, "
                         "steps for a number of them and privunit for a target "
                         "epsilon");
    if (spec->privacy.is_private &&
        (is_made_up ||
         (federation->selection != priced &&
          (is_local || (federation->selection != SELECTION_FIXED_ORDER &&
                        federation->selection != SELECTION_FIXED))) ||
         (federation->weighting != WEIGHTING_EQUAL && federation->max_weight < 1)))
        return error_set(err, PPT_ESPEC,
                         "a private federation is priced for real users, a Poisson "
                         "or fixed cohort or a fixed order (dealt with local) and "
                         "bounded weights only");
    if (cohort < 1 || cohort > clients) {
        error_set(err, PPT_ERANGE,
                  "federation.cohort is %lld, expected a number in [1, %lld]",
                  (long long)cohort, (long long)clients);
        return error_hint(err, "there are nominally %lld clients", (long long)clients);
    }
    if (federation->rounds < 1 || federation->rounds > CALIBRATE_MAX_STEPS)
        return error_set(err, PPT_ERANGE,
                         "federation.rounds is %lld, expected a number in [1, %lld]",
                         (long long)federation->rounds, (long long)CALIBRATE_MAX_STEPS);
    price->sample_rate = sample_rate_up(cohort, clients);
    price->n_steps = federation->rounds;
    if (is_local)
        return passes(federation, clients, price, err);
    return federation->selection == SELECTION_FIXED_ORDER
               ? fixed_order(spec, clients, price, err)
               : 0;
}

/* The test split must be there if it is looked at; a paid look needs a public divisor
 * as well. */
static int check_evaluation(const struct spec *spec, const struct manifest *manifest,
                            struct error *err)
{
    const struct manifest_split *test;
    if (spec->training.evaluation == EVALUATION_NONE)
        return 0;
    if (spec->training.evaluation == EVALUATION_PAID && spec->kind != JOB_DP)
        return error_set(err, PPT_ESPEC,
                         "training.evaluation is 'paid', but how far a user moves a "
                         "count of records is not bounded");
    int rc = need_split(manifest, spec->dataset.test, "dataset.test", &test, err);
    if (rc == 0 && spec->training.evaluation == EVALUATION_PAID &&
        test->nominal_count < 1) {
        error_set(err, PPT_ESPEC,
                  "training.evaluation is 'paid', but the manifest states no "
                  "nominal_count for split '%s'",
                  test->name);
        rc = error_hint(err, "the accuracy is the noisy count over the public nominal "
                             "count: add nominal_count to the manifest");
    }
    return rc;
}

static void add_release(struct price *price, const char *name,
                        struct mechanism mechanism, int64_t count)
{
    assert(price->n_releases < PRICE_MAX_RELEASES);
    struct price_release *release = &price->releases[price->n_releases++];
    *release = (struct price_release){.mechanism = mechanism, .count = count};
    snprintf(release->name, sizeof release->name, "%s", name);
}

/* A Gaussian over all records: a sample at rate 1 is every record. */
static bool is_plain_gaussian(const struct mechanism *mechanism)
{
    return mechanism->sample_rate == 1 &&
           (mechanism->kind == MECHANISM_SUBSAMPLED_GAUSSIAN ||
            (mechanism->kind == MECHANISM_GAUSSIAN &&
             mechanism->sampling == SAMPLING_NONE));
}

static int release_cost(const struct price *price, int i, int64_t count,
                        struct cost *ret_cost, struct error *err)
{
    struct curve curve;
    int rc = price_memo_curve(&price->releases[i].mechanism, price->unit, &curve, err);
    if (rc == 0)
        rc = cost_from_curve(&curve, count, ret_cost, err);
    const struct mechanism *mechanism = &price->releases[i].mechanism;
    /* jobs/fl/noise.md, section 5: that one user more or less costs no more. */
    if (rc == 0 && mechanism->sampling == SAMPLING_WITHOUT_REPLACEMENT)
        ret_cost->relation = RELATION_ADD_REMOVE;
    if (rc == 0 && is_plain_gaussian(mechanism))
        ret_cost->mu2 = cost_gaussian_mu2(mechanism->noise_multiplier, count);
    if (rc != 0)
        error_prefix(err, "pricing release '%s'", price->releases[i].name);
    return rc;
}

struct mechanism price_skellam(double noise_multiplier, double sample_rate)
{
    const double l2 = PRICE_SKELLAM_SENSITIVITY, std = noise_multiplier * l2;
    return (struct mechanism){.kind = MECHANISM_SKELLAM,
                              .sampling = SAMPLING_POISSON,
                              .sample_rate = sample_rate,
                              .noise_multiplier = noise_multiplier,
                              .variance = std * std,
                              .sensitivity = l2,
                              .sensitivity_l1 = l2 * l2};
}

static bool is_fixed(const struct spec *spec)
{
    return spec->kind == JOB_FL && spec->federation.selection == SELECTION_FIXED;
}

double price_clip_norms(const struct spec *spec)
{
    return is_fixed(spec) ? 2 : 1;
}

/* A round or a step: the sum over a sample, with this noise to what a user moves it. */
static struct mechanism sampled(const struct spec *spec, double noise_multiplier,
                                double sample_rate)
{
    struct mechanism m = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                          .noise_multiplier = noise_multiplier,
                          .sample_rate = sample_rate};
    if (spec->kind == JOB_FL && spec->federation.noise.by == NOISE_BY_CLIENTS &&
        spec->federation.noise.kind == NOISE_SKELLAM)
        m = price_skellam(noise_multiplier, sample_rate);
    else if (is_fixed(spec))
        m.kind = MECHANISM_GAUSSIAN;
    if (is_fixed(spec)) {
        m.sampling = SAMPLING_WITHOUT_REPLACEMENT;
        m.relation = RELATION_REPLACE_ONE;
    }
    return m;
}

static int epsilon_of(const struct renyi_release *releases, int n, double delta,
                      double *ret_epsilon, struct error *err)
{
    return renyi_epsilon(releases, n, delta, ret_epsilon, NULL, err);
}

/* A federation's rounds with Skellam noise, which are all that is priced. */
static int skellam_noise(const struct spec *spec, struct price *price,
                         struct error *err)
{
    const struct price_release *round = &price->releases[PRICE_TRAINING_STEP];
    const struct renyi_release plan = {sampled(spec, 1, price->sample_rate),
                                       round->count};
    int n;
    const struct mechanism_parameter *variance =
        mechanism_parameters(MECHANISM_SKELLAM, &n);
    double found;
    int rc =
        calibrate_parameter(epsilon_of, &plan, 1, 0, variance, spec->privacy.epsilon,
                            spec->privacy.delta, &found, err);
    if (rc == 0)
        price->noise_multiplier = price_clip_norms(spec) * sqrt(found) /
                                  PRICE_SKELLAM_SENSITIVITY * (1 + 4 * DBL_EPSILON);
    return rc;
}

/* A pass's epsilon is the largest with which all of them meet the target. */
static int privunit_noise(const struct spec *spec, struct price *price,
                          struct error *err)
{
    struct price_release *pass = &price->releases[PRICE_TRAINING_STEP];
    const struct renyi_release plan = {pass->mechanism, pass->count};
    struct priv_unit unit;
    int n;
    double found;
    int rc = calibrate_parameter(
        epsilon_of, &plan, 1, 0, mechanism_parameters(MECHANISM_PURE, &n),
        spec->privacy.epsilon, spec->privacy.delta, &found, err);
    if (rc == 0)
        rc = priv_unit_plan(fmin(found, PRIV_UNIT_MOST_EPSILON), &unit, err);
    if (rc == 0) {
        pass->mechanism.epsilon = unit.epsilon;
        price->noise_multiplier = 1 / (2 * unit.m);
    }
    return rc;
}

/* The noise of the training step: as given, or the least with which all releases
 * together meet the target. */
static int training_noise(const struct spec *spec, struct price *price,
                          struct error *err)
{
    if (spec->federation.local == LOCAL_PRIVUNIT)
        return privunit_noise(spec, price, err);
    if (spec->privacy.noise_multiplier != 0) {
        price->noise_multiplier = spec->privacy.noise_multiplier;
        return 0;
    }
    if (price->releases[PRICE_TRAINING_STEP].mechanism.kind == MECHANISM_SKELLAM)
        return skellam_noise(spec, price, err);
    struct renyi_release other = {0};
    bool has_other = price->n_releases > PRICE_EVALUATION;
    if (has_other) {
        other.mechanism = price->releases[PRICE_EVALUATION].mechanism;
        other.count = price->releases[PRICE_EVALUATION].count;
    }
    const struct price_release *step = &price->releases[PRICE_TRAINING_STEP];
    struct renyi_release training = {step->mechanism, step->count};
    int rc = price_memo_noise(spec->privacy.epsilon, spec->privacy.delta, &training,
                              has_other ? &other : NULL, &price->noise_multiplier, err);
    if (rc == 0 && price->n_bands > 0)
        price->noise_multiplier =
            correlation_fresh(price->noise_multiplier, price->n_bands);
    price->noise_multiplier *= price_clip_norms(spec);
    return rc;
}

/* A cohort's sum is what a step's is: each unit is in it with the same chance and adds
 * a vector of norm clip_norm at most, or takes the place of one. Dealt records are paid
 * for epoch by epoch; dealt once for all epochs, they are not hidden by the deal
 * (correlation.h). Clients with noise of their own are paid for pass by pass, in which
 * each sends one message at most. */
static struct mechanism step_mechanism(const struct spec *spec,
                                       const struct price *price)
{
    if (price->n_bands > 0)
        return (struct mechanism){.kind = MECHANISM_GAUSSIAN,
                                  .noise_multiplier = correlation_priced(
                                      price->noise_multiplier, price->n_bands),
                                  .sample_rate = 1};
    if (spec->federation.local == LOCAL_PRIVUNIT)
        return (struct mechanism){
            .kind = MECHANISM_PURE,
            .noise_multiplier = price->noise_multiplier,
            .epsilon = price->releases[PRICE_TRAINING_STEP].mechanism.epsilon,
            .sample_rate = 1};
    if (spec->federation.local != LOCAL_NONE) /* all that a pass tells of a user */
        return (struct mechanism){.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                  .noise_multiplier = price->noise_multiplier,
                                  .sample_rate = 1};
    if (price->n_bins > 0)
        return (struct mechanism){.kind = MECHANISM_RANDOM_ALLOCATION,
                                  .noise_multiplier = price->noise_multiplier,
                                  .sample_rate = 1,
                                  .bins = (double)price->n_bins};
    return sampled(spec, price->noise_multiplier / price_clip_norms(spec),
                   price->sample_rate);
}

static int price_private(const struct spec *spec, struct price *price,
                         struct error *err)
{
    price->is_private = true;
    price->unit = spec->privacy.unit;
    price->delta = spec->privacy.delta;
    bool is_fl = spec->kind == JOB_FL, is_dealt = price->n_bins > 0;
    add_release(price,
                is_dealt ? (is_fl ? "pass" : "epoch")
                         : (is_fl ? "round" : "training-step"),
                step_mechanism(spec, price),
                is_dealt ? (price->n_steps - 1) / price->n_bins + 1 : price->n_steps);
    struct cost evaluation = cost_zero(price->unit, price->relation);
    int rc = 0;
    if (spec->training.evaluation == EVALUATION_PAID) {
        /* one record changes the count of right answers by at most 1 */
        add_release(
            price, "evaluation",
            (struct mechanism){.kind = MECHANISM_GAUSSIAN,
                               .noise_multiplier = spec->training.evaluation_noise,
                               .sample_rate = 1},
            1);
        rc = release_cost(price, PRICE_EVALUATION, 1, &evaluation, err);
    }
    if (rc == 0)
        rc = training_noise(spec, price, err);
    if (rc != 0)
        return rc;
    price->releases[PRICE_TRAINING_STEP].mechanism = step_mechanism(spec, price);
    double gradient_noise, count_noise;
    if (spec->privacy.clipping.mode == CLIP_QUANTILE && price->n_bands > 0)
        return error_set(err, PPT_ESPEC,
                         "privacy.clipping is 'quantile', but noise that is correlated "
                         "over steps is priced for one clip norm");
    if (spec->privacy.clipping.mode == CLIP_QUANTILE)
        rc = price_split_noise(spec, price, &gradient_noise, &count_noise, err);
    if (rc != 0)
        return rc;
    struct cost training;
    rc = release_cost(price, PRICE_TRAINING_STEP,
                      price->releases[PRICE_TRAINING_STEP].count, &training, err);
    if (rc == 0)
        rc = cost_add(&training, &evaluation, &price->cost, err);
    int64_t all[PRICE_MAX_RELEASES] = {0};
    for (int i = 0; i < price->n_releases; i++)
        all[i] = price->releases[i].count;
    if (rc == 0)
        rc = price_epsilon(price, all, &price->epsilon, err);
    return rc;
}

int price_job(const struct spec *spec, const struct manifest *manifest,
              struct price *ret_price, struct error *err)
{
    if (spec->kind != JOB_DP && spec->kind != JOB_FL)
        return error_set(err, PPT_ESPEC,
                         "this version prices jobs of kinds 'dp' and 'fl' only");
    struct price price = {.relation = RELATION_ADD_REMOVE, .unit = manifest->unit};
    price.cost = cost_zero(price.unit, price.relation);
    const struct manifest_split *train;
    int rc = need_split(manifest, spec->dataset.train, "dataset.train", &train, err);
    if (rc == 0)
        rc = check_evaluation(spec, manifest, err);
    if (rc == 0 && spec->privacy.is_private)
        rc = check_unit(spec, manifest, err);
    if (rc == 0 && spec->privacy.is_private)
        rc = check_users(spec, manifest, train, err);
    if (rc == 0)
        rc = check_nominal(train, err);
    if (rc == 0)
        rc = spec->kind == JOB_FL ? cohort_sampling(spec, manifest, train, &price, err)
                                  : sampling(spec, train, &price, err);
    if (rc == 0 && spec->privacy.is_private)
        rc = price_private(spec, &price, err);
    if (rc == 0)
        *ret_price = price;
    return rc;
}

static int check_use(const struct price_release *release, int64_t used,
                     struct error *err)
{
    if (used >= 0 && used <= release->count)
        return 0;
    return error_set(err, PPT_ERANGE,
                     "use of release '%s' is %lld, expected a number in [0, %lld]",
                     release->name, (long long)used, (long long)release->count);
}

int price_used(const struct price *price, const int64_t *used, struct cost *ret_cost,
               struct error *err)
{
    struct cost sum = cost_zero(price->unit, price->relation);
    for (int i = 0; i < price->n_releases; i++) {
        struct cost cost;
        int rc = check_use(&price->releases[i], used[i], err);
        if (rc == 0)
            rc = release_cost(price, i, used[i], &cost, err);
        if (rc == 0)
            rc = cost_add(&sum, &cost, &sum, err);
        if (rc != 0)
            return rc;
    }
    *ret_cost = sum;
    return 0;
}

int price_epsilon(const struct price *price, const int64_t *used, double *ret_epsilon,
                  struct error *err)
{
    struct renyi_release whole[PRICE_MAX_RELEASES], made[PRICE_MAX_RELEASES];
    int n_whole = 0, n_made = 0;
    memset(whole, 0, sizeof whole); /* padding too: they are looked up by their bytes */
    bool is_whole = true;
    for (int i = 0; i < price->n_releases; i++) {
        const struct price_release *release = &price->releases[i];
        int rc = check_use(release, used[i], err);
        if (rc != 0)
            return rc;
        whole[n_whole++] = (struct renyi_release){release->mechanism, release->count};
        if (used[i] > 0)
            made[n_made++] = (struct renyi_release){release->mechanism, used[i]};
        is_whole = is_whole && used[i] == release->count;
    }
    double epsilon = 0, all = 0, order;
    int rc = 0;
    if (n_made > 0)
        rc = price_memo_epsilon(whole, n_whole, price->delta, &all, &order, err);
    if (rc == 0 && all > 0) /* else even the whole tells nothing */
        rc = renyi_epsilon_stopped(made, n_made, price->delta, order, &epsilon, err);
    if (rc == 0)
        *ret_epsilon = is_whole ? all : fmin(epsilon, all);
    return rc;
}
