#include "scheduler/launch_sbatch.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "jobs/token.h"
#include "scheduler/batch_script.h"
#include "scheduler/command.h"
#include "scheduler/slurm_wishes.h"
#include "scheduler/spool.h"
#include "scheduler/ticket.h"

#define SUBMIT_TIMEOUT_MS 15000
#define ASK_TIMEOUT_MS 5000
/* A token is good for handing a job in, which follows at once; the rest is for clocks
 * that differ. */
#define TOKEN_S 600
#define MAX_CANCELLED 8 /* at a time */
#define NAME_SIZE SQUEUE_NAME_SIZE
#define ID_SIZE 24
#define COMMENT "--comment="

/* The loop renews its lease when a third of it is over, and attempt.c before a start if
 * a tenth of it is. Between two renewals the most that can happen is squeue, sacct and
 * scontrol to look; or squeue, squeue again and twice scancel to kill; or sbatch and
 * squeue to start. All of it with what went before must fit into the lease, however
 * much Slurm hangs: 1/3 + 5/10, and 1/10 + 1/3 + 1/10. */
static int64_t ask_timeout_ms(int64_t lease_s)
{
    return lease_s * 100 < ASK_TIMEOUT_MS ? lease_s * 100 : ASK_TIMEOUT_MS;
}

static int64_t submit_timeout_ms(int64_t lease_s)
{
    return lease_s * 1000 / 3 < SUBMIT_TIMEOUT_MS ? lease_s * 1000 / 3
                                                  : SUBMIT_TIMEOUT_MS;
}

/* ---- the batch script ---- */

enum {
    NAME,
    ATTEMPT,
    RANKS,
    CORES,
    MEMORY,
    TIME,
    DIRECTORY,
    WORKER,
    KEY,
    SCRATCH,
    GPUS,
    N_VALUES
};

static int64_t divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

const char *launch_sbatch_scratch(const struct launch_sbatch *sbatch)
{
    return sbatch->scratch == NULL || sbatch->scratch[0] == '\0' ? "none"
                                                                 : sbatch->scratch;
}

static int make_values(const struct launch_sbatch *sbatch,
                       const struct launcher_request *request,
                       struct batch_value ret_values[N_VALUES], struct error *err)
{
    static const char *const names[N_VALUES] = {
        "NAME",      "ATTEMPT", "RANKS",      "CORES",   "MEMORY_MIB", "TIME_MIN",
        "DIRECTORY", "WORKER",  "PUBLIC_KEY", "SCRATCH", "GPUS"};
    const char *const texts[N_VALUES] = {[DIRECTORY] = request->directory,
                                         [WORKER] = sbatch->worker,
                                         [KEY] = sbatch->public_key,
                                         [SCRATCH] = launch_sbatch_scratch(sbatch)};
    int64_t n_cores = request->n_ranks * request->cores_per_rank;
    int64_t margin_s = request->slurm == NULL ? 0 : request->slurm->time_margin_s;
    const int64_t numbers[N_VALUES] = {
        [ATTEMPT] = request->attempt,
        [RANKS] = request->n_ranks,
        [CORES] = request->cores_per_rank,
        [GPUS] = request->gpus_per_rank,
        [MEMORY] = divide_up(request->memory_bytes, n_cores << 20),
        [TIME] = divide_up(request->time_limit_s + sbatch->grace_s + margin_s, 60) + 1};
    for (int i = 0; i < N_VALUES; i++) {
        char *text = ret_values[i].text;
        size_t size = sizeof ret_values[i].text;
        ret_values[i].name = names[i];
        if (i == NAME)
            snprintf(text, size, "ppt-%lld-%lld", (long long)request->job_id,
                     (long long)request->attempt);
        else if (texts[i] == NULL)
            snprintf(text, size, "%lld", (long long)numbers[i]);
        else
            snprintf(text, size, "%s", texts[i]);
        if (texts[i] != NULL && strlen(texts[i]) >= size)
            return error_set(err, PPT_ELAUNCH, "the path %.200s... is too long",
                             texts[i]);
    }
    return 0;
}

static int write_script(const struct launch_sbatch *sbatch,
                        const struct launcher_request *request,
                        char ret_path[SPOOL_PATH_SIZE], struct error *err)
{
    struct batch_value values[N_VALUES];
    int rc = make_values(sbatch, request, values, err);
    if (rc == 0)
        rc = ticket_path(request->directory, "batch", request->attempt, ret_path, err);
    return rc == 0 ? batch_script_write(sbatch->script, values, N_VALUES, ret_path, err)
                   : rc;
}

