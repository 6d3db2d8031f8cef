/* ppt-submit --dry-run: what a job would cost, and what would be left. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/table.h"
#include "jobs/privacy/correlation.h"
#include "jobs/privacy/price_split.h"
#include "scheduler/admission.h"
#include "scheduler/allocation.h"
#include "scheduler/estimate.h"
#include "scheduler/figures.h"
#include "scheduler/ledger.h"
#include "scheduler/submit.h"
#include "scheduler/submit_memory.h"

/* Of either kind. */
enum { WAYS_MOST = 8 };
_Static_assert((int)SAMPLE_N <= WAYS_MOST && (int)SELECTION_N <= WAYS_MOST,
               "there is room for all ways");

/* The pot as it would be with this job's reservation in it. */
static void add_cost(struct ledger_pot *pot, const struct cost *cost)
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        pot->reserved[i] = cost->rho[i] > COST_INFINITE - pot->reserved[i]
                               ? COST_INFINITE
                               : pot->reserved[i] + cost->rho[i];
    pot->reserved_mu2 = cost->mu2 > COST_INFINITE - pot->reserved_mu2
                            ? COST_INFINITE
                            : pot->reserved_mu2 + cost->mu2;
}

void submit_print_levels(const struct ledger_pots *pots, const struct cost *cost)
{
    static const char *const headings[] = {"LEVEL", ">LIMIT", ">DELTA",
                                           ">LEFT", ">AFTER", "FITS"};
    struct table *table = table_new(headings, 6);
    for (int i = 0; i < pots->n; i++) {
        struct ledger_pot after_it = pots->pots[i], *pot = &after_it;
        char name[LEDGER_PATH_SIZE + 160], limit[FIGURES_SIZE], left[FIGURES_SIZE];
        char after[FIGURES_SIZE], delta[32];
        bool fits = ledger_fits(pot, cost);
        figures_pot_name(pot, name, sizeof name);
        figures_down(pot->epsilon, limit);
        json_shortest(pot->delta, delta);
        figures_down(figures_pot(pot).remaining, left);
        add_cost(pot, cost);
        figures_down(figures_pot(pot).remaining, after);
        table_row(table, (const char *[]){name, limit, delta, left, fits ? after : "-",
                                          fits ? "yes" : "no"});
    }
    table_print(table, stdout, true);
    table_free(table);
}

/* What the one release of a step covers where the clip norm follows a quantile. */
static bool divided_noise(const struct admission_job *job, double *ret_gradient_noise,
                          double *ret_count_noise)
{
    return job->price.is_private && job->spec.privacy.clipping.mode == CLIP_QUANTILE &&
           price_split_noise(&job->spec, &job->price, ret_gradient_noise,
                             ret_count_noise, NULL) == 0;
}

/* How a step takes its records, or a round its clients. */
struct way {
    const char *name, *text;
};

static int ways_of(const struct spec *spec, struct way ret_ways[WAYS_MOST])
{
    static const char *const records[SAMPLE_N] = {
        [SAMPLE_POISSON] = "each step reads its records from anywhere",
        [SAMPLE_BALLS_IN_BINS] = "each record is read once an epoch",
        [SAMPLE_FIXED_ORDER] = "each epoch reads the records in the same order",
    };
    static const char *const clients[SELECTION_N] = {
        [SELECTION_POISSON] = "each client alone, in any round",
        [SELECTION_FIXED] = "so many clients in each round",
        [SELECTION_WEIGHTED] = "so many clients in each round, by their records",
        [SELECTION_FIXED_ORDER] = "each pass asks the clients in the same order",
    };
    bool is_fl = spec->kind == JOB_FL;
    for (int i = 0; i < (is_fl ? SELECTION_N : SAMPLE_N); i++)
        ret_ways[i] =
            is_fl
                ? (struct way){spec_selection_name((enum spec_selection)i), clients[i]}
                : (struct way){spec_sampling_name((enum spec_sampling)i), records[i]};
    return is_fl ? SELECTION_N : SAMPLE_N;
}

