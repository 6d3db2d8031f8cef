/* The accountants side by side: one plan, each one's epsilon.
 *
 *   rdp     renyi.h: every mechanism here; tight over all orders
 *   pld     pld.h: the tightest for what it has; no Skellam noise, no samples without
 *           replacement, noise on one number (Laplace, discrete) as a scalar
 *   gdp     gdp.h: exact, for Gaussian noise on all the data only
 *   ledger  cost.h: what the ledger would debit and limit by; not below rdp
 * All are upper bounds for a plan fixed in advance; only the ledger's may stop an
 * adaptive sequence of jobs. What an accountant has no bound for it refuses.
 */
#ifndef PPT_JOBS_PRIVACY_ACCOUNTANT_H
#define PPT_JOBS_PRIVACY_ACCOUNTANT_H

#include "base/error.h"
#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/renyi.h"

enum accountant_kind {
    ACCOUNTANT_RDP,
    ACCOUNTANT_PLD,
    ACCOUNTANT_GDP,
    ACCOUNTANT_LEDGER,
    ACCOUNTANT_N
};

/* "rdp", "pld", "gdp", "ledger". The reverse returns -1 for an unknown name. */
const char *accountant_name(enum accountant_kind kind);
int accountant_from_name(const char *name);

/* epsilon of a plan at delta; *ret_order, where not NULL, gets the Renyi order it comes
 * from (INFINITY: the sum of largest losses), or NAN for the other accountants.
 * Errors: PPT_ERANGE (renyi_check, or no bound), PPT_ENOMEM. */
int accountant_epsilon(enum accountant_kind kind, const struct renyi_release *releases,
                       int n, double delta, double *ret_epsilon, double *ret_order,
                       struct error *err);

/* pld's epsilon for users of up to n_records records: noise on all the data as a shift
 * n_records times as far, Poisson-subsampled Gaussians as mixtures (mixture.h; up to
 * MIXTURE_MAX - 1 records). Errors: PPT_ERANGE (no bound for other samples, or a value
 * out of range), PPT_ENOMEM. */
int accountant_users_epsilon(const struct renyi_release *releases, int n,
                             int64_t n_records, double delta, double *ret_epsilon,
                             struct error *err);

/* The accountant as calibrate_parameter takes it. */
calibrate_price *accountant_price(enum accountant_kind kind);

#endif