/* ---- starting ---- */

/* sbatch's option with an admission token. */
static void comment(const struct launch_sbatch *sbatch, const struct sbatch_job *job,
                    char ret_option[sizeof COMMENT + TOKEN_SIZE])
{
    struct token token = {.job_id = job->id,
                          .attempt = job->attempt,
                          .uid = getuid(),
                          .expires_at_s = time(NULL) + TOKEN_S};
    snprintf(token.name, sizeof token.name, "%s", job->name);
    memcpy(ret_option, COMMENT, sizeof COMMENT);
    token_make(&token, sbatch->secret_key, ret_option + sizeof COMMENT - 1);
}

/* The site's arguments come after the job's wishes: where an option stands twice,
 * sbatch takes the last, and either before the script's own lines. Only the token is
 * ours alone. */
int launch_sbatch_submit(const struct launch_sbatch *sbatch,
                         const struct sbatch_job *job,
                         struct command_result *ret_result, struct error *err)
{
    const char *argv[6 + SLURM_MAX_WISHES + CONF_MAX_ARGUMENTS] = {"sbatch",
                                                                   "--parsable"};
    char wishes[SLURM_MAX_WISHES][SLURM_WISH_SIZE], token[sizeof COMMENT + TOKEN_SIZE];
    char gpus[48];
    int n_wishes = slurm_wishes(job->wishes, wishes), n = 2;
    comment(sbatch, job, token);
    snprintf(gpus, sizeof gpus, "--gpus-per-task=%lld", (long long)job->gpus_per_rank);
    if (job->gpus_per_rank > 0)
        argv[n++] = gpus;
    for (int i = 0; i < n_wishes; i++)
        argv[n++] = wishes[i];
    for (int i = 0; i < sbatch->n_arguments && i < CONF_MAX_ARGUMENTS; i++)
        argv[n++] = sbatch->arguments[i];
    argv[n++] = token;
    argv[n] = job->script;
    return squeue_command(argv, submit_timeout_ms(sbatch->lease_s), ret_result, err);
}

bool launch_sbatch_job_id(const char *text, int64_t *ret_id)
{
    char *end;
    errno = 0;
    long long id = strtoll(text, &end, 10);
    if (end == text || errno != 0 || id <= 0 ||
        (*end != '\n' && *end != ';' && *end != '\0'))
        return false;
    *ret_id = id;
    return true;
}

/* No clear yes from sbatch: was the job accepted all the same? If nobody knows, the
 * ticket decides. */
static int resolve(struct launch_sbatch *sbatch, const struct launcher_request *request,
                   const char *name, const char *answer, int64_t *ret_id,
                   struct error *err)
{
    struct squeue_job entry;
    bool has_answer, is_never = false;
    squeue_forget(&sbatch->squeue);
    has_answer = squeue_ask(&sbatch->squeue, NULL) == 0;
    bool is_known =
        has_answer && squeue_find(&sbatch->squeue, request->directory, name, &entry);
    if (is_known && !squeue_has_ended(&entry)) {
        log_warning("job %lld: sbatch failed (%s), but Slurm has it as %lld",
                    (long long)request->job_id, answer, (long long)entry.id);
        *ret_id = entry.id;
        return 0;
    }
    /* Slurm keeps a record of what it refused; only the ticket says that it never ran.
     */
    struct error why = {0};
    if (ticket_take_back(request->directory, request->attempt, &is_never, &why) != 0)
        return error_set(err, PPT_ESTATE, "nobody can tell whether it begins: %.300s",
                         why.text);
    if (!is_never) { /* it was so quick that it has ended */
        *ret_id = is_known ? entry.id : 0;
        return 0;
    }
    if (!has_answer)
        return error_set(err, PPT_ESTATE, "Slurm does not answer: %.400s", answer);
    error_set(err, PPT_ELAUNCH, "Slurm did not take it: %.400s", answer);
    return error_hint(err, "compare the job's resources with sinfo and sacctmgr");
}

