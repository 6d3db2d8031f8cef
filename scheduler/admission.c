#include "scheduler/admission.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "scheduler/figures.h"

/* ---- pricing ---- */

int admission_price(struct db *db, const struct spec *spec,
                    struct admission_job *ret_job, struct error *err)
{
    struct ledger_dataset dataset = {0};
    struct manifest manifest;
    struct price price;
    int rc = ledger_dataset_find(db, spec->dataset.name, &dataset, err);
    if (rc != 0)
        return rc;
    rc = manifest_parse(dataset.manifest, strlen(dataset.manifest),
                        "the registered manifest", &manifest, err);
    if (rc == 0 && !spec->privacy.is_private && !dataset.is_public) {
        rc =
            error_set(err, PPT_EPOLICY,
                      "data set %s is not public, a job without privacy may not use it",
                      dataset.name);
        error_hint(err, "state the privacy that the job shall give");
    }
    if (rc == 0)
        rc = price_job(spec, &manifest, &price, err);
    if (rc != 0) {
        ledger_dataset_free(&dataset);
        return rc;
    }
    ret_job->spec = *spec;
    ret_job->manifest = manifest;
    ret_job->dataset = dataset;
    ret_job->price = price;
    return 0;
}

void admission_job_free(struct admission_job *job)
{
    ledger_dataset_free(&job->dataset);
}

int admission_policy(const struct admission_job *job, const struct spec_policy *policy,
                     struct error *err)
{
    double epsilon = job->price.epsilon;
    if (!job->price.is_private || job->spec.privacy.epsilon > 0 ||
        (epsilon >= policy->min_epsilon && epsilon <= policy->max_epsilon))
        return 0;
    error_set(err, PPT_EPOLICY,
              "noise_multiplier %g gives epsilon %.3g; the site allows %g to %g",
              job->price.noise_multiplier, epsilon, policy->min_epsilon,
              policy->max_epsilon);
    return error_hint(err, "change the noise or the number of steps");
}

struct nodes_room admission_need(const struct spec *spec)
{
    return (struct nodes_room){.n_cores = spec->resources.ranks *
                                          spec->resources.cores_per_rank,
                               .memory_bytes = spec->resources.memory_bytes};
}

struct ledger_request admission_request(int64_t job_id, const struct admission_job *job)
{
    const struct price *price = &job->price;
    const struct spec_resources *resources = &job->spec.resources;
    struct nodes_room need = admission_need(&job->spec);
    struct ledger_request request = {
        .job_id = job_id,
        .is_private = price->is_private,
        .cost = price->cost,
        .epsilon = price->epsilon,
        .delta = price->delta,
        .noise_multiplier = price->noise_multiplier,
        .sample_rate = price->sample_rate,
        .n_steps = price->n_steps,
        .priority = resources->priority,
        .n_ranks = resources->ranks,
        .n_cores = need.n_cores,
        .memory_bytes = need.memory_bytes,
        .time_limit_s = resources->time_limit_s,
    };
    snprintf(request.kind, sizeof request.kind, "%s", job_kinds[job->spec.kind].name);
    return request;
}

/* ---- the largest request that fits ---- */

struct search {
    const struct admission_job *job;
    const struct ledger_pots *pots;
    bool after_release;
    bool by_steps;
    struct spec *candidate;
    struct ledger_pot *pot; /* scratch */
};

static bool fits_pot(const struct search *search, int i, const struct cost *cost)
{
    if (!search->after_release)
        return ledger_fits(&search->pots->pots[i], cost);
    *search->pot = search->pots->pots[i];
    memset(search->pot->reserved, 0, sizeof search->pot->reserved);
    search->pot->reserved_delta = search->pot->reserved_mu2 = 0;
    return ledger_fits(search->pot, cost);
}

/* Would the job fit with `amount` steps, epochs where records are dealt, rounds or
 * passes of a federation, or thousandths of epsilon? */
static bool fits(const struct search *search, int64_t amount)
{
    struct price price;
    *search->candidate = search->job->spec;
    int64_t n_bins = search->job->price.n_bins;
    if (search->by_steps && search->job->spec.kind == JOB_FL) {
        search->candidate->federation.rounds = amount * (n_bins > 0 ? n_bins : 1);
    } else if (search->by_steps && n_bins > 0) {
        search->candidate->training.epochs = amount;
    } else if (search->by_steps) {
        search->candidate->training.epochs = 0;
        search->candidate->training.steps = amount;
    } else {
        search->candidate->privacy.epsilon = (double)amount / 1000;
    }
    if (price_job(search->candidate, &search->job->manifest, &price, NULL) != 0)
        return false;
    for (int i = 0; i < search->pots->n; i++)
        if (!fits_pot(search, i, &price.cost))
            return false;
    return true;
}