static int way_of(const struct spec *spec)
{
    return spec->kind == JOB_FL ? (int)spec->federation.selection
                                : (int)spec->training.sampling;
}

/* The same job with its records or clients drawn another way. */
struct other {
    bool is_there; /* false: it is not another way, or none for this job */
    struct price price;
    struct estimate estimate;
};

/* What a dry run tells beside the price. */
struct outlook {
    struct estimate estimate;
    struct other others[WAYS_MOST];
};

/* Only epochs can be dealt. */
static int find_other(struct db *db, const struct admission_job *job, int way,
                      struct other *ret_other, struct error *err)
{
    struct spec spec = job->spec;
    *ret_other = (struct other){.is_there = false};
    if (way == way_of(&spec) || !job->price.is_private ||
        (spec.kind == JOB_DP && spec.training.epochs == 0))
        return 0;
    if (spec.kind == JOB_DP) {
        spec.training.sampling = (enum spec_sampling)way;
        spec.training.bands = CORRELATION_DEFAULT_BANDS;
    } else {
        spec.federation.selection = (enum spec_selection)way;
        spec.federation.bands = CORRELATION_DEFAULT_BANDS;
    }
    ret_other->is_there =
        price_job(&spec, &job->manifest, &ret_other->price, NULL) == 0;
    return ret_other->is_there ? estimate_training(db, &spec, ret_other->price.n_steps,
                                                   &ret_other->estimate, err)
                               : 0;
}

static int find_outlook(struct db *db, const struct admission_job *job,
                        struct outlook *outlook, struct error *err)
{
    struct way ways[WAYS_MOST];
    int n_ways = ways_of(&job->spec, ways);
    int rc =
        estimate_training(db, &job->spec, job->price.n_steps, &outlook->estimate, err);
    for (int i = 0; rc == 0 && i < n_ways; i++)
        rc = find_other(db, job, i, &outlook->others[i], err);
    return rc;
}

/* The multiplier of independent noise that moves the model as far, over all steps. */
static double like_independent(const struct price *price)
{
    int64_t n_bands = price->n_bands > 0 ? price->n_bands : 1;
    return price->noise_multiplier * correlation_drift(n_bands, price->n_steps) /
           correlation_drift(1, price->n_steps);
}

static void print_bands(const struct price *price)
{
    if (price->n_bands > 0)
        printf(" in %lld bands (as %.6g without)", (long long)price->n_bands,
               like_independent(price));
}

/* How records are read, or clients asked, and what other ways would cost: of a target,
 * the noise that meets it; of given noise, epsilon; and how long they would take, where
 * a job that drew so can tell. */
static void print_sampling(const struct admission_job *job, const struct other *others)
{
    struct way ways[WAYS_MOST];
    int n_ways = ways_of(&job->spec, ways), way = way_of(&job->spec);
    char epsilon[FIGURES_SIZE], took[FIGURES_SIZE];
    printf("%-17s %s: %s\n", job->spec.kind == JOB_FL ? "selection" : "sampling",
           ways[way].name, ways[way].text);
    for (int i = 0; i < n_ways; i++) {
        const struct price *price = &others[i].price;
        const struct estimate *estimate = &others[i].estimate;
        if (!others[i].is_there)
            continue;
        printf("instead           %s: ", ways[i].name);
        if (job->spec.privacy.noise_multiplier == 0) {
            printf("noise multiplier %.6g", price->noise_multiplier);
        } else {
            figures_up(price->epsilon, epsilon);
            printf("epsilon %s", epsilon);
        }
        print_bands(price);
        printf(", %s", ways[i].text);
        if (estimate->job_id != 0) {
            figures_duration((int64_t)ceil(estimate->training_s), took);
            printf(", about %s by job %lld", took, (long long)estimate->job_id);
        }
        printf("\n");
    }
}

static void noise_to_json(struct json *json, const struct price *price)
{
    json_number(json, "noise_multiplier", price->noise_multiplier);
    if (price->n_bands > 0) {
        json_integer(json, "bands", price->n_bands);
        json_number(json, "like_independent_noise", like_independent(price));
    }
}

