/* ppt-submit --dry-run of a sweep: what each job would cost, and all of them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "scheduler/admission.h"
#include "scheduler/allocation.h"
#include "scheduler/figures.h"
#include "scheduler/submit.h"
#include "scheduler/tally.h"

struct dry {
    struct submit *request;
    struct sweep *sweep;
    const struct spec_policy *policy;
    struct tally tally;
    int n_waiting, n_refused;
    struct spec spec; /* of the job that is looked at */
    struct admission_job job;
    struct ledger_verdict verdict;
    char words[SWEEP_WORDS_SIZE];
    struct table *table; /* or */
    struct json json;
};

static const char *const answers[] = {"admitted", "waiting", "refused"};

static void add_row(struct dry *dry, int number, const char *answer)
{
    const struct price *price = &dry->job.price;
    char name[24], epsilon[FIGURES_SIZE] = "none", noise[32], steps[24];
    snprintf(name, sizeof name, "%d", number);
    if (price->is_private)
        figures_up(price->epsilon, epsilon);
    snprintf(noise, sizeof noise, "%.6g", price->noise_multiplier);
    snprintf(steps, sizeof steps, "%lld", (long long)price->n_steps);
    table_row(dry->table,
              (const char *[]){name, epsilon, noise, steps, answer, dry->words});
}

static void add_object(struct dry *dry, int number, const char *answer)
{
    const struct price *price = &dry->job.price;
    json_object(&dry->json, NULL);
    json_integer(&dry->json, "number", number);
    json_string(&dry->json, "point", dry->words);
    json_bool(&dry->json, "is_private", price->is_private);
    json_number(&dry->json, "epsilon", price->epsilon);
    json_number(&dry->json, "delta", price->delta);
    json_number(&dry->json, "noise_multiplier", price->noise_multiplier);
    json_number(&dry->json, "sample_rate", price->sample_rate);
    json_integer(&dry->json, "steps", price->n_steps);
    json_string(&dry->json, "answer", answer);
    json_close_object(&dry->json);
}

/* A job that cannot even be priced is named, and ends the dry run. */
static int look_at(struct dry *dry, int number, struct error *err)
{
    struct db *db = dry->request->client.db;
    sweep_words(dry->sweep, number, dry->words);
    int rc = sweep_job(dry->sweep, number, &dry->spec, err);
    if (rc == 0)
        rc = admission_price(db, &dry->spec, &dry->job, err);
    if (rc == 0) {
        struct ledger_request asked = admission_request(0, &dry->job);
        rc = admission_policy(&dry->job, dry->policy, err);
        if (rc == 0)
            rc = tally_add(&dry->tally, &asked, err);
        if (rc == 0)
            rc = tally_fit(&dry->tally, db, &asked, &dry->verdict, err);
        admission_job_free(&dry->job);
    }
    if (rc != 0) {
        error_prefix(err, "job [%d] (%.300s)", number, dry->words);
        return rc;
    }
    dry->n_waiting += dry->verdict.answer == LEDGER_WAIT;
    dry->n_refused += dry->verdict.answer == LEDGER_REFUSED;
    if (dry->request->is_json)
        add_object(dry, number, answers[dry->verdict.answer]);
    else
        add_row(dry, number, answers[dry->verdict.answer]);
    return 0;
}

/* All jobs as one sum, at the largest delta of any; infinite where that delta is too
 * small for all of them together. */
static double total(const struct tally *tally)
{
    double epsilon = INFINITY;
    if (!tally->all.is_private)
        return 0;
    if (cost_epsilon(&tally->all.cost, tally->all.delta, &epsilon, NULL, NULL) != 0)
        return INFINITY;
    return epsilon;
}

static void print_text(struct dry *dry, const struct ledger_pots *pots)
{
    const struct tally *tally = &dry->tally;
    char epsilon[FIGURES_SIZE], delta[32];
    table_print(dry->table, stdout, true);
    if (!tally->all.is_private) {
        printf("\nall %d jobs: nothing is charged, the data set is public\n",
               tally->n_jobs);
        return;
    }
    figures_up(total(tally), epsilon);
    json_shortest(tally->all.delta, delta);
    printf("\nall %d jobs: epsilon %s at delta %s in sum, admitted %s\n\n",
           tally->n_jobs, epsilon, delta,
           sweep_is_together(dry->sweep) ? "all or none" : "one by one");
    if (dry->request->is_here)
        printf("charge: all of it, whatever is used: the ranks are yours\n\n");
    submit_print_levels(pots, &tally->all.cost);
}

