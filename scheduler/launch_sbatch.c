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
#include "base/pathsafe.h"
#include "jobs/token.h"
#include "scheduler/command.h"
#include "scheduler/slurm_wishes.h"
#include "scheduler/spool.h"

#define SUBMIT_TIMEOUT_MS 15000
#define ASK_TIMEOUT_MS 5000
/* How old squeue's answer may be; how soon it is asked again when it gave none. */
#define LISTING_MS 1000
#define FAILURE_MS 3000
/* A token is good for handing a job in, which follows at once; the rest is for clocks
 * that differ. */
#define TOKEN_S 600
#define MAX_SCRIPT_BYTES (64u << 10)
#define NAME_SIZE 64
#define COMMENT "--comment="

/* One line of squeue; strings point into the listing. */
struct entry {
    int64_t id;
    char state[24], reason[96], name[NAME_SIZE];
    int64_t ran_s;
    bool is_here; /* its working directory is the one asked for */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Slurm's commands ---- */

/* Slurm hands its client's environment on to the job, so it is a short allow list. */
static const char *const allowed[] = {
    "PATH",       "HOME", "USER",        "LOGNAME",     "LD_LIBRARY_PATH",
    "SLURM_CONF", "TZ",   "OPAL_PREFIX", "ASAN_OPTIONS"};
#define N_ALLOWED (sizeof allowed / sizeof *allowed)

static int run_slurm(const char *const *argv, int64_t timeout_ms,
                     struct command_result *ret_result, struct error *err)
{
    char *environment[N_ALLOWED + 2] = {0};
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < N_ALLOWED; i++) {
        const char *value = getenv(allowed[i]);
        if (value != NULL &&
            asprintf(&environment[n++], "%s=%s", allowed[i], value) < 0) {
            environment[--n] = NULL;
            rc = error_set(err, PPT_ENOMEM, "out of memory running %s", argv[0]);
        }
    }
    environment[n] = "LANG=C.UTF-8";
    if (rc == 0)
        rc = command_run(argv, environment, timeout_ms, ret_result, err);
    for (size_t i = 0; i < n; i++)
        free(environment[i]);
    return rc;
}

static void forget_listing(struct launch_sbatch *sbatch)
{
    free(sbatch->listing);
    sbatch->listing = NULL;
    sbatch->has_failed = false;
}

/* Asks squeue for all jobs of this user, unless that was done just now. */
static int listing(struct launch_sbatch *sbatch, struct error *err)
{
    static const char *const argv[] = {"squeue",       "--noheader",
                                       "--me",         "--states=all",
                                       "--local",      "--format=%A|%T|%M|%r|%j|%Z",
                                       (const char *)0};
    struct command_result result = {0};
    struct error why = {0};
    int64_t age_ms = now_ms() - sbatch->asked_at_ms;
    if (sbatch->listing != NULL && age_ms < LISTING_MS)
        return 0;
    if (!sbatch->has_failed || age_ms >= FAILURE_MS) {
        forget_listing(sbatch);
        int rc = run_slurm(argv, ASK_TIMEOUT_MS, &result, &why);
        sbatch->asked_at_ms = now_ms();
        if (rc == 0 && result.status == 0 && !result.has_timed_out) {
            sbatch->listing = result.output;
            return 0;
        }
        sbatch->has_failed = true;
        snprintf(sbatch->failure, sizeof sbatch->failure, "%.500s",
                 rc != 0                ? why.text
                 : result.has_timed_out ? "squeue did not answer"
                                        : result.errors);
        command_result_free(&result);
    }
    return error_set(err, PPT_EIO, "cannot ask Slurm about its jobs: %s",
                     sbatch->failure);
}

/* Seconds of [[D-]H:]M:S; -1 if it is none (INVALID, for a job that has not begun). */
static int64_t parse_elapsed(const char *text)
{
    int64_t days = 0, total = 0;
    const char *dash = strchr(text, '-');
    if (dash != NULL) {
        days = strtoll(text, NULL, 10);
        text = dash + 1;
    }
    for (const char *at = text; *at != '\0'; at++)
        if (!isdigit((unsigned char)*at) && *at != ':')
            return -1;
    for (const char *at = text; at != NULL; at = strchr(at, ':')) {
        at += *at == ':';
        total = total * 60 + strtoll(at, NULL, 10);
    }
    return days * 86400 + total;
}