static void time_to_json(struct json *json, const struct estimate *estimate)
{
    if (estimate->job_id == 0)
        return;
    json_object(json, "estimate");
    json_number(json, "training_s", estimate->training_s);
    json_integer(json, "by_job", estimate->job_id);
    json_close_object(json);
}

static void sampling_to_json(struct json *json, const struct admission_job *job,
                             const struct other *others)
{
    struct way ways[WAYS_MOST];
    int n_ways = ways_of(&job->spec, ways);
    bool is_fl = job->spec.kind == JOB_FL;
    const char *key = is_fl ? "selection" : "sampling";
    json_string(json, key, ways[way_of(&job->spec)].name);
    json_array(json, is_fl ? "other_selection" : "other_sampling");
    for (int i = 0; i < n_ways; i++) {
        if (!others[i].is_there)
            continue;
        json_object(json, NULL);
        json_string(json, key, ways[i].name);
        json_number(json, "epsilon", others[i].price.epsilon);
        noise_to_json(json, &others[i].price);
        time_to_json(json, &others[i].estimate);
        json_close_object(json);
    }
    json_close_array(json);
}

/* Of jobs that ran, so that nothing is said where none did. */
static void print_time(const struct estimate *estimate)
{
    char took[FIGURES_SIZE];
    if (estimate->job_id == 0)
        return;
    figures_duration((int64_t)ceil(estimate->training_s), took);
    printf(
        "training          about %s: an estimate, by the %.3g s a step of job %lld\n",
        took, estimate->step_s, (long long)estimate->job_id);
}

static void print_price(const struct admission_job *job, const struct outlook *outlook,
                        const struct submit_memory *memory, bool is_here)
{
    const struct price *price = &job->price;
    char epsilon[FIGURES_SIZE], delta[32];
    double gradient_noise, count_noise;
    if (!price->is_private) {
        printf("privacy           none: the data set is public, nothing is charged\n");
    } else {
        figures_up(price->epsilon, epsilon);
        json_shortest(price->delta, delta);
        printf("privacy           epsilon %s at delta %s, per %s\n", epsilon, delta,
               unit_name(price->unit));
        printf("noise multiplier  %.6g", price->noise_multiplier);
        print_bands(price);
        printf("\n");
        if (divided_noise(job, &gradient_noise, &count_noise))
            printf("divided into      %.6g for the gradients, %.6g for the count of "
                   "short ones\n",
                   gradient_noise, count_noise);
    }
    printf("sample rate       %.6g\n", price->sample_rate);
    printf("steps             %lld\n", (long long)price->n_steps);
    print_sampling(job, outlook->others);
    print_time(&outlook->estimate);
    submit_memory_print(memory, &job->spec);
    if (is_here && price->is_private)
        printf("charge            all of it, whatever is used: the ranks are yours\n");
    printf("\n");
}

void submit_levels_to_json(struct json *json, const struct ledger_pots *pots,
                           const struct cost *cost)
{
    json_array(json, "levels");
    for (int i = 0; i < pots->n; i++) {
        struct ledger_pot pot = pots->pots[i];
        json_object(json, NULL);
        json_string(json, "account", pot.account);
        json_string(json, "dataset", pot.dataset);
        json_number(json, "epsilon", pot.epsilon);
        json_number(json, "delta", pot.delta);
        json_bool(json, "fits", ledger_fits(&pot, cost));
        json_number(json, "remaining_epsilon", figures_pot(&pot).remaining);
        add_cost(&pot, cost);
        json_number(json, "remaining_epsilon_after", figures_pot(&pot).remaining);
        json_close_object(json);
    }
    json_close_array(json);
}

