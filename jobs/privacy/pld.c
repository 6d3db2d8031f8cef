#include "jobs/privacy/pld.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "jobs/privacy/compose.h"
#include "jobs/privacy/falling.h"
#include "jobs/privacy/gdp.h"

#define U 0x1p-53

_Static_assert(PLD_MAX_RELEASES <= COMPOSE_MAX_PAIRS, "compose takes what pld lets in");

/* A plan with its full-batch Gaussians merged into one and checked. */
struct merged {
    int n;
    struct pair pairs[PLD_MAX_RELEASES]; /* REMOVE or REPLACE */
    int64_t counts[PLD_MAX_RELEASES];
    int64_t total;
    double mu; /* of the Gaussians that were merged, 0 if none */
};

static int check_release(const struct pld_release *release,
                         enum privacy_relation relation, struct pair *ret_pair,
                         struct error *err)
{
    struct pair pair = {.noise = release->noise,
                        .direction = relation == RELATION_REPLACE_ONE ? PAIR_REPLACE
                                                                      : PAIR_REMOVE,
                        .scale = release->scale,
                        .rate = release->rate,
                        .atoms = release->atoms};
    if (release->noise == PAIR_TRUNCATED)
        pair.truncated = release->truncated;
    else
        pair.mixture = release->mixture;
    if (release->count < 1 || release->count > PLD_MAX_COUNT)
        return error_set(
            err, PPT_ERANGE,
            "%lld releases: expected 1 to %lld, where the bound stays sharp",
            (long long)release->count, (long long)PLD_MAX_COUNT);
    int rc = pair_check(&pair, err);
    if (rc == 0)
        *ret_pair = pair;
    return rc;
}

/* The merged Gaussian stands last. Noise too large or too small to stand alone is
 * pair_check's to refuse. */
static int merge(const struct pld_plan *plan, struct merged *ret_merged,
                 struct error *err)
{
    struct merged merged = {0};
    double square = 0;
    if (plan->n < 1 || plan->n > PLD_MAX_RELEASES)
        return error_set(err, PPT_ERANGE, "expected 1 to %d mechanisms, got %d",
                         PLD_MAX_RELEASES, plan->n);
    for (int i = 0; i < plan->n; i++) {
        const struct pld_release *release = &plan->releases[i];
        struct pair *pair = &merged.pairs[merged.n];
        int rc = check_release(release, plan->relation, pair, err);
        if (rc != 0)
            return rc;
        merged.total += release->count;
        if (pair->noise == PAIR_GAUSSIAN && pair->rate == 1) {
            double distance = plan->relation == RELATION_REPLACE_ONE ? 2 : 1;
            double mu = distance / release->scale;
            square += (double)release->count * mu * mu;
        } else {
            merged.counts[merged.n++] = release->count;
        }
    }
    if (merged.total > PLD_MAX_COUNT)
        return error_set(err, PPT_ERANGE,
                         "%lld releases together: expected at most %lld",
                         (long long)merged.total, (long long)PLD_MAX_COUNT);
    if (square > 0) {
        merged.mu = sqrt(square) * (1 + 256 * U);
        merged.pairs[merged.n] = (struct pair){.noise = PAIR_GAUSSIAN,
                                               .direction = PAIR_REMOVE,
                                               .scale = 1 / merged.mu * (1 - 4 * U),
                                               .rate = 1};
        merged.counts[merged.n++] = 1;
    }
    *ret_merged = merged;
    return 0;
}

/* One release needs no grid: epsilon where pair_delta falls to delta. */
static int one_epsilon(const struct pair *pair, double delta, double *ret_epsilon,
                       struct error *err)
{
    double low = 0, high = PAIR_MAX_LOSS;
    if (pair_delta(pair, high) > delta)
        return error_set(err, PPT_ERANGE,
                         "one release alone loses more than %g at delta %g",
                         PAIR_MAX_LOSS, delta);
    if (pair_delta(pair, 0) <= delta) {
        *ret_epsilon = 0;
        return 0;
    }
    for (int i = 0; i < 200 && high - low > 1e-13 * high; i++) {
        double middle = 0.5 * (low + high);
        if (pair_delta(pair, middle) > delta)
            low = middle;
        else
            high = middle;
    }
    *ret_epsilon = high;
    return 0;
}