/* Reads the line at *at and moves behind it. False at the end. */
static bool next_entry(const char **at, const char *directory, struct entry *ret_entry)
{
    char elapsed[32];
    while (**at != '\0') {
        const char *line = *at;
        size_t len = strcspn(line, "\n");
        int n_head = 0, n_name = 0;
        long long id;
        *at = line + len + (line[len] != '\0');
        int n = sscanf(line, "%lld|%23[^|\n]|%31[^|\n]|%n", &id, ret_entry->state,
                       elapsed, &n_head);
        if (n != 3 || n_head == 0 || (size_t)n_head > len)
            continue;
        const char *reason = line + n_head, *name = strchr(reason, '|');
        if (name == NULL ||
            sscanf(name, "|%63[^|\n]|%n", ret_entry->name, &n_name) != 1 ||
            n_name == 0 || name + n_name > line + len)
            continue; /* another user's program with a longer name than ours */
        /* Reasons may list nodes at any length. */
        snprintf(ret_entry->reason, sizeof ret_entry->reason, "%.*s",
                 (int)(name - reason), reason);
        n_head = (int)(name - line) + n_name;
        ret_entry->id = id;
        ret_entry->ran_s = parse_elapsed(elapsed);
        ret_entry->is_here =
            strlen(directory) == len - (size_t)n_head &&
            strncmp(line + n_head, directory, len - (size_t)n_head) == 0;
        return true;
    }
    return false;
}

static bool has_ended(const struct entry *entry)
{
    static const char *const ends[] = {
        "COMPLETED", "CANCELLED", "FAILED",        "TIMEOUT",  "NODE_FAIL",
        "PREEMPTED", "BOOT_FAIL", "OUT_OF_MEMORY", "DEADLINE", "REVOKED"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(entry->state, ends[i]) == 0)
            return true;
    return false;
}

static bool is_pending(const struct entry *entry)
{
    static const char *const waits[] = {"PENDING", "REQUEUED", "REQUEUE_HOLD",
                                        "SPECIAL_EXIT", "CONFIGURING"};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (strcmp(entry->state, waits[i]) == 0)
            return true;
    return false;
}

/* The job of this name and directory; a living one before those that have ended. */
static bool find_entry(const struct launch_sbatch *sbatch, const char *directory,
                       const char *name, struct entry *ret_entry)
{
    const char *at = sbatch->listing;
    struct entry entry;
    bool is_found = false;
    while (next_entry(&at, directory, &entry)) {
        if (!entry.is_here || strcmp(entry.name, name) != 0)
            continue;
        if (!is_found || (has_ended(ret_entry) && !has_ended(&entry)))
            *ret_entry = entry;
        is_found = true;
    }
    return is_found;
}

/* ---- the files of an attempt ---- */

static int attempt_path(const char *directory, const char *what, int64_t attempt,
                        char ret_path[SPOOL_PATH_SIZE], struct error *err)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s-%lld", what, (long long)attempt);
    return spool_path(directory, name, ret_path, err);
}

static int has_file(const char *directory, const char *what, int64_t attempt,
                    bool *ret_has, struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int rc = attempt_path(directory, what, attempt, path, err);
    if (rc != 0)
        return rc;
    bool has = access(path, F_OK) == 0;
    if (!has && errno != ENOENT && errno != ENOTDIR)
        return error_errno(err, PPT_EIO, "cannot look at %s", path);
    *ret_has = has;
    return 0;
}

/* After this the attempt can begin no more. *ret_never: it has not begun before. */
static int take_back(const char *directory, int64_t attempt, bool *ret_never,
                     struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    bool is_taken = false;
    int rc = attempt_path(directory, "ticket", attempt, path, err);
    if (rc == 0 && unlink(path) == 0) {
        *ret_never = true;
        return 0;
    }
    if (rc == 0 && errno != ENOENT && errno != ENOTDIR)
        rc = error_errno(err, PPT_EIO, "cannot remove %s", path);
    if (rc == 0)
        rc = has_file(directory, "taken", attempt, &is_taken, err);
    if (rc == 0) /* no ticket: taken, or never made, or the directory has gone */
        *ret_never = !is_taken && access(directory, F_OK) == 0;
    return rc;
}

