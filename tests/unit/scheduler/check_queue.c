/* The queue: submitting, the legal moves, who starts next, cancelling, the end. */
#include <check.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "tests/ledger/world.h"

#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

static struct world world;
static struct error err;

static void open_world(void)
{
    err = (struct error){0};
    world = world_open();
    world_grant(&world, "acme", NULL, 50, 1e-6);
}

static void close_world(void)
{
    world_check(&world);
    world_close(&world);
}

static struct queue_job find(int64_t id)
{
    struct queue_job job;
    OK(queue_find(world.root, id, &job, &err));
    queue_job_free(&job);
    return job;
}

/* Of the job: ids of those it waits for; "" for none. Valid until the next call. */
static const char *after_of(int64_t id)
{
    static char after[256];
    struct queue_job job;
    OK(queue_find(world.root, id, &job, &err));
    snprintf(after, sizeof after, "%s", job.after == NULL ? "" : job.after);
    queue_job_free(&job);
    return after;
}

static int64_t admit(const char *account, int64_t priority)
{
    struct cost cost = world_cost(0.001);
    struct ledger_verdict verdict;
    int64_t id = world_submit(&world, account);
    struct ledger_request request = world_request(id, &cost);
    request.priority = priority;
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_ADMITTED);
    return id;
}

static int64_t start(int64_t id)
{
    int64_t attempt;
    OK(queue_start(world.scheduler, &world.lease, id, "/jobs/1", "", &attempt, &err));
    return attempt;
}

START_TEST(submission_is_kept_as_sent)
{
    const char *spec = "{\"name\":\"gr\xc3\xbc\xc3\x9f\"}\n";
    char sha256[CRYPTO_HEX_SIZE];
    struct queue_job job;
    int64_t id, again, other;
    OK(queue_submit(world.alice, "first", WORLD_ACCOUNT, WORLD_DATASET, spec, "t", &id,
                    &err));
    OK(queue_find(world.alice, id, &job, &err));
    crypto_sha256_hex(spec, strlen(spec), sha256);
    ck_assert_str_eq(job.spec, spec);
    ck_assert_str_eq(job.spec_sha256, sha256);
    ck_assert_str_eq(job.name, "first");
    ck_assert_str_eq(job.account, WORLD_ACCOUNT);
    ck_assert_str_eq(job.dataset, WORLD_DATASET);
    ck_assert_str_eq(job.submitted_by, "alice");
    ck_assert_int_eq(job.state, QUEUE_SUBMITTED);
    ck_assert_int_gt(job.submitted_at_s, 1700000000);
    ck_assert_int_eq(job.started_at_s, 0);
    ck_assert(!job.has_test_accuracy);
    queue_job_free(&job);

    /* sent again, because the answer was lost */
    OK(queue_submit(world.alice, "first", WORLD_ACCOUNT, WORLD_DATASET, spec, "t",
                    &again, &err));
    ck_assert_int_eq(again, id);
    FAILS(PPT_EEXISTS, queue_submit(world.alice, "first", WORLD_ACCOUNT, WORLD_DATASET,
                                    "{}", "t", &again, &err));
    /* another login's token is another token */
    OK(queue_submit(world.bob, "first", "acme/sales", WORLD_DATASET, spec, "t", &other,
                    &err));
    ck_assert_int_ne(other, id);
    FAILS(PPT_ENOTFOUND, queue_find(world.alice, 999, &job, &err));
}
END_TEST

/* As many ids as one job may wait for, and one. */
static char *many_ids(int64_t id)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    for (int i = 0; i <= QUEUE_MAX_AFTER; i++)
        fprintf(to, "%s%" PRId64, i == 0 ? "" : ",", id + i);
    fclose(to);
    return text;
}

