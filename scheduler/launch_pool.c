#include "scheduler/launch_pool.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "scheduler/cause.h"
#include "scheduler/world_orders.h"

#define MAX_WORLDS 512
/* From mpirun to a world's call, and from asking it to leave to killing it. */
#define COME_UP_MS 60000
#define LEAVE_MS 10000
/* How long a world may take to say yes to an order. */
#define TAKE_MS 2000
#define MAX_FAILURES 3
#define BROKEN_MS 60000
#define HELLO_MS 1000
/* How long a dead job waits for what its world's mpirun says of it. */
#define WORDS_MS 3000

enum world_state {
    WORLD_STARTING, /* mpirun was started; it has not called */
    WORLD_AWAY,     /* another scheduler's: it has not called this one yet */
    WORLD_IDLE,
    WORLD_BUSY,
    WORLD_LEAVING /* told to, or lost: goes when its lock is free */
};

struct world {
    int64_t id, n_ranks, cores_per_rank;
    enum world_state state;
    int fd; /* -1: no call */
    int64_t pid;
    bool is_awaited;  /* a job of this round waits for it */
    bool is_lost;     /* it has gone without a word, with its job */
    int64_t since_ms; /* of its state, or of what it runs */
    char login[POOL_LOGIN_SIZE];
    char directory[SPOOL_PATH_SIZE];
    struct world_orders orders;
    /* What it will be told in this round. */
    int n_promised;
    int64_t promised_memory_bytes; /* of the last of them */
    char promised_login[POOL_LOGIN_SIZE];
};

