#include "jobs/privacy/plan.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/group.h"

int plan_parse_part(const char *text, struct plan_part *ret_part, struct error *err)
{
    bool is_scheme = scheme_from_text(text) >= 0;
    int rc = is_scheme ? scheme_parse(text, &ret_part->scheme, err)
                       : notation_parse(text, &ret_part->notation, err);
    if (rc == 0)
        ret_part->is_scheme = is_scheme;
    return rc;
}

int plan_parse_selection(const char *text, struct selection *ret_selection,
                         struct error *err)
{
    char copy[256], *rest;
    double mean = NAN, eta = 1;
    struct selection selection = {.law = SELECTION_NEGATIVE_BINOMIAL};
    int rc = 0;
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return error_set(err, PPT_EUSAGE, "'%.40s...' is too long", text);
    rest = strchr(copy, ':');
    if (rest != NULL)
        *rest++ = '\0';
    if (strcmp(copy, "poisson") == 0) {
        selection.law = SELECTION_POISSON;
    } else if (strcmp(copy, "negative-binomial") != 0) {
        rc = error_set(err, PPT_EUSAGE, "unknown law of the number of runs '%s'", copy);
        error_hint(err, "there are negative-binomial:mean=M,eta=E and poisson:mean=M; "
                        "the best of a fixed number has no such price");
    }
    for (char *pair; rc == 0 && (pair = strsep(&rest, ",")) != NULL;) {
        if (strncmp(pair, "mean=", 5) == 0)
            rc = opt_number(pair + 5, &mean, err);
        else if (selection.law != SELECTION_POISSON && strncmp(pair, "eta=", 4) == 0)
            rc = opt_number(pair + 4, &eta, err);
        else
            rc = error_set(err, PPT_EUSAGE, "%s has no '%s'", copy, pair);
    }
    if (rc == 0 && isnan(mean))
        rc = error_set(err, PPT_EUSAGE, "mean of %s is missing", copy);
    selection.eta = eta;
    selection.mean = mean;
    double unused;
    if (rc == 0)
        rc = selection.law == SELECTION_POISSON
                 ? selection_mean(&selection, &unused, err)
                 : selection_gamma(eta, mean, &selection.gamma, err);
    if (rc == 0)
        *ret_selection = selection;
    return rc;
}

int plan_releases(const struct plan *plan, struct renyi_release *ret_releases,
                  int *ret_n, struct error *err)
{
    int n = 0, rc = 0;
    for (int i = 0; rc == 0 && i < plan->n; i++) {
        const struct plan_part *part = &plan->parts[i];
        int room = RENYI_MAX_RELEASES - n, added = 1;
        if (part->is_scheme)
            rc = scheme_releases(&part->scheme, ret_releases + n, room, &added, err);
        else if (room < 1)
            rc = error_set(err, PPT_ERANGE, "more than %d releases in all",
                           RENYI_MAX_RELEASES);
        else
            ret_releases[n] = part->notation.release;
        n += added;
    }
    if (rc == 0)
        rc = renyi_check(ret_releases, n, err);
    if (rc == 0)
        *ret_n = n;
    return rc;
}

static bool is_dealt(const struct plan_part *part)
{
    return part->is_scheme && part->scheme.kind == SCHEME_BALLS_IN_BINS;
}

/* The curve of all releases for one user or example, rounded up. */
static int sum_of_curves(const struct plan *plan, const struct renyi_release *releases,
                         int n, struct cost *ret_sum, struct error *err)
{
    enum privacy_unit unit = plan->n_records > 1 ? UNIT_USER : UNIT_EXAMPLE;
    struct cost sum = cost_zero(unit, releases[0].mechanism.relation);
    int rc = 0;
    for (int i = 0; rc == 0 && i < n; i++) {
        struct mechanism m = releases[i].mechanism;
        struct curve curve, example;
        struct cost cost;
        if (plan->n_records == 1 || group_mechanism(&m, plan->n_records, &m, NULL) == 0)
            rc = mechanism_curve(&m, unit, &curve, err);
        else if ((rc = mechanism_curve(&m, UNIT_EXAMPLE, &example, err)) == 0)
            rc = group_curve(&example, plan->n_records, &curve, err);
        if (rc == 0)
            rc = cost_from_curve(&curve, releases[i].count, &cost, err);
        if (rc == 0)
            rc = cost_add(&sum, &cost, &sum, err);
    }
    if (rc == 0)
        *ret_sum = sum;
    return rc;
}