static int print_json(struct dry *dry, const struct ledger_pots *pots,
                      enum ledger_answer answer, const char *reason, struct error *err)
{
    const struct tally *tally = &dry->tally;
    struct json *json = &dry->json;
    char *text = NULL;
    json_close_array(json);
    json_string(json, "name", dry->spec.name);
    json_string(json, "account", dry->spec.account);
    json_string(json, "dataset", dry->spec.dataset.name);
    json_string(json, "admission", sweep_is_together(dry->sweep) ? "together" : "each");
    json_integer(json, "n_jobs", tally->n_jobs);
    json_integer(json, "n_admitted", tally->n_fit);
    json_bool(json, "is_private", tally->all.is_private);
    json_number(json, "epsilon", total(tally));
    json_number(json, "delta", tally->all.delta);
    json_string(json, "answer", answers[answer]);
    json_string(json, "reason", reason);
    submit_levels_to_json(json, pots, &tally->all.cost);
    json_close_object(json);
    int rc = json_end(json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

/* Of all at once; one by one the sweep waits or is refused where any of its jobs is. */
static int conclude(struct dry *dry, struct error *err)
{
    struct db *db = dry->request->client.db;
    struct ledger_pots pots = {0};
    char reason[LEDGER_TEXT_SIZE] = "";
    enum ledger_answer answer = LEDGER_ADMITTED;
    int rc = ledger_path(db, dry->spec.account, dry->spec.dataset.name, &pots, err);
    if (rc == 0 && dry->tally.n_fit < dry->tally.n_jobs) {
        rc = tally_judge(&dry->tally, db, &dry->verdict, err);
        answer = dry->verdict.answer;
        tally_explain(&dry->tally, &dry->verdict, reason);
    }
    if (rc == 0 && dry->request->is_json)
        rc = print_json(dry, &pots, answer, reason, err);
    else if (rc == 0)
        print_text(dry, &pots);
    ledger_pots_free(&pots);
    if (rc == 0 && answer == LEDGER_WAIT)
        log_info("it would wait: %s", reason);
    if (rc == 0 && answer == LEDGER_REFUSED && sweep_is_together(dry->sweep))
        rc = error_set(err, PPT_EBUDGET, "it would be refused: %s", reason);
    else if (rc == 0 && answer == LEDGER_REFUSED)
        rc = error_set(err, PPT_EBUDGET, "%d of its %d jobs would not be admitted: %s",
                       dry->n_refused + dry->n_waiting, dry->tally.n_jobs, reason);
    return rc;
}

int submit_sweep_dry(struct submit *request, struct sweep *sweep,
                     const struct spec_policy *policy, struct error *err)
{
    static const char *const headings[] = {">JOB",   ">EPSILON", ">NOISE",
                                           ">STEPS", "ANSWER",   "POINT"};
    struct dry *dry = calloc(1, sizeof *dry);
    if (dry == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    dry->request = request;
    dry->sweep = sweep;
    dry->policy = policy;
    dry->tally.account = dry->spec.account;
    dry->tally.dataset = dry->spec.dataset.name;
    dry->table = table_new(headings, 6);
    json_object(&dry->json, NULL);
    json_array(&dry->json, "jobs");
    int rc = client_connect(&request->client, "ppt-submit", err);
    if (rc == 0)
        rc = sweep_job(sweep, 1, &dry->spec, err);
    if (rc == 0 && request->is_here)
        rc = allocation_may(request->client.db, dry->spec.dataset.name, err);
    for (int i = 1; rc == 0 && i <= sweep_n_jobs(sweep); i++)
        rc = look_at(dry, i, err);
    if (rc == 0)
        rc = conclude(dry, err);
    free(dry->json.text);
    table_free(dry->table);
    free(dry);
    return rc;
}
