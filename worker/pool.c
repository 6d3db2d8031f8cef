#include "worker/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "jobs/pool.h"
#include "jobs/turn.h"
#include "worker/agree.h"
#include "worker/comm_mpi.h"
#include "worker/data_kept.h"
#include "worker/orders.h"
#include "worker/run.h"
#include "worker/stop.h"

#define RANKS_SOCKET "ranks"
#define MEET_MS 30000
#define LOOK_MS 1000 /* signals and a lost mpirun are noticed within that time */
#define CALL_MS 200
#define ORDER_MS 5 /* between two looks for an order's file */
#define STACK_BYTES (256u << 10)
#define WIPE_BYTE 0x5a
/* So much freed memory, wiped, stays with an idle rank: the next job need not have the
 * system clear as much again. */
#define KEPT_BYTES (32u << 20)

struct pool {
    struct world *world;
    const char *directory; /* the world's own */
    char top[POOL_PATH_SIZE];
    const unsigned char *public_key;
    int *ranks;        /* rank 0: sockets to the others, by rank; else NULL */
    int scheduler;     /* rank 0: socket to it, or -1 */
    struct turn *turn; /* of that call; NULL: there is none */
    int leader;        /* other ranks: socket to rank 0 */
    pid_t parent;      /* mpirun, or slurmstepd */
    char login[POOL_LOGIN_SIZE];
    int64_t n_jobs, max_jobs;
    bool is_used_up;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t now_ms(void)
{
    return now_us() / 1000;
}

/* ---- the mark in the environment ---- */

/* Where the kernel shows the process's environment; it is written in place. */
static char *mark;
static size_t mark_size;

int pool_prepare(struct error *err)
{
    mark = getenv(POOL_MARK);
    mark_size = mark == NULL ? 0 : strlen(mark) + 1;
    if (mark_size < POOL_PATH_SIZE) {
        error_set(err, PPT_EUSAGE, "a pool is started by ppt-schedd only");
        return error_hint(err, "set launcher.kind: pool in the site's configuration");
    }
    mallopt(M_PERTURB, WIPE_BYTE);
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES / 8);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    return 0;
}

static void set_mark(const char *directory)
{
    memset(mark, 0, mark_size);
    memcpy(mark, directory, strnlen(directory, mark_size - 1));
}

/* ---- the ranks of the world ---- */

static struct pool_message say(const struct pool *pool, enum pool_kind kind)
{
    struct pool_message message = {.kind = (int32_t)kind,
                                   .n_ranks = pool->world->comm->size};
    snprintf(message.login, sizeof message.login, "%s", pool->login);
    snprintf(message.directory, sizeof message.directory, "%s", pool->directory);
    return message;
}

/* Rank 0: waits for all others. */
static int gather_ranks(struct pool *pool, int listener, struct error *err)
{
    const int size = pool->world->comm->size;
    const int64_t until = now_ms() + MEET_MS;
    struct pool_message hello;
    int rc = 0, n = 1;
    while (rc == 0 && n < size && now_ms() < until) {
        struct pollfd poller = {.fd = listener, .events = POLLIN};
        int fd = -1;
        poll(&poller, 1, LOOK_MS);
        rc = pool_accept(listener, &fd, err);
        if (rc == -PPT_ENOTFOUND) {
            rc = 0;
            continue;
        }
        if (rc == 0)
            rc = pool_receive(fd, MEET_MS, &hello, NULL, err);
        if (rc != 0)
            break;
        if (hello.kind != POOL_JOINED || hello.n_ranks < 1 || hello.n_ranks >= size)
            return error_set(err, PPT_ECOMM, "not a rank of this world");
        pool->ranks[hello.n_ranks] = fd;
        n++;
    }
    if (rc == 0 && n < size)
        rc = error_set(err, PPT_ECOMM, "%d of %d ranks came", n, size);
    return rc;
}

