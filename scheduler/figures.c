#include "scheduler/figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "jobs/privacy/gdp.h"

static void rounded(double value, double (*round_to)(double),
                    char ret_text[FIGURES_SIZE])
{
    if (isinf(value)) {
        snprintf(ret_text, FIGURES_SIZE, "none");
        return;
    }
    int n_digits = fabs(value) < 1 ? 3 : 2;
    double scale = n_digits == 3 ? 1000 : 100;
    /* A figure that is a multiple already must not move by a rounding of its own. */
    double scaled = value * scale, nearest = round(scaled);
    scaled = fabs(scaled - nearest) < 1e-9 ? nearest : round_to(scaled);
    snprintf(ret_text, FIGURES_SIZE, "%.*f", n_digits, scaled / scale);
}

void figures_up(double epsilon, char ret_text[FIGURES_SIZE])
{
    rounded(epsilon, ceil, ret_text);
}

void figures_down(double epsilon, char ret_text[FIGURES_SIZE])
{
    rounded(epsilon, floor, ret_text);
}

void figures_time(int64_t at_s, char ret_text[FIGURES_SIZE])
{
    time_t at = (time_t)at_s;
    struct tm tm;
    if (at_s == 0 || localtime_r(&at, &tm) == NULL)
        snprintf(ret_text, FIGURES_SIZE, "-");
    else
        strftime(ret_text, FIGURES_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
}

void figures_duration(int64_t duration_s, char ret_text[FIGURES_SIZE])
{
    long long s = duration_s < 0 ? 0 : duration_s;
    if (s >= 86400)
        snprintf(ret_text, FIGURES_SIZE, "%lld-%02lld:%02lld:%02lld", s / 86400,
                 s / 3600 % 24, s / 60 % 60, s % 60);
    else if (s >= 3600)
        snprintf(ret_text, FIGURES_SIZE, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60,
                 s % 60);
    else
        snprintf(ret_text, FIGURES_SIZE, "%lld:%02lld", s / 60, s % 60);
}

void figures_bytes(int64_t bytes, char ret_text[FIGURES_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 5; unit++)
        value /= 1024;
    snprintf(ret_text, FIGURES_SIZE, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
}

/* The most room that any usable order has under amounts a + b, in nats of epsilon: the
 * caps are epsilon less the conversion at the order's weighted delta. */
static double epsilon_of(const struct ledger_pot *pot, const int64_t *a,
                         const int64_t *b)
{
    double least = INFINITY;
    bool is_nothing = true;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        int64_t more = b == NULL ? 0 : b[i];
        is_nothing = is_nothing && a[i] == 0 && more == 0;
        if (pot->caps[i] < 0 || a[i] == COST_INFINITE || more == COST_INFINITE)
            continue;
        double used = ((double)a[i] + (double)more) / COST_RHO_PER_NAT;
        double cap = (double)pot->caps[i] / COST_RHO_PER_NAT;
        least = fmin(least, fmax(0, pot->epsilon - cap + used));
    }
    return is_nothing ? 0 : least;
}

double figures_gaussian(int64_t mu2, double delta)
{
    double epsilon, mu = sqrt((double)mu2 / COST_RHO_PER_NAT) * (1 + 0x1p-50);
    if (mu2 == 0)
        return 0;
    if (mu2 == COST_INFINITE ||
        gdp_epsilon(fmax(mu, GDP_MIN_MU), delta, &epsilon, NULL) != 0)
        return INFINITY;
    return epsilon;
}

/* All of delta stands on the one number, less what is kept for jobs' own deltas. */
static struct figures_pot gaussian_pot(const struct ledger_pot *pot)
{
    double own = (double)pot->delta_own / COST_DELTA_PER_ONE;
    double delta = own > 0 ? nextafter(pot->delta - own, 0) : pot->delta;
    int64_t both = pot->reserved_mu2 > COST_INFINITE - pot->spent_mu2
                       ? COST_INFINITE
                       : pot->spent_mu2 + pot->reserved_mu2;
    double used = figures_gaussian(both, delta);
    double spent = figures_gaussian(pot->spent_mu2, delta);
    return (struct figures_pot){.limit = pot->epsilon,
                                .spent = spent,
                                .reserved = isinf(used) ? used : used - spent,
                                .remaining = fmax(0, pot->epsilon - used)};
}

struct figures_pot figures_pot(const struct ledger_pot *pot)
{
    if (pot->currency == LEDGER_GAUSSIAN)
        return gaussian_pot(pot);
    struct figures_pot figures = {.limit = pot->epsilon};
    double used = epsilon_of(pot, pot->spent, pot->reserved);
    figures.spent = epsilon_of(pot, pot->spent, NULL);
    /* At different orders the two may be converted differently. */
    figures.reserved = isinf(used) ? used : fmax(0, used - figures.spent);
    figures.remaining = fmax(0, figures.limit - used);
    return figures;
}

void figures_pot_name(const struct ledger_pot *pot, char *ret_text, size_t size)
{
    if (pot->account[0] == '\0')
        snprintf(ret_text, size, "data set %s", pot->dataset);
    else if (pot->dataset[0] == '\0')
        snprintf(ret_text, size, "%s (all data)", pot->account);
    else
        snprintf(ret_text, size, "%s on %s", pot->account, pot->dataset);
}