/* ---- the batch script ---- */

struct value {
    const char *name;
    char text[SPOOL_PATH_SIZE];
};

enum { NAME, ATTEMPT, RANKS, CORES, MEMORY, TIME, DIRECTORY, WORKER, KEY, N_VALUES };

/* The script is a shell's, so nothing that a shell or Slurm would read otherwise than
 * as itself: no blanks, quotes, dollars; no % (Slurm's file names), no line ends. */
static bool is_plain(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("/._-+=:,", *at) == NULL)
            return false;
    return text[0] != '\0';
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static int make_values(const struct launch_sbatch *sbatch,
                       const struct launcher_request *request,
                       struct value ret_values[N_VALUES], struct error *err)
{
    static const char *const names[N_VALUES] = {
        "NAME",     "ATTEMPT",   "RANKS",  "CORES",     "MEMORY_MIB",
        "TIME_MIN", "DIRECTORY", "WORKER", "PUBLIC_KEY"};
    const char *const texts[N_VALUES] = {[DIRECTORY] = request->directory,
                                         [WORKER] = sbatch->worker,
                                         [KEY] = sbatch->public_key};
    int64_t n_cores = request->n_ranks * request->cores_per_rank;
    int64_t margin_s = request->slurm == NULL ? 0 : request->slurm->time_margin_s;
    const int64_t numbers[N_VALUES] = {
        [ATTEMPT] = request->attempt,
        [RANKS] = request->n_ranks,
        [CORES] = request->cores_per_rank,
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
        if (texts[i] != NULL && (strlen(texts[i]) >= size || !is_plain(texts[i])))
            return error_set(err, PPT_ELAUNCH,
                             "expected a path of letters, digits and /._-+=:, for a "
                             "batch script, found \"%.200s\"",
                             texts[i]);
    }
    return 0;
}

/* Writes `text` with every @NAME@ replaced. An at-sign has no other use. */
static int fill_in(const char *text, const struct value values[N_VALUES],
                   const char *path, FILE *to, struct error *err)
{
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, "@");
        fwrite(at, 1, len, to);
        at += len;
        if (*at == '\0')
            break;
        len = strcspn(++at, "@\n");
        int i = 0;
        while (i < N_VALUES &&
               (strlen(values[i].name) != len || strncmp(values[i].name, at, len) != 0))
            i++;
        if (i == N_VALUES || at[len] != '@')
            return error_set(err, PPT_ELAUNCH, "%s: there is no value named @%.*s@",
                             path, len > 40 ? 40 : (int)len, at);
        fputs(values[i].text, to);
        at += len + 1;
    }
    return 0;
}

static int write_script(const struct launch_sbatch *sbatch,
                        const struct launcher_request *request,
                        char ret_path[SPOOL_PATH_SIZE], struct error *err)
{
    struct value values[N_VALUES];
    char *template = NULL, *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    int rc =
        to == NULL ? error_set(err, PPT_ENOMEM, "out of memory starting a job") : 0;
    if (rc == 0)
        rc = pathsafe_read_file(sbatch->script, MAX_SCRIPT_BYTES, &template, &len, err);
    if (rc == -PPT_ENOTFOUND)
        rc = error_set(err, PPT_ELAUNCH, "there is no batch script %s", sbatch->script);
    if (rc == 0)
        rc = make_values(sbatch, request, values, err);
    if (rc == 0)
        rc = fill_in(template, values, sbatch->script, to, err);
    if (to != NULL && fclose(to) != 0 && rc == 0)
        rc = error_set(err, PPT_ENOMEM, "out of memory starting a job");
    if (rc == 0)
        rc = attempt_path(request->directory, "batch", request->attempt, ret_path, err);
    if (rc == 0)
        rc = pathsafe_replace(ret_path, text, strlen(text), 0600, err);
    free(template);
    free(text);
    return rc;
}

/* ---- starting ---- */