struct launch_pool {
    struct launch_mpirun *mpirun;
    struct launcher fallback;
    const struct conf_pool *conf;
    char directory[SPOOL_PATH_SIZE];
    int64_t max_ranks, next_id;
    int listener, epoll;
    int n_failures;
    int64_t broken_until_ms;
    struct world *worlds[MAX_WORLDS];
    int n_worlds;
    struct world_returned returned;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- worlds ---- */

static void set_state(struct world *world, enum world_state state)
{
    world->state = state;
    world->since_ms = now_ms();
}

/* What it has not begun it never will. */
static void hang_up(struct launch_pool *pool, struct world *world)
{
    world_orders_take_back(&world->orders, &pool->returned);
    if (world->fd >= 0)
        close(world->fd); /* which takes it out of the epoll set */
    world->fd = -1;
}

static void kill_world(struct launch_pool *pool, struct world *world)
{
    pool->fallback.ops->kill(&pool->fallback, world->directory);
}

/* Its ranks may still be busy: they are not marked with the world's directory then and
 * live on until they call. */
static void send_away(struct world *world)
{
    struct pool_message leave = {.kind = POOL_LEAVE};
    if (world->fd >= 0)
        pool_send(world->fd, &leave, -1, NULL);
    set_state(world, WORLD_LEAVING);
}

static struct world *add_world(struct launch_pool *pool, int64_t id, int64_t n_ranks,
                               int64_t cores_per_rank, enum world_state state)
{
    char name[80];
    struct world *world = pool->n_worlds < MAX_WORLDS ? calloc(1, sizeof *world) : NULL;
    if (world == NULL)
        return NULL;
    snprintf(name, sizeof name, "%lld-%lld-%lld", (long long)id, (long long)n_ranks,
             (long long)cores_per_rank);
    if (spool_path(pool->directory, name, world->directory, NULL) != 0) {
        free(world);
        return NULL;
    }
    world->id = id;
    world->n_ranks = n_ranks;
    world->cores_per_rank = cores_per_rank;
    world->fd = -1;
    set_state(world, state);
    pool->worlds[pool->n_worlds++] = world;
    if (pool->next_id <= id)
        pool->next_id = id + 1;
    return world;
}

static void drop_world(struct launch_pool *pool, int i)
{
    struct world *world = pool->worlds[i];
    hang_up(pool, world);
    world_orders_free(&world->orders);
    launch_mpirun_world_remove(world->directory);
    free(world);
    pool->worlds[i] = pool->worlds[--pool->n_worlds];
}

static int64_t count_ranks(const struct launch_pool *pool)
{
    int64_t n = 0;
    for (int i = 0; i < pool->n_worlds; i++)
        n += pool->worlds[i]->n_ranks;
    return n;
}

static void fail(struct launch_pool *pool, const char *why)
{
    pool->n_failures++;
    log_warning("pool: %s", why);
    if (pool->n_failures < MAX_FAILURES)
        return;
    log_warning("pool: no worlds can be started; jobs go to mpirun for a while");
    pool->broken_until_ms = now_ms() + BROKEN_MS;
    pool->n_failures = 0;
}

static bool is_broken(const struct launch_pool *pool)
{
    return now_ms() < pool->broken_until_ms;
}

/* Starts a world; it is of use once it has called. False: there are too many. */
static bool start_world(struct launch_pool *pool, int64_t n_ranks,
                        int64_t cores_per_rank, bool is_awaited)
{
    struct launcher_request request = {.n_ranks = n_ranks,
                                       .cores_per_rank = cores_per_rank};
    struct launcher_started started = {0};
    struct error err = {0};
    int lock = -1;
    struct world *world =
        add_world(pool, pool->next_id, n_ranks, cores_per_rank, WORLD_STARTING);
    if (world == NULL)
        return false;
    world->is_awaited = is_awaited;
    request.directory = world->directory;
    int rc = mkdir(world->directory, 0700) == 0
                 ? 0
                 : error_errno(&err, PPT_EIO, "cannot create %s", world->directory);
    if (rc == 0)
        rc = spool_lock(world->directory, &lock, &err);
    if (rc == 0)
        rc = launch_mpirun_world(pool->mpirun, &request, pool->conf->max_jobs, lock,
                                 &started, &err);
    if (lock >= 0)
        close(lock);
    if (rc != 0) {
        drop_world(pool, pool->n_worlds - 1);
        fail(pool, err.text);
    }
    return true;
}

/* ---- calls and words from worlds ---- */

static struct world *find_by_directory(struct launch_pool *pool, const char *directory)
{
    for (int i = 0; i < pool->n_worlds; i++)
        if (strcmp(pool->worlds[i]->directory, directory) == 0)
            return pool->worlds[i];
    return NULL;
}

static void take_call(struct launch_pool *pool, int fd)
{
    struct pool_message hello;
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    struct world *world = NULL;
    struct turn *turn = NULL;
    int turn_fd = -1;
    if (pool_receive(fd, HELLO_MS, &hello, &turn_fd, NULL) == 0 &&
        hello.kind == POOL_HELLO)
        world = find_by_directory(pool, hello.directory);
    if (world != NULL && hello.n_ranks == world->n_ranks)
        turn_open(turn_fd, &turn, NULL);
    if (turn_fd >= 0)
        close(turn_fd);
    if (turn == NULL) {
        close(fd); /* a world that nobody knows ends by itself */
        return;
    }
    hang_up(pool, world);
    world_orders_reset(&world->orders, turn);
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
    struct epoll_event event = {.events = EPOLLIN};
    world->fd = fd;
    world->pid = peer.pid;
    snprintf(world->login, sizeof world->login, "%s", hello.login);
    set_state(world, WORLD_IDLE);
    pool->n_failures = 0;
    epoll_ctl(pool->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void take_calls(struct launch_pool *pool)
{
    int fd;
    for (;;) {
        int rc = pool_accept(pool->listener, &fd, NULL);
        if (rc == -PPT_ETRUST)
            continue;
        if (rc != 0)
            return;
        take_call(pool, fd);
    }
}

/* All that a world has said. One that has gone without being asked is lost with its
 * job, if it had begun one; what that costs, the job's lock and directory will tell. */
static void hear(struct launch_pool *pool, struct world *world)
{
    struct pool_message word;
    struct world_orders *orders = &world->orders;
    int rc;
    while (world->fd >= 0 &&
           (rc = pool_receive(world->fd, 0, &word, NULL, NULL)) != -PPT_ENOTFOUND) {
        if (rc == 0 && word.kind == POOL_TAKEN && world_orders_begin(orders, &word)) {
            set_state(world, WORLD_BUSY);
        } else if (rc == 0 && word.kind == POOL_ENDED &&
                   world_orders_end(orders, &word)) {
            set_state(world, orders->n_open > 0 ? WORLD_BUSY : WORLD_IDLE);
        } else if (rc == 0 && word.kind == POOL_LEAVE) {
            world_orders_end(orders, &word);
            world_orders_take_back(orders, &pool->returned);
            set_state(world, WORLD_LEAVING);
        } else {
            hang_up(pool, world);
            if (world->state == WORLD_IDLE)
                kill_world(pool, world);
            world->is_lost = orders->n_open > 0;
            if (world->state != WORLD_LEAVING)
                set_state(world, WORLD_LEAVING);
        }
    }
}

/* Is its mpirun gone? */
static bool has_gone(const struct world *world)
{
    bool is_locked = true;
    return spool_is_locked(world->directory, &is_locked, NULL) == 0 && !is_locked;
}

/* A world that never called leaves its last words. */
static void keep_log(struct launch_pool *pool, const struct world *world)
{
    char from[SPOOL_PATH_SIZE], to[SPOOL_PATH_SIZE], why[SPOOL_PATH_SIZE + 64];
    if (spool_path(world->directory, "log", from, NULL) != 0 ||
        spool_path(pool->directory, "failed.log", to, NULL) != 0)
        return;
    rename(from, to);
    snprintf(why, sizeof why, "a world of %lld ranks did not come up: see %s",
             (long long)world->n_ranks, to);
    fail(pool, why);
}

/* What mpirun has said of a world that was lost goes to its job's log, where the cause
 * is looked for (cause.h). All that was said there is of one login's jobs. */
static void pass_on_words(const struct world *world)
{
    char from[SPOOL_PATH_SIZE], text[CAUSE_TAIL_BYTES + 1];
    if (!world->is_lost || world->orders.n_open == 0 ||
        spool_path(world->directory, "log", from, NULL) != 0)
        return;
    if (cause_read_tail(from, text, sizeof text) > 0)
        cause_append(world->orders.open[0].directory, text);
}

/* What time does to a world. True: it has gone and is to be dropped. */
static bool age(struct launch_pool *pool, struct world *world)
{
    int64_t age_ms = now_ms() - world->since_ms;
    if (world->state == WORLD_BUSY && world->orders.n_open > 1 &&
        age_ms > pool->conf->ahead_ms)
        world_orders_take_back(&world->orders, &pool->returned); /* it lasts */
    if (world->state == WORLD_IDLE && age_ms >= pool->conf->idle_s * 1000 &&
        (world->login[0] != '\0' || world->n_ranks != pool->conf->spare_ranks))
        send_away(world);
    if (world->state == WORLD_STARTING && age_ms >= COME_UP_MS)
        kill_world(pool, world);
    if (world->state == WORLD_LEAVING && age_ms >= LEAVE_MS)
        kill_world(pool, world);
    if (world->state == WORLD_IDLE || world->state == WORLD_BUSY || !has_gone(world))
        return false;
    /* mpirun has gone; ranks that wait may not know it. */
    if (pool->fallback.ops->count(&pool->fallback, world->directory, false) > 0)
        kill_world(pool, world);
    if (world->state == WORLD_STARTING)
        keep_log(pool, world);
    pass_on_words(world);
    return true;
}

static void start_spares(struct launch_pool *pool)
{
    const struct conf_pool *conf = pool->conf;
    int64_t n = 0;
    for (int i = 0; i < pool->n_worlds; i++) {
        const struct world *world = pool->worlds[i];
        if (world->state == WORLD_AWAY)
            return; /* it may be one */
        n += world->login[0] == '\0' && world->n_ranks == conf->spare_ranks &&
             world->cores_per_rank == 1 && world->state != WORLD_LEAVING;
    }
    for (; n < conf->n_spare && !is_broken(pool) &&
           count_ranks(pool) + conf->spare_ranks <= pool->max_ranks;
         n++)
        start_world(pool, conf->spare_ranks, 1, false);
}

static void tend(struct launcher *launcher)
{
    struct launch_pool *pool = launcher->state;
    take_calls(pool);
    for (int i = pool->n_worlds - 1; i >= 0; i--) {
        struct world *world = pool->worlds[i];
        world->is_awaited = false;
        world->n_promised = 0;
        hear(pool, world);
        if (age(pool, world))
            drop_world(pool, i);
    }
    start_spares(pool);
}

static int wake_fd(struct launcher *launcher)
{
    const struct launch_pool *pool = launcher->state;
    return pool->epoll;
}

/* A world that comes up or goes is looked after at once, and one that has just become
 * idle. */
static int64_t rest_ms(struct launcher *launcher)
{
    struct launch_pool *pool = launcher->state;
    int64_t least = WORLD_ORDERS_REST_MS;
    for (int i = 0; i < pool->n_worlds; i++) {
        struct world *world = pool->worlds[i];
        if (world->state == WORLD_IDLE)
            continue;
        hear(pool, world);
        int64_t ms =
            world->state == WORLD_BUSY ? world_orders_rest_ms(&world->orders) : 0;
        least = ms < least ? ms : least;
    }
    return least;
}

/* ---- which jobs, and which world ---- */

static bool is_for_pool(const struct launch_pool *pool,
                        const struct launcher_request *request)
{
    const struct conf_pool *conf = pool->conf;
    return request->n_ranks <= pool->max_ranks && request->gpus_per_rank == 0 &&
           request->memory_bytes <= conf->max_memory_bytes &&
           request->time_limit_s <= conf->max_time_limit_s && !is_broken(pool) &&
           strlen(request->login) < POOL_LOGIN_SIZE &&
           !conf_pool_excepts(conf, request->account);
}

static bool has_shape(const struct world *world, const struct launcher_request *request)
{
    return world->n_ranks == request->n_ranks &&
           world->cores_per_rank == request->cores_per_rank;
}

/* An idle world for it: one of this login before one of nobody's. Those that were
 * promised to another job count as long as it has not been started. */
static struct world *find_idle(struct launch_pool *pool,
                               const struct launcher_request *request,
                               bool with_promised)
{
    struct world *found = NULL;
    for (int i = 0; i < pool->n_worlds; i++) {
        struct world *world = pool->worlds[i];
        if (world->state != WORLD_IDLE || !has_shape(world, request) ||
            (world->n_promised > 0 && !with_promised))
            continue;
        if (strcmp(world->login, request->login) == 0)
            return world;
        if (world->login[0] == '\0')
            found = world;
    }
    return found;
}

/* One that is coming up and that no other job of this round waits for. */
static bool await_starting(struct launch_pool *pool,
                           const struct launcher_request *request)
{
    for (int i = 0; i < pool->n_worlds; i++) {
        struct world *world = pool->worlds[i];
        if (world->state == WORLD_STARTING && !world->is_awaited &&
            has_shape(world, request))
            return world->is_awaited = true;
    }
    return false;
}

/* Ends the one that has been idle for longest. True: room is being made. */
static bool make_room(struct launch_pool *pool)
{
    struct world *oldest = NULL;
    for (int i = 0; i < pool->n_worlds; i++) {
        struct world *world = pool->worlds[i];
        if (world->state == WORLD_LEAVING && !world->is_awaited)
            return world->is_awaited = true;
        if (world->state == WORLD_IDLE && world->n_promised == 0 &&
            (oldest == NULL || world->since_ms < oldest->since_ms))
            oldest = world;
    }
    if (oldest == NULL)
        return false;
    send_away(oldest);
    return oldest->is_awaited = true;
}

static bool promise(struct world *world, const struct launcher_request *request)
{
    world->n_promised++;
    world->promised_memory_bytes = request->memory_bytes;
    snprintf(world->promised_login, sizeof world->promised_login, "%s", request->login);
    return true;
}

static bool is_ready(struct launcher *launcher, const struct launcher_request *request)
{
    struct launch_pool *pool = launcher->state;
    struct world *idle = find_idle(pool, request, false);
    if (!is_for_pool(pool, request))
        return true;
    if (idle != NULL)
        return promise(idle, request);
    if (await_starting(pool, request))
        return false;
    if (count_ranks(pool) + request->n_ranks <= pool->max_ranks) {
        bool is_tried =
            start_world(pool, request->n_ranks, request->cores_per_rank, true);
        return !is_tried || is_broken(pool);
    }
    return !make_room(pool); /* all are busy: mpirun need not wait for them */
}

/* Hands the plan over. False: this world has not begun it and never will; the world is
 * given up. */
static bool order(struct launch_pool *pool, struct world *world,
                  const struct launcher_request *request, int lock)
{
    struct pool_message yes = {0};
    bool is_sent = world_orders_send(&world->orders, world->fd, request, lock);
    if (!is_sent || pool_receive(world->fd, TAKE_MS, &yes, NULL, NULL) != 0 ||
        yes.kind != POOL_TAKEN || !world_orders_begin(&world->orders, &yes))
        world_orders_take_back(&world->orders, NULL);
    if (world->orders.n_open > 0) { /* its turn has come, heard or not */
        snprintf(world->login, sizeof world->login, "%s", request->login);
        set_state(world, WORLD_BUSY);
        return true;
    }
    hang_up(pool, world);
    kill_world(pool, world);
    set_state(world, WORLD_LEAVING);
    return false;
}

/* ---- orders ahead ---- */

/* It takes the place of those before it, so no more room than they. Those that were
 * promised come before one that is not yet, and not before one that is being sent. */
static bool may_follow(const struct launch_pool *pool, const struct world *world,
                       const struct launcher_request *request, bool with_promised)
{
    const struct world_orders *orders = &world->orders;
    int n_promised = with_promised ? world->n_promised : 0;
    if (world->fd < 0 || !has_shape(world, request) ||
        orders->n_open + n_promised == 0 ||
        (world->state != WORLD_BUSY && world->state != WORLD_IDLE))
        return false;
    const char *login =
        world->state == WORLD_BUSY ? world->login : world->promised_login;
    int64_t memory_bytes = n_promised > 0
                               ? world->promised_memory_bytes
                               : orders->open[orders->n_open - 1].memory_bytes;
    return strcmp(login, request->login) == 0 &&
           request->memory_bytes <= memory_bytes &&
           orders->n_sent + n_promised < pool->conf->max_jobs &&
           world_orders_have_room(orders, n_promised, pool->conf->ahead_ms);
}

static int count_before(const struct world *world)
{
    return world->orders.n_open + world->n_promised;
}

/* The one that has least before it. */
static struct world *find_to_follow(struct launch_pool *pool,
                                    const struct launcher_request *request,
                                    bool with_promised)
{
    struct world *found = NULL;
    for (int i = 0; i < pool->n_worlds; i++) {
        struct world *world = pool->worlds[i];
        if (may_follow(pool, world, request, with_promised) &&
            (found == NULL || count_before(world) < count_before(found)))
            found = world;
    }
    return found;
}

static bool takes_ahead(struct launcher *launcher,
                        const struct launcher_request *request)
{
    struct launch_pool *pool = launcher->state;
    struct world *world =
        is_for_pool(pool, request) ? find_to_follow(pool, request, true) : NULL;
    return world != NULL && promise(world, request);
}

static int start_ahead(struct launch_pool *pool, const struct launcher_request *request,
                       int lock, struct launcher_started *ret_started,
                       struct error *err)
{
    struct world *world = find_to_follow(pool, request, false);
    if (world == NULL || !world_orders_send(&world->orders, world->fd, request, lock)) {
        world_returned_add(&pool->returned, request->directory);
        return error_set(err, PPT_ESTATE, "no world takes it ahead any more");
    }
    *ret_started = (struct launcher_started){.pid = world->pid};
    return 0;
}

/* Another attempt of this job begins: that an earlier one is over says nothing now. */
static void forget(struct launch_pool *pool, const char *directory)
{
    for (int i = 0; i < pool->n_worlds; i++)
        world_orders_forget(&pool->worlds[i]->orders, directory);
    world_returned_forget(&pool->returned, directory);
}

static int start(struct launcher *launcher, const struct launcher_request *request,
                 int lock, struct launcher_started *ret_started, struct error *err)
{
    struct launch_pool *pool = launcher->state;
    struct world *world;
    forget(pool, request->directory);
    if (request->is_ahead)
        return start_ahead(pool, request, lock, ret_started, err);
    while (is_for_pool(pool, request) &&
           (world = find_idle(pool, request, true)) != NULL)
        if (order(pool, world, request, lock)) {
            *ret_started = (struct launcher_started){.pid = world->pid};
            return 0;
        }
    return pool->fallback.ops->start(&pool->fallback, request, lock, ret_started, err);
}

/* ---- the processes of a job ---- */

/* The world whose open order it is, or NULL. *ret_place: 0 is the first one. */
static struct world *find_by_job(struct launch_pool *pool, const char *directory,
                                 int *ret_place)
{
    for (int i = 0; i < pool->n_worlds; i++) {
        *ret_place = world_orders_find(&pool->worlds[i]->orders, directory);
        if (*ret_place >= 0)
            return pool->worlds[i];
    }
    return NULL;
}

/* mpirun speaks after the ranks have died and the job's lock is free. */
static bool may_still_speak(struct launch_pool *pool, const char *directory)
{
    int place;
    struct world *world = find_by_job(pool, directory, &place);
    if (world == NULL || place != 0)
        return false;
    if (world->state == WORLD_BUSY)
        hear(pool, world); /* it may have said that the job has ended */
    return world->is_lost && now_ms() - world->since_ms < WORDS_MS;
}

/* Ordered, and others come first: it takes no room yet. */
static bool is_ahead(struct launcher *launcher, const char *directory)
{
    struct launch_pool *pool = launcher->state;
    int place;
    return find_by_job(pool, directory, &place) != NULL && place > 0;
}

/* A world has said so. */
static bool is_over(struct launcher *launcher, const char *directory)
{
    const struct launch_pool *pool = launcher->state;
    for (int i = 0; i < pool->n_worlds; i++)
        if (world_orders_has_ended(&pool->worlds[i]->orders, directory))
            return true;
    return false;
}

static int look(struct launcher *launcher, const char *directory, int64_t attempt,
                struct launcher_look *ret_look, struct error *err)
{
    struct launch_pool *pool = launcher->state;
    if (world_returned_has(&pool->returned, directory) ||
        is_ahead(launcher, directory)) {
        *ret_look = (struct launcher_look){.life = LAUNCHER_QUEUED, .ran_s = -1};
        if (!is_ahead(launcher, directory)) {
            ret_look->life = LAUNCHER_NEVER;
            ret_look->is_returned = true;
        }
        return 0;
    }
    if (is_over(launcher, directory)) {
        *ret_look = (struct launcher_look){.life = LAUNCHER_GONE, .ran_s = -1};
        return 0;
    }
    int rc =
        pool->fallback.ops->look(&pool->fallback, directory, attempt, ret_look, err);
    if (rc == 0 && ret_look->life == LAUNCHER_GONE && may_still_speak(pool, directory))
        ret_look->life = LAUNCHER_ALIVE; /* tend drops the world when mpirun has gone */
    return rc;
}

static int count(struct launcher *launcher, const char *directory, bool only_ranks)
{
    struct launch_pool *pool = launcher->state;
    if (is_over(launcher, directory) || is_ahead(launcher, directory) ||
        world_returned_has(&pool->returned, directory))
        return 0;
    return pool->fallback.ops->count(&pool->fallback, directory, only_ranks);
}

/* No other job can follow in its world, so that no signal that is meant for it can meet
 * the next. False: it had not begun, and never will. */
static bool stand_alone(struct launch_pool *pool, const char *directory)
{
    int place;
    struct world *world = find_by_job(pool, directory, &place);
    if (world != NULL)
        world_orders_take_back(&world->orders, &pool->returned);
    return !world_returned_has(&pool->returned, directory);
}

static void stop(struct launcher *launcher, const char *directory)
{
    struct launch_pool *pool = launcher->state;
    if (stand_alone(pool, directory))
        pool->fallback.ops->stop(&pool->fallback, directory);
}

static void kill_all(struct launcher *launcher, const char *directory)
{
    struct launch_pool *pool = launcher->state;
    if (stand_alone(pool, directory))
        pool->fallback.ops->kill(&pool->fallback, directory);
}

static bool is_here(struct launcher *launcher)
{
    struct launch_pool *pool = launcher->state;
    return pool->fallback.ops->is_here(&pool->fallback);
}

static const struct launcher_ops pool_ops = {.name = "pool",
                                             .is_here = is_here,
                                             .tend = tend,
                                             .wake_fd = wake_fd,
                                             .rest_ms = rest_ms,
                                             .is_ready = is_ready,
                                             .takes_ahead = takes_ahead,
                                             .is_ahead = is_ahead,
                                             .start = start,
                                             .look = look,
                                             .is_over = is_over,
                                             .count = count,
                                             .stop = stop,
                                             .kill = kill_all};

/* ---- opening ---- */

/* The worlds of an earlier scheduler: those whose mpirun lives are waited for, what is
 * left of the others is cleared away. */
static int find_worlds(struct launch_pool *pool, struct error *err)
{
    DIR *directory = opendir(pool->directory);
    if (directory == NULL)
        return error_errno(err, PPT_EIO, "cannot read %s", pool->directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        long long id, n_ranks, n_cores;
        char rest;
        if (sscanf(entry->d_name, "%lld-%lld-%lld%c", &id, &n_ranks, &n_cores, &rest) ==
            3)
            add_world(pool, id, n_ranks, n_cores, WORLD_AWAY);
    }
    closedir(directory);
    return 0;
}

int launch_pool_open(struct launch_mpirun *mpirun, const struct conf_pool *conf,
                     const struct spool *spool, int64_t n_cores,
                     struct launch_pool **ret_pool, struct error *err)
{
    struct launch_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a pool");
    pool->mpirun = mpirun;
    pool->fallback = launch_mpirun(mpirun);
    pool->conf = conf;
    pool->max_ranks = conf->n_ranks > 0 ? conf->n_ranks : 2 * n_cores;
    pool->next_id = 1;
    pool->listener = -1;
    pool->epoll = epoll_create1(EPOLL_CLOEXEC);
    int rc = pool->epoll >= 0 ? spool_path(spool->root, "pool", pool->directory, err)
                              : error_errno(err, PPT_EIO, "cannot watch a pool");
    if (rc == 0 && mkdir(pool->directory, 0700) != 0 && errno != EEXIST)
        rc = error_errno(err, PPT_EIO, "cannot create %s", pool->directory);
    if (rc == 0)
        rc = find_worlds(pool, err);
    if (rc == 0)
        rc = pool_listen(pool->directory, POOL_SOCKET, &pool->listener, err);
    struct epoll_event event = {.events = EPOLLIN};
    if (rc == 0 && epoll_ctl(pool->epoll, EPOLL_CTL_ADD, pool->listener, &event) != 0)
        rc = error_errno(err, PPT_EIO, "cannot watch a pool");
    if (rc != 0)
        launch_pool_free(pool);
    else
        *ret_pool = pool;
    return rc;
}

void launch_pool_free(struct launch_pool *pool)
{
    if (pool == NULL)
        return;
    for (int i = 0; i < pool->n_worlds; i++) {
        hang_up(pool, pool->worlds[i]);
        world_orders_free(&pool->worlds[i]->orders);
        free(pool->worlds[i]);
    }
    world_returned_free(&pool->returned);
    if (pool->listener >= 0)
        close(pool->listener);
    if (pool->epoll >= 0)
        close(pool->epoll);
    free(pool);
}

struct launcher launch_pool(struct launch_pool *pool)
{
    return (struct launcher){.ops = &pool_ops, .state = pool};
}
