/* Runs a race: the named steps of two sessions, in every order that keeps each
 * session's own.
 *
 *   ledger-steps FILE...
 *
 * A file (lines that begin with a blank go on with the line before):
 *   # what the race is about
 *   session a: LOGIN           two of them
 *   setup: SQL                 as the superuser; each run begins in a copy of what is
 * there then step a NAME: SQL           as that session's login always: SQL must be
 * true after every run outcome: SQL               one text that tells the runs apart
 *   allowed: TEXT              an outcome that may be; each must come up in some run
 *
 * A step that waits for the other session's lock is left waiting, as in life, and the
 * other session goes on. A step may fail with an error of our own class; any other
 * error, a deadlock above all, fails the race, and so does a fault in the ledger.
 */
#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/pathsafe.h"
#include "tests/ledger/world.h"

#define MAX_STEPS 8
#define MAX_ALLOWED 16

struct step {
    char *name;
    char *sql;
};

struct session {
    char name;
    char *login;
    struct step steps[MAX_STEPS];
    int n_steps;
    /* of one run */
    struct db *db;
    int pid;
    int next;
    pthread_t thread;
    pthread_mutex_t lock;
    bool is_busy;    /* a step is with the server */
    bool is_started; /* and its thread is to be joined */
    struct error err;
};

struct race {
    const char *file;
    struct session sessions[2];
    char *setups[MAX_STEPS];
    int n_setups;
    struct world world; /* after the setups, in this database; closed */
    char database[64];
    char *always, *outcome;
    char *allowed[MAX_ALLOWED];
    int n_seen[MAX_ALLOWED];
    int n_allowed;
};

/* What steps are written with: amounts in units of 2^-40 nat, the same at each order.
 */
static const char helpers[] =
    "CREATE FUNCTION public.cost(x bigint) RETURNS bigint[] LANGUAGE sql AS"
    " 'SELECT array_fill(x, ARRAY[128])';"
    "CREATE FUNCTION public.submit(account text, token text) RETURNS bigint"
    " LANGUAGE sql AS"
    " $$ SELECT ppt.queue_submit('j', account, 'digits', '{}', token) $$;"
    "CREATE FUNCTION public.reserve(epoch bigint, job bigint, x bigint) RETURNS text"
    " LANGUAGE sql AS $$ SELECT answer FROM ppt.ledger_reserve(epoch, job, true,"
    " 'example', 'add_remove', public.cost(x), 0, 1, 1e-6, 1, 1, 1, 'dp', 0, 1, 1, 1,"
    " 1) $$;"
    "CREATE FUNCTION public.reserve(epoch bigint, job bigint, x bigint, mu2 bigint)"
    " RETURNS text LANGUAGE sql AS $$ SELECT answer FROM ppt.ledger_reserve(epoch, job,"
    " true, 'example', 'add_remove', public.cost(x) || mu2, 0, 1, 1e-6, 1, 1, 1, 'dp',"
    " 0, 1, 1, 1, 1) $$;"
    "CREATE FUNCTION public.reserve_group(epoch bigint, jobs bigint[], x bigint)"
    " RETURNS boolean LANGUAGE sql AS $$ SELECT ppt.ledger_reserve_group(epoch, jobs,"
    " true, 'example', 'add_remove', public.cost(x), 0, 1, 1e-6, 1, 1, 1, 'dp', 0, 1, "
    "1,"
    " 1, 1) $$;"
    "CREATE FUNCTION public.done_group(epoch bigint, jobs json, x bigint)"
    " RETURNS boolean LANGUAGE sql AS $$ SELECT ppt.queue_done_group(epoch, jobs,"
    " 'example', 'add_remove', public.cost(x), 0) $$;"
    "CREATE FUNCTION public.finish(epoch bigint, job bigint, state text, x bigint)"
    " RETURNS void LANGUAGE sql AS $$ SELECT ppt.queue_finish(epoch, job, state, 0, '',"
    " 'example', 'add_remove', public.cost(x), 0, 0, 0, NULL, 0, '') $$;"
    "CREATE FUNCTION public.grant_(account text, epsilon float8) RETURNS bigint"
    " LANGUAGE sql AS $$ SELECT ppt.ledger_grant(account, NULL, epsilon, 1e-6, 0,"
    " 'example', 'add_remove', '') $$;"
    /* two jobs that are admitted together */
    "CREATE FUNCTION public.sweep(account text, token text) RETURNS bigint"
    " LANGUAGE sql AS $$ SELECT ppt.queue_submit_sweep('j', account, 'digits',"
    " '[{\"spec\": \"{}\", \"point\": \"1\"}, {\"spec\": \"{}\", \"point\": \"2\"}]', "
    "token,"
    " NULL, true, NULL) $$;"
    "CREATE FUNCTION public.reserve_both(epoch bigint, sweep bigint, x bigint)"
    " RETURNS void LANGUAGE plpgsql AS $$ DECLARE"
    " ids bigint[] := ppt.sweep_lock(epoch, sweep); BEGIN"
    " IF cardinality(ids) <> 2 OR public.reserve(epoch, ids[1], x) <> 'admitted'"
    " OR public.reserve(epoch, ids[2], x) <> 'admitted' THEN"
    " RAISE EXCEPTION USING ERRCODE = 'PB012', MESSAGE = 'not both'; END IF; END $$;";

