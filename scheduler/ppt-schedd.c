/* ppt-schedd: the daemon that admits, starts, watches and settles jobs. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/pathsafe.h"
#include "jobs/privacy/cost.h"
#include "scheduler/client.h"
#include "scheduler/conf.h"
#include "scheduler/db.h"
#include "scheduler/hooks.h"
#include "scheduler/launch_hosts.h"
#include "scheduler/launch_mpirun.h"
#include "scheduler/launch_pilot.h"
#include "scheduler/launch_pool.h"
#include "scheduler/launch_sbatch.h"
#include "scheduler/loop.h"
#include "scheduler/migrate.h"

struct request {
    const char *config, *database, *sql;
    bool migrates, makes_keys;
};

static volatile sig_atomic_t stop;

static void ask_to_stop(int sig)
{
    (void)sig;
    stop = 1;
}

/* Only there to interrupt a sleep. */
static void wake_up(int sig)
{
    (void)sig;
}

/* The folder of this program, without a trailing slash. */
static int find_home(char ret_home[CONF_PATH_SIZE], struct error *err)
{
    ssize_t len = readlink("/proc/self/exe", ret_home, CONF_PATH_SIZE - 1);
    if (len <= 0)
        return error_errno(err, PPT_EIO, "cannot find this program's folder");
    ret_home[len] = '\0';
    *strrchr(ret_home, '/') = '\0';
    return 0;
}

/* ---- --migrate ---- */

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* --sql, else where `make install` puts the files, else the source they came from. */
static int find_sql(const struct request *request, char ret_path[PATH_MAX],
                    struct error *err)
{
    char home[CONF_PATH_SIZE];
    int rc = find_home(home, err);
    if (rc != 0)
        return rc;
    snprintf(ret_path, PATH_MAX, "%s/../share/ppt/sql", home);
    if (request->sql != NULL)
        snprintf(ret_path, PATH_MAX, "%s", request->sql);
    else if (!is_directory(ret_path))
        snprintf(ret_path, PATH_MAX, "%s", PPT_SQL_DIRECTORY);
    if (!is_directory(ret_path)) {
        error_set(err, PPT_ENOTFOUND, "there are no migrations in %s", ret_path);
        return error_hint(err, "name their folder with --sql");
    }
    return 0;
}

static int migrate(const struct request *request, const char *database,
                   struct error *err)
{
    char path[PATH_MAX];
    struct db *db = NULL;
    int n_applied = 0;
    int rc = find_sql(request, path, err);
    if (rc == 0)
        rc = db_open(database, "ppt-schedd --migrate", &db, err);
    if (rc == 0)
        rc = migrate_apply(db, path, cost_orders, COST_N_ORDERS, &n_applied, err);
    db_close(db);
    if (rc == 0)
        log_info("%d migrations applied from %s", n_applied, path);
    return rc;
}

/* ---- --generate-keys ---- */

static int generate_keys(const struct conf *conf, struct error *err)
{
    unsigned char secret[CRYPTO_KEY_SIZE], public[CRYPTO_KEY_SIZE];
    crypto_sign_keypair(secret, public);
    int rc = pathsafe_write_new(conf->secret_key, secret, sizeof secret, 0600, err);
    crypto_wipe(secret, sizeof secret);
    if (rc == 0)
        rc = pathsafe_write_new(conf->public_key, public, sizeof public, 0644, err);
    if (rc == -PPT_EEXISTS)
        error_hint(err, "keys are never overwritten: remove both files first");
    if (rc == 0)
        log_info("wrote %s and %s", conf->secret_key, conf->public_key);
    return rc;
}

/* ---- the daemon ---- */

/* The pair must fit: a worker would refuse every plan otherwise, at the jobs' cost. */
static int read_keys(const struct conf *conf, struct loop *loop, struct error *err)
{
    unsigned char expected[CRYPTO_KEY_SIZE];
    int rc = pathsafe_read_secret(conf->secret_key, loop->secret_key,
                                  sizeof loop->secret_key, err);
    if (rc != 0) {
        if (rc == -PPT_ENOTFOUND || rc == -PPT_EIO)
            error_hint(err, "make a pair of keys with ppt-schedd --generate-keys");
        return rc;
    }
    rc = pathsafe_read_public(conf->public_key, loop->public_key,
                              sizeof loop->public_key, err);
    if (rc != 0)
        return rc;
    crypto_sign_public(loop->secret_key, expected);
    if (!crypto_equal(expected, loop->public_key, sizeof expected))
        return error_set(err, PPT_ETRUST, "%s is not the public key of %s",
                         conf->public_key, conf->secret_key);
    return 0;
}