/* sbatch's option with the attempt's admission token. */
static void comment(const struct launch_sbatch *sbatch,
                    const struct launcher_request *request, const char *name,
                    char ret_option[sizeof COMMENT + TOKEN_SIZE])
{
    struct token token = {.job_id = request->job_id,
                          .attempt = request->attempt,
                          .uid = getuid(),
                          .expires_at_s = time(NULL) + TOKEN_S};
    snprintf(token.name, sizeof token.name, "%s", name);
    memcpy(ret_option, COMMENT, sizeof COMMENT);
    token_make(&token, sbatch->secret_key, ret_option + sizeof COMMENT - 1);
}

/* The site's arguments come after the job's wishes: where an option stands twice,
 * sbatch takes the last, and either before the script's own lines. Only the token is
 * ours alone. */
static int submit(const struct launch_sbatch *sbatch,
                  const struct launcher_request *request, const char *name,
                  const char *script, struct command_result *ret_result,
                  struct error *err)
{
    const char *argv[5 + SLURM_MAX_WISHES + CONF_MAX_ARGUMENTS] = {"sbatch",
                                                                   "--parsable"};
    char wishes[SLURM_MAX_WISHES][SLURM_WISH_SIZE], token[sizeof COMMENT + TOKEN_SIZE];
    int n_wishes = slurm_wishes(request->slurm, wishes), n = 2;
    comment(sbatch, request, name, token);
    for (int i = 0; i < n_wishes; i++)
        argv[n++] = wishes[i];
    for (int i = 0; i < sbatch->n_arguments && i < CONF_MAX_ARGUMENTS; i++)
        argv[n++] = sbatch->arguments[i];
    argv[n++] = token;
    argv[n] = script;
    return run_slurm(argv, SUBMIT_TIMEOUT_MS, ret_result, err);
}

/* "123" or "123;cluster". */
static bool parse_job_id(const char *text, int64_t *ret_id)
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
    struct entry entry;
    bool has_answer, is_never = false;
    forget_listing(sbatch);
    has_answer = listing(sbatch, NULL) == 0;
    bool is_known = has_answer && find_entry(sbatch, request->directory, name, &entry);
    if (is_known && !has_ended(&entry)) {
        log_warning("job %lld: sbatch failed (%s), but Slurm has it as %lld",
                    (long long)request->job_id, answer, (long long)entry.id);
        *ret_id = entry.id;
        return 0;
    }
    /* Slurm keeps a record of what it refused; only the ticket says that it never ran.
     */
    int rc = take_back(request->directory, request->attempt, &is_never, err);
    if (rc != 0)
        return rc;
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
    char script[SPOOL_PATH_SIZE], ticket[SPOOL_PATH_SIZE], name[NAME_SIZE];
    struct command_result result = {0};
    struct error why = {0};
    int64_t id = 0;
    (void)lock; /* the nodes' processes cannot inherit it */
    snprintf(name, sizeof name, "ppt-%lld-%lld", (long long)request->job_id,
             (long long)request->attempt);
    int rc = write_script(sbatch, request, script, err);
    if (rc == 0)
        rc = attempt_path(request->directory, "ticket", request->attempt, ticket, err);
    if (rc == 0)
        rc = pathsafe_replace(ticket, "", 0, 0600, err);
    if (rc != 0)
        return rc;
    rc = submit(sbatch, request, name, script, &result, &why);
    if (rc != 0)
        rc = resolve(sbatch, request, name, why.text, &id, err);
    else if (result.has_timed_out)
        rc = resolve(sbatch, request, name, "sbatch did not answer", &id, err);
    else if (result.status != 0 || !parse_job_id(result.output, &id))
        rc = resolve(sbatch, request, name,
                     result.errors[0] != '\0' ? result.errors : "no words from sbatch",
                     &id, err);
    command_result_free(&result);
    forget_listing(sbatch);
    if (rc == 0)
        *ret_started = (struct launcher_started){.pid = id};
    return rc;
}

/* ---- watching and ending ---- */

/* In Slurm's words, but for "None", and with nothing in it that a terminal or a
 * database would stumble over. */
