#include "scheduler/launch_pilot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "scheduler/order.h"
#include "scheduler/pilots.h"
#include "scheduler/ticket.h"

/* Between a job's own time limit and its pilot's end: to be killed and to be seen. */
#define MARGIN_S 60
/* A pilot without jobs for so long is not just between two of them. */
#define SETTLED_MS 2000

/* An attempt that a pilot was ordered to run and that has not been seen to end. */
struct ordered {
    char directory[SPOOL_PATH_SIZE];
    int64_t attempt;
    struct order order;
    struct ordered *next;
};

struct launch_pilot {
    struct pilots pilots;
    struct launcher fallback;
    const struct conf *conf;
    struct ordered *jobs;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- who runs what ---- */

static struct ordered *find(struct launch_pilot *state, const char *directory)
{
    for (struct ordered *job = state->jobs; job != NULL; job = job->next)
        if (strcmp(job->directory, directory) == 0)
            return job;
    return NULL;
}

static int remember(struct launch_pilot *state, const char *directory, int64_t attempt,
                    const struct order *order, struct error *err)
{
    struct ordered *job = malloc(sizeof *job);
    struct pilot *pilot = pilots_find(&state->pilots, order->pilot);
    struct places_room rank = order_rank(order);
    if (job == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory starting a job");
    *job = (struct ordered){.attempt = attempt, .order = *order, .next = state->jobs};
    snprintf(job->directory, sizeof job->directory, "%s", directory);
    state->jobs = job;
    if (pilot != NULL) {
        places_take(&pilot->free, &rank, order->ranks);
        pilot->n_jobs++;
    }
    return 0;
}

static void forget(struct launch_pilot *state, const char *directory)
{
    for (struct ordered **at = &state->jobs; *at != NULL; at = &(*at)->next) {
        struct ordered *job = *at;
        if (strcmp(job->directory, directory) != 0)
            continue;
        struct pilot *pilot = pilots_find(&state->pilots, job->order.pilot);
        struct places_room rank = order_rank(&job->order);
        if (pilot != NULL) {
            places_give(&pilot->free, &rank, job->order.ranks);
            pilot->n_jobs--;
            pilot->idle_since_ms = now_ms();
        }
        *at = job->next;
        free(job);
        return;
    }
}

/* A scheduler may have died between the ticket and the order. One that was sent already
 * does no harm: the ticket decides. */
static int send_again(struct launch_pilot *state, const char *directory,
                      int64_t attempt, const struct order *order, struct error *err)
{
    const struct pilot *pilot = pilots_find(&state->pilots, order->pilot);
    const char *base = strrchr(directory, '/');
    bool has_ticket = false;
    int rc = ticket_has(directory, "ticket", attempt, &has_ticket, err);
    if (rc != 0 || !has_ticket || pilot == NULL || base == NULL)
        return rc;
    return order_send(order, pilot->directory, directory, strtoll(base + 1, NULL, 10),
                      attempt, err);
}

/* The order of this attempt, from memory or from its file. PPT_ENOTFOUND: it went to
 * sbatch. */
static int recall(struct launch_pilot *state, const char *directory, int64_t attempt,
                  struct ordered **ret_job, struct error *err)
{
    struct order order;
    struct ordered *job = find(state, directory);
    int rc = 0;
    if (job == NULL || job->attempt != attempt) {
        forget(state, directory);
        rc = order_read(directory, attempt, &order, err);
        if (rc == 0)
            rc = send_again(state, directory, attempt, &order, err);
        if (rc == 0)
            rc = remember(state, directory, attempt, &order, err);
        job = state->jobs;
    }
    if (rc == 0)
        *ret_job = job;
    return rc;
}

/* ---- which jobs, and which pilot ---- */

static bool is_within(const char *account, const char *top)
{
    size_t n = strlen(top);
    return strncmp(account, top, n) == 0 && (account[n] == '\0' || account[n] == '/');
}

static bool has_wishes(const struct launcher_request *request)
{
    return request->gpus_per_rank > 0 || request->has_wishes ||
           (request->slurm != NULL && spec_has_slurm(request->slurm));
}

static int64_t needs_s(const struct launch_pilot *state,
                       const struct launcher_request *request)
{
    return request->time_limit_s + state->conf->grace_s + MARGIN_S;
}

static bool is_for_pilots(const struct launch_pilot *state,
                          const struct launcher_request *request)
{
    const struct conf_pool *pool = &state->conf->pool;
    const struct conf_pilots *pilots = &state->conf->pilots;
    struct places_room node = {.n_cores = pilots->n_cores,
                               .memory_bytes = pilots->memory_bytes};
    struct places whole = places_of(pilots->n_nodes, &node);
    struct order order = order_of(request);
    struct places_room rank = order_rank(&order);
    for (int i = 0; i < pool->n_except; i++)
        if (is_within(request->account, pool->except[i]))
            return false;
    return !has_wishes(request) && !pilots_are_broken(&state->pilots) &&
           strlen(request->login) < POOL_LOGIN_SIZE &&
           request->memory_bytes <= pool->max_memory_bytes &&
           request->time_limit_s <= pool->max_time_limit_s &&
           needs_s(state, request) <= pilots->time_s &&
           places_choose(&whole, &rank, request->n_ranks, order.ranks);
}

/* The pilot of its login with the least time left that has room and time for it; NULL:
 * none has. So others run empty and can be sent away. */
static struct pilot *choose(struct launch_pilot *state,
                            const struct launcher_request *request,
                            struct order *ret_order)
{
    struct pilot *found = NULL;
    for (int i = 0; i < state->pilots.n; i++) {
        struct pilot *pilot = state->pilots.pilots[i];
        struct order order = order_of(request);
        struct places_room rank = order_rank(&order);
        if (pilot->state != PILOT_RUNNING ||
            strcmp(pilot->login, request->login) != 0 ||
            pilots_left_s(pilot) < needs_s(state, request) ||
            (found != NULL && found->ends_ms <= pilot->ends_ms) ||
            !places_choose(&pilot->free, &rank, request->n_ranks, order.ranks) ||
            pilots_is_leaving(pilot))
            continue;
        order.pilot = pilot->id;
        found = pilot;
        *ret_order = order;
    }
    return found;
}

static bool plan_on(struct pilot *pilot, const struct launcher_request *request)
{
    struct order order = order_of(request);
    struct places_room rank = order_rank(&order);
    if (!places_choose(&pilot->planned, &rank, request->n_ranks, order.ranks))
        return false;
    places_take(&pilot->planned, &rank, order.ranks);
    return true;
}

/* Is one coming that has room for it beside the jobs that wait for it already? */
static bool is_coming(struct launch_pilot *state,
                      const struct launcher_request *request)
{
    for (int i = 0; i < state->pilots.n; i++) {
        struct pilot *pilot = state->pilots.pilots[i];
        if (pilot->state == PILOT_COMING && strcmp(pilot->login, request->login) == 0 &&
            plan_on(pilot, request))
            return true;
    }
    return false;
}

static int count_living(const struct launch_pilot *state)
{
    int n = 0;
    for (int i = 0; i < state->pilots.n; i++)
        n += state->pilots.pilots[i]->state != PILOT_ENDED;
    return n;
}

static bool has_own(const struct launch_pilot *state,
                    const struct launcher_request *request)
{
    for (int i = 0; i < state->pilots.n; i++)
        if (state->pilots.pilots[i]->state != PILOT_ENDED &&
            strcmp(state->pilots.pilots[i]->login, request->login) == 0)
            return true;
    return false;
}

/* Sends the one away that has been without jobs for longest. One of another login must
 * be settled where this one has its own. True: room is being made. */
static bool make_room(struct launch_pilot *state,
                      const struct launcher_request *request)
{
    int64_t idle_before_ms = now_ms() - (has_own(state, request) ? SETTLED_MS : 0);
    struct pilot *oldest = NULL;
    for (int i = 0; i < state->pilots.n; i++) {
        struct pilot *pilot = state->pilots.pilots[i];
        if (pilot->state == PILOT_LEAVING && pilot->n_jobs == 0)
            return true;
        if (pilot->state == PILOT_RUNNING && pilot->n_jobs == 0 &&
            (pilot->idle_since_ms <= idle_before_ms ||
             strcmp(pilot->login, request->login) == 0) &&
            (oldest == NULL || pilot->idle_since_ms < oldest->idle_since_ms))
            oldest = pilot;
    }
    if (oldest != NULL)
        pilots_dismiss(oldest);
    return oldest != NULL;
}

static bool is_ready(struct launcher *launcher, const struct launcher_request *request)
{
    struct launch_pilot *state = launcher->state;
    struct order order;
    if (!state->fallback.ops->is_ready(&state->fallback, request))
        return false;
    if (!is_for_pilots(state, request) || choose(state, request, &order) != NULL)
        return true;
    if (is_coming(state, request))
        return false;
    if (count_living(state) < state->conf->pilots.most) {
        struct pilot *pilot = pilots_start(&state->pilots, request->login);
        return pilot == NULL ? pilots_are_broken(&state->pilots)
                             : !plan_on(pilot, request);
    }
    return !make_room(state, request) && !has_own(state, request);
}

/* ---- starting ---- */

/* An order that could not be sent may be there all the same: the ticket decides. */
static int resolve(const struct launcher_request *request, int send_rc,
                   struct error *err)
{
    struct error why = {0};
    bool is_never = false;
    int rc = ticket_take_back(request->directory, request->attempt, &is_never, &why);
    if (rc != 0)
        return error_set(err, PPT_ESTATE, "nobody can tell whether it begins: %.300s",
                         why.text);
    return is_never ? send_rc : 0;
}

/* An attempt without a ticket has not begun and never will. */
static int hand_over(struct launch_pilot *state, struct pilot *pilot,
                     const struct order *order, const struct launcher_request *request,
                     struct error *err)
{
    int rc = order_keep(order, request->directory, request->attempt, err);
    if (rc == 0)
        rc = ticket_make(request->directory, request->attempt, err);
    if (rc == 0) {
        rc = order_send(order, pilot->directory, request->directory, request->job_id,
                        request->attempt, err);
        if (rc != 0)
            rc = resolve(request, rc, err);
    }
    return rc == 0 ? remember(state, request->directory, request->attempt, order, err)
                   : rc;
}

static int start(struct launcher *launcher, const struct launcher_request *request,
                 int lock, struct launcher_started *ret_started, struct error *err)
{
    struct launch_pilot *state = launcher->state;
    struct order order;
    struct pilot *pilot =
        is_for_pilots(state, request) ? choose(state, request, &order) : NULL;
    if (pilot == NULL)
        return state->fallback.ops->start(&state->fallback, request, lock, ret_started,
                                          err);
    int rc = hand_over(state, pilot, &order, request, err);
    if (rc == 0)
        *ret_started = (struct launcher_started){.pid = pilot->slurm_id};
    return rc;
}

/* ---- watching ---- */

/* Its pilot has ended, or Slurm knows it no more. That somebody cancelled the pilot
 * says nothing about the job. */
static int look_at_dead(struct launch_pilot *state, const struct ordered *job,
                        const char *pilot_directory, const char *pilot_name,
                        bool is_known, struct launcher_look *look, struct error *err)
{
    struct slurm_testimony testimony;
    int rc = launch_sbatch_look_at_dead(job->directory, job->attempt, is_known,
                                        &look->life, err);
    if (rc == 0 && look->life == LAUNCHER_FORGOTTEN &&
        slurm_witness_ask(&state->pilots.sbatch->witness, pilot_directory, pilot_name,
                          &testimony)) {
        look->is_witnessed = true;
        look->slurm = testimony.slurm;
    }
    return rc;
}

static int look_at_living(const struct ordered *job, struct launcher_look *look,
                          struct error *err)
{
    bool has_ticket = false, is_taken = false;
    int rc = ticket_has(job->directory, "ticket", job->attempt, &has_ticket, err);
    if (rc == 0 && !has_ticket)
        rc = ticket_is_taken(job->directory, job->attempt, &is_taken, err);
    bool is_there = access(job->directory, F_OK) == 0; /* else nobody can tell */
    look->life = has_ticket              ? LAUNCHER_QUEUED
                 : is_taken || !is_there ? LAUNCHER_ALIVE
                                         : LAUNCHER_NEVER;
    return rc;
}

/* A short job has ended before Slurm was asked about it. */
static struct slurm_job where_it_ran(struct launch_pilot *state,
                                     const struct ordered *job)
{
    const struct pilot *pilot = pilots_find(&state->pilots, job->order.pilot);
    struct slurm_job ran = {.id = pilot == NULL ? 0 : pilot->slurm_id};
    if (ran.id != 0)
        snprintf(ran.state, sizeof ran.state, "RUNNING"); /* the pilot was */
    return ran;
}

static int look_at(struct launch_pilot *state, const struct ordered *job,
                   struct launcher_look *look, struct error *err)
{
    char directory[SPOOL_PATH_SIZE], name[SQUEUE_NAME_SIZE];
    struct squeue *squeue = &state->pilots.sbatch->squeue;
    struct squeue_job entry;
    bool is_over = false, is_known = false;
    int rc = pilots_name(&state->pilots, job->order.pilot, directory, name, err);
    if (rc == 0)
        rc = ticket_has(job->directory, "ended", job->attempt, &is_over, err);
    if (rc != 0 || is_over) {
        look->life = LAUNCHER_GONE; /* by word of its world or step: no rank is left */
        look->slurm = where_it_ran(state, job);
        return rc;
    }
    rc = squeue_ask(squeue, err);
    if (rc != 0)
        return rc;
    is_known = squeue_find(squeue, directory, name, &entry);
    if (is_known)
        look->slurm = squeue_shown(&entry);
    if (is_known && !squeue_has_ended(&entry))
        return look_at_living(job, look, err);
    return look_at_dead(state, job, directory, name, is_known, look, err);
}

static int look(struct launcher *launcher, const char *directory, int64_t attempt,
                struct launcher_look *ret_look, struct error *err)
{
    struct launch_pilot *state = launcher->state;
    struct launcher_look look = {.ran_s = -1};
    struct ordered *job = NULL;
    struct error why = {0};
    int rc = recall(state, directory, attempt, &job, &why);
    if (rc == -PPT_ENOTFOUND)
        return state->fallback.ops->look(&state->fallback, directory, attempt, ret_look,
                                         err);
    if (rc == 0)
        rc = look_at(state, job, &look, &why);
    if (rc != 0) {
        *err = why;
        return rc;
    }
    if (look.life != LAUNCHER_ALIVE && look.life != LAUNCHER_QUEUED)
        forget(state, directory); /* it may be settled now and not be asked for again */
    *ret_look = look;
    return 0;
}

static int count(struct launcher *launcher, const char *directory, bool only_ranks)
{
    struct launch_pilot *state = launcher->state;
    return state->fallback.ops->count(&state->fallback, directory, only_ranks);
}

static void tend(struct launcher *launcher)
{
    struct launch_pilot *state = launcher->state;
    if (squeue_ask(&state->pilots.sbatch->squeue, NULL) != 0)
        return;
    pilots_refresh(&state->pilots);
    for (int i = state->pilots.n - 1; i >= 0; i--) {
        struct pilot *pilot = state->pilots.pilots[i];
        int64_t idle_ms = now_ms() - pilot->idle_since_ms;
        pilot->planned = pilot->whole;
        if (pilot->n_jobs > 0)
            continue;
        if (pilot->state == PILOT_RUNNING &&
            idle_ms >= state->conf->pilots.idle_s * 1000)
            pilots_dismiss(pilot);
        if (pilot->state == PILOT_ENDED)
            pilots_remove(&state->pilots, pilot);
    }
}

/* ---- ending ---- */

static void scancel_step(struct squeue *squeue, const char *signal, const char *step)
{
    const char *const argv[] = {"scancel", signal, step, NULL};
    struct command_result result = {0};
    struct error why = {0};
    int rc = squeue_command(argv, squeue->timeout_ms, &result, &why);
    if (rc == 0 && result.has_timed_out)
        squeue_failed(squeue, "scancel did not answer");
    if (rc != 0 || result.status != 0)
        log_warning("cannot signal Slurm's step %s: %.200s", step,
                    rc != 0                ? why.text
                    : result.has_timed_out ? "scancel did not answer"
                                           : result.errors);
    command_result_free(&result);
}

/* Of the job's own step, or of its world's, which runs no job after this one then. */
static void name_step(const struct pilot *pilot, const struct ordered *job,
                      char ret_name[SQUEUE_NAME_SIZE])
{
    const char *number = strrchr(job->directory, '/') + 1;
    int64_t world;
    if (pilots_close_world(pilot, strtoll(number, NULL, 10), job->attempt, &world))
        snprintf(ret_name, SQUEUE_NAME_SIZE, "ppt-world-%lld", (long long)world);
    else
        snprintf(ret_name, SQUEUE_NAME_SIZE, "ppt-%.20s-%lld", number,
                 (long long)job->attempt);
}

/* The step is found by its name and its pilot, "1234.5|ppt-17-1". One that has not
 * begun is not there. */
static void signal_step(struct launch_pilot *state, const struct ordered *job,
                        const char *signal)
{
    static const char *const argv[] = {"squeue",  "--steps",        "--noheader",
                                       "--local", "--format=%i|%j", (const char *)0};
    struct squeue *squeue = &state->pilots.sbatch->squeue;
    const struct pilot *pilot = pilots_find(&state->pilots, job->order.pilot);
    struct command_result result = {0};
    char name[SQUEUE_NAME_SIZE];
    if (pilot == NULL || pilot->slurm_id == 0 || !squeue_is_answered(squeue) ||
        squeue_command(argv, squeue->timeout_ms, &result, NULL) != 0)
        return;
    if (result.has_timed_out)
        squeue_failed(squeue, "squeue did not answer");
    name_step(pilot, job, name);
    char *rest = NULL, *line = result.has_timed_out || result.status != 0
                                   ? NULL
                                   : strtok_r(result.output, "\n", &rest);
    for (; line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *bar = strchr(line, '|');
        if (bar == NULL || strcmp(bar + 1, name) != 0 ||
            strtoll(line, NULL, 10) != pilot->slurm_id)
            continue;
        *bar = '\0';
        scancel_step(squeue, signal, line);
        break;
    }
    command_result_free(&result);
}

/* One that has not begun never will. */
static void end(struct launcher *launcher, const char *directory, const char *signal)
{
    struct launch_pilot *state = launcher->state;
    struct ordered *job = find(state, directory);
    bool is_never = false;
    if (job == NULL && signal == NULL)
        state->fallback.ops->kill(&state->fallback, directory);
    else if (job == NULL)
        state->fallback.ops->stop(&state->fallback, directory);
    else if (ticket_take_back(directory, job->attempt, &is_never, NULL) != 0 ||
             !is_never)
        signal_step(state, job, signal != NULL ? signal : "--signal=KILL");
}

static void stop(struct launcher *launcher, const char *directory)
{
    end(launcher, directory, "--signal=TERM");
}

static void kill_all(struct launcher *launcher, const char *directory)
{
    end(launcher, directory, NULL);
}

static const struct launcher_ops pilot_ops = {.name = "pilot",
                                              .tend = tend,
                                              .is_ready = is_ready,
                                              .start = start,
                                              .look = look,
                                              .count = count,
                                              .stop = stop,
                                              .kill = kill_all};

/* ---- opening ---- */

int launch_pilot_open(struct launch_sbatch *sbatch, const struct conf *conf,
                      const struct spool *spool, const char *template,
                      struct launch_pilot **ret_pilot, struct error *err)
{
    struct launch_pilot *state = calloc(1, sizeof *state);
    if (state == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for pilots");
    state->conf = conf;
    state->fallback = launch_sbatch(sbatch);
    int rc = pilots_open(&state->pilots, conf, spool, sbatch, template, err);
    if (rc != 0)
        launch_pilot_free(state);
    else
        *ret_pilot = state;
    return rc;
}

void launch_pilot_free(struct launch_pilot *state)
{
    if (state == NULL)
        return;
    while (state->jobs != NULL) {
        struct ordered *next = state->jobs->next;
        free(state->jobs);
        state->jobs = next;
    }
    pilots_close(&state->pilots);
    free(state);
}

struct launcher launch_pilot(struct launch_pilot *state)
{
    return (struct launcher){.ops = &pilot_ops, .state = state};
}