/* The largest amount in [least, most] that fits, or 0. What fits leaves smaller amounts
 * fitting too. */
static int64_t bisect(const struct search *search, int64_t least, int64_t most)
{
    if (most < least || !fits(search, least))
        return 0;
    if (fits(search, most))
        return most;
    while (most - least > 1) {
        int64_t middle = least + (most - least) / 2;
        if (fits(search, middle))
            least = middle;
        else
            most = middle;
    }
    return least;
}

int admission_largest(const struct admission_job *job, const struct ledger_pots *pots,
                      const struct spec_policy *policy, bool after_release,
                      struct admission_largest *ret_largest, struct error *err)
{
    struct admission_largest largest = {0};
    int64_t epoch = job->price.n_bins > 0 ? job->price.n_bins : 1;
    struct search search = {.job = job,
                            .pots = pots,
                            .after_release = after_release,
                            .by_steps = job->spec.privacy.epsilon == 0,
                            .candidate = malloc(sizeof *search.candidate),
                            .pot = malloc(sizeof *search.pot)};
    int rc = 0;
    if (search.candidate == NULL || search.pot == NULL)
        rc = error_set(err, PPT_ENOMEM, "out of memory looking for what would fit");
    else if (search.by_steps)
        largest.n_steps = bisect(&search, 1, job->price.n_steps / epoch) * epoch;
    else
        largest.epsilon =
            (double)bisect(&search, (int64_t)ceil(policy->min_epsilon * 1000 - 1e-6),
                           (int64_t)floor(job->spec.privacy.epsilon * 1000 + 1e-6)) /
            1000;
    free(search.candidate);
    free(search.pot);
    if (rc == 0)
        *ret_largest = largest;
    return rc;
}

/* ---- words ---- */

/* "the largest epsilon this job could ask for is 0.38". */
static void say_largest(const struct admission_job *job,
                        const struct spec_policy *policy,
                        const struct admission_largest *largest, const char *when,
                        char *ret_text, size_t size)
{
    char figure[32];
    bool is_dealt = job->price.n_bins > 0;
    if (largest->n_steps > 0) {
        snprintf(ret_text, size, "the most %s this job could ask for%s are %lld",
                 is_dealt ? job->spec.kind == JOB_FL ? "passes" : "epochs" : "steps",
                 when,
                 (long long)(largest->n_steps / (is_dealt ? job->price.n_bins : 1)));
    } else if (largest->epsilon > 0) {
        json_shortest(largest->epsilon, figure);
        snprintf(ret_text, size, "the largest epsilon this job could ask for%s is %s",
                 when, figure);
    } else if (job->spec.privacy.epsilon == 0) {
        snprintf(ret_text, size, "not a single %s would fit%s",
                 is_dealt ? "epoch" : "step", when);
    } else {
        json_shortest(policy->min_epsilon, figure);
        snprintf(ret_text, size, "not even epsilon %s, the least allowed, would fit%s",
                 figure, when);
    }
}

static int say_what_fits(struct db *db, const struct admission_job *job,
                         const struct spec_policy *policy, char *ret_text, size_t size,
                         struct error *err)
{
    struct ledger_pots pots = {0};
    struct admission_largest largest = {0};
    const char *when = "";
    int rc = ledger_path(db, job->spec.account, job->spec.dataset.name, &pots, err);
    if (rc == 0)
        rc = admission_largest(job, &pots, policy, false, &largest, err);
    if (rc == 0 && largest.epsilon == 0 && largest.n_steps == 0) {
        rc = admission_largest(job, &pots, policy, true, &largest, err);
        if (largest.epsilon > 0 || largest.n_steps > 0)
            when = " once other jobs have ended";
    }
    if (rc == 0)
        say_largest(job, policy, &largest, when, ret_text, size);
    ledger_pots_free(&pots);
    return rc;
}

