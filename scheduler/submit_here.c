#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/pathsafe.h"
#include "jobs/plan.h"
#include "jobs/privacy/meter.h"
#include "scheduler/allocation.h"
#include "scheduler/cause.h"
#include "scheduler/ledger.h"
#include "scheduler/queue.h"
#include "scheduler/settle.h"
#include "scheduler/submit_here.h"

#define RECONNECT_S 120
#define LOOK_MS 200

static volatile sig_atomic_t n_signals;

static void count_signal(int sig)
{
    (void)sig;
    n_signals++;
}

static void handle_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

void here_catch_signals(void)
{
    handle_signals(count_signal);
}

bool here_is_signalled(void)
{
    return n_signals > 0;
}

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* ---- before anything is submitted ---- */

static int find_place(struct here *here, struct error *err)
{
    char host[128] = "", resolved[PATH_MAX];
    const char *slurm_id = getenv("SLURM_JOB_ID");
    if (realpath(".", resolved) == NULL)
        return error_errno(err, PPT_EIO, "cannot resolve the working directory");
    memcpy(here->base, resolved, strlen(resolved) + 1);
    if (access(here->base, W_OK) != 0)
        return error_errno(err, PPT_EIO, "cannot write to %s", here->base);
    gethostname(host, sizeof host - 1);
    if (slurm_id != NULL)
        snprintf(here->place, sizeof here->place, "Slurm job %.60s on %s", slurm_id,
                 host);
    else
        snprintf(here->place, sizeof here->place, "%s", host);
    return 0;
}

/* Where they can be fulfilled they are asked for by sbatch, long before. */
static void tell_wishes(const struct spec *spec)
{
    if (spec_has_slurm(&spec->resources.slurm))
        log_warning(
            "resources.slurm is not heeded with --here: this allocation is what "
            "it is");
}

static int check_data(const struct here *here, const struct spec *spec,
                      struct error *err)
{
    struct db *db = here->request->client.db;
    struct ledger_dataset dataset = {0};
    int rc = allocation_may(db, spec->dataset.name, err);
    if (rc == 0)
        rc = ledger_dataset_find(db, spec->dataset.name, &dataset, err);
    if (rc == 0 && access(dataset.file, R_OK) != 0) {
        rc = error_errno(err, PPT_EIO, "cannot read the data file %s", dataset.file);
        error_hint(err, "with --here the ranks are yours and must be able to read it");
    }
    ledger_dataset_free(&dataset);
    return rc;
}

int here_check(struct here *here, const struct spec *spec, struct error *err)
{
    here->ranks.n_ranks = spec->resources.ranks;
    here->ranks.cores_per_rank = spec->resources.cores_per_rank;
    return submit_ranks_check(&here->ranks, err);
}

int here_open(struct here *here, struct submit *request, struct error *err)
{
    here->request = request;
    here->ranks.n_step_ranks = request->n_step_ranks;
    int rc = conf_read(request->client.config, &here->ranks.conf, err);
    return rc == 0 ? find_place(here, err) : rc;
}

int here_connect(struct here *here, const struct spec *spec, struct error *err)
{
    struct client *client = &here->request->client;
    int rc = client->db == NULL ? client_connect(client, "ppt-submit", err) : 0;
    if (rc == 0)
        rc = check_data(here, spec, err);
    if (rc == 0)
        tell_wishes(spec);
    return rc;
}

/* ---- from submission to the plan ---- */

/* Its end, where it has ended without our ranks. */
static int judge(const struct queue_job *job, struct error *err)
{
    bool is_refusal = job->state == QUEUE_REFUSED && job->error_code > 0;
    if (!queue_state_is_final(job->state))
        return 0;
    return error_set(err, is_refusal ? (enum ppt_error)job->error_code : PPT_EJOB,
                     "job %lld %s%s%s%s", (long long)job->id,
                     job->state == QUEUE_FAILED ? "" : "was ",
                     queue_state_name(job->state), job->reason[0] != '\0' ? ": " : "",
                     job->reason);
}

/* Once; a job that has ended meanwhile needs none. */
static void cancel(struct here *here)
{
    enum queue_state state;
    struct error why = {0};
    if (here->is_cancelled)
        return;
    int rc = queue_cancel(here->request->client.db, here->job_id, "stopped by a signal",
                          &state, &why);
    here->is_cancelled = rc == 0 || rc == -PPT_ESTATE;
}

