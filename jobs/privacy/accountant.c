#include "jobs/privacy/accountant.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "jobs/privacy/atoms.h"
#include "jobs/privacy/gdp.h"
#include "jobs/privacy/group.h"
#include "jobs/privacy/mixture.h"
#include "jobs/privacy/pld.h"

/* Of the masses of two-point pairs: exp, a sum, a quotient. */
#define MASS_ERROR 4e-15

static const char *const names[ACCOUNTANT_N] = {"rdp", "pld", "gdp", "ledger"};

const char *accountant_name(enum accountant_kind kind)
{
    return names[kind];
}

int accountant_from_name(const char *name)
{
    for (int i = 0; i < ACCOUNTANT_N; i++)
        if (name != NULL && strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* The worst pair of all with this loss (Kairouz, Oh, Viswanath 2015, arXiv 1311.0776),
 * or of randomised response: masses p, p e^-loss, and the same for both in between. */
static int two_point(double loss, double p, struct atoms **ret_atoms, struct error *err)
{
    double less = p * exp(-loss), rest = 1 - p - less;
    const double one[] = {p, less, rest}, other[] = {less, p, rest};
    return atoms_new(one, other, rest > 1e-12 ? 3 : 2, MASS_ERROR, ret_atoms, err);
}

static int no_bound(const struct mechanism *m, const char *why, struct error *err)
{
    return error_set(err, PPT_ERANGE, "pld has no bound for %s %s",
                     mechanism_name(m->kind), why);
}

static int discrete(const struct mechanism *m, struct atoms **ret_atoms,
                    struct error *err)
{
    if (m->sensitivity != floor(m->sensitivity))
        return no_bound(m, "whose sensitivity is no whole number", err);
    int64_t shift = (int64_t)m->sensitivity;
    return m->kind == MECHANISM_DISCRETE_GAUSSIAN
               ? atoms_discrete_gaussian(m->scale, shift, ret_atoms, err)
               : atoms_discrete_laplace(m->scale, shift, ret_atoms, err);
}

static int to_pld(const struct renyi_release *release, struct pld_release *ret_release,
                  struct atoms **ret_atoms, struct error *err)
{
    const struct mechanism *m = &release->mechanism;
    double loss;
    int rc = 0;
    *ret_release = (struct pld_release){
        .noise = PAIR_ATOMS, .rate = m->sample_rate, .count = release->count};
    if (m->sampling == SAMPLING_WITHOUT_REPLACEMENT && m->sample_rate < 1)
        return no_bound(m, "sampled without replacement", err);
    switch (m->kind) {
    case MECHANISM_GAUSSIAN:
    case MECHANISM_SUBSAMPLED_GAUSSIAN:
    case MECHANISM_RANDOM_ALLOCATION: /* no worse than its worst bin */
        ret_release->noise = PAIR_GAUSSIAN;
        ret_release->scale = m->noise_multiplier;
        return 0;
    case MECHANISM_LAPLACE:
        ret_release->noise = PAIR_LAPLACE;
        ret_release->scale = m->scale;
        return 0;
    case MECHANISM_DISCRETE_GAUSSIAN:
    case MECHANISM_DISCRETE_LAPLACE:
        rc = discrete(m, ret_atoms, err);
        break;
    case MECHANISM_SKELLAM:
        return no_bound(m, "noise", err);
    case MECHANISM_RANDOMISED_RESPONSE:
        loss = log1p(m->categories * (1 - m->flip) / m->flip);
        rc = two_point(loss, 1 - m->flip * (1 - 1 / m->categories), ret_atoms, err);
        break;
    default: { /* of these only the largest loss, over all the data, is known */
        struct mechanism whole = *m;
        whole.sample_rate = 1;
        loss = mechanism_pure_epsilon(&whole);
        rc = two_point(loss, 1 / (1 + exp(-loss)), ret_atoms, err);
    }
    }
    ret_release->atoms = *ret_atoms;
    return rc;
}

/* Scales are over the sensitivity of the plan's own relation, and no sample is priced
 * under replace-one, so the pairs are those of a shift by 1: what pld calls add/remove.
 */
static int pld(const struct renyi_release *releases, int n, double delta,
               double *ret_epsilon, struct error *err)
{
    struct pld_release converted[RENYI_MAX_RELEASES];
    struct atoms *atoms[RENYI_MAX_RELEASES] = {0};
    int rc = renyi_check(releases, n, err);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = to_pld(&releases[i], &converted[i], &atoms[i], err);
    struct pld_plan plan = {RELATION_ADD_REMOVE, n, converted};
    if (rc == 0)
        rc = pld_epsilon(&plan, delta, ret_epsilon, NULL, err);
    for (int i = 0; i < n && i < RENYI_MAX_RELEASES; i++)
        atoms_free(atoms[i]);
    return rc;
}

/* One release as a user's: n_records > 1. */
static int to_user(const struct renyi_release *release, int64_t n_records,
                   struct pld_release *ret_release, struct mixture *mixture,
                   struct atoms **ret_atoms, struct error *err)
{
    const struct mechanism *m = &release->mechanism;
    bool is_gaussian =
        m->kind == MECHANISM_GAUSSIAN || m->kind == MECHANISM_SUBSAMPLED_GAUSSIAN;
    if (is_gaussian && m->sample_rate < 1 && m->sampling == SAMPLING_POISSON) {
        int n = n_records < MIXTURE_MAX ? (int)n_records : MIXTURE_MAX;
        int rc = mixture_binomial(n, m->sample_rate, mixture, err);
        *ret_release = (struct pld_release){.noise = PAIR_MIXTURE,
                                            .scale = m->noise_multiplier,
                                            .rate = 1,
                                            .count = release->count,
                                            .mixture = mixture};
        return rc;
    }
    struct renyi_release user = *release;
    int rc = group_mechanism(m, n_records, &user.mechanism, err);
    return rc != 0 ? rc : to_pld(&user, ret_release, ret_atoms, err);
}

int accountant_users_epsilon(const struct renyi_release *releases, int n,
                             int64_t n_records, double delta, double *ret_epsilon,
                             struct error *err)
{
    struct pld_release converted[RENYI_MAX_RELEASES];
    struct atoms *atoms[RENYI_MAX_RELEASES] = {0};
    struct mixture mixtures[RENYI_MAX_RELEASES];
    if (n_records == 1)
        return pld(releases, n, delta, ret_epsilon, err);
    int rc = renyi_check(releases, n, err);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = to_user(&releases[i], n_records, &converted[i], &mixtures[i], &atoms[i],
                     err);
    struct pld_plan plan = {RELATION_ADD_REMOVE, n, converted};
    if (rc == 0)
        rc = pld_epsilon(&plan, delta, ret_epsilon, NULL, err);
    for (int i = 0; i < n && i < RENYI_MAX_RELEASES; i++)
        atoms_free(atoms[i]);
    return rc;
}

static int gdp(const struct renyi_release *releases, int n, double delta,
               double *ret_epsilon, struct error *err)
{
    double sum = 0;
    int rc = renyi_check(releases, n, err);
    for (int i = 0; rc == 0 && i < n; i++) {
        const struct mechanism *m = &releases[i].mechanism;
        bool is_gaussian = m->kind == MECHANISM_GAUSSIAN ||
                           m->kind == MECHANISM_SUBSAMPLED_GAUSSIAN ||
                           m->kind == MECHANISM_RANDOM_ALLOCATION; /* as in to_pld */
        if (!is_gaussian || m->sample_rate < 1)
            return error_set(
                err, PPT_ERANGE,
                "gdp has no bound for %s%s, only for gaussian noise on all "
                "the data",
                mechanism_name(m->kind), m->sample_rate < 1 ? " on a sample" : "");
        double mu;
        rc = gdp_mu(m->noise_multiplier, 1, releases[i].count, RELATION_ADD_REMOVE, &mu,
                    err);
        if (rc == 0 && i > 0)
            rc = gdp_add(sum, mu, &mu, err);
        if (rc == 0)
            sum = mu;
    }
    return rc != 0 ? rc : gdp_epsilon(sum, delta, ret_epsilon, err);
}

static int ledger(const struct renyi_release *releases, int n, double delta,
                  double *ret_epsilon, double *ret_order, struct error *err)
{
    int order = 0, rc = renyi_check(releases, n, err);
    if (rc != 0)
        return rc;
    struct cost sum = cost_zero(UNIT_EXAMPLE, releases[0].mechanism.relation);
    for (int i = 0; rc == 0 && i < n; i++) {
        struct curve curve;
        struct cost cost;
        rc = mechanism_curve(&releases[i].mechanism, UNIT_EXAMPLE, &curve, err);
        if (rc == 0)
            rc = cost_from_curve(&curve, releases[i].count, &cost, err);
        if (rc == 0)
            rc = cost_add(&sum, &cost, &sum, err);
    }
    if (rc == 0)
        rc = cost_epsilon(&sum, delta, ret_epsilon, &order, err);
    if (rc == 0)
        *ret_order = cost_orders[order];
    return rc;
}

int accountant_epsilon(enum accountant_kind kind, const struct renyi_release *releases,
                       int n, double delta, double *ret_epsilon, double *ret_order,
                       struct error *err)
{
    double order = NAN;
    int rc;
    switch (kind) {
    case ACCOUNTANT_RDP:
        rc = renyi_epsilon(releases, n, delta, ret_epsilon, &order, err);
        break;
    case ACCOUNTANT_PLD:
        rc = pld(releases, n, delta, ret_epsilon, err);
        break;
    case ACCOUNTANT_GDP:
        rc = gdp(releases, n, delta, ret_epsilon, err);
        break;
    default:
        rc = ledger(releases, n, delta, ret_epsilon, &order, err);
        break;
    }
    if (rc == 0 && ret_order != NULL)
        *ret_order = order;
    return rc;
}

static int rdp_price(const struct renyi_release *releases, int n, double delta,
                     double *ret_epsilon, struct error *err)
{
    return renyi_epsilon(releases, n, delta, ret_epsilon, NULL, err);
}

static int ledger_price(const struct renyi_release *releases, int n, double delta,
                        double *ret_epsilon, struct error *err)
{
    double order;
    return ledger(releases, n, delta, ret_epsilon, &order, err);
}

calibrate_price *accountant_price(enum accountant_kind kind)
{
    static calibrate_price *const prices[ACCOUNTANT_N] = {rdp_price, pld, gdp,
                                                          ledger_price};
    return prices[kind];
}