int admission_explain(struct db *db, const struct admission_job *job,
                      const struct ledger_verdict *verdict,
                      const struct spec_policy *policy,
                      char ret_reason[ADMISSION_REASON_SIZE], struct error *err)
{
    char reason[ADMISSION_REASON_SIZE], largest[160], name[LEDGER_PATH_SIZE + 160];
    char left[FIGURES_SIZE], limit[FIGURES_SIZE], needs[FIGURES_SIZE];
    const struct ledger_pot *pot = &verdict->pot;
    if (!verdict->has_pot || pot->unit != job->price.unit ||
        pot->relation != job->price.relation || job->price.cost.delta > 0 ||
        (pot->currency == LEDGER_GAUSSIAN && job->price.cost.mu2 == COST_INFINITE)) {
        const char *hint = pot->currency == LEDGER_GAUSSIAN ? verdict->hint : "";
        snprintf(ret_reason, ADMISSION_REASON_SIZE, "%.511s%s%.300s", verdict->reason,
                 *hint ? "; " : "", hint);
        return 0;
    }
    struct figures_pot figures = figures_pot(pot);
    figures_pot_name(pot, name, sizeof name);
    figures_down(figures.remaining, left);
    figures_down(figures.limit, limit);
    figures_up(pot->currency == LEDGER_GAUSSIAN
                   ? figures_gaussian(job->price.cost.mu2, pot->delta)
                   : job->price.epsilon,
               needs);
    if (verdict->answer == LEDGER_WAIT) {
        char reserved[FIGURES_SIZE];
        figures_up(figures.reserved, reserved);
        snprintf(
            ret_reason, ADMISSION_REASON_SIZE,
            "%.300s has epsilon %s left of %s at delta %g while other jobs have %s "
            "reserved; this job needs %s and waits for them to end",
            name, left, limit, pot->delta, reserved, needs);
        return 0;
    }
    int rc = say_what_fits(db, job, policy, largest, sizeof largest, err);
    if (rc != 0)
        return rc;
    snprintf(reason, sizeof reason,
             "%.300s has epsilon %s left of %s at delta %g; this job needs %s; %s",
             name, left, limit, pot->delta, needs, largest);
    memcpy(ret_reason, reason, sizeof reason);
    return 0;
}

/* ---- the judge ---- */

static int check_claims(const struct queue_job *row, const struct spec *spec,
                        struct error *err)
{
    const char *what = NULL;
    if (strcmp(spec->account, row->account) != 0)
        what = "account";
    else if (strcmp(spec->dataset.name, row->dataset) != 0)
        what = "data set";
    else if (strcmp(spec->name, row->name) != 0)
        what = "name";
    if (what != NULL)
        return error_set(err, PPT_ETRUST,
                         "the spec's %s is not the one it was submitted under", what);
    if (strcmp(spec->sha256, row->spec_sha256) != 0) {
        error_set(err, PPT_ETRUST, "the spec was not submitted in its canonical form");
        return error_hint(err, "use ppt-submit");
    }
    return 0;
}

#define ADVICE_SIZE 96

/* Which limit is in the way, and the most of such ranks for which there is room. */
static int refuse_gpus(const struct places *places, const struct places_room *rank,
                       int64_t n_ranks, const char *advice, struct error *err)
{
    int64_t n_gpus = 0, ranks[PLACES_MAX], most = n_ranks - 1;
    char each[FIGURES_SIZE];
    for (int i = 0; i < places->n; i++)
        n_gpus += places->nodes[i].n_gpus;
    if (n_gpus == 0)
        return error_set(err, PPT_EPOLICY,
                         "it asks for GPUs and this site offers none: write "
                         "gpus_per_rank: 0");
    while (most > 0 && !places_choose(places, rank, most, ranks))
        most--;
    figures_bytes(rank->memory_bytes, each);
    return error_set(err, PPT_EPOLICY,
                     "it asks for %lld ranks with a GPU, %lld cores and %s of memory "
                     "each; this site, with %lld GPUs, has room for %lld of them: %s",
                     (long long)n_ranks, (long long)rank->n_cores, each,
                     (long long)n_gpus, (long long)most, advice);
}