/* Looks once: is the plan there? */
static int look_for_plan(struct here *here, bool *ret_is_there, struct error *err)
{
    struct client *client = &here->request->client;
    struct allocation_plan plan = {0};
    struct queue_job job = {0};
    char path[sizeof here->directory + 16];
    *ret_is_there = false;
    int rc = queue_find(client->db, here->job_id, &job, err);
    if (rc == 0)
        rc = client_tell_moves(client, here->job_id, &here->last_move, err);
    if (rc == 0)
        rc = judge(&job, err);
    bool may_be_there = rc == 0 && job.state == QUEUE_RUNNING;
    queue_job_free(&job);
    if (may_be_there && !here->is_cancelled)
        rc = allocation_take(client->db, here->job_id, here->token, &plan, ret_is_there,
                             err);
    if (rc == -PPT_ESTATE) { /* taken back: the job's own end will say why */
        *ret_is_there = false;
        return 0;
    }
    if (rc != 0 || !*ret_is_there)
        return rc;
    here->attempt = plan.attempt;
    snprintf(path, sizeof path, "%s/" PLAN_METER, here->directory);
    rc = meter_create(path, err);
    const struct {
        const char *name;
        const void *data;
        size_t len;
    } files[] = {{"plan.json", plan.plan, strlen(plan.plan)},
                 {"plan.sig", plan.signature, sizeof plan.signature},
                 {"manifest.yaml", plan.manifest, strlen(plan.manifest)}};
    for (size_t i = 0; rc == 0 && i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", here->directory, files[i].name);
        rc = pathsafe_replace(path, files[i].data, files[i].len, 0600, err);
    }
    allocation_plan_free(&plan);
    return rc;
}

static int wait_for_plan(struct here *here, struct error *err)
{
    struct client *client = &here->request->client;
    bool is_there = false;
    int rc = 0;
    while (rc == 0 && !is_there) {
        if (n_signals > 0 || submit_step_is_alone(&here->ranks))
            cancel(here);
        rc = look_for_plan(here, &is_there, err);
        if (rc == -PPT_EDB && !db_is_alive(client->db))
            rc = client_reconnect(client, RECONNECT_S, err);
        else if (rc == 0 && !is_there)
            pause_ms(LOOK_MS);
    }
    return rc;
}

/* The directory, before the plan is taken and paid for. */
static int make_directory(struct here *here, struct error *err)
{
    char *text = NULL, path[sizeof here->directory + 16];
    snprintf(here->directory, sizeof here->directory, "%s/ppt-%lld",
             here->base[1] == '\0' ? "" : here->base, (long long)here->job_id);
    if (mkdir(here->directory, 0700) != 0)
        return error_errno(err, PPT_EIO, "cannot make the directory %s",
                           here->directory);
    snprintf(path, sizeof path, "%s/spec.json", here->directory);
    int rc = spec_canonical(here->spec, &text, err);
    if (rc == 0)
        rc = pathsafe_replace(path, text, strlen(text), 0600, err);
    free(text);
    return rc;
}

/* ---- the run ---- */

static void ask_to_stop(struct here *here)
{
    if (here->stopped_at == 0) {
        here->stopped_at = time(NULL);
        submit_ranks_stop(&here->ranks);
    }
}

/* A sign of life; a database that is away is tried again at the next one. */
static void beat(struct here *here)
{
    struct client *client = &here->request->client;
    enum allocation_wish wish = ALLOCATION_NONE;
    struct error why = {0};
    here->beat_at = time(NULL);
    if ((client->db == NULL || !db_is_alive(client->db)) &&
        client_reconnect(client, 0, &why) != 0)
        return;
    if (allocation_beat(client->db, here->job_id, here->token, &wish, &why) != 0)
        return;
    if (wish == ALLOCATION_STOP)
        ask_to_stop(here);
    if (wish == ALLOCATION_KILL)
        submit_ranks_kill(&here->ranks);
}

static int run_ranks(struct here *here, struct error *err)
{
    int rc = submit_ranks_start(&here->ranks, here->directory, err);
    while (rc == 0 && !submit_ranks_have_ended(&here->ranks)) {
        if (n_signals > 0) {
            if (here->request->client.db != NULL)
                cancel(here);
            ask_to_stop(here);
        }
        bool is_late = here->stopped_at != 0 &&
                       time(NULL) - here->stopped_at > here->ranks.conf.grace_s;
        if (n_signals > 1 || is_late)
            submit_ranks_kill(&here->ranks);
        if (time(NULL) - here->beat_at >= ALLOCATION_BEAT_S)
            beat(here);
        pause_ms(LOOK_MS);
    }
    return rc;
}