/* The answer of a sum's law to one question. */
static int ask_law(const struct pair *pairs, const struct merged *merged,
                   const struct compose_goal *goal, double *ret_answer,
                   struct pld_detail *detail, struct error *err)
{
    if (merged->n == 1 && merged->counts[0] == 1) {
        if (goal->is_delta)
            return one_epsilon(&pairs[0], goal->delta, ret_answer, err);
        *ret_answer = pair_delta(&pairs[0], fmin(goal->epsilon, PAIR_MAX_LOSS));
        return 0;
    }
    struct compose_law law = {pairs, NULL, merged->counts, merged->n};
    struct composed last;
    int rc = compose_answer(&law, goal, ret_answer, &last, err);
    if (rc == 0) {
        detail->step = last.step;
        detail->n_points = last.n;
    }
    return rc;
}

/* The answer of one direction. Where losses are bounded, their largest sum is a bound
 * that needs no law: the sharpest one at deltas so small that it is all that is left.
 */
static int ask(const struct merged *merged, enum pair_direction direction,
               const struct compose_goal *goal, double *ret_answer,
               struct pld_detail *detail, struct error *err)
{
    struct pair pairs[PLD_MAX_RELEASES];
    double largest = 0;
    for (int i = 0; i < merged->n; i++) {
        pairs[i] = merged->pairs[i];
        if (pairs[i].direction != PAIR_REPLACE)
            pairs[i].direction = direction;
        largest +=
            (double)merged->counts[i] * pair_largest_loss(&pairs[i]) * (1 + 8 * U);
    }
    double answer;
    int rc = ask_law(pairs, merged, goal, &answer, detail, err);
    if (rc == -PPT_ERANGE && isfinite(largest) && goal->is_delta)
        answer = largest, rc = 0;
    if (rc != 0)
        return rc;
    if (goal->is_delta)
        answer = fmin(answer, largest);
    else if (goal->epsilon >= largest)
        answer = 0;
    *ret_answer = answer;
    return 0;
}

/* Full-batch Gaussians alone have a closed form. */
static int ask_gdp(double mu, const struct compose_goal *goal, double *ret_answer,
                   struct error *err)
{
    return goal->is_delta ? gdp_epsilon(mu, goal->delta, ret_answer, err)
                          : gdp_delta(mu, goal->epsilon, ret_answer, err);
}

static int ask_both(const struct pld_plan *plan, const struct compose_goal *goal,
                    double *ret_answer, struct pld_detail *ret_detail,
                    struct error *err)
{
    struct merged merged;
    struct pld_detail detail = {0}, other = {0};
    int rc = merge(plan, &merged, err);
    if (rc != 0)
        return rc;
    bool is_symmetric = plan->relation == RELATION_REPLACE_ONE;
    if (merged.n == 1 && merged.mu > 0) {
        rc = ask_gdp(merged.mu, goal, &detail.remove, err);
        is_symmetric = true;
    } else {
        rc = ask(&merged, PAIR_REMOVE, goal, &detail.remove, &detail, err);
    }
    detail.add = detail.remove;
    if (rc == 0 && !is_symmetric)
        rc = ask(&merged, PAIR_ADD, goal, &detail.add, &other, err);
    if (rc != 0)
        return rc;
    if (detail.add > detail.remove) {
        detail.step = other.step;
        detail.n_points = other.n_points;
    }
    *ret_answer = fmax(detail.remove, detail.add);
    if (ret_detail != NULL)
        *ret_detail = detail;
    return 0;
}

int pld_epsilon(const struct pld_plan *plan, double delta, double *ret_epsilon,
                struct pld_detail *ret_detail, struct error *err)
{
    if (!(delta >= PLD_MIN_DELTA && delta < 1))
        return error_set(err, PPT_ERANGE, "delta of %g is outside [%g, 1)", delta,
                         PLD_MIN_DELTA);
    struct compose_goal goal = {.is_delta = true, .delta = delta};
    return ask_both(plan, &goal, ret_epsilon, ret_detail, err);
}