/* What would fit: the most ranks that share the job's memory out among them. */
static void advise(const struct places *places, const struct spec_resources *resources,
                   char ret_advice[ADVICE_SIZE])
{
    int64_t ranks[PLACES_MAX];
    for (int64_t most = resources->ranks - 1; most > 0; most--) {
        struct places_room rank = {.n_cores = resources->cores_per_rank,
                                   .memory_bytes = resources->memory_bytes / most,
                                   .n_gpus = resources->gpus_per_rank};
        if (!places_choose(places, &rank, most, ranks))
            continue;
        snprintf(ret_advice, ADVICE_SIZE, "write ranks: %lld", (long long)most);
        return;
    }
    snprintf(ret_advice, ADVICE_SIZE, "write a smaller memory or cores_per_rank%s",
             resources->gpus_per_rank > 0 ? ", or gpus_per_rank: 0" : "");
}

/* Enough in all need not be enough on each host. */
static int check_places(const struct admission *admission, const struct spec *spec,
                        struct error *err)
{
    const struct spec_resources *resources = &spec->resources;
    struct places_room rank = {.n_cores = resources->cores_per_rank,
                               .memory_bytes =
                                   resources->memory_bytes / resources->ranks,
                               .n_gpus = resources->gpus_per_rank};
    int64_t ranks[PLACES_MAX];
    char each[FIGURES_SIZE], advice[ADVICE_SIZE];
    figures_bytes(rank.memory_bytes, each);
    if (places_choose(admission->places, &rank, resources->ranks, ranks))
        return 0;
    advise(admission->places, resources, advice);
    if (rank.n_gpus > 0)
        return refuse_gpus(admission->places, &rank, resources->ranks, advice, err);
    return error_set(err, PPT_EPOLICY,
                     "it asks for %lld ranks of %lld cores and %s of memory each, and "
                     "the %d hosts cannot hold so many: %s",
                     (long long)resources->ranks, (long long)resources->cores_per_rank,
                     each, admission->places->n, advice);
}

static int check_node(const struct admission *admission, const struct queue_job *row,
                      const struct spec *spec, struct error *err)
{
    struct nodes_room need = admission_need(spec);
    const int64_t n_cores = admission->node.n_cores;
    const int64_t per_rank = spec->resources.cores_per_rank;
    char wanted[FIGURES_SIZE], there[FIGURES_SIZE];
    if (row->allocation[0] != '\0') /* there it needs no room of ours */
        return 0;
    if (need.n_cores > n_cores)
        return error_set(
            err, PPT_EPOLICY,
            "it asks for %lld cores (ranks x cores_per_rank) and the node "
            "has %lld: write %s: %lld",
            (long long)need.n_cores, (long long)n_cores,
            per_rank > n_cores ? "cores_per_rank" : "ranks",
            (long long)(per_rank > n_cores ? n_cores : n_cores / per_rank));
    figures_bytes(need.memory_bytes, wanted);
    figures_bytes(admission->node.memory_bytes, there);
    if (need.memory_bytes > admission->node.memory_bytes)
        return error_set(err, PPT_EPOLICY,
                         "it asks for %s of memory and the node has %s: write memory: "
                         "%lldMiB",
                         wanted, there,
                         (long long)(admission->node.memory_bytes >> 20));
    return check_places(admission, spec, err);
}