static int join(struct pool *pool, struct error *err)
{
    struct pool_message message = say(pool, POOL_JOINED);
    message.n_ranks = pool->world->comm->rank;
    int rc = pool_call(pool->directory, RANKS_SOCKET, &pool->leader, err);
    return rc == 0 ? pool_send(pool->leader, &message, -1, err) : rc;
}

/* Sockets between rank 0 and the others, so that an idle rank sleeps. */
static int meet(struct pool *pool, struct error *err)
{
    struct comm *control = pool->world->control;
    int listener = -1, rc = 0;
    if (control->rank == 0) {
        pool->ranks = calloc((size_t)control->size, sizeof *pool->ranks);
        rc = pool->ranks == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for a world")
                 : pool_listen(pool->directory, RANKS_SOCKET, &listener, err);
    }
    rc = agree(control, rc, err);
    if (rc == 0)
        rc = agree(control,
                   control->rank == 0 ? gather_ranks(pool, listener, err)
                                      : join(pool, err),
                   err);
    if (listener >= 0)
        close(listener);
    return rc;
}

/* ---- one job ---- */

/* Standard output and error go to the job's log while it runs. *ret_saved is for
 * leave_log; -1: they stay. */
static void enter_log(const char *directory, int *ret_saved)
{
    char path[POOL_PATH_SIZE + 8];
    snprintf(path, sizeof path, "%s/log", directory);
    int to_log =
        open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    *ret_saved = to_log < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (*ret_saved >= 0) {
        fflush(NULL);
        dup2(to_log, STDOUT_FILENO);
        dup2(to_log, STDERR_FILENO);
    }
    if (to_log >= 0)
        close(to_log);
}

static void leave_log(int saved)
{
    if (saved < 0)
        return;
    fflush(NULL);
    dup2(saved, STDOUT_FILENO);
    dup2(saved, STDERR_FILENO);
    close(saved);
}

/* What the job's functions have left on the stack below. */
__attribute__((noinline)) static void wipe_stack(void)
{
    char stack[STACK_BYTES];
    crypto_wipe(stack, sizeof stack);
}

/* Runs the plan and lets go of the job: no rank that has returned from here can do
 * anything for it. The lock is closed by its last step. */
static void run_job(struct pool *pool, const struct pool_message *order, int lock)
{
    struct world *world = pool->world;
    struct error err = {0};
    int saved, status = 0;
    enter_log(order->directory, &saved);
    if (chdir(order->directory) != 0)
        log_warning("cannot enter %s", order->directory); /* for core files only */
    struct run_order run = {
        .directory = order->directory,
        .attempt = order->attempt,
        .checkpoint_key = order->has_checkpoint_key ? order->checkpoint_key : NULL,
        .is_noted = order->is_noted};
    int rc = run_plan(&run, pool->public_key, world, &err);
    if (rc != 0)
        status = world->comm->rank == 0 || stop_overdue ? log_error(&err) : err.code;
    if (rc == -PPT_ECOMM || stop_overdue || world_is_broken(world))
        comm_mpi_abort(status);
    leave_log(saved);
    if (mallinfo2().fordblks > KEPT_BYTES)
        malloc_trim(0);
    wipe_stack();
    pool->n_jobs++;
    if ((rc != 0 && rc != -PPT_EINTERRUPTED) || world->is_sealed ||
        pool->n_jobs >= pool->max_jobs || chdir(pool->directory) != 0 ||
        getppid() != pool->parent)
        pool->is_used_up = true;
    set_mark(pool->directory);
    stop_requested = 0;
    close(lock);
}

/* Signals that were meant for an earlier job, or for an idle world, are not for this
 * one; those for this one come after its mark is set. */
static void begin_job(const struct pool_message *order)
{
    stop_requested = 0;
    set_mark(order->directory);
}

/* ---- rank 0 ---- */