static int start(struct launcher *launcher, const struct launcher_request *request,
                 int lock, struct launcher_started *ret_started, struct error *err)
{
    struct launch_sbatch *sbatch = launcher->state;
    char script[SPOOL_PATH_SIZE], name[NAME_SIZE];
    struct command_result result = {0};
    struct error why = {0};
    int64_t id = 0;
    (void)lock; /* the nodes' processes cannot inherit it */
    snprintf(name, sizeof name, "ppt-%lld-%lld", (long long)request->job_id,
             (long long)request->attempt);
    int rc = write_script(sbatch, request, script, err);
    if (rc == 0)
        rc = ticket_make(request->directory, request->attempt, err);
    if (rc != 0)
        return rc;
    struct sbatch_job job = {request->job_id, request->attempt, name,
                             script,          request->slurm,   request->gpus_per_rank};
    rc = launch_sbatch_submit(sbatch, &job, &result, &why);
    if (rc != 0)
        rc = resolve(sbatch, request, name, why.text, &id, err);
    else if (result.has_timed_out)
        rc = resolve(sbatch, request, name, "sbatch did not answer", &id, err);
    else if (result.status != 0 || !launch_sbatch_job_id(result.output, &id))
        rc = resolve(sbatch, request, name,
                     result.errors[0] != '\0' ? result.errors : "no words from sbatch",
                     &id, err);
    if (result.has_timed_out)
        squeue_failed(&sbatch->squeue, "sbatch did not answer");
    else if (squeue_is_answered(&sbatch->squeue))
        squeue_forget(&sbatch->squeue);
    command_result_free(&result);
    if (rc == 0)
        *ret_started = (struct launcher_started){.pid = id};
    return rc;
}

/* ---- watching and ending ---- */

int launch_sbatch_look_at_dead(const char *directory, int64_t attempt, bool is_known,
                               enum launcher_life *ret_life, struct error *err)
{
    bool is_never = false, is_over = false;
    int rc = ticket_take_back(directory, attempt, &is_never, err);
    if (rc == 0)
        rc = ticket_has(directory, "ended", attempt, &is_over, err);
    if (rc != 0)
        return rc;
    *ret_life = is_never              ? LAUNCHER_NEVER
                : is_known || is_over ? LAUNCHER_GONE
                                      : LAUNCHER_FORGOTTEN;
    return 0;
}

/* Its script has ended with 0 and squeue's answer is older, or the node has still to be
 * cleared: what Slurm is about to say. Where the script ended otherwise its word is
 * waited for, because it alone knows whether somebody has cancelled the job. */
static struct slurm_job completed(const struct squeue_job *entry)
{
    struct slurm_job shown = {.id = entry->id};
    snprintf(shown.state, sizeof shown.state, "COMPLETED");
    return shown;
}

static int look(struct launcher *launcher, const char *directory, int64_t attempt,
                struct launcher_look *ret_look, struct error *err)
{
    struct launch_sbatch *sbatch = launcher->state;
    struct launcher_look look = {.ran_s = -1};
    struct squeue_job entry;
    char name[NAME_SIZE];
    const char *base = strrchr(directory, '/');
    bool is_pilots = false;
    int rc = ticket_has(directory, "order", attempt, &is_pilots, err);
    if (rc == 0 && is_pilots) { /* as a step it has no name in squeue */
        error_set(err, PPT_ELAUNCH,
                  "attempt %lld runs in a pilot, and the site's "
                  "launcher is no longer a pool within sbatch",
                  (long long)attempt);
        return error_hint(err, "set it so again until such jobs have ended");
    }
    if (rc == 0)
        rc = squeue_ask(&sbatch->squeue, err);
    if (rc != 0)
        return rc;
    snprintf(name, sizeof name, "ppt-%.20s-%lld", base == NULL ? "" : base + 1,
             (long long)attempt);
    bool is_known = squeue_find(&sbatch->squeue, directory, name, &entry);
    if (is_known)
        look.slurm = squeue_shown(&entry);
    if (!is_known || squeue_has_ended(&entry)) {
        look.is_cancelled = is_known && strcmp(entry.state, "CANCELLED") == 0;
        rc = launch_sbatch_look_at_dead(directory, attempt, is_known, &look.life, err);
        if (rc != 0)
            return rc;
        if (is_known && look.life == LAUNCHER_NEVER && !look.is_cancelled)
            snprintf(look.early, sizeof look.early, "%s, %.64s", entry.state,
                     entry.reason);
        struct slurm_testimony testimony;
        /* Also where it left word of its end, which does not say who ended it. */
        if (!is_known && look.life != LAUNCHER_NEVER &&
            slurm_witness_ask(&sbatch->witness, directory, name, &testimony)) {
            look.is_witnessed = true;
            look.is_cancelled = testimony.is_cancelled;
            look.is_hearsay = testimony.is_hearsay;
            look.slurm = testimony.slurm;
        }
    } else if (ticket_has_ended_well(directory, attempt)) {
        look.life = LAUNCHER_GONE;
        look.slurm = completed(&entry);
    } else {
        look.life = squeue_is_pending(&entry) ? LAUNCHER_QUEUED : LAUNCHER_ALIVE;
        look.ran_s = entry.ran_s;
    }
    *ret_look = look;
    return 0;
}

