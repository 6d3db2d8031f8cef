#include "scheduler/launch_hosts.h"

#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/pathsafe.h"
#include "scheduler/command.h"
#include "scheduler/settle.h"
#include "scheduler/spool.h"

#define HOSTFILE "hosts"
#define MAX_HOSTFILE_BYTES 16384
#define ASK_MS 5000
/* A host that does not answer is left alone for so long. */
#define ASK_AGAIN_MS 5000

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct places launch_hosts_places(const struct conf *conf)
{
    struct places places = {.n = conf->n_hosts};
    for (int i = 0; i < conf->n_hosts; i++)
        places.nodes[i] = conf->hosts[i].room;
    return places;
}

/* ---- the hostfile ---- */

static int write_hostfile(const struct conf *conf, const char *directory,
                          const int64_t *ranks, struct error *err)
{
    char path[SPOOL_PATH_SIZE], text[MAX_HOSTFILE_BYTES];
    int len = 0;
    for (int i = 0; i < conf->n_hosts; i++)
        if (ranks[i] > 0)
            len += snprintf(text + len, sizeof text - (size_t)len, "%s slots=%lld\n",
                            conf->hosts[i].name, (long long)ranks[i]);
    int rc = spool_path(directory, HOSTFILE, path, err);
    return rc == 0 ? pathsafe_replace(path, text, (size_t)len, 0600, err) : rc;
}

/* By the hosts' names: a host that is no longer the site's is left out. False: no
 * hostfile. */
static bool read_hostfile(const struct conf *conf, const char *directory,
                          int64_t ret_ranks[PLACES_MAX])
{
    char path[SPOOL_PATH_SIZE], *text, *rest = NULL;
    if (spool_path(directory, HOSTFILE, path, NULL) != 0 ||
        pathsafe_read_file(path, MAX_HOSTFILE_BYTES, &text, NULL, NULL) != 0)
        return false;
    memset(ret_ranks, 0, PLACES_MAX * sizeof *ret_ranks);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *blank = strchr(line, ' ');
        long long n;
        if (blank == NULL || sscanf(blank, " slots=%lld", &n) != 1 || n < 0)
            continue;
        *blank = '\0';
        for (int i = 0; i < conf->n_hosts; i++)
            if (strcmp(conf->hosts[i].name, line) == 0)
                ret_ranks[i] = n;
    }
    free(text);
    return true;
}

static bool where(struct launcher *launcher, const char *directory, int64_t *ret_ranks)
{
    const struct launch_hosts *hosts = launcher->state;
    return read_hostfile(hosts->conf, directory, ret_ranks);
}

/* ---- starting ---- */

/* Where the policy says; an attempt that follows another, where that was. */
static int keep_places(const struct launch_hosts *hosts,
                       const struct launcher_request *request, struct error *err)
{
    struct places whole = launch_hosts_places(hosts->conf);
    struct places_room rank = {.n_cores = request->cores_per_rank,
                               .memory_bytes = request->memory_bytes / request->n_ranks,
                               .n_gpus = request->gpus_per_rank};
    int64_t ranks[PLACES_MAX], n = 0;
    if (request->ranks != NULL)
        return write_hostfile(hosts->conf, request->directory, request->ranks, err);
    if (read_hostfile(hosts->conf, request->directory, ranks))
        for (int i = 0; i < hosts->conf->n_hosts; i++)
            n += ranks[i];
    if (n == request->n_ranks)
        return 0;
    if (!places_choose(&whole, &rank, request->n_ranks, ranks))
        return error_set(err, PPT_ELAUNCH, "the hosts have no room for its ranks");
    return write_hostfile(hosts->conf, request->directory, ranks, err);
}

/* Nothing that a shell would read otherwise than as itself. */
static bool is_plain(const char *path)
{
    for (; *path != '\0'; path++)
        if (!isalnum((unsigned char)*path) && strchr("/._-", *path) == NULL)
            return false;
    return true;
}

/* The site's arguments, and ours. mpirun passes on no environment but what -x names. */
static int start(struct launcher *launcher, const struct launcher_request *request,
                 int lock, struct launcher_started *ret_started, struct error *err)
{
    struct launch_hosts *hosts = launcher->state;
    struct launch_mpirun mpirun = *hosts->mpirun;
    const char *const ours[] = {"--hostfile",
                                HOSTFILE, /* in its working directory */
                                "--mca",
                                "plm_rsh_agent",
                                hosts->conf->agent,
                                "-x",
                                LAUNCHER_MARK,
                                "-x",
                                "OMP_NUM_THREADS",
                                "-x",
                                "OPENBLAS_NUM_THREADS"};
    enum { N_OURS = sizeof ours / sizeof *ours };
    _Static_assert(N_OURS <= LAUNCH_MPIRUN_MAX_MORE, "they have room");
    char arguments[CONF_MAX_ARGUMENTS + N_OURS][CONF_ARGUMENT_SIZE];
    int n = mpirun.n_arguments;
    if (!is_plain(request->directory))
        return error_set(
            err, PPT_ELAUNCH,
            "expected a spool of letters, digits and /._- for other hosts' "
            "shells, found %.200s",
            request->directory);
    int rc = keep_places(hosts, request, err);
    if (rc != 0)
        return rc;
    if (n > 0)
        memcpy(arguments, mpirun.arguments, (size_t)n * sizeof *arguments);
    for (int i = 0; i < N_OURS; i++)
        snprintf(arguments[n++], sizeof *arguments, "%s", ours[i]);
    mpirun.arguments = (const char(*)[CONF_ARGUMENT_SIZE])arguments;
    mpirun.n_arguments = n;
    struct launcher here = launch_mpirun(&mpirun);
    return here.ops->start(&here, request, lock, ret_started, err);
}