/* A rank that is gone takes the world with it. */
static _Noreturn void lost(struct error *err)
{
    comm_mpi_abort(log_error(err));
}

/* What lies in the socket unread, orders with their locks, goes with it. */
static void hang_up(struct pool *pool)
{
    close(pool->scheduler);
    pool->scheduler = -1;
    turn_close(pool->turn);
    pool->turn = NULL;
}

static void carry_out(struct pool *pool, const struct pool_message *order, int lock)
{
    const int size = pool->world->comm->size;
    const int64_t began_us = now_us();
    struct error err = {0};
    struct pool_message answer, theirs = *order;
    theirs.has_checkpoint_key = 0;
    crypto_wipe(theirs.checkpoint_key, sizeof theirs.checkpoint_key);
    for (int rank = 1; rank < size; rank++)
        if (pool_send(pool->ranks[rank], &theirs, lock, &err) != 0)
            lost(&err);
    /* The lock is ours until the others have let go of theirs. */
    int kept = fcntl(lock, F_DUPFD_CLOEXEC, 3);
    run_job(pool, order, lock);
    for (int rank = 1; rank < size; rank++) {
        int rc;
        do
            rc = pool_receive(pool->ranks[rank], -1, &answer, NULL, &err);
        while (rc == -PPT_ENOTFOUND);
        if (rc != 0)
            lost(&err);
    }
    if (kept >= 0)
        close(kept);
    answer = say(pool, pool->is_used_up ? POOL_LEAVE : POOL_ENDED);
    answer.job_id = order->job_id;
    answer.attempt = order->attempt;
    answer.lasted_us = now_us() - began_us;
    if (pool->scheduler >= 0 && pool_send(pool->scheduler, &answer, -1, &err) != 0)
        hang_up(pool);
}

/* It has begun from the moment that its turn is taken; the mark is there before, for
 * the signals that may come then. Says yes before anything of the job is touched: where
 * the scheduler has gone nothing is. */
static void take(struct pool *pool, const struct pool_message *order, int lock)
{
    struct pool_message yes = say(pool, POOL_TAKEN);
    bool is_mine = pool->login[0] == '\0' || strcmp(pool->login, order->login) == 0;
    yes.job_id = order->job_id;
    yes.attempt = order->attempt;
    if (lock < 0 || !is_mine || order->login[0] == '\0') {
        log_warning("an order for another login: this world ends");
        pool->is_used_up = true;
    } else {
        begin_job(order);
        bool is_ours = turn_begin(pool->turn, order->number);
        if (is_ours && pool_send(pool->scheduler, &yes, -1, NULL) == 0) {
            snprintf(pool->login, sizeof pool->login, "%s", order->login);
            carry_out(pool, order, lock);
            return;
        }
        if (is_ours)
            hang_up(pool);
        set_mark(pool->directory);
    }
    if (lock >= 0)
        close(lock);
}

/* Calls the scheduler; false where there has been none for too long. */
static bool find_scheduler(struct pool *pool, int64_t *alone_since)
{
    struct pool_message hello = say(pool, POOL_HELLO);
    int fd = -1;
    if (*alone_since == 0)
        *alone_since = now_ms();
    if (pool_call(pool->top, POOL_SOCKET, &pool->scheduler, NULL) == 0) {
        bool is_said = turn_create(&pool->turn, &fd, NULL) == 0 &&
                       pool_send(pool->scheduler, &hello, fd, NULL) == 0;
        if (fd >= 0)
            close(fd);
        if (is_said)
            return true;
        hang_up(pool);
    }
    pool->scheduler = -1;
    poll(NULL, 0, CALL_MS);
    return now_ms() - *alone_since < POOL_PATIENCE_S * 1000;
}