/* The report of ranks that have lost one, for the job's directory and the scheduler. */
static void add_cause(const struct here *here, struct report *report)
{
    char path[sizeof here->directory + 16];
    struct error err = {0};
    if (report->error_code != PPT_ECOMM)
        return;
    if (!cause_find(here->directory, here->attempt, report->cause) &&
        !submit_step_cause(&here->ranks, report->cause))
        return;
    snprintf(path, sizeof path, "%s/report.json", here->directory);
    if (report_write(path, report, &err) != 0)
        log_warning("%s", err.text);
    size_t len = strlen(report->error_text);
    snprintf(report->error_text + len, sizeof report->error_text - len, ": %s",
             report->cause);
}

/* The report that the ranks did not come to write. */
static struct report make_report(const struct here *here, const struct error *why)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    struct report report = {.job_id = here->job_id,
                            .attempt = here->attempt,
                            .outcome = REPORT_FAILED,
                            .error_code = PPT_ECOMM};
    snprintf(report.error_text, sizeof report.error_text,
             "its ranks ended without a report, status %d", here->ranks.status);
    if (why->code != 0) {
        report.error_code = why->code;
        memcpy(report.error_text, why->text, sizeof report.error_text);
    }
    if (pathsafe_read_public(here->ranks.conf.public_key, key, sizeof key, NULL) == 0)
        settle_find_used(here->directory, key, report.used);
    return report;
}

/* Says how it ended, for as long as it takes a database to come back. */
static int tell_end(struct here *here, const struct error *why, struct error *err)
{
    struct client *client = &here->request->client;
    struct report report = make_report(here, why);
    settle_find_report(here->directory, here->job_id, here->attempt, &report);
    here->is_interrupted =
        report.outcome == REPORT_INTERRUPTED && here->stopped_at == 0;
    add_cause(here, &report);
    int rc = client->db != NULL && db_is_alive(client->db)
                 ? 0
                 : client_reconnect(client, RECONNECT_S, err);
    if (rc == 0)
        rc = allocation_end(client->db, here->job_id, here->token, &report, err);
    if (rc == -PPT_EDB && (client->db == NULL || !db_is_alive(client->db))) {
        rc = client_reconnect(client, RECONNECT_S, err);
        if (rc == 0)
            rc = allocation_end(client->db, here->job_id, here->token, &report, err);
    }
    return rc;
}

/* What an earlier job here has left. */
static void forget_last(struct here *here)
{
    here->attempt = here->last_move = 0;
    here->is_cancelled = here->is_interrupted = false;
    here->stopped_at = here->beat_at = 0;
    here->ranks.n_ranks = here->spec->resources.ranks;
    here->ranks.cores_per_rank = here->spec->resources.cores_per_rank;
    here->ranks.log_shown = 0;
    here->ranks.status = 0;
}

int here_run(struct here *here, struct error *err)
{
    struct error why = {0};
    forget_last(here);
    int rc = make_directory(here, err);
    if (rc == 0)
        rc = wait_for_plan(here, err);
    if (rc != 0 && here->attempt == 0) {
        if (here->request->client.db != NULL)
            cancel(here);
        return rc;
    }
    if (rc == 0)
        run_ranks(here, &why);
    else
        why = *err;
    if (here->is_alone) /* nothing is left that a signal must not end */
        handle_signals(SIG_DFL);
    rc = tell_end(here, &why, err);
    return rc == 0 ? client_wait_on(&here->request->client, here->job_id,
                                    &here->last_move, true, err)
                   : rc;
}

/* ---- a job alone ---- */

/* submit_filing */
static int file_here(struct db *db, const struct spec *spec, const char *text,
                     void *state, int64_t *ret_job_id, struct error *err)
{
    const struct here *here = state;
    return allocation_submit(db, spec->name, spec->account, spec->dataset.name, text,
                             here->token, here->base, here->place, geteuid(),
                             ret_job_id, err);
}

/* The job is submitted: whatever happens here, it must not stay behind. */
static int run_job(struct here *here, struct error *err)
{
    int rc = submit_print_id(here->request, here->job_id, err);
    if (rc == 0)
        rc = here_run(here, err);
    else
        cancel(here);
    submit_step_end_all(&here->ranks, err);
    return rc;
}

int submit_here(struct submit *request, const struct spec *spec, struct error *err)
{
    struct here *here = calloc(1, sizeof *here);
    if (here == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    here->spec = spec;
    here->is_alone = true;
    submit_token(here->token);
    int rc = here_open(here, request, err);
    if (rc == 0)
        rc = here_check(here, spec, err);
    if (rc == 0)
        rc = here_connect(here, spec, err);
    if (rc == 0) {
        here_catch_signals();
        rc = submit_file(request, spec, file_here, here, &here->job_id, err);
    }
    if (rc == 0)
        rc = run_job(here, err);
    free(here);
    return rc;
}