/* What the best of several runs costs, one of them costing this. */
static int select_best(const struct selection *selection, struct cost *cost,
                       struct error *err)
{
    struct curve run = {.unit = cost->unit, .relation = cost->relation}, tuning;
    for (int i = 0; i < COST_N_ORDERS; i++)
        run.rho[i] = cost->rho[i] == COST_INFINITE
                         ? INFINITY
                         : nextafter((double)cost->rho[i], INFINITY) / COST_RHO_PER_NAT;
    int rc = selection_curve(&run, selection, &tuning, err);
    return rc != 0 ? rc : cost_from_curve(&tuning, 1, cost, err);
}

static int by_curves(const struct plan *plan, const struct renyi_release *releases,
                     int n, double delta, struct plan_answer *answer, struct error *err)
{
    struct cost sum;
    int order = 0, rc = sum_of_curves(plan, releases, n, &sum, err);
    if (rc == 0 && plan->is_best_of)
        rc = select_best(&plan->selection, &sum, err);
    if (rc == 0)
        rc = cost_epsilon(&sum, delta, &answer->epsilon, &order, err);
    if (rc == 0) {
        answer->order = cost_orders[order];
        answer->note = "on the ledger's orders";
    }
    return rc;
}

/* Is each release of this plan one shift for a user, however many records he has? */
static bool is_shift(const struct plan *plan, const struct renyi_release *releases,
                     int n)
{
    struct mechanism unused;
    for (int i = 0; i < n; i++)
        if (group_mechanism(&releases[i].mechanism, plan->n_records, &unused, NULL) !=
            0)
            return false;
    return true;
}

/* What has a bound on the ledger's orders alone: the best of several runs, and samples
 * of several records of a user. */
static bool is_by_curves(enum accountant_kind accountant, const struct plan *plan,
                         const struct renyi_release *releases, int n)
{
    if (plan->is_best_of || plan->n_records == 1)
        return plan->is_best_of;
    return accountant == ACCOUNTANT_LEDGER || !is_shift(plan, releases, n);
}

/* The releases as one user's, where each is a single shift. */
static int user_releases(const struct plan *plan, const char *accountant,
                         struct renyi_release *releases, int n, struct error *err)
{
    for (int i = 0; i < n; i++) {
        struct mechanism *m = &releases[i].mechanism;
        int rc = group_mechanism(m, plan->n_records, m, err);
        if (rc != 0)
            return error_prefix(err, "%s has no bound for users of several records",
                                accountant),
                   rc;
    }
    return 0;
}

int plan_epsilon(enum accountant_kind accountant, const struct plan *plan, double delta,
                 struct plan_answer *ret_answer, struct error *err)
{
    struct renyi_release releases[RENYI_MAX_RELEASES];
    struct plan_answer answer = {.order = NAN};
    struct balls_in_bins deal;
    int n, rc = plan_releases(plan, releases, &n, err);
    if (rc != 0)
        return rc;
    const char *name = accountant_name(accountant);
    bool has_curves = accountant == ACCOUNTANT_RDP || accountant == ACCOUNTANT_LEDGER;
    if (plan->is_best_of && !has_curves)
        return error_set(err, PPT_ERANGE,
                         "%s has no bound for the best of several runs", name);
    if (accountant == ACCOUNTANT_PLD && plan->n == 1 && plan->n_records == 1 &&
        is_dealt(&plan->parts[0])) {
        rc = scheme_balls_in_bins(&plan->parts[0].scheme, &deal, err);
        if (rc == 0)
            rc = balls_in_bins_epsilon(&deal, delta, &answer.epsilon, NULL, err);
    } else if (accountant == ACCOUNTANT_PLD && plan->n_records > 1) {
        rc = accountant_users_epsilon(releases, n, plan->n_records, delta,
                                      &answer.epsilon, err);
    } else if (has_curves && is_by_curves(accountant, plan, releases, n)) {
        rc = by_curves(plan, releases, n, delta, &answer, err);
    } else {
        if (plan->n_records > 1)
            rc = user_releases(plan, name, releases, n, err);
        if (rc == 0)
            rc = accountant_epsilon(accountant, releases, n, delta, &answer.epsilon,
                                    &answer.order, err);
    }
    bool is_amplified = plan->n_records == 1 &&
                        (has_curves || (accountant == ACCOUNTANT_PLD && plan->n == 1));
    for (int i = 0; i < plan->n; i++)
        if (is_dealt(&plan->parts[i]) && !is_amplified)
            answer.note = "balls in bins without amplification";
    if (rc == 0)
        *ret_answer = answer;
    return rc;
}

static bool is_plain(const struct plan *plan)
{
    bool is = plan->n_records == 1 && !plan->is_best_of;
    for (int i = 0; i < plan->n; i++)
        is = is && !plan->parts[i].is_scheme;
    return is;
}