static void lead(struct pool *pool)
{
    int64_t alone_since = 0;
    while (!stop_requested && !pool->is_used_up && getppid() == pool->parent) {
        struct pool_message order;
        int lock = -1;
        if (pool->scheduler < 0) {
            if (!find_scheduler(pool, &alone_since))
                break;
            continue;
        }
        int rc = pool_receive(pool->scheduler, LOOK_MS, &order, &lock, NULL);
        if (rc == 0 || rc == -PPT_ENOTFOUND)
            alone_since = 0; /* it has not hung up on us at once */
        if (rc != 0)
            data_kept_forget();
        if (rc == 0 && order.kind == POOL_RUN)
            take(pool, &order, lock);
        else if (rc == 0 && order.kind == POOL_LEAVE)
            break;
        else if (rc != -PPT_ENOTFOUND)
            hang_up(pool);
        crypto_wipe(order.checkpoint_key, sizeof order.checkpoint_key);
    }
    if (pool->scheduler >= 0)
        hang_up(pool);
    for (int rank = 1; rank < pool->world->comm->size; rank++)
        close(pool->ranks[rank]);
}

/* ---- rank 0, in a pilot ---- */

/* A signal can be meant for this job from the moment its ticket is taken. */
static void take_file(struct pool *pool, const struct pool_message *order)
{
    struct error err = {0};
    begin_job(order);
    if (orders_take_ticket(order)) {
        carry_out(pool, order, -1);
        if (orders_tell_end(order, &err) != 0) {
            log_error(&err); /* the script tells, once this world has gone */
            pool->is_used_up = true;
        }
    } else {
        set_mark(pool->directory);
    }
    if (!pool->is_used_up && !orders_be_idle(pool->directory, order))
        pool->is_used_up = true;
}

static void lead_in_pilot(struct pool *pool)
{
    int64_t idle_since = now_ms();
    while (!stop_requested && !pool->is_used_up && getppid() == pool->parent) {
        struct pool_message order;
        struct error err = {0};
        int rc = orders_next(pool->directory, &order, &err);
        if (rc == 0) {
            take_file(pool, &order);
            idle_since = now_ms();
        } else if (rc == -PPT_ENOTFOUND) {
            poll(NULL, 0, ORDER_MS);
            if (now_ms() - idle_since > LOOK_MS)
                data_kept_forget();
        } else {
            break;
        }
    }
    for (int rank = 1; rank < pool->world->comm->size; rank++)
        close(pool->ranks[rank]);
}

/* ---- the others ---- */

static void follow(struct pool *pool)
{
    struct pool_message order;
    for (;;) {
        int lock = -1;
        int rc = pool_receive(pool->leader, LOOK_MS, &order, &lock, NULL);
        if (rc != 0)
            data_kept_forget();
        if (rc == -PPT_ENOTFOUND && getppid() == pool->parent)
            continue;
        if (rc != 0 || order.kind != POOL_RUN)
            break;
        begin_job(&order);
        run_job(pool, &order, lock);
        order = say(pool, POOL_ENDED);
        if (pool_send(pool->leader, &order, -1, NULL) != 0)
            break;
    }
    close(pool->leader);
}

int pool_serve(struct world *world, const struct pool_site *site, struct error *err)
{
    struct pool pool = {.world = world,
                        .directory = site->directory,
                        .public_key = site->public_key,
                        .scheduler = -1,
                        .parent = getppid(),
                        .max_jobs = site->max_jobs};
    char copy[POOL_PATH_SIZE];
    snprintf(copy, sizeof copy, "%s", site->directory);
    snprintf(pool.top, sizeof pool.top, "%s", dirname(copy));
    set_mark(site->directory);
    int rc = meet(&pool, err);
    if (rc == 0 && world->comm->rank != 0)
        follow(&pool);
    else if (rc == 0 && site->is_in_pilot)
        lead_in_pilot(&pool);
    else if (rc == 0)
        lead(&pool);
    free(pool.ranks);
    if (rc == 0 && getppid() != pool.parent)
        _exit(0); /* without mpirun the ranks cannot take leave of each other */
    return rc;
}