static int check_key_directory(const char *path, struct error *err)
{
    int rc = spool_check_owner(path, err);
    if (rc != 0)
        error_hint(err, "make it for the scheduler's user alone: mkdir -m 700 %s",
                   path);
    return rc;
}

/* All there is, and the same node by node. */
static int find_node(const struct conf *conf, struct nodes_room *ret_node,
                     struct places *ret_places, struct error *err)
{
    struct nodes_room node;
    int rc = nodes_of_this_machine(&node, err);
    if (rc != 0)
        return rc;
    if (conf->n_cores > 0)
        node.n_cores = conf->n_cores;
    if (conf->memory_bytes > 0)
        node.memory_bytes = conf->memory_bytes;
    *ret_places = places_of(
        1, &(struct places_room){node.n_cores, node.memory_bytes, conf->n_gpus});
    if (conf->n_hosts > 0) {
        *ret_places = launch_hosts_places(conf);
        node = (struct nodes_room){0};
    }
    for (int i = 0; i < conf->n_hosts; i++) {
        node.n_cores += conf->hosts[i].room.n_cores;
        node.memory_bytes += conf->hosts[i].room.memory_bytes;
    }
    *ret_node = node;
    return 0;
}

static int find_worker(const struct conf *conf, char ret_path[PATH_MAX],
                       struct error *err)
{
    int rc = client_program(conf->worker, "worker", ret_path, PATH_MAX, err);
    if (rc == -PPT_ELAUNCH)
        error_hint(err, "set launcher.worker in the site's configuration");
    return rc;
}

/* The site's own, else where `make install` puts it, else the source's. */
static int find_template(const char *own, const char *name, const char *knob,
                         char ret_path[PATH_MAX], struct error *err)
{
    char home[CONF_PATH_SIZE];
    int rc = find_home(home, err);
    if (rc != 0)
        return rc;
    snprintf(ret_path, PATH_MAX, "%s/../share/ppt/slurm/%s", home, name);
    if (own[0] != '\0')
        snprintf(ret_path, PATH_MAX, "%s", own);
    else if (access(ret_path, R_OK) != 0)
        snprintf(ret_path, PATH_MAX, "%s/%s", PPT_SLURM_DIRECTORY, name);
    if (access(ret_path, R_OK) != 0) {
        error_errno(err, PPT_ELAUNCH, "cannot read the batch script %s", ret_path);
        return error_hint(err, "set %s in the site's configuration", knob);
    }
    return 0;
}

static int find_templates(const struct conf *conf, char ret_job[PATH_MAX],
                          char ret_pilot[PATH_MAX], struct error *err)
{
    if (!conf_uses_slurm(conf))
        return 0;
    int rc = find_template(conf->template, "ppt-job.sbatch.in", "launcher.template",
                           ret_job, err);
    if (rc != 0 || conf->launcher == CONF_SBATCH)
        return rc;
    return find_template(conf->pilots.template, "ppt-pilot.sbatch.in",
                         "pilots.template", ret_pilot, err);
}

/* Signals are let in only while the loop sleeps, so that none is lost in between. */
static void catch_signals(sigset_t *ret_wake)
{
    struct sigaction action = {.sa_handler = ask_to_stop};
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGCHLD);
    sigprocmask(SIG_BLOCK, &held, ret_wake);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = wake_up;
    sigaction(SIGCHLD, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigdelset(ret_wake, SIGTERM);
    sigdelset(ret_wake, SIGINT);
    sigdelset(ret_wake, SIGCHLD);
}