START_TEST(submission_after_others)
{
    struct queue_wait wait;
    int64_t id, again, bobs, first = world_submit(&world, WORLD_ACCOUNT);
    int64_t second = world_submit(&world, WORLD_ACCOUNT);
    char after[64], *many = many_ids(first);
    enum queue_state state;
    snprintf(after, sizeof after, "%" PRId64 ",%" PRId64 ",%" PRId64, second, first,
             second);
    OK(queue_submit_after(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", "t",
                          after, &id, &err));
    OK(queue_submit_after(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", "t",
                          after, &again, &err));
    ck_assert_int_eq(again, id);
    snprintf(after, sizeof after, "%" PRId64 ",%" PRId64, first, second);
    ck_assert_str_eq(after_of(id), after);
    ck_assert_str_eq(after_of(first), "");

    /* another job of that token; nobody's, another's, none, too many */
    snprintf(after, sizeof after, "%" PRId64, first);
    FAILS(PPT_EEXISTS,
          queue_submit_after(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", "t",
                             after, &again, &err));
    FAILS(PPT_ENOTFOUND,
          queue_submit_after(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", "u",
                             "999", &again, &err));
    OK(queue_submit(world.bob, "b", "acme/sales", WORLD_DATASET, "{}", "b", &bobs,
                    &err));
    snprintf(after, sizeof after, "%" PRId64, bobs);
    FAILS(PPT_ENOTFOUND,
          queue_submit_after(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", "u",
                             after, &again, &err));
    FAILS(PPT_ERANGE, queue_submit_after(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET,
                                         "{}", "u", "", &again, &err));
    FAILS(PPT_ERANGE, queue_submit_after(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET,
                                         "{}", "u", many, &again, &err));
    free(many);
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job"), "4");
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job_after"), "2");

    snprintf(after, sizeof after, "%" PRId64 ", %" PRId64, first, second);
    OK(queue_waits_for(world.scheduler, id, &wait, &err));
    ck_assert_str_eq(wait.open, after);
    ck_assert_int_eq(wait.lost, 0);
    OK(queue_cancel(world.alice, second, "", &state, &err));
    OK(queue_waits_for(world.scheduler, id, &wait, &err));
    ck_assert_int_eq(wait.lost, second);
    ck_assert_str_eq(wait.state, "cancelled");
    OK(queue_waits_for(world.scheduler, first, &wait, &err));
    ck_assert_int_eq(wait.lost, 0);
    ck_assert_str_eq(wait.open, "");
}
END_TEST

START_TEST(submission_that_is_refused)
{
    int64_t id;
    char *large = malloc((256 << 10) + 2);
    memset(large, 'x', (256 << 10) + 1);
    large[(256 << 10) + 1] = '\0';
    const struct {
        enum ppt_error code;
        const char *name, *account, *dataset, *spec, *token;
    } bad[] = {
        {PPT_EPERM, "j", "acme", WORLD_DATASET, "{}", "1"},
        {PPT_EPERM, "j", "acme/sales", WORLD_DATASET, "{}", "2"},
        {PPT_ENOTFOUND, "j", "nowhere", WORLD_DATASET, "{}", "3"},
        {PPT_ENOTFOUND, "j", WORLD_ACCOUNT, "nothing", "{}", "4"},
        {PPT_ERANGE, "", WORLD_ACCOUNT, WORLD_DATASET, "{}", "5"},
        {PPT_ERANGE, "j", WORLD_ACCOUNT, WORLD_DATASET, "", "6"},
        {PPT_ERANGE, "j", WORLD_ACCOUNT, WORLD_DATASET, large, "7"},
        {PPT_ERANGE, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", ""},
        {PPT_ERANGE, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", NULL},
        {PPT_ENOTFOUND, "j", NULL, WORLD_DATASET, "{}", "8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(queue_submit(world.alice, bad[i].name, bad[i].account,
                                   bad[i].dataset, bad[i].spec, bad[i].token, &id,
                                   &err) == -(int)bad[i].code,
                      "case %zu: %s", i, err.text);
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job"), "0");
    free(large);
}
END_TEST

#define JOB(account, dataset)                                                          \
    "{\"name\": \"j\", \"account\": \"" account "\", \"dataset\": \"" dataset          \
    "\", \"spec\": \"{}\"}"

/* Each for itself: what is refused leaves no trace, the others stand, and sent again
 * they are the same. */
START_TEST(many_at_once)
{
    const char *jobs = "[" JOB(WORLD_ACCOUNT, WORLD_DATASET) "," JOB(
        "acme/sales",
        WORLD_DATASET) "," JOB("nobody",
                               WORLD_DATASET) ","
                                              "{\"name\": \"j\", \"account\": "
                                              "\"" WORLD_ACCOUNT
                                              "\", \"dataset\": \"" WORLD_DATASET
                                              "\"}," JOB(WORLD_ACCOUNT,
                                                         WORLD_DATASET) "]";
    struct queue_filed filed[5], again[5], after[5];
    char first[24];
    OK(queue_submit_many(world.alice, jobs, "t", NULL, filed, 5, &err));
    ck_assert_int_eq(find(filed[0].job_id).state, QUEUE_SUBMITTED);
    ck_assert_int_gt(filed[4].job_id, filed[0].job_id);
    const int codes[] = {0, PPT_EPERM, PPT_ENOTFOUND, PPT_ERANGE, 0};
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(filed[i].why.code, codes[i]);
        ck_assert_int_eq(filed[i].job_id == 0, codes[i] != 0);
    }
    ck_assert_ptr_nonnull(strstr(filed[1].why.text, "may not submit"));
    ck_assert_ptr_nonnull(strstr(filed[1].why.hint, "privacy officer"));
    OK(queue_submit_many(world.alice, jobs, "t", NULL, again, 5, &err));
    ck_assert_int_eq(again[0].job_id, filed[0].job_id);
    ck_assert_int_eq(again[4].job_id, filed[4].job_id);
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job"), "2");
    snprintf(first, sizeof first, "%" PRId64, filed[0].job_id);
    OK(queue_submit_many(world.alice, jobs, "u", first, after, 5, &err));
    ck_assert_str_eq(after_of(after[0].job_id), first);
    ck_assert_str_eq(after_of(after[4].job_id), first);
}
END_TEST

START_TEST(many_at_once_are_not_none)
{
    struct queue_filed filed[1];
    FAILS(PPT_ERANGE, queue_submit_many(world.alice, "[]", "t", NULL, filed, 1, &err));
    FAILS(PPT_ERANGE, queue_submit_many(world.alice, "{}", "t", NULL, filed, 1, &err));
    FAILS(PPT_EPERM, queue_submit_many(world.officer, "[]", "t", NULL, filed, 1, &err));
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.job"), "0");
}
END_TEST

START_TEST(membership_counts_below_and_can_end)
{
    int64_t id;
    OK(ledger_member_add(world.officer, "acme/research", "alice", &err)); /* twice */
    OK(queue_submit(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}", "a", &id,
                    &err));
    OK(ledger_member_remove(world.officer, "acme/research", "alice", &err));
    OK(ledger_member_remove(world.officer, "acme/research", "alice", &err));
    FAILS(PPT_EPERM, queue_submit(world.alice, "j", WORLD_ACCOUNT, WORLD_DATASET, "{}",
                                  "b", &id, &err));
    struct queue_jobs jobs; /* one's own jobs stay in sight */
    OK(queue_list(world.alice, NULL, &jobs, &err));
    ck_assert_int_eq(jobs.n, 1);
    ck_assert_str_eq(jobs.jobs[0].account, WORLD_ACCOUNT);
    queue_jobs_free(&jobs);
    FAILS(PPT_ENOTFOUND, ledger_member_add(world.officer, "nowhere", "x", &err));
    FAILS(PPT_ERANGE, ledger_member_add(world.officer, "acme", "", &err));
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.member_event WHERE "
                              "login = 'alice'"),
                     "2");
}
END_TEST