/* ---- other hosts ---- */

/* Kills what is left of the job on one host. False: it does not answer, or something is
 * left. The agent hands its words to a shell, as ssh does. */
static bool sweep_host(const struct launch_hosts *hosts, const char *host,
                       const char *directory)
{
    char script[2 * SPOOL_PATH_SIZE];
    const char *const argv[] = {hosts->conf->agent, host, script, NULL};
    int64_t share_ms = hosts->conf->lease_s * 100;
    struct command_result result = {0};
    struct error why = {0};
    snprintf(script, sizeof script,
             "for i in 1 2 3 4 5; do p=$(grep -lzxF %s=%s /proc/[0-9]*/environ"
             " 2>/dev/null | cut -d/ -f3); test -n \"$p\" || { echo gone; exit; };"
             " kill -KILL $p; sleep 0.1; done",
             LAUNCHER_MARK, directory);
    int rc = command_run(argv, environ, share_ms < ASK_MS ? share_ms : ASK_MS, &result,
                         &why);
    bool is_gone = rc == 0 && !result.has_timed_out && result.status == 0 &&
                   strncmp(result.output, "gone", 4) == 0;
    if (!is_gone)
        log_warning("host %s does not say that nothing of %s is left: %.200s", host,
                    directory, rc != 0 ? why.text : result.errors);
    command_result_free(&result);
    return is_gone;
}

/* The memory of one job's sweep; the oldest is given up where there are too many, which
 * begins its sweep anew. */
static struct silence *silence_of(struct launch_hosts *hosts, const char *directory)
{
    enum { N = sizeof hosts->silences / sizeof *hosts->silences };
    struct silence *oldest = &hosts->silences[0];
    for (int i = 0; i < N; i++) {
        if (strcmp(hosts->silences[i].directory, directory) == 0)
            return &hosts->silences[i];
        if (hosts->silences[i].since_ms < oldest->since_ms)
            oldest = &hosts->silences[i];
    }
    *oldest = (struct silence){.since_ms = now_ms()};
    snprintf(oldest->directory, sizeof oldest->directory, "%s", directory);
    return oldest;
}

/* All of the job's hosts say that nothing of it is left, or have been silent for long.
 * A call lasts no longer than a part of the lease, and goes on where the last one
 * stopped. */
static bool is_swept(struct launch_hosts *hosts, const char *directory)
{
    struct silence *silence = silence_of(hosts, directory);
    int64_t ranks[PLACES_MAX], began_ms = now_ms();
    if (!read_hostfile(hosts->conf, directory, ranks))
        return true; /* no rank was ever started elsewhere */
    if (silence->asked_ms > 0 && began_ms - silence->asked_ms < ASK_AGAIN_MS)
        return false;
    for (; silence->next < hosts->conf->n_hosts; silence->next++) {
        const char *host = hosts->conf->hosts[silence->next].name;
        if (now_ms() - began_ms > hosts->conf->lease_s * 100)
            return false;
        if (ranks[silence->next] > 0 && !sweep_host(hosts, host, directory)) {
            silence->asked_ms = now_ms();
            if (now_ms() - silence->since_ms < LAUNCH_HOSTS_LOST_S * 1000)
                return false;
            log_warning("host %s is taken for dead", host);
        }
    }
    *silence = (struct silence){0};
    return true;
}

/* Its ranks have agreed on its end, and mpirun has waited for them. */
static bool has_said_so(const char *directory)
{
    const char *base = strrchr(directory, '/');
    struct spool_state state;
    struct report report;
    return base != NULL && spool_load(directory, &state, NULL) == 0 &&
           settle_find_report(directory, strtoll(base + 1, NULL, 10),
                              state.started_attempt, &report);
}

/* ---- watching and ending ---- */

static int look(struct launcher *launcher, const char *directory, int64_t attempt,
                struct launcher_look *ret_look, struct error *err)
{
    const struct launch_hosts *hosts = launcher->state;
    struct launcher here = launch_mpirun(hosts->mpirun);
    return here.ops->look(&here, directory, attempt, ret_look, err);
}

/* mpirun sees to it that no rank is missing. Asked for everybody only when it has gone.
 */
static int count(struct launcher *launcher, const char *directory, bool only_ranks)
{
    struct launch_hosts *hosts = launcher->state;
    struct launcher here = launch_mpirun(hosts->mpirun);
    if (only_ranks)
        return INT_MAX;
    int n = here.ops->count(&here, directory, false);
    if (n == 0 && !has_said_so(directory) && !is_swept(hosts, directory))
        n = 1;
    return n;
}

static void stop(struct launcher *launcher, const char *directory)
{
    const struct launch_hosts *hosts = launcher->state;
    launch_mpirun_signal(hosts->mpirun, directory, SIGUSR1);
}

/* Without mpirun its daemons on the other hosts end, and the ranks with them; count
 * makes sure of that. */
static void kill_all(struct launcher *launcher, const char *directory)
{
    const struct launch_hosts *hosts = launcher->state;
    struct launcher here = launch_mpirun(hosts->mpirun);
    here.ops->kill(&here, directory);
}

static bool is_here(struct launcher *launcher)
{
    (void)launcher;
    return false;
}

static const struct launcher_ops hosts_ops = {.name = "mpirun",
                                              .is_here = is_here,
                                              .where = where,
                                              .start = start,
                                              .look = look,
                                              .count = count,
                                              .stop = stop,
                                              .kill = kill_all};

struct launcher launch_hosts(struct launch_hosts *hosts)
{
    return (struct launcher){.ops = &hosts_ops, .state = hosts};
}