static int print_dry_json(const struct admission_job *job,
                          const struct ledger_pots *pots,
                          const struct ledger_verdict *verdict, const char *reason,
                          const struct outlook *outlook,
                          const struct submit_memory *memory, struct error *err)
{
    static const char *const answers[] = {"admitted", "waiting", "refused"};
    const struct price *price = &job->price;
    struct json json = {0};
    char *text = NULL;
    double gradient_noise, count_noise;
    json_object(&json, NULL);
    json_string(&json, "name", job->spec.name);
    json_string(&json, "account", job->spec.account);
    json_string(&json, "dataset", job->spec.dataset.name);
    json_bool(&json, "is_private", price->is_private);
    json_number(&json, "epsilon", price->epsilon);
    json_number(&json, "delta", price->delta);
    noise_to_json(&json, price);
    if (divided_noise(job, &gradient_noise, &count_noise)) {
        json_number(&json, "gradient_noise", gradient_noise);
        json_number(&json, "count_noise", count_noise);
    }
    json_number(&json, "sample_rate", price->sample_rate);
    json_integer(&json, "steps", price->n_steps);
    sampling_to_json(&json, job, outlook->others);
    time_to_json(&json, &outlook->estimate);
    submit_memory_to_json(&json, memory);
    json_string(&json, "answer", answers[verdict->answer]);
    json_string(&json, "reason", reason);
    submit_levels_to_json(&json, pots, &price->cost);
    json_close_object(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

static int judge_dry(struct submit *request, const struct admission_job *job,
                     const struct spec_policy *policy, struct error *err)
{
    struct db *db = request->client.db;
    struct ledger_request asked = admission_request(0, job);
    struct ledger_pots pots = {0};
    char reason[ADMISSION_REASON_SIZE] = "";
    struct ledger_verdict *verdict = malloc(sizeof *verdict);
    struct outlook *outlook = calloc(1, sizeof *outlook);
    int rc = verdict == NULL || outlook == NULL
                 ? error_set(err, PPT_ENOMEM, "out of memory")
                 : 0;
    if (rc == 0)
        rc = ledger_preview(db, job->spec.account, job->spec.dataset.name, &asked,
                            verdict, err);
    if (rc == 0)
        rc = ledger_path(db, job->spec.account, job->spec.dataset.name, &pots, err);
    if (rc == 0 && verdict->answer != LEDGER_ADMITTED)
        rc = admission_explain(db, job, verdict, policy, reason, err);
    if (rc == 0)
        rc = find_outlook(db, job, outlook, err);
    if (rc != 0)
        goto out;
    const struct submit_memory memory =
        submit_memory(&request->client, &job->spec, job->dataset.manifest);
    if (request->is_json) {
        rc = print_dry_json(job, &pots, verdict, reason, outlook, &memory, err);
    } else {
        print_price(job, outlook, &memory, request->is_here);
        if (job->price.is_private)
            submit_print_levels(&pots, &job->price.cost);
    }
    if (rc == 0 && verdict->answer == LEDGER_WAIT)
        log_info("it would wait: %s", reason);
    if (rc == 0 && verdict->answer == LEDGER_REFUSED) {
        rc = error_set(err, PPT_EBUDGET, "it would be refused: %s", reason);
        error_hint(err, "%s", verdict->hint);
    }
    if (rc == 0)
        rc = submit_memory_check(&memory, &job->spec, err);
out:
    ledger_pots_free(&pots);
    free(outlook);
    free(verdict);
    return rc;
}

int submit_dry(struct submit *request, const struct spec *spec,
               const struct spec_policy *policy, struct error *err)
{
    struct admission_job *job = malloc(sizeof *job);
    if (job == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    int rc = client_connect(&request->client, "ppt-submit", err);
    if (rc == 0)
        rc = admission_price(request->client.db, spec, job, err);
    if (rc == 0 && request->is_here) {
        rc = allocation_may(request->client.db, spec->dataset.name, err);
        if (rc != 0)
            admission_job_free(job);
    }
    if (rc == 0) {
        rc = admission_policy(job, policy, err);
        if (rc == 0)
            rc = judge_dry(request, job, policy, err);
        admission_job_free(job);
    }
    free(job);
    return rc;
}