static int serve(const struct conf *conf, const char *database, struct error *err)
{
    struct loop loop = {.conf = conf, .database = database};
    struct spool spool;
    struct launch_pool *pool = NULL;
    struct launch_pilot *pilot = NULL;
    struct crypto_signer *signer = NULL;
    char worker[PATH_MAX], template[PATH_MAX] = "", pilot_template[PATH_MAX] = "";
    sigset_t wake;
    int rc = read_keys(conf, &loop, err);
    if (rc == 0 && conf->hands_keys_over)
        rc = check_key_directory(conf->checkpoint_keys, err);
    if (rc == 0)
        rc = find_node(conf, &loop.node, &loop.places, err);
    if (rc == 0)
        rc = find_worker(conf, worker, err);
    if (rc == 0)
        rc = find_templates(conf, template, pilot_template, err);
    if (rc == 0)
        rc = spool_open(conf->spool, &spool, err);
    if (rc != 0)
        goto out;
    loop.signer = signer = crypto_signer_new(loop.secret_key);
    struct launch_mpirun mpirun = {.mpirun = conf->mpirun,
                                   .worker = worker,
                                   .public_key = conf->public_key,
                                   .n_arguments = conf->n_arguments,
                                   .arguments = conf->arguments};
    struct launch_sbatch sbatch = {.script = template,
                                   .worker = worker,
                                   .public_key = conf->public_key,
                                   .scratch = conf->scratch,
                                   .secret_key = loop.secret_key,
                                   .grace_s = conf->grace_s,
                                   .lease_s = conf->lease_s,
                                   .n_arguments = conf->n_arguments,
                                   .arguments = conf->arguments};
    struct launcher launcher =
        conf->launcher == CONF_SBATCH ? launch_sbatch(&sbatch) : launch_mpirun(&mpirun);
    struct launch_hosts hosts = {.mpirun = &mpirun, .conf = conf};
    if (conf->n_hosts > 0)
        launcher = launch_hosts(&hosts);
    if (conf->launcher == CONF_POOL && conf->is_within_sbatch)
        rc = launch_pilot_open(&sbatch, conf, &spool, pilot_template, &pilot, err);
    else if (conf->launcher == CONF_POOL)
        rc = launch_pool_open(&mpirun, &conf->pool, &spool, loop.node.n_cores, &pool,
                              err);
    if (pilot != NULL)
        launcher = launch_pilot(pilot);
    if (pool != NULL)
        launcher = launch_pool(pool);
    loop.spool = &spool;
    loop.launcher = &launcher;
    gethostname(loop.host, sizeof loop.host - 1);
    catch_signals(&wake);
    log_info("%lld cores and %lld MiB on %s, jobs in %s", (long long)loop.node.n_cores,
             (long long)(loop.node.memory_bytes >> 20), loop.host, spool.root);
    if (rc == 0)
        rc = hooks_open(&conf->hooks, &loop.hooks, err);
    if (rc == 0)
        rc = loop_run(&loop, &stop, &wake, err);
    if (rc == 0)
        log_info("stopped; running jobs go on");
    launch_pool_free(pool);
    launch_pilot_free(pilot);
    launch_sbatch_free(&sbatch);
    hooks_free(loop.hooks);
    spool_close(&spool);
out:
    crypto_signer_free(signer);
    crypto_wipe(loop.secret_key, sizeof loop.secret_key);
    return rc;
}

/* systemd's journal stamps each line itself (systemd.exec(5), JOURNAL_STREAM). */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static int run(const struct request *request, struct error *err)
{
    struct conf conf;
    int rc = conf_read(request->config, &conf, err);
    if (rc != 0)
        return rc;
    conf.policy.refuses_slurm = !conf_uses_slurm(&conf);
    const char *database = request->database ? request->database : conf.database;
    if (request->makes_keys)
        rc = generate_keys(&conf, err);
    if (rc == 0 && request->migrates)
        rc = migrate(request, database, err);
    if (request->makes_keys || request->migrates)
        return rc;
    log_timestamps(!is_journal(STDERR_FILENO));
    return serve(&conf, database, err);
}

int main(int argc, char **argv)
{
    struct request request = {0};
    const struct opt options[] = {
        {"config", 0, OPT_STRING, &request.config, "FILE",
         "default: $PPT_CONFIG, " CONF_DEFAULT_PATH, NULL},
        {"database", 0, OPT_STRING, &request.database, "CONNINFO",
         "in place of the configuration's", NULL},
        {"migrate", 0, OPT_FLAG, &request.migrates, NULL,
         "bring the database up to date and exit", NULL},
        {"sql", 0, OPT_STRING, &request.sql, "DIR", "the migrations (with --migrate)",
         NULL},
        {"generate-keys", 0, OPT_FLAG, &request.makes_keys, NULL,
         "write a new pair of keys and exit", NULL},
    };
    const struct opt_program program = {
        .name = "ppt-schedd",
        .usage = "[OPTION]...",
        .summary = "Admits jobs against privacy budgets, starts them and settles them.",
        .epilogue =
            "Stays in the foreground and writes to stderr. SIGTERM stops it and\n"
            "leaves running jobs alone: the next ppt-schedd finds them again.\n"
            "Manual: ppt-schedd(8).",
        .options = options,
        .n_options = sizeof options / sizeof *options,
    };
    struct error err = {0};
    int n_operands;
    log_init("ppt-schedd", false);
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = run(&request, &err);
    return rc == 0 ? 0 : log_error(&err);
}