START_TEST(notification_follows_a_submission)
{
    int n = 0;
    OK(db_listen(world.scheduler, QUEUE_CHANNEL, &err));
    OK(db_drain(world.scheduler, &n, &err));
    ck_assert_int_eq(n, 0);
    world_submit(&world, WORLD_ACCOUNT);
    struct pollfd fd = {.fd = db_socket(world.scheduler), .events = POLLIN};
    ck_assert_int_eq(poll(&fd, 1, 5000), 1);
    OK(db_drain(world.scheduler, &n, &err));
    ck_assert_int_eq(n, 1);
}
END_TEST

/* Every pair of states, tried by hand in the table itself. */
START_TEST(only_legal_moves)
{
    static const char *const legal[QUEUE_N_STATES] = {
        [QUEUE_SUBMITTED] = "submitted waiting admitted refused cancelled",
        [QUEUE_WAITING] = "waiting admitted refused cancelled",
        [QUEUE_ADMITTED] = "admitted running failed cancelled",
        [QUEUE_RUNNING] = "running done failed cancelled",
    };
    /* how to get there from submitted */
    static const char *const road[QUEUE_N_STATES][2] = {
        [QUEUE_WAITING] = {"waiting"},
        [QUEUE_ADMITTED] = {"admitted"},
        [QUEUE_RUNNING] = {"admitted", "running"},
        [QUEUE_DONE] = {"admitted", "running"},
        [QUEUE_REFUSED] = {"refused"},
        [QUEUE_FAILED] = {"admitted", "failed"},
        [QUEUE_CANCELLED] = {"cancelled"},
    };
    const char *move =
        "UPDATE ppt.job SET state = '%s', is_private = false,"
        " attempt = attempt + ('%s' = 'running' AND state <> 'running')::int"
        " WHERE id = %" PRId64;
    char sql[256];
    for (int from = 0; from < QUEUE_N_STATES; from++)
        for (int to = 0; to < QUEUE_N_STATES; to++) {
            int64_t id = world_submit(&world, WORLD_ACCOUNT);
            OK(db_begin(world.root, &err));
            for (int i = 0; i < 2 && road[from][i]; i++) {
                snprintf(sql, sizeof sql, move, road[from][i], road[from][i], id);
                OK(db_script(world.root, sql, &err));
            }
            if (from == QUEUE_DONE) {
                snprintf(sql, sizeof sql, move, "done", "done", id);
                OK(db_script(world.root, sql, &err));
            }
            const char *name = queue_state_name((enum queue_state)to);
            snprintf(sql, sizeof sql, move, name, name, id);
            bool is_legal = legal[from] && strstr(legal[from], name);
            int rc = db_script(world.root, sql, &err);
            ck_assert_msg(rc == (is_legal ? 0 : -PPT_ESTATE), "%s -> %s: %d %s",
                          queue_state_name((enum queue_state)from), name, rc, err.text);
            db_rollback(world.root);
        }
}
END_TEST