static struct slurm_job to_be_shown(const struct entry *entry)
{
    struct slurm_job shown = {.id = entry->id};
    snprintf(shown.state, sizeof shown.state, "%s", entry->state);
    if (strcmp(entry->reason, "None") != 0)
        snprintf(shown.reason, sizeof shown.reason, "%s", entry->reason);
    for (char *at = shown.reason; *at != '\0'; at++)
        if (!isprint((unsigned char)*at))
            *at = '?';
    return shown;
}

/* Slurm says it has ended, or knows it no more. */
static int look_at_dead(const char *directory, int64_t attempt, bool is_known,
                        struct launcher_look *look, struct error *err)
{
    bool is_never = false, is_over = false;
    int rc = take_back(directory, attempt, &is_never, err);
    if (rc == 0)
        rc = has_file(directory, "ended", attempt, &is_over, err);
    if (rc != 0)
        return rc;
    look->life = is_never              ? LAUNCHER_NEVER
                 : is_known || is_over ? LAUNCHER_GONE
                                       : LAUNCHER_FORGOTTEN;
    return 0;
}

static int look(struct launcher *launcher, const char *directory, int64_t attempt,
                struct launcher_look *ret_look, struct error *err)
{
    struct launch_sbatch *sbatch = launcher->state;
    struct launcher_look look = {.ran_s = -1};
    struct entry entry;
    char name[NAME_SIZE];
    const char *base = strrchr(directory, '/');
    int rc = listing(sbatch, err);
    if (rc != 0)
        return rc;
    snprintf(name, sizeof name, "ppt-%.20s-%lld", base == NULL ? "" : base + 1,
             (long long)attempt);
    bool is_known = find_entry(sbatch, directory, name, &entry);
    if (is_known)
        look.slurm = to_be_shown(&entry);
    if (!is_known || has_ended(&entry)) {
        look.is_cancelled = is_known && strcmp(entry.state, "CANCELLED") == 0;
        rc = look_at_dead(directory, attempt, is_known, &look, err);
        if (rc != 0)
            return rc;
        if (is_known && look.life == LAUNCHER_NEVER && !look.is_cancelled)
            snprintf(look.early, sizeof look.early, "%s, %.64s", entry.state,
                     entry.reason);
    } else {
        look.life = is_pending(&entry) ? LAUNCHER_QUEUED : LAUNCHER_ALIVE;
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

/* Runs scancel for each living job of the directory: with `signal`, or to its end. One
 * that has not begun gets no signal, it is taken from the queue. */
static void cancel(struct launcher *launcher, const char *directory, const char *signal)
{
    struct launch_sbatch *sbatch = launcher->state;
    struct command_result result = {0};
    struct error why = {0};
    struct entry entry;
    char id[24];
    if (listing(sbatch, &why) != 0) {
        log_warning("%s", why.text);
        return;
    }
    for (const char *at = sbatch->listing; next_entry(&at, directory, &entry);) {
        if (!entry.is_here || has_ended(&entry) ||
            strcmp(entry.state, "COMPLETING") == 0)
            continue;
        snprintf(id, sizeof id, "%lld", (long long)entry.id);
        bool is_plain_end = signal == NULL || is_pending(&entry);
        const char *const argv[] = {"scancel", id, is_plain_end ? NULL : signal, NULL};
        if (run_slurm(argv, ASK_TIMEOUT_MS, &result, &why) != 0 || result.status != 0)
            log_warning("cannot cancel Slurm's job %s: %.200s", id,
                        why.code != 0 ? why.text : result.errors);
        command_result_free(&result);
    }
    forget_listing(sbatch);
}

static void stop(struct launcher *launcher, const char *directory)
{
    cancel(launcher, directory, "--signal=TERM");
}

static void kill_all(struct launcher *launcher, const char *directory)
{
    cancel(launcher, directory, NULL);
}

static const struct launcher_ops sbatch_ops = {.name = "sbatch",
                                               .start = start,
                                               .look = look,
                                               .count = count,
                                               .stop = stop,
                                               .kill = kill_all};

struct launcher launch_sbatch(struct launch_sbatch *sbatch)
{
    return (struct launcher){.ops = &sbatch_ops, .state = sbatch};
}

void launch_sbatch_free(struct launch_sbatch *sbatch)
{
    forget_listing(sbatch);
}
