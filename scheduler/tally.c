#include "scheduler/tally.h"

#include <math.h>
#include <stdio.h>

#include "scheduler/figures.h"

/* sum = the private jobs of `sum`, and one more. */
static int add(const struct ledger_request *sum, const struct ledger_request *more,
               struct ledger_request *ret_sum, struct error *err)
{
    struct ledger_request together = *more;
    if (sum->is_private && !more->is_private)
        return 0;
    if (sum->is_private) {
        int rc = cost_add(&sum->cost, &more->cost, &together.cost, err);
        if (rc != 0)
            return rc;
        if (sum->delta > together.delta)
            together.delta = sum->delta;
    }
    *ret_sum = together;
    return 0;
}

int tally_add(struct tally *tally, const struct ledger_request *request,
              struct error *err)
{
    int rc = add(&tally->all, request, &tally->all, err);
    tally->n_jobs += rc == 0;
    return rc;
}

int tally_fit(struct tally *tally, struct db *db, const struct ledger_request *request,
              struct ledger_verdict *ret_verdict, struct error *err)
{
    struct ledger_request fit = tally->fit;
    int rc = add(&tally->fit, request, &fit, err);
    if (rc == 0)
        rc = ledger_preview(db, tally->account, tally->dataset,
                            request->is_private ? &fit : request, ret_verdict, err);
    if (rc == 0 && ret_verdict->answer == LEDGER_ADMITTED) {
        tally->fit = fit;
        tally->n_fit++;
    }
    return rc;
}

int tally_judge(const struct tally *tally, struct db *db,
                struct ledger_verdict *ret_verdict, struct error *err)
{
    return ledger_preview(db, tally->account, tally->dataset, &tally->all, ret_verdict,
                          err);
}

/* What all of them need of a pot, at its delta. */
static double need(const struct tally *tally, const struct ledger_pot *pot)
{
    double epsilon = INFINITY;
    if (pot->currency == LEDGER_GAUSSIAN)
        return figures_gaussian(tally->all.cost.mu2, pot->delta);
    if (cost_epsilon(&tally->all.cost, pot->delta, &epsilon, NULL, NULL) != 0)
        return INFINITY;
    return epsilon;
}

void tally_explain(const struct tally *tally, const struct ledger_verdict *verdict,
                   char ret_reason[LEDGER_TEXT_SIZE])
{
    const struct ledger_pot *pot = &verdict->pot;
    char name[LEDGER_PATH_SIZE + 160], left[FIGURES_SIZE], limit[FIGURES_SIZE];
    char needs[FIGURES_SIZE], reserved[FIGURES_SIZE], held[96] = "", rest[64];
    if (!verdict->has_pot) {
        snprintf(ret_reason, LEDGER_TEXT_SIZE, "%s", verdict->reason);
        return;
    }
    struct figures_pot figures = figures_pot(pot);
    figures_pot_name(pot, name, sizeof name);
    figures_down(figures.remaining, left);
    figures_down(figures.limit, limit);
    figures_up(need(tally, pot), needs);
    if (verdict->answer == LEDGER_WAIT) {
        figures_up(figures.reserved, reserved);
        snprintf(held, sizeof held, " while other jobs have %s reserved", reserved);
        snprintf(rest, sizeof rest, " and wait for them to end");
    } else {
        snprintf(rest, sizeof rest, "; %d of them would have fitted", tally->n_fit);
    }
    snprintf(ret_reason, LEDGER_TEXT_SIZE,
             "%.240s has epsilon %s left of %s at delta %g%s; the sweep's %d jobs "
             "together need %s%s",
             name, left, limit, pot->delta, held, tally->n_jobs, needs, rest);
}