static int solve_plain(enum accountant_kind accountant, struct plan *plan,
                       double epsilon, double delta, struct error *err)
{
    struct renyi_release releases[RENYI_MAX_RELEASES];
    struct notation *part = &plan->parts[plan->unknown].notation;
    calibrate_price *price = accountant_price(accountant);
    int64_t count = 0;
    int rc = 0;
    for (int i = 0; i < plan->n; i++)
        releases[i] = plan->parts[i].notation.release;
    if (!part->is_count_unknown)
        return calibrate_parameter(
            price, releases, plan->n, plan->unknown, part->unknown, epsilon, delta,
            mechanism_value(&part->release.mechanism, part->unknown), err);
    rc = calibrate_count(price, releases, plan->n, plan->unknown, RENYI_MAX_COUNT,
                         epsilon, delta, &count, err);
    if (rc == 0 && count == 0)
        rc = error_set(err, PPT_ERANGE,
                       "one release alone costs more than epsilon %g at delta %g",
                       epsilon, delta);
    if (rc == 0)
        part->release.count = count;
    return rc;
}

struct search {
    enum accountant_kind accountant;
    struct plan *plan;
    double *value;
    double epsilon, delta;
    bool was_priced;    /* some value was */
    struct error first; /* or why the first one was refused */
};

/* Whether this much noise meets the target; what cannot be priced does not. */
static int meets(struct search *search, double value, bool *ret_does, struct error *err)
{
    struct plan_answer answer;
    *search->value = value;
    struct error why = {0};
    int rc =
        plan_epsilon(search->accountant, search->plan, search->delta, &answer, &why);
    if (rc != 0 && rc != -PPT_ERANGE) {
        *err = why;
        return rc;
    }
    if (rc != 0 && search->first.code == 0)
        search->first = why;
    search->was_priced = search->was_priced || rc == 0;
    *ret_does = rc == 0 && answer.epsilon <= search->epsilon;
    return 0;
}

/* Bisects to a relative 1e-6; always ends at a value that was priced. */
static int least_noise(struct search *search, double low, double high,
                       struct error *err)
{
    bool does = false;
    double good = fmin(fmax(1, low), high), bad = NAN;
    int rc = meets(search, good, &does, err);
    while (rc == 0 && !does && good < high) {
        bad = good;
        good = fmin(2 * good, high);
        rc = meets(search, good, &does, err);
    }
    if (rc == 0 && !does && !search->was_priced) {
        *err = search->first;
        return -PPT_ERANGE;
    }
    if (rc == 0 && !does)
        return error_set(err, PPT_ERANGE,
                         "no noise in [%g, %g] meets epsilon %g at "
                         "delta %g",
                         low, high, search->epsilon, search->delta);
    while (rc == 0 && isnan(bad) && good > low) {
        double next = fmax(good / 2, low);
        rc = meets(search, next, &does, err);
        if (does)
            good = next;
        else
            bad = next;
    }
    while (rc == 0 && good - bad > 1e-6 * good) {
        double middle = 0.5 * (good + bad);
        rc = meets(search, middle, &does, err);
        if (does)
            good = middle;
        else
            bad = middle;
    }
    *search->value = good;
    return rc;
}

int plan_solve(enum accountant_kind accountant, struct plan *plan, double epsilon,
               double delta, struct error *err)
{
    if (!(epsilon > 0) || !isfinite(epsilon))
        return error_set(err, PPT_ERANGE, "epsilon is %g, expected a positive number",
                         epsilon);
    if (is_plain(plan))
        return solve_plain(accountant, plan, epsilon, delta, err);
    struct plan_part *part = &plan->parts[plan->unknown];
    struct search search = {
        .accountant = accountant, .plan = plan, .epsilon = epsilon, .delta = delta};
    int n;
    if (part->is_scheme) {
        const struct scheme_key *noise = scheme_keys(part->scheme.kind, &n);
        search.value = &part->scheme.values[SCHEME_NOISE];
        double high = noise->high;
        if (part->scheme.kind == SCHEME_ADAPTIVE_CLIPPING) /* beyond: no gradients */
            high =
                fmin(high, fmax(noise->low, 2 * part->scheme.values[1] * (1 - 1e-9)));
        return least_noise(&search, noise->low, high, err);
    }
    const struct mechanism_parameter *unknown = part->notation.unknown;
    if (unknown == NULL || unknown->privacy <= 0)
        return error_set(err, PPT_ERANGE,
                         "only noise can be looked for beside whole trainings, for "
                         "users, or for the best of several runs");
    search.value = mechanism_value(&part->notation.release.mechanism, unknown);
    return least_noise(&search, unknown->low, unknown->high, err);
}