START_TEST(table_keeps_what_was_submitted_and_admitted)
{
    const char *const deeds[] = {
        "name = 'x'",         "spec = '{ }'",       "account_id = 1",
        "token = 'x'",        "submitted_by = 'x'", "submitted_at = now()",
        "epsilon = 0.1",      "n_cores = 9",        "kind = 'fl'",
        "is_private = false", "state = 'running'",  "attempt = 1",
        "spec_sha256 = 'x'",  "state = 'cancelled'"};
    char sql[128];
    admit(WORLD_ACCOUNT, 0);
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        snprintf(sql, sizeof sql, "UPDATE ppt.job SET %s", deeds[i]);
        ck_assert_msg(db_script(world.root, sql, &err) == -PPT_ESTATE, "%s: %s", sql,
                      err.text);
    }
    FAILS(PPT_ESTATE, db_script(world.root,
                                "INSERT INTO ppt.job (name, account_id, dataset_id, "
                                "spec, token, state) VALUES ('x', 1, 1, '{}', 'x', "
                                "'running')",
                                &err));
}
END_TEST

/* One row that may not be so undoes a statement that moves many, whichever it is. */
START_TEST(statement_stands_for_all_its_rows)
{
    int64_t ids[3];
    char sql[160];
    for (int i = 0; i < 3; i++)
        ids[i] = world_submit(&world, WORLD_ACCOUNT);
    for (int i = 0; i < 3; i++) {
        snprintf(sql, sizeof sql,
                 "UPDATE ppt.job SET state = 'waiting', reason = 'x',"
                 " attempt = (id = %" PRId64 ")::int",
                 ids[i]);
        FAILS(PPT_ESTATE, db_script(world.root, sql, &err));
        snprintf(sql, sizeof sql, "job %" PRId64 ": ", ids[i]);
        ck_assert_ptr_nonnull(strstr(err.text, sql));
    }
    FAILS(PPT_ESTATE, db_script(world.root, "UPDATE ppt.job SET id = DEFAULT", &err));
    OK(db_script(world.root, "UPDATE ppt.job SET state = 'waiting', reason = 'y'",
                 &err));
    ck_assert_str_eq(
        pg_query("SELECT string_agg(concat_ws(' ', job_id, from_state, to_state,"
                 " reason), ', ' ORDER BY id) FROM ppt.job_event"),
        "1 submitted , 2 submitted , 3 submitted ,"
        " 1 submitted waiting y, 2 submitted waiting y, 3 submitted waiting y");
}
END_TEST