__attribute__((format(printf, 2, 3), noreturn)) static void
fail(const char *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "ledger-steps: %s: ", file);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* ---- reading a file ---- */

static struct session *find_session(struct race *race, char name)
{
    for (int i = 0; i < 2; i++)
        if (race->sessions[i].name == name)
            return &race->sessions[i];
    fail(race->file, "no session %c", name);
}

/* "step a begin", "BEGIN" */
static void take_item(struct race *race, char *head, char *body)
{
    char *word = strtok(head, " ");
    if (strcmp(word, "session") == 0) {
        struct session *session = &race->sessions[race->sessions[0].name ? 1 : 0];
        session->name = strtok(NULL, " ")[0];
        session->login = body;
    } else if (strcmp(word, "setup") == 0 && race->n_setups < MAX_STEPS) {
        race->setups[race->n_setups++] = body;
    } else if (strcmp(word, "step") == 0) {
        struct session *session = find_session(race, strtok(NULL, " ")[0]);
        if (session->n_steps == MAX_STEPS)
            fail(race->file, "too many steps");
        session->steps[session->n_steps++] = (struct step){strtok(NULL, " "), body};
    } else if (strcmp(word, "always") == 0) {
        race->always = body;
    } else if (strcmp(word, "outcome") == 0) {
        race->outcome = body;
    } else if (strcmp(word, "allowed") == 0 && race->n_allowed < MAX_ALLOWED) {
        race->allowed[race->n_allowed++] = body;
    } else {
        fail(race->file, "what is \"%s\"?", word);
    }
}

/* Cuts the text, which must outlive the race, into items. */
static void parse(struct race *race, char *text)
{
    char *item = NULL, *line = text;
    while (line && *line) {
        char *end = strchr(line, '\n');
        char *next = end ? end + 1 : NULL;
        bool goes_on = next && (*next == ' ' || *next == '\t');
        if (!item)
            item = line;
        if (goes_on) {
            *end = ' ';
        } else {
            if (end)
                *end = '\0';
            if (*item != '#' && *item != '\0') {
                char *colon = strchr(item, ':');
                if (!colon)
                    fail(race->file, "no colon in \"%s\"", item);
                *colon = '\0';
                take_item(race, item, colon + 1 + strspn(colon + 1, " "));
            }
            item = NULL;
        }
        line = next;
    }
    if (race->sessions[1].n_steps == 0 || !race->outcome || race->n_allowed == 0)
        fail(race->file, "two sessions with steps, an outcome and what is allowed");
}

/* ---- one run ---- */

static void *run_step(void *argument)
{
    struct session *session = argument;
    struct error err = {0};
    db_script(session->db, session->steps[session->next - 1].sql, &err);
    pthread_mutex_lock(&session->lock);
    session->err = err;
    session->is_busy = false;
    pthread_mutex_unlock(&session->lock);
    return NULL;
}

static bool is_busy(struct session *session)
{
    pthread_mutex_lock(&session->lock);
    bool busy = session->is_busy;
    pthread_mutex_unlock(&session->lock);
    return busy;
}

static bool is_blocked(struct world *world, const struct session *session)
{
    struct error err = {0};
    struct db_params params = {0};
    struct db_result *result = NULL;
    db_param_int64(&params, session->pid);
    if (db_run(world->root, "SELECT cardinality(pg_blocking_pids($1::int)) > 0",
               &params, &result, &err) < 0)
        fail("pg_blocking_pids", "%s", err.text);
    bool blocked = db_bool(result, 0, 0);
    db_result_free(result);
    return blocked;
}

