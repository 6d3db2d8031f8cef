/* ppt-submit --step: the job of ranks that are there already (ppt-worker --submit). */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/pathsafe.h"
#include "jobs/step.h"
#include "scheduler/submit.h"

int submit_step_check(const struct submit_ranks *ranks, struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    struct stat about;
    if (fstat(STDIN_FILENO, &about) != 0 || !S_ISSOCK(about.st_mode)) {
        error_set(err, PPT_EUSAGE, "--step is for ppt-worker --submit alone");
        return error_hint(err, "run it as srun ppt-worker --submit job.yaml");
    }
    if (ranks->n_step_ranks != ranks->n_ranks) {
        error_set(err, PPT_ELAUNCH, "the job is for %lld ranks and %lld were started",
                  (long long)ranks->n_ranks, (long long)ranks->n_step_ranks);
        return error_hint(err, "start it by srun --ntasks=%lld",
                          (long long)ranks->n_ranks);
    }
    signal(STEP_END_RANKS, SIG_IGN);
    signal(SIGPIPE,
           SIG_IGN); /* an end is told though nobody reads our words any more */
    return pathsafe_read_public(ranks->conf.public_key, key, sizeof key, err);
}

int submit_step_start(struct submit_ranks *ranks, const char *directory,
                      struct error *err)
{
    struct step_packet packet = {.kind = STEP_PLAN};
    struct ucred maker; /* of the socket: rank 0 */
    socklen_t len = sizeof maker;
    if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_PEERCRED, &maker, &len) != 0)
        return error_errno(err, PPT_ELAUNCH, "cannot tell who rank 0 is");
    ranks->pid = maker.pid;
    if ((size_t)snprintf(packet.directory, sizeof packet.directory, "%s", directory) >=
        sizeof packet.directory)
        return error_set(err, PPT_EIO, "the path %.100s... is too long", directory);
    snprintf(packet.public_key, sizeof packet.public_key, "%s", ranks->conf.public_key);
    int rc = step_send(STDIN_FILENO, &packet, err);
    ranks->is_lost = rc != 0;
    return rc;
}

bool submit_step_has_ended(struct submit_ranks *ranks)
{
    struct step_packet packet;
    bool is_there;
    if (ranks->pid == 0)
        return true;
    if (step_receive(STDIN_FILENO, 0, &packet, &is_there, NULL) != 0) {
        ranks->is_lost = true;
        ranks->status = 128 + SIGKILL;
    } else if (is_there && packet.kind == STEP_END) {
        ranks->status = packet.status;
        ranks->is_used_up = packet.is_last;
    } else {
        return false;
    }
    ranks->pid = 0;
    return true;
}

bool submit_step_is_alone(struct submit_ranks *ranks)
{
    struct pollfd look = {.fd = STDIN_FILENO};
    if (ranks->n_step_ranks != 0 && poll(&look, 1, 0) == 1 &&
        (look.revents & (POLLHUP | POLLERR)) != 0)
        ranks->is_lost = true;
    return ranks->is_lost;
}

bool submit_step_cause(const struct submit_ranks *ranks, char ret_cause[CAUSE_SIZE])
{
    char host[64] = "";
    if (!ranks->is_lost)
        return false;
    gethostname(host, sizeof host - 1);
    snprintf(ret_cause, CAUSE_SIZE, "rank 0 on node %s: gone without a word", host);
    return true;
}

/* Rank 0, as long as it is our parent: a number can be used again. */
void submit_step_signal(const struct submit_ranks *ranks, int sig)
{
    if (ranks->pid > 0 && getppid() == ranks->pid)
        kill(ranks->pid, sig);
}

/* Slurm leaves the other ranks of a step alone when one is killed, and they would wait
 * for it for ever. */
void submit_step_end_all(const struct submit_ranks *ranks, const struct error *err)
{
    const char *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID");
    char name[64];
    if (!ranks->is_lost || job == NULL || step == NULL ||
        submit_find_program("scancel", NULL) != 0)
        return;
    snprintf(name, sizeof name, "%.24s.%.24s", job, step);
    if (err->code != 0)
        log_error(err);
    log_info("rank 0 is gone: ending the step %s", name);
    execlp("scancel", "scancel", "--signal=" STEP_END_RANKS_NAME, name, (char *)NULL);
}