int admission_prepare(const struct admission *admission, const struct queue_job *row,
                      struct admission_job *ret_job, struct error *err)
{
    struct spec *spec = malloc(sizeof *spec);
    if (spec == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory admitting a job");
    int rc =
        spec_parse(row->spec, strlen(row->spec), "spec", admission->policy, spec, err);
    if (rc == 0)
        rc = check_claims(row, spec, err);
    if (rc == 0)
        rc = check_node(admission, row, spec, err);
    if (rc == 0)
        rc = admission_price(admission->db, spec, ret_job, err);
    free(spec);
    if (rc != 0)
        return rc;
    rc = admission_policy(ret_job, admission->policy, err);
    if (rc != 0)
        admission_job_free(ret_job);
    return rc;
}

bool admission_is_jobs_fault(int rc)
{
    return rc == -PPT_ESPEC || rc == -PPT_EPOLICY || rc == -PPT_ETRUST ||
           rc == -PPT_ERANGE || rc == -PPT_ENOTFOUND;
}

void admission_reason(const struct error *why, char ret_reason[LEDGER_TEXT_SIZE])
{
    const char *detail = why->detail;
    snprintf(
        ret_reason, LEDGER_TEXT_SIZE, "%.240s%s%.*s", why->text, *detail ? ": " : "",
        (int)strcspn(detail, "\n") > 250 ? 250 : (int)strcspn(detail, "\n"), detail);
}

static int refuse(const struct admission *admission, const struct queue_job *row,
                  const struct error *why, struct error *err)
{
    char reason[LEDGER_TEXT_SIZE];
    admission_reason(why, reason);
    return queue_refuse(admission->db, admission->lease, row->id, reason, why->code,
                        err);
}

static int ask_ledger(const struct admission *admission, const struct queue_job *row,
                      const struct admission_job *job, enum ledger_answer *ret_answer,
                      struct error *err)
{
    struct ledger_request request = admission_request(row->id, job);
    char reason[ADMISSION_REASON_SIZE];
    struct ledger_verdict *verdict = malloc(sizeof *verdict);
    if (verdict == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory admitting a job");
    int rc = ledger_reserve(admission->db, admission->lease, &request, verdict, err);
    if (rc != 0 || verdict->answer == LEDGER_ADMITTED)
        goto out;
    rc = admission_explain(admission->db, job, verdict, admission->policy, reason, err);
    if (rc != 0)
        goto out;
    reason[LEDGER_TEXT_SIZE - 1] = '\0';
    if (verdict->answer == LEDGER_WAIT)
        rc = queue_hold(admission->db, admission->lease, row->id, reason, err);
    else
        rc = queue_refuse(admission->db, admission->lease, row->id, reason, PPT_EBUDGET,
                          err);
out:
    if (rc == 0)
        *ret_answer = verdict->answer;
    free(verdict);
    return rc;
}

int admission_after(const struct admission *admission, const struct queue_job *job,
                    enum ledger_answer *ret_answer, char ret_reason[LEDGER_TEXT_SIZE],
                    struct error *err)
{
    struct queue_wait wait = {0};
    *ret_answer = LEDGER_ADMITTED;
    if (job->after == NULL)
        return 0;
    int rc = queue_waits_for(admission->db, job->id, &wait, err);
    if (rc != 0)
        return rc;
    if (wait.lost != 0) {
        *ret_answer = LEDGER_REFUSED;
        snprintf(ret_reason, LEDGER_TEXT_SIZE,
                 "job %lld, which it was to wait for, %s %s", (long long)wait.lost,
                 strcmp(wait.state, "failed") == 0 ? "has" : "was", wait.state);
    } else if (wait.open[0] != '\0') {
        *ret_answer = LEDGER_WAIT;
        snprintf(ret_reason, LEDGER_TEXT_SIZE, "waits until job %.480s %s done",
                 wait.open, strchr(wait.open, ',') == NULL ? "is" : "are");
    }
    return 0;
}

/* Held, or refused, because of the jobs that it waits for? *ret_answer is then the
 * answer; else LEDGER_ADMITTED, which it is not yet. */
static int judge_after(const struct admission *admission, const struct queue_job *job,
                       enum ledger_answer *ret_answer, struct error *err)
{
    char reason[LEDGER_TEXT_SIZE];
    int rc = admission_after(admission, job, ret_answer, reason, err);
    if (rc == 0 && *ret_answer == LEDGER_WAIT)
        return queue_hold(admission->db, admission->lease, job->id, reason, err);
    if (rc == 0 && *ret_answer == LEDGER_REFUSED)
        return queue_refuse(admission->db, admission->lease, job->id, reason, PPT_EJOB,
                            err);
    return rc;
}

int admission_judge(const struct admission *admission, const struct queue_job *job,
                    enum ledger_answer *ret_answer, struct error *err)
{
    struct error why = {0};
    int after_rc = judge_after(admission, job, ret_answer, err);
    if (after_rc != 0 || *ret_answer != LEDGER_ADMITTED)
        return after_rc;
    enum ledger_answer answer = LEDGER_REFUSED;
    struct admission_job *prepared = malloc(sizeof *prepared);
    if (prepared == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory admitting a job");
    int rc = admission_prepare(admission, job, prepared, &why);
    if (rc == 0) {
        rc = ask_ledger(admission, job, prepared, &answer, err);
        admission_job_free(prepared);
    } else if (admission_is_jobs_fault(rc)) {
        rc = refuse(admission, job, &why, err);
    } else if (err != NULL) {
        *err = why;
    }
    free(prepared);
    if (rc == 0)
        *ret_answer = answer;
    return rc;
}