START_TEST(job_walks_and_leaves_a_trail)
{
    static const char *const trail[][2] = {
        {"", "submitted"},       {"submitted", "waiting"}, {"waiting", "admitted"},
        {"admitted", "running"}, {"running", "running"},   {"running", "done"}};
    struct cost cost = world_cost(0.001), spent = world_cost(0.0005);
    struct ledger_verdict verdict;
    struct queue_events events;
    struct queue_jobs jobs;
    int64_t id = world_submit(&world, WORLD_ACCOUNT);
    struct db *db = world.scheduler;

    OK(queue_hold(db, &world.lease, id, "too little budget", &err));
    OK(queue_hold(db, &world.lease, id, "too little budget", &err));
    ck_assert_str_eq(find(id).reason, "too little budget");
    struct ledger_request request = world_request(id, &cost);
    request.priority = 7;
    request.n_ranks = 2;
    OK(ledger_reserve(db, &world.lease, &request, &verdict, &err));
    struct queue_job job = find(id);
    ck_assert_str_eq(job.reason, "");
    ck_assert_str_eq(job.kind, "dp");
    ck_assert_int_eq(job.priority, 7);
    ck_assert_int_eq(job.n_ranks, 2);
    ck_assert_int_eq(job.memory_bytes, 1 << 20);
    ck_assert(job.is_private);
    ck_assert_double_eq(job.sample_rate, 0.01);

    ck_assert_int_eq(start(id), 1);
    FAILS(PPT_ESTATE, queue_started(db, &world.lease, id, 2, "node", 44, 5555, &err));
    OK(queue_started(db, &world.lease, id, 1, "node", 44, 5555, &err));
    OK(queue_running(db, &jobs, &err));
    ck_assert_int_eq(jobs.n, 1);
    ck_assert_int_eq(jobs.jobs[0].pid, 44);
    ck_assert_int_eq(jobs.jobs[0].pid_start_time, 5555);
    ck_assert_str_eq(jobs.jobs[0].host, "node");
    ck_assert_str_eq(jobs.jobs[0].directory, "/jobs/1");
    ck_assert_int_eq(jobs.jobs[0].epoch, world.lease.epoch);
    ck_assert_ptr_null(jobs.jobs[0].spec);
    queue_jobs_free(&jobs);

    ck_assert_int_eq(start(id), 2); /* after an interruption */
    ck_assert_int_eq(find(id).pid, 0);
    struct queue_outcome outcome = {.state = QUEUE_DONE,
                                    .spent = spent,
                                    .epsilon_spent = 0.7,
                                    .n_steps_done = 50,
                                    .has_test_accuracy = true,
                                    .test_accuracy = 0.97,
                                    .wall_s = 12.5,
                                    .model = "/jobs/1/model.h5"};
    OK(queue_finish(db, &world.lease, id, &outcome, &err));
    OK(queue_finish(db, &world.lease, id, &outcome, &err)); /* the answer was lost */
    job = find(id);
    ck_assert_int_eq(job.state, QUEUE_DONE);
    ck_assert(job.has_test_accuracy);
    ck_assert_double_eq(job.test_accuracy, 0.97);
    ck_assert_double_eq(job.epsilon_spent, 0.7);
    ck_assert_str_eq(job.model, "/jobs/1/model.h5");
    ck_assert_int_ge(job.ended_at_s, job.started_at_s);
    outcome.spent = cost;
    FAILS(PPT_ESTATE, queue_finish(db, &world.lease, id, &outcome, &err));
    outcome.spent = spent;
    outcome.state = QUEUE_FAILED;
    FAILS(PPT_ESTATE, queue_finish(db, &world.lease, id, &outcome, &err));

    OK(queue_history(world.alice, id, 0, &events, &err));
    ck_assert_int_eq(events.n, 6);
    for (int i = 0; i < 6; i++) {
        ck_assert_str_eq(events.events[i].from, trail[i][0]);
        ck_assert_str_eq(events.events[i].to, trail[i][1]);
        ck_assert_str_eq(events.events[i].login, i == 0 ? "alice" : "scheduler");
    }
    ck_assert_int_eq(events.events[4].attempt, 2);
    int64_t after = events.events[3].id;
    queue_events_free(&events);
    OK(queue_history(world.alice, id, after, &events, &err));
    ck_assert_int_eq(events.n, 2);
    queue_events_free(&events);
}
END_TEST

START_TEST(what_slurm_says_is_of_one_attempt)
{
    struct slurm_job said = {4711, "PENDING", "Resources"};
    struct slurm_job again = {4711, "COMPLETED", ""};
    struct db *db = world.scheduler;
    struct queue_events events;
    int64_t id = admit(WORLD_ACCOUNT, 0);
    FAILS(PPT_ESTATE, queue_slurm(db, &world.lease, id, 0, &said, &err));
    start(id);
    ck_assert_int_eq(find(id).slurm.id, 0);
    ck_assert_str_eq(find(id).slurm.state, "");
    FAILS(PPT_ESTATE, queue_slurm(db, &world.lease, id, 2, &said, &err));
    OK(queue_slurm(db, &world.lease, id, 1, &said, &err));
    OK(queue_slurm(db, &world.lease, id, 1, &said, &err));
    struct queue_job job = find(id);
    ck_assert_int_eq(job.slurm.id, 4711);
    ck_assert_str_eq(job.slurm.state, "PENDING");
    ck_assert_str_eq(job.slurm.reason, "Resources");
    ck_assert_int_eq(job.state, QUEUE_RUNNING);

    start(id); /* the next attempt is another job there */
    ck_assert_int_eq(find(id).slurm.id, 0);
    ck_assert_str_eq(find(id).slurm.reason, "");
    FAILS(PPT_ESTATE, queue_slurm(db, &world.lease, id, 1, &said, &err));
    OK(queue_slurm(db, &world.lease, id, 2, &again, &err));
    struct queue_outcome outcome = {.state = QUEUE_DONE, .spent = world_cost(0.0005)};
    OK(queue_finish(db, &world.lease, id, &outcome, &err));
    ck_assert_str_eq(find(id).slurm.state, "COMPLETED");
    FAILS(PPT_ESTATE, queue_slurm(db, &world.lease, id, 2, &said, &err));

    OK(queue_history(world.alice, id, 0, &events, &err));
    ck_assert_int_eq(events.n, 5); /* submitted, admitted, two starts, done */
    queue_events_free(&events);
}
END_TEST