int pld_delta(const struct pld_plan *plan, double epsilon, double *ret_delta,
              struct pld_detail *ret_detail, struct error *err)
{
    if (!(epsilon >= 0 && epsilon <= PLD_MAX_EPSILON))
        return error_set(err, PPT_ERANGE, "epsilon of %g is outside [0, %g]", epsilon,
                         PLD_MAX_EPSILON);
    struct compose_goal goal = {.is_delta = false, .epsilon = epsilon};
    return ask_both(plan, &goal, ret_delta, ret_detail, err);
}

/* A calibration's question. */
struct target {
    double epsilon, delta, sample_rate;
    int64_t n_steps;
    enum privacy_relation relation;
};

/* log of epsilon over its target; INFINITY where the accountant refuses noise as too
 * little. */
static int excess(void *state, double log_noise, double *ret_value, struct error *err)
{
    const struct target *target = state;
    struct pld_release release = {.noise = PAIR_GAUSSIAN,
                                  .scale = exp(log_noise),
                                  .rate = target->sample_rate,
                                  .count = target->n_steps};
    struct pld_plan plan = {target->relation, 1, &release};
    double epsilon;
    int rc = pld_epsilon(&plan, target->delta, &epsilon, NULL, err);
    if (rc == 0)
        *ret_value = log(fmax(epsilon, 1e-300) / target->epsilon);
    else if (rc == -PPT_ERANGE)
        *ret_value = INFINITY, rc = 0;
    return rc;
}

/* Where a central limit would put the answer: a start, not a bound. */
static double first_guess(double epsilon, double delta, double sample_rate,
                          int64_t n_steps)
{
    double full_batch;
    struct error ignored;
    if (gdp_noise_multiplier(fmax(epsilon, 1e-3), fmax(delta, 1e-300), 1,
                             RELATION_ADD_REMOVE, &full_batch, &ignored) != 0)
        return 1;
    double square = 1 / (full_batch * sample_rate);
    square *= square / (double)n_steps;
    double guess = 1 / sqrt(log1p(square));
    return fmin(fmax(guess, PAIR_MIN_SCALE), PAIR_MAX_SCALE);
}

static int check_target(double epsilon, double delta, double sample_rate,
                        int64_t n_steps, enum privacy_relation relation,
                        struct error *err)
{
    struct pld_release probe = {
        .noise = PAIR_GAUSSIAN, .scale = 1, .rate = sample_rate, .count = n_steps};
    struct pair unused;
    if (!(epsilon > 0 && epsilon <= PLD_MAX_EPSILON))
        return error_set(err, PPT_ERANGE, "a target epsilon of %g is outside (0, %g]",
                         epsilon, PLD_MAX_EPSILON);
    if (!(delta >= PLD_MIN_DELTA && delta < 1))
        return error_set(err, PPT_ERANGE, "delta of %g is outside [%g, 1)", delta,
                         PLD_MIN_DELTA);
    return check_release(&probe, relation, &unused, err);
}

int pld_noise_multiplier(double epsilon, double delta, double sample_rate,
                         int64_t n_steps, enum privacy_relation relation,
                         double *ret_noise_multiplier, struct error *err)
{
    int rc = check_target(epsilon, delta, sample_rate, n_steps, relation, err);
    if (rc != 0)
        return rc;
    struct target target = {epsilon, delta, sample_rate, n_steps, relation};
    double log_noise = NAN;
    struct falling falling = {
        .value = excess,
        .state = &target,
        .start = log(first_guess(epsilon, delta, sample_rate, n_steps)),
        .stride = 0.02,
        .least = log(PAIR_MIN_SCALE) + 4 * U,
        .most = log(PAIR_MAX_SCALE) - 16 * U,
        .width = 1e-6,
        .closeness = 1e-7,
    };
    rc = falling_root(&falling, &log_noise, err);
    if (rc != 0)
        return rc;
    if (isnan(log_noise))
        return error_set(err, PPT_ERANGE,
                         "no noise multiplier up to %g meets epsilon %g at delta %g",
                         PAIR_MAX_SCALE, epsilon, delta);
    *ret_noise_multiplier = exp(log_noise);
    return 0;
}