/* True when the session's step is done, false when it waits for a lock. */
static bool settles(struct world *world, struct session *session)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    while (is_busy(session)) {
        if (is_blocked(world, session) && is_busy(session))
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static void collect(const struct race *race, struct session *session)
{
    if (!session->is_started)
        return;
    pthread_join(session->thread, NULL);
    session->is_started = false;
    if (session->err.code == PPT_EDB)
        fail(race->file, "step %c %s: %s %s", session->name,
             session->steps[session->next - 1].name, session->err.text,
             session->err.detail);
}

static void start_step(struct session *session)
{
    session->next++;
    session->is_busy = session->is_started = true;
    if (pthread_create(&session->thread, NULL, run_step, session) != 0)
        abort();
}

/* Takes the turns of `order` (a string of 0 and 1); a session that waits loses its turn
 * to the next of the other. */
static void take_turns(struct race *race, struct world *world, char *order)
{
    while (*order) {
        int at = 0;
        while (order[at] && !settles(world, &race->sessions[order[at] - '0']))
            at++;
        if (!order[at])
            at = 0; /* all wait: a deadlock; the server will end one of them */
        struct session *session = &race->sessions[order[at] - '0'];
        while (is_busy(session))
            settles(world, session);
        collect(race, session);
        start_step(session);
        settles(world, session);
        memmove(order + at, order + at + 1, strlen(order + at));
    }
    for (int i = 0; i < 2; i++) {
        struct session *session = &race->sessions[i];
        while (is_busy(session))
            settles(world, session);
        collect(race, session);
    }
}

static void open_sessions(struct race *race)
{
    for (int i = 0; i < 2; i++) {
        struct session *session = &race->sessions[i];
        struct error err = {0};
        struct db_result *result = NULL;
        session->db = pg_connect(session->login);
        if (db_run(session->db, "SELECT pg_backend_pid()", NULL, &result, &err) < 0)
            fail(race->file, "%s", err.text);
        session->pid = (int)db_int64(result, 0, 0);
        db_result_free(result);
        session->next = 0;
        session->err = (struct error){0};
        pthread_mutex_init(&session->lock, NULL);
    }
}

static void judge(struct race *race, const char *order)
{
    if (race->always && strcmp(pg_query(race->always), "t") != 0)
        fail(race->file, "order %s: not always so", order);
    const char *outcome = pg_query(race->outcome);
    for (int i = 0; i < race->n_allowed; i++)
        if (strcmp(outcome, race->allowed[i]) == 0) {
            race->n_seen[i]++;
            return;
        }
    fail(race->file, "order %s: the outcome \"%s\" is not allowed", order, outcome);
}

/* Makes the world in which each run begins. */
static void set_up(struct race *race)
{
    struct error err = {0};
    race->world = world_open();
    if (db_script(race->world.root, helpers, &err) < 0)
        fail("helpers", "%s", err.text);
    for (int i = 0; i < race->n_setups; i++)
        if (db_script(race->world.root, race->setups[i], &err) < 0)
            fail(race->file, "setup %d: %s", i + 1, err.text);
    world_close(&race->world);
    snprintf(race->database, sizeof race->database, "%s", pg_database());
}

static void run_order(struct race *race, const char *order)
{
    char turns[2 * MAX_STEPS + 1];
    struct world world = world_copy(race->database, &race->world);
    open_sessions(race);
    snprintf(turns, sizeof turns, "%s", order);
    take_turns(race, &world, turns);
    judge(race, order);
    world_check(&world);
    for (int i = 0; i < 2; i++)
        db_close(race->sessions[i].db);
    world_close(&world);
}

/* Every order of `left[0]` zeros and `left[1]` ones behind what stands already. */
static int run_orders(struct race *race, char *order, int len, int zeros, int ones)
{
    order[len] = '\0';
    if (zeros + ones == 0) {
        run_order(race, order);
        return 1;
    }
    int n = 0;
    if (zeros > 0) {
        order[len] = '0';
        n += run_orders(race, order, len + 1, zeros - 1, ones);
    }
    if (ones > 0) {
        order[len] = '1';
        n += run_orders(race, order, len + 1, zeros, ones - 1);
    }
    return n;
}

static void run_file(const char *path)
{
    struct error err = {0};
    struct race race = {.file = path};
    char *text = NULL, order[2 * MAX_STEPS + 1];
    size_t len;
    if (pathsafe_read_file(path, 65536, &text, &len, &err) < 0)
        fail(path, "%s", err.text);
    parse(&race, text);
    set_up(&race);
    int n =
        run_orders(&race, order, 0, race.sessions[0].n_steps, race.sessions[1].n_steps);
    printf("%s: %d orders;", path, n);
    for (int i = 0; i < race.n_allowed; i++) {
        printf(" \"%s\" %d times%s", race.allowed[i], race.n_seen[i],
               i + 1 < race.n_allowed ? "," : "\n");
        if (race.n_seen[i] == 0)
            fail(path, "the outcome \"%s\" never came up", race.allowed[i]);
    }
    free(text);
}

int main(int argc, char **argv)
{
    pg_start();
    for (int i = 1; i < argc; i++)
        run_file(argv[i]);
    pg_stop();
    return 0;
}