START_TEST(finish_cannot_spend_more_than_reserved)
{
    struct queue_outcome outcome = {.state = QUEUE_FAILED,
                                    .error_code = PPT_EDATA,
                                    .reason = "damaged block",
                                    .spent = world_cost(0.1)};
    int64_t id = admit(WORLD_ACCOUNT, 0);
    start(id);
    FAILS(PPT_ERANGE, queue_finish(world.scheduler, &world.lease, id, &outcome, &err));
    ck_assert_int_eq(find(id).state, QUEUE_RUNNING);
    OK(ledger_reserved(world.scheduler, id, &outcome.spent, &err));
    OK(queue_finish(world.scheduler, &world.lease, id, &outcome, &err));
    ck_assert_int_eq(find(id).error_code, PPT_EDATA);
    ck_assert_str_eq(find(id).reason, "damaged block");
    outcome.state = QUEUE_RUNNING; /* no end */
    id = admit(WORLD_ACCOUNT, 0);
    start(id);
    FAILS(PPT_ESTATE, queue_finish(world.scheduler, &world.lease, id, &outcome, &err));
    ck_assert_int_eq(find(id).state, QUEUE_RUNNING);
}
END_TEST

static void expect_order(const int64_t *ids, int n)
{
    struct queue_jobs jobs;
    OK(queue_for_start(world.scheduler, 0, &jobs, &err));
    ck_assert_int_eq(jobs.n, n);
    for (int i = 0; i < n; i++)
        ck_assert_msg(jobs.jobs[i].id == ids[i],
                      "place %d is job %" PRId64 ", not %" PRId64, i, jobs.jobs[i].id,
                      ids[i]);
    queue_jobs_free(&jobs);
}

/* Specs are long and lists of them asked for often: only wishes to Slurm are told of.
 */
START_TEST(a_start_sees_wishes_to_slurm)
{
    static const char *const specs[] = {
        "{}\n", "{\"name\": \"\\\"slurm\\\": \"}\n",
        "{\"resources\": {\"slurm\": {\"qos\": \"q\"}}}\n"};
    struct cost cost = world_cost(0.001);
    struct queue_jobs jobs = {0};
    struct ledger_verdict verdict;
    int64_t id;
    for (int i = 0; i < 3; i++) {
        char token[8];
        snprintf(token, sizeof token, "wish-%d", i);
        OK(queue_submit(world.alice, "job", WORLD_ACCOUNT, WORLD_DATASET, specs[i],
                        token, &id, &err));
        struct ledger_request request = world_request(id, &cost);
        OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    }
    OK(queue_for_start(world.scheduler, 0, &jobs, &err));
    ck_assert_int_eq(jobs.n, 3);
    ck_assert_ptr_null(jobs.jobs[0].spec);
    ck_assert_ptr_null(jobs.jobs[1].spec);
    ck_assert_str_eq(jobs.jobs[2].spec, specs[2]);
    queue_jobs_free(&jobs);
}
END_TEST

