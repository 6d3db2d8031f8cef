#include "jobs/privacy/binomial.h"

#include <assert.h>
#include <math.h>

void binomial_init(struct binomial *binomial, int max_order, double q, double log_rest,
                   const double *log_gain)
{
    double sum = 0, lost = 0, log_q = log(q);
    assert(max_order <= BINOMIAL_MAX_ORDER);
    binomial->max_order = max_order;
    binomial->log_rest = log_rest;
    binomial->log_factorial[0] = binomial->log_factorial[1] = 0;
    for (int k = 2; k <= max_order; k++) {
        /* compensated, so that the table is good to about one unit in the last place */
        double term = log(k) - lost, next = sum + term;
        lost = (next - sum) - term;
        sum = next;
        binomial->log_factorial[k] = sum;
        binomial->head[k] = k * log_q + log_gain[k] - sum;
    }
}

double binomial_log_excess(const struct binomial *binomial, int order)
{
    double terms[BINOMIAL_MAX_ORDER + 1], largest = -INFINITY, sum = 0;
    assert(order <= binomial->max_order || order < 2);
    for (int k = 2; k <= order; k++) {
        terms[k] = binomial->head[k] + binomial->log_factorial[order] -
                   binomial->log_factorial[order - k] +
                   (order - k) * binomial->log_rest;
        largest = fmax(largest, terms[k]);
    }
    if (largest == -INFINITY || largest == INFINITY)
        return largest;
    for (int k = 2; k <= order; k++)
        if (terms[k] > largest - 50) /* the rest: below 2^11 e^-50 */
            sum += exp(terms[k] - largest);
    return largest + log(sum);
}