/* srun ends all ranks when one has died. */
static int count(struct launcher *launcher, const char *directory, bool only_ranks)
{
    (void)launcher;
    (void)directory;
    return only_ranks ? INT_MAX : 0;
}

/* One scancel for all of them. `option` may be NULL. */
static void scancel(struct launch_sbatch *sbatch, const char *option,
                    char (*ids)[ID_SIZE], int n)
{
    const char *argv[MAX_CANCELLED + 3] = {"scancel"};
    struct command_result result = {0};
    struct error why = {0};
    int n_argv = 1;
    if (n == 0)
        return;
    if (option != NULL)
        argv[n_argv++] = option;
    for (int i = 0; i < n; i++)
        argv[n_argv++] = ids[i];
    int rc = squeue_command(argv, sbatch->squeue.timeout_ms, &result, &why);
    if (rc == 0 && result.has_timed_out)
        squeue_failed(&sbatch->squeue, "scancel did not answer");
    else
        squeue_forget(&sbatch->squeue);
    if (rc != 0 || result.status != 0)
        log_warning("cannot cancel Slurm's job %s: %.200s", ids[0],
                    rc != 0                ? why.text
                    : result.has_timed_out ? "scancel did not answer"
                                           : result.errors);
    command_result_free(&result);
}

/* Sends each living job of the directory `signal`, or ends it. One that has not begun
 * gets no signal, it is taken from the queue. More than a few: the next time. */
static void cancel(struct launcher *launcher, const char *directory, const char *signal)
{
    struct launch_sbatch *sbatch = launcher->state;
    char plain[MAX_CANCELLED][ID_SIZE], signalled[MAX_CANCELLED][ID_SIZE];
    struct error why = {0};
    struct squeue_job job;
    int n_plain = 0, n_signalled = 0;
    if (squeue_ask(&sbatch->squeue, &why) != 0) {
        log_warning("%s", why.text);
        return;
    }
    for (const char *at = sbatch->squeue.listing; squeue_next(&at, directory, &job);) {
        bool is_plain_end = signal == NULL || squeue_is_pending(&job);
        int *n = is_plain_end ? &n_plain : &n_signalled;
        if (!job.is_here || squeue_has_ended(&job) ||
            strcmp(job.state, "COMPLETING") == 0 || *n == MAX_CANCELLED)
            continue;
        snprintf((is_plain_end ? plain : signalled)[(*n)++], ID_SIZE, "%lld",
                 (long long)job.id);
    }
    scancel(sbatch, NULL, plain, n_plain);
    scancel(sbatch, signal, signalled, n_signalled);
}

static void stop(struct launcher *launcher, const char *directory)
{
    cancel(launcher, directory, "--signal=TERM");
}

static void kill_all(struct launcher *launcher, const char *directory)
{
    cancel(launcher, directory, NULL);
}

/* A controller that hangs would cost a time-out for each job that could start, and an
 * attempt. */
static bool is_ready(struct launcher *launcher, const struct launcher_request *request)
{
    const struct launch_sbatch *sbatch = launcher->state;
    (void)request;
    return squeue_is_answered(&sbatch->squeue);
}

static const struct launcher_ops sbatch_ops = {.name = "sbatch",
                                               .start = start,
                                               .look = look,
                                               .count = count,
                                               .is_ready = is_ready,
                                               .stop = stop,
                                               .kill = kill_all};

struct launcher launch_sbatch(struct launch_sbatch *sbatch)
{
    sbatch->squeue.timeout_ms = ask_timeout_ms(sbatch->lease_s);
    sbatch->witness.timeout_ms = ask_timeout_ms(sbatch->lease_s);
    return (struct launcher){.ops = &sbatch_ops, .state = sbatch};
}

void launch_sbatch_free(struct launch_sbatch *sbatch)
{
    slurm_witness_free(&sbatch->witness);
    squeue_forget(&sbatch->squeue);
}