/* Room is given by them: of jobs that wait and of those that run. */
START_TEST(lists_tell_of_gpus)
{
    static const char spec[] =
        "{\"name\": \"\\\"gpus_per_rank\\\": 9\", \"resources\": "
        "{\"ranks\": 1, \"gpus_per_rank\": 1}}\n";
    struct cost cost = world_cost(0.001);
    struct ledger_verdict verdict;
    struct queue_jobs jobs;
    int64_t id = admit(WORLD_ACCOUNT, 0), with;
    OK(queue_submit(world.alice, "job", WORLD_ACCOUNT, WORLD_DATASET, spec, "gpus",
                    &with, &err));
    struct ledger_request request = world_request(with, &cost);
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    OK(queue_for_start(world.scheduler, 0, &jobs, &err));
    ck_assert_int_eq(jobs.n, 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(jobs.jobs[i].gpus_per_rank, jobs.jobs[i].id == with);
    queue_jobs_free(&jobs);
    start(id);
    start(with);
    OK(queue_running(world.scheduler, &jobs, &err));
    ck_assert_int_eq(jobs.n, 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(jobs.jobs[i].gpus_per_rank, jobs.jobs[i].id == with);
    queue_jobs_free(&jobs);
}
END_TEST

START_TEST(start_order_is_priority_then_share_then_arrival)
{
    int64_t ids[5], late;
    struct cost zero = world_cost(0);
    late = admit(WORLD_ACCOUNT, -5);
    ids[2] = admit(WORLD_ACCOUNT, 0);
    ids[3] = admit(WORLD_ACCOUNT, 0);
    ids[0] = admit("acme/research", 10);
    ids[1] = admit(WORLD_ACCOUNT, 10);
    ids[4] = late;
    expect_order(ids, 5);

    /* acme/research has used the machine: its jobs stand behind vision's */
    int64_t used = admit("acme/research", 0);
    start(used);
    world_end(&world, used, &zero);
    OK(db_script(world.root,
                 "ALTER TABLE ppt.job DISABLE TRIGGER ALL;"
                 "UPDATE ppt.job SET started_at = now() - interval '2 hours',"
                 " ended_at = now() - interval '1 hour' WHERE state = 'done';"
                 "ALTER TABLE ppt.job ENABLE TRIGGER ALL",
                 &err));
    int64_t swapped = ids[0];
    ids[0] = ids[1];
    ids[1] = swapped;
    expect_order(ids, 5);

    /* vision has used more, but long ago */
    used = admit(WORLD_ACCOUNT, 0);
    start(used);
    world_end(&world, used, &zero);
    OK(db_script(world.root,
                 "ALTER TABLE ppt.job DISABLE TRIGGER ALL;"
                 "UPDATE ppt.job SET started_at = now() - interval '15 days 4 hours',"
                 " ended_at = now() - interval '15 days' WHERE id ="
                 " (SELECT max(id) FROM ppt.job WHERE state = 'done');"
                 "ALTER TABLE ppt.job ENABLE TRIGGER ALL",
                 &err));
    expect_order(ids, 5); /* 4 h, a quarter left after two weeks: less than 1 h */
    start(ids[0]);        /* and now it runs again: 1 core for no time */
    int64_t left[4] = {ids[1], ids[2], ids[3], ids[4]};
    expect_order(left, 4);
}
END_TEST

START_TEST(admission_order_is_arrival)
{
    struct queue_jobs jobs;
    int64_t a = world_submit(&world, WORLD_ACCOUNT);
    int64_t b = world_submit(&world, WORLD_ACCOUNT);
    int64_t c = world_submit(&world, WORLD_ACCOUNT);
    OK(queue_hold(world.scheduler, &world.lease, b, "x", &err));
    OK(queue_for_admission(world.scheduler, false, 10, &jobs, &err));
    ck_assert_int_eq(jobs.n, 2);
    ck_assert_int_eq(jobs.jobs[0].id, a);
    ck_assert_int_eq(jobs.jobs[1].id, c);
    queue_jobs_free(&jobs);
    OK(queue_for_admission(world.scheduler, true, 2, &jobs, &err));
    ck_assert_int_eq(jobs.n, 2);
    ck_assert_int_eq(jobs.jobs[1].id, b);
    queue_jobs_free(&jobs);
    OK(queue_refuse(world.scheduler, &world.lease, b, "no", PPT_EBUDGET, &err));
    OK(queue_refuse(world.scheduler, &world.lease, b, "no", PPT_EBUDGET, &err));
    FAILS(PPT_ESTATE, queue_hold(world.scheduler, &world.lease, b, "x", &err));
    FAILS(PPT_ENOTFOUND, queue_hold(world.scheduler, &world.lease, 999, "x", &err));
}
END_TEST

START_TEST(cancel_in_every_state)
{
    enum queue_state state;
    struct cost zero = world_cost(0);
    int64_t submitted = world_submit(&world, WORLD_ACCOUNT);
    int64_t waiting = world_submit(&world, WORLD_ACCOUNT);
    int64_t admitted = admit(WORLD_ACCOUNT, 0), running = admit(WORLD_ACCOUNT, 0);
    OK(queue_hold(world.scheduler, &world.lease, waiting, "x", &err));
    start(running);
    const int64_t at_once[] = {submitted, waiting, admitted};
    for (int i = 0; i < 3; i++) {
        OK(queue_cancel(world.alice, at_once[i], "wrong file", &state, &err));
        ck_assert_int_eq(state, QUEUE_CANCELLED);
        ck_assert_int_eq(find(at_once[i]).state, QUEUE_CANCELLED);
        ck_assert_str_eq(find(at_once[i]).reason, "cancelled by alice: wrong file");
        FAILS(PPT_ESTATE, queue_cancel(world.alice, at_once[i], "", &state, &err));
    }
    struct ledger_pots pots; /* only the running job's reservation is left */
    OK(ledger_path(world.root, WORLD_ACCOUNT, WORLD_DATASET, &pots, &err));
    ck_assert_int_eq(pots.pots[0].reserved[9], world_cost(0.001).rho[9]);
    ck_assert_int_eq(pots.pots[0].spent[9], 0);
    ledger_pots_free(&pots);

    OK(queue_cancel(world.alice, running, NULL, &state, &err));
    ck_assert_int_eq(state, QUEUE_RUNNING);
    ck_assert(find(running).is_cancel_requested);
    struct queue_outcome outcome = {.state = QUEUE_CANCELLED, .spent = zero};
    OK(queue_finish(world.scheduler, &world.lease, running, &outcome, &err));

    int64_t other;
    OK(queue_submit(world.bob, "b", "acme/sales", WORLD_DATASET, "{}", "b", &other,
                    &err));
    FAILS(PPT_ENOTFOUND, queue_cancel(world.alice, other, "", &state, &err));
    OK(ledger_member_add(world.officer, "acme/sales", "alice", &err));
    FAILS(PPT_EPERM, queue_cancel(world.alice, other, "", &state, &err));
    OK(queue_cancel(world.officer, other, "", &state, &err));
    ck_assert_str_eq(find(other).reason, "cancelled by officer");
    FAILS(PPT_ENOTFOUND, queue_cancel(world.officer, 999, "", &state, &err));
}
END_TEST

START_TEST(list_filters)
{
    struct queue_jobs jobs;
    int64_t other, id = world_submit(&world, WORLD_ACCOUNT);
    world_submit(&world, "acme/research");
    OK(queue_submit(world.bob, "b", "acme/sales", WORLD_DATASET, "{}", "b", &other,
                    &err));
    const struct {
        struct queue_filter filter;
        int n;
    } cases[] = {{{0}, 3},
                 {{.account = "acme"}, 3},
                 {{.account = "acme/research"}, 2},
                 {{.account = "acme/re"}, 0},
                 {{.submitted_by = "bob"}, 1},
                 {{.states = 1u << QUEUE_SUBMITTED}, 3},
                 {{.states = 1u << QUEUE_DONE | 1u << QUEUE_RUNNING}, 0},
                 {{.limit = 2}, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OK(queue_list(world.officer, &cases[i].filter, &jobs, &err));
        ck_assert_msg(jobs.n == cases[i].n, "case %zu: %d", i, jobs.n);
        if (cases[i].filter.limit == 2) { /* the newest, oldest first */
            ck_assert_int_eq(jobs.jobs[0].id, id + 1);
            ck_assert_int_eq(jobs.jobs[1].id, other);
        }
        queue_jobs_free(&jobs);
    }
}
END_TEST

START_TEST(state_names_are_the_databases)
{
    for (int i = 0; i < QUEUE_N_STATES; i++) {
        char sql[128];
        const char *name = queue_state_name((enum queue_state)i);
        ck_assert_int_eq(queue_state_from_name(name), i);
        snprintf(sql, sizeof sql,
                 "SELECT is_final FROM ppt.job_state WHERE name = '%s'", name);
        ck_assert_str_eq(pg_query(sql),
                         queue_state_is_final((enum queue_state)i) ? "t" : "f");
    }
    ck_assert_int_eq(queue_state_from_name("asleep"), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *queue = tcase_create("queue");
    tcase_add_unchecked_fixture(queue, pg_start, pg_stop);
    tcase_add_checked_fixture(queue, open_world, close_world);
    tcase_set_timeout(queue, 60);
    tcase_add_test(queue, submission_is_kept_as_sent);
    tcase_add_test(queue, submission_after_others);
    tcase_add_test(queue, submission_that_is_refused);
    tcase_add_test(queue, many_at_once);
    tcase_add_test(queue, many_at_once_are_not_none);
    tcase_add_test(queue, membership_counts_below_and_can_end);
    tcase_add_test(queue, notification_follows_a_submission);
    tcase_add_test(queue, only_legal_moves);
    tcase_add_test(queue, table_keeps_what_was_submitted_and_admitted);
    tcase_add_test(queue, statement_stands_for_all_its_rows);
    tcase_add_test(queue, job_walks_and_leaves_a_trail);
    tcase_add_test(queue, what_slurm_says_is_of_one_attempt);
    tcase_add_test(queue, finish_cannot_spend_more_than_reserved);
    tcase_add_test(queue, a_start_sees_wishes_to_slurm);
    tcase_add_test(queue, lists_tell_of_gpus);
    tcase_add_test(queue, start_order_is_priority_then_share_then_arrival);
    tcase_add_test(queue, admission_order_is_arrival);
    tcase_add_test(queue, cancel_in_every_state);
    tcase_add_test(queue, list_filters);
    tcase_add_test(queue, state_names_are_the_databases);
    suite_add_tcase(suite, queue);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
