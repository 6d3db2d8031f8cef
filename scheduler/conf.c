#include "scheduler/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"
#include "base/ydoc.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
#define DAY_S 86400
#define MOST_BYTES ((int64_t)1 << 50)

struct conf conf_default(void)
{
    struct conf conf;
    memset(&conf, 0, sizeof conf);
    strcpy(conf.spool, "/var/lib/ppt/jobs");
    strcpy(conf.secret_key, "/etc/ppt/plan.key");
    strcpy(conf.public_key, "/etc/ppt/plan.pub");
    strcpy(conf.mpirun, "mpirun");
    strcpy(conf.worker, "ppt-worker");
    strcpy(conf.agent, "ssh");
    conf.pool = (struct conf_pool){.n_spare = 1,
                                   .spare_ranks = 2,
                                   .max_jobs = 1000,
                                   .idle_s = 600,
                                   .ahead_ms = 500,
                                   .max_memory_bytes = (int64_t)4 << 30,
                                   .max_time_limit_s = 3600};
    conf.pilots = (struct conf_pilots){.n_nodes = 1,
                                       .n_cores = 4,
                                       .memory_bytes = (int64_t)8 << 30,
                                       .time_s = 4 * 3600,
                                       .most = 4,
                                       .idle_s = 300};
    conf.hooks.time_limit_s = 60;
    conf.max_restarts = 3;
    conf.poll_ms = 250;
    conf.lease_s = 30;
    conf.grace_s = 60;
    conf.patience_s = 3600;
    conf.policy = spec_policy_default();
    return conf;
}

/* A path without bytes that would break a message or a command. */
static int read_text(struct ydoc_faults *faults, const struct ydoc_node *node,
                     const char *what, size_t size, char *ret_text)
{
    char text[CONF_PATH_SIZE];
    if (ydoc_string(faults, node, size, text) != 0)
        return -PPT_ESPEC;
    if (text[0] == '\0' || strpbrk(text, "\t\r\n") != NULL) {
        ydoc_fault(faults, node, "expected %s in one line", what);
        return -PPT_ESPEC;
    }
    strcpy(ret_text, text);
    return 0;
}

static void read_absolute(struct ydoc_faults *faults, const struct ydoc_node *node,
                          char ret_path[CONF_PATH_SIZE])
{
    char path[CONF_PATH_SIZE];
    if (read_text(faults, node, "an absolute path", sizeof path, path) != 0)
        return;
    if (path[0] != '/')
        ydoc_fault(faults, node, "expected an absolute path, found \"%.100s\"", path);
    else
        strcpy(ret_path, path);
}

/* An absolute path, or a name without a slash. */
static void read_program(struct ydoc_faults *faults, const struct ydoc_node *node,
                         char ret_path[CONF_PATH_SIZE])
{
    char path[CONF_PATH_SIZE];
    if (read_text(faults, node, "a program", sizeof path, path) != 0)
        return;
    if (path[0] != '/' && strchr(path, '/') != NULL)
        ydoc_fault(faults, node,
                   "expected a program's name or its absolute path, found \"%.100s\"",
                   path);
    else
        strcpy(ret_path, path);
}

static void read_database(struct ydoc_faults *faults, const struct ydoc_node *node,
                          struct conf *conf)
{
    char text[CONF_PATH_SIZE];
    if (read_text(faults, node, "a connection string", sizeof text, text) != 0)
        return;
    const char *at = strchr(text, '@'), *scheme = strstr(text, "://");
    const char *colon = scheme == NULL ? NULL : strchr(scheme + 3, ':');
    bool has_password =
        strstr(text, "password") != NULL || (at != NULL && colon != NULL && colon < at);
    if (has_password)
        ydoc_fault(faults, node,
                   "expected no password here: this file is for everybody to read, "
                   "~/.pgpass is not");
    else
        strcpy(conf->database, text);
}

/* The mapping of a section, NULL (no fault) if it is not there. */
static const struct ydoc_node *section(struct ydoc_faults *faults,
                                       const struct ydoc_node *root, const char *name,
                                       const char *const *keys, int n_keys)
{
    const struct ydoc_node *node = ydoc_get(root, name);
    if (node != NULL)
        ydoc_only_keys(faults, node, keys, n_keys);
    return node;
}

static bool is_word(const struct ydoc_node *node, const char *word)
{
    return node != NULL && node->kind == YDOC_SCALAR && strcmp(node->text, word) == 0;
}

static void read_keys(struct ydoc_faults *faults, const struct ydoc_node *root,
                      struct conf *conf)
{
    static const char *const keys[] = {"secret", "public", "checkpoints",
                                       "checkpoint_keeper"};
    static const char *const keepers[] = {"worker", "scheduler"};
    int keeper = 0;
    const struct ydoc_node *node = section(faults, root, "keys", keys, COUNT(keys));
    read_absolute(faults, ydoc_get(node, "secret"), conf->secret_key);
    read_absolute(faults, ydoc_get(node, "public"), conf->public_key);
    if (!is_word(ydoc_get(node, "checkpoints"), "beside"))
        read_absolute(faults, ydoc_get(node, "checkpoints"), conf->checkpoint_keys);
    ydoc_word(faults, ydoc_get(node, "checkpoint_keeper"), keepers, COUNT(keepers),
              &keeper);
    conf->hands_keys_over = keeper == 1;
}

static void read_node(struct ydoc_faults *faults, const struct ydoc_node *root,
                      struct conf *conf)
{
    static const char *const keys[] = {"cores", "memory", "gpus"};
    const struct ydoc_node *node = section(faults, root, "node", keys, COUNT(keys));
    const struct ydoc_node *cores = ydoc_get(node, "cores");
    const struct ydoc_node *memory = ydoc_get(node, "memory");
    if (!is_word(cores, "all"))
        ydoc_integer(faults, cores, 1, 65536, &conf->n_cores);
    if (!is_word(memory, "all"))
        ydoc_size(faults, memory, 1 << 20, MOST_BYTES, &conf->memory_bytes);
    ydoc_integer(faults, ydoc_get(node, "gpus"), 0, 65536, &conf->n_gpus);
}

/* A list of short texts; returns how many. */
static int read_list(struct ydoc_faults *faults, const struct ydoc_node *list,
                     const char *what, int max, char (*ret_texts)[CONF_ARGUMENT_SIZE])
{
    int n = 0;
    if (list == NULL)
        return 0;
    if (list->kind != YDOC_SEQUENCE || list->n_children > max) {
        ydoc_fault(faults, list, "expected a list of at most %d %s", max, what);
        return 0;
    }
    for (const struct ydoc_node *i = list->first; i != NULL; i = i->next)
        read_text(faults, i, what, CONF_ARGUMENT_SIZE, ret_texts[n++]);
    return n;
}

bool conf_uses_slurm(const struct conf *conf)
{
    return conf->launcher == CONF_SBATCH ||
           (conf->launcher == CONF_POOL && conf->is_within_sbatch);
}

bool conf_may_name_hosts(int n_arguments, const char (*arguments)[CONF_ARGUMENT_SIZE])
{
    static const char *const words[] = {"host", "-H", "machinefile", "rankfile", "mca"};
    for (int i = 0; i < n_arguments; i++)
        for (size_t w = 0; w < COUNT(words); w++)
            if (strstr(arguments[i], words[w]) != NULL)
                return true;
    return false;
}

/* A key goes to rank 0 through pipes and sockets of this machine, or not at all: what
 * mpirun sends to other hosts, and Slurm's scripts, others can read. */
static void check_keeper(struct ydoc_faults *faults, const struct ydoc_node *root,
                         const struct conf *conf)
{
    const struct ydoc_node *keeper =
        ydoc_get(ydoc_get(root, "keys"), "checkpoint_keeper");
    if (!conf->hands_keys_over)
        return;
    if (conf->checkpoint_keys[0] == '\0')
        ydoc_fault(faults, keeper,
                   "expected keys.checkpoints too, the directory where the scheduler "
                   "keeps them");
    if (conf_uses_slurm(conf) || conf->n_hosts > 0 ||
        conf_may_name_hosts(conf->n_arguments, conf->arguments))
        ydoc_fault(faults, keeper,
                   "expected worker, or ranks on this machine only: launcher.kind "
                   "mpirun or pool, no hosts, no arguments that may name some");
}

static void read_within(struct ydoc_faults *faults, const struct ydoc_node *launcher,
                        struct conf *conf)
{
    static const char *const places[] = {"node", "sbatch"};
    const struct ydoc_node *within = ydoc_get(launcher, "within");
    int place = 0;
    ydoc_word(faults, within, places, COUNT(places), &place);
    conf->is_within_sbatch = place == 1;
    if (conf->is_within_sbatch && conf->launcher != CONF_POOL)
        ydoc_fault(faults, within, "expected node, or sbatch with kind: pool");
}

static void read_host(struct ydoc_faults *faults, const struct ydoc_node *node,
                      struct conf_host *host)
{
    static const char *const keys[] = {"name", "cores", "memory", "gpus"};
    char name[CONF_HOST_SIZE] = "";
    ydoc_only_keys(faults, node, keys, COUNT(keys));
    const struct ydoc_node *at = ydoc_need(faults, node, "name");
    if (ydoc_string(faults, at, sizeof name, name) == 0 &&
        (name[0] == '\0' || name[0] == '-' ||
         name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789.-")] != '\0'))
        ydoc_fault(faults, at, "expected a host's name, found \"%.60s\"", name);
    strcpy(host->name, name);
    ydoc_integer(faults, ydoc_need(faults, node, "cores"), 1, 65536,
                 &host->room.n_cores);
    ydoc_size(faults, ydoc_need(faults, node, "memory"), 1 << 20, MOST_BYTES,
              &host->room.memory_bytes);
    ydoc_integer(faults, ydoc_get(node, "gpus"), 0, 1024, &host->room.n_gpus);
}

/* It is an argument of mpirun's. */
static void read_agent(struct ydoc_faults *faults, const struct ydoc_node *node,
                       struct conf *conf)
{
    char path[CONF_PATH_SIZE] = "";
    read_program(faults, node, path);
    if (strlen(path) >= sizeof conf->agent)
        ydoc_fault(faults, node, "expected at most %zu bytes", sizeof conf->agent - 1);
    else if (path[0] != '\0')
        strcpy(conf->agent, path);
}

static void read_hosts(struct ydoc_faults *faults, const struct ydoc_node *launcher,
                       struct conf *conf)
{
    const struct ydoc_node *list = ydoc_get(launcher, "hosts");
    if (list == NULL)
        return;
    if (list->kind != YDOC_SEQUENCE || list->n_children > PLACES_MAX) {
        ydoc_fault(faults, list, "expected a list of at most %d hosts", PLACES_MAX);
        return;
    }
    for (const struct ydoc_node *i = list->first; i != NULL; i = i->next) {
        struct conf_host *host = &conf->hosts[conf->n_hosts++];
        read_host(faults, i, host);
        for (int k = 0; k < conf->n_hosts - 1; k++)
            if (strcmp(conf->hosts[k].name, host->name) == 0)
                ydoc_fault(faults, i, "the host \"%s\" stands here twice", host->name);
    }
    if (conf->n_hosts > 0 && conf->launcher != CONF_MPIRUN)
        ydoc_fault(faults, list, "expected hosts with kind: mpirun only");
}

static void read_launcher(struct ydoc_faults *faults, const struct ydoc_node *root,
                          struct conf *conf)
{
    static const char *const keys[] = {"kind",    "within",   "mpirun",
                                       "worker",  "template", "arguments",
                                       "scratch", "hosts",    "agent"};
    static const char *const kinds[CONF_N_LAUNCHERS] = {"mpirun", "sbatch", "pool"};
    const struct ydoc_node *node = section(faults, root, "launcher", keys, COUNT(keys));
    int kind = CONF_MPIRUN;
    ydoc_word(faults, ydoc_get(node, "kind"), kinds, CONF_N_LAUNCHERS, &kind);
    conf->launcher = (enum conf_launcher)kind;
    read_within(faults, node, conf);
    /* Users' site files need not name a launcher: then only the scheduler knows. */
    conf->policy.refuses_slurm = node != NULL && !conf_uses_slurm(conf);
    if (!is_word(ydoc_get(node, "template"), "own"))
        read_absolute(faults, ydoc_get(node, "template"), conf->template);
    if (!is_word(ydoc_get(node, "scratch"), "none"))
        read_absolute(faults, ydoc_get(node, "scratch"), conf->scratch);
    read_program(faults, ydoc_get(node, "mpirun"), conf->mpirun);
    read_program(faults, ydoc_get(node, "worker"), conf->worker);
    read_hosts(faults, node, conf);
    read_agent(faults, ydoc_get(node, "agent"), conf);
    conf->n_arguments = read_list(faults, ydoc_get(node, "arguments"), "arguments",
                                  CONF_MAX_ARGUMENTS, conf->arguments);
}

static void read_pool(struct ydoc_faults *faults, const struct ydoc_node *root,
                      struct conf_pool *pool)
{
    static const char *const keys[] = {"ranks",  "spare",          "spare_ranks",
                                       "jobs",   "idle",           "max_memory",
                                       "except", "max_time_limit", "ahead_ms"};
    const struct ydoc_node *node = section(faults, root, "pool", keys, COUNT(keys));
    if (!is_word(ydoc_get(node, "ranks"), "auto"))
        ydoc_integer(faults, ydoc_get(node, "ranks"), 1, 4096, &pool->n_ranks);
    ydoc_integer(faults, ydoc_get(node, "spare"), 0, 1024, &pool->n_spare);
    ydoc_integer(faults, ydoc_get(node, "spare_ranks"), 1, 4096, &pool->spare_ranks);
    ydoc_integer(faults, ydoc_get(node, "jobs"), 1, 1000000, &pool->max_jobs);
    ydoc_duration(faults, ydoc_get(node, "idle"), 1, 365 * DAY_S, &pool->idle_s);
    ydoc_integer(faults, ydoc_get(node, "ahead_ms"), 0, 10000, &pool->ahead_ms);
    ydoc_size(faults, ydoc_get(node, "max_memory"), 1 << 20, MOST_BYTES,
              &pool->max_memory_bytes);
    ydoc_duration(faults, ydoc_get(node, "max_time_limit"), 1, 365 * DAY_S,
                  &pool->max_time_limit_s);
    pool->n_except = read_list(faults, ydoc_get(node, "except"), "accounts",
                               CONF_MAX_EXCEPT, pool->except);
}

static bool is_within(const char *account, const char *top)
{
    size_t n = strlen(top);
    return strncmp(account, top, n) == 0 && (account[n] == '\0' || account[n] == '/');
}

bool conf_pool_excepts(const struct conf_pool *pool, const char *account)
{
    for (int i = 0; i < pool->n_except; i++)
        if (is_within(account, pool->except[i]))
            return true;
    return false;
}

static void read_pilots(struct ydoc_faults *faults, const struct ydoc_node *root,
                        struct conf_pilots *pilots)
{
    static const char *const keys[] = {"nodes", "cores", "memory",  "time",
                                       "most",  "idle",  "template"};
    const struct ydoc_node *node = section(faults, root, "pilots", keys, COUNT(keys));
    ydoc_integer(faults, ydoc_get(node, "nodes"), 1, PLACES_MAX, &pilots->n_nodes);
    ydoc_integer(faults, ydoc_get(node, "cores"), 1, 4096, &pilots->n_cores);
    ydoc_size(faults, ydoc_get(node, "memory"), 1 << 20, MOST_BYTES,
              &pilots->memory_bytes);
    ydoc_duration(faults, ydoc_get(node, "time"), 60, 365 * DAY_S, &pilots->time_s);
    ydoc_integer(faults, ydoc_get(node, "most"), 1, 64, &pilots->most);
    ydoc_duration(faults, ydoc_get(node, "idle"), 1, 365 * DAY_S, &pilots->idle_s);
    if (!is_word(ydoc_get(node, "template"), "own"))
        read_absolute(faults, ydoc_get(node, "template"), pilots->template);
}

static void read_hooks(struct ydoc_faults *faults, const struct ydoc_node *root,
                       struct conf_hooks *hooks)
{
    static const char *const keys[] = {"end", "time_limit"};
    const struct ydoc_node *node = section(faults, root, "hooks", keys, COUNT(keys));
    if (!is_word(ydoc_get(node, "end"), "none"))
        read_absolute(faults, ydoc_get(node, "end"), hooks->end);
    ydoc_duration(faults, ydoc_get(node, "time_limit"), 1, DAY_S, &hooks->time_limit_s);
}

static void read_scheduling(struct ydoc_faults *faults, const struct ydoc_node *root,
                            struct conf *conf)
{
    static const char *const keys[] = {"max_restarts", "poll_ms", "lease", "grace",
                                       "patience"};
    const struct ydoc_node *node =
        section(faults, root, "scheduling", keys, COUNT(keys));
    ydoc_integer(faults, ydoc_get(node, "max_restarts"), 0, 1000, &conf->max_restarts);
    ydoc_integer(faults, ydoc_get(node, "poll_ms"), 10, 60000, &conf->poll_ms);
    ydoc_duration(faults, ydoc_get(node, "lease"), 3, 3600, &conf->lease_s);
    ydoc_duration(faults, ydoc_get(node, "grace"), 1, DAY_S, &conf->grace_s);
    ydoc_duration(faults, ydoc_get(node, "patience"), 1, 365 * DAY_S,
                  &conf->patience_s);
}

static void read_policy(struct ydoc_faults *faults, const struct ydoc_node *root,
                        struct spec_policy *policy)
{
    static const char *const keys[] = {
        "min_epsilon",        "max_epsilon",    "max_delta", "max_ranks",
        "max_cores_per_rank", "max_time_limit", "max_memory"};
    const struct ydoc_range epsilon = {0, 1000, true, false};
    const struct ydoc_node *node = section(faults, root, "policy", keys, COUNT(keys));
    ydoc_number(faults, ydoc_get(node, "min_epsilon"), epsilon, &policy->min_epsilon);
    ydoc_number(faults, ydoc_get(node, "max_epsilon"), epsilon, &policy->max_epsilon);
    ydoc_number(faults, ydoc_get(node, "max_delta"),
                (struct ydoc_range){1e-15, 1, false, true}, &policy->max_delta);
    ydoc_integer(faults, ydoc_get(node, "max_ranks"), 1, 4096, &policy->max_ranks);
    ydoc_integer(faults, ydoc_get(node, "max_cores_per_rank"), 1, 1024,
                 &policy->max_cores_per_rank);
    ydoc_duration(faults, ydoc_get(node, "max_time_limit"), 1, 365 * DAY_S,
                  &policy->max_time_limit_s);
    ydoc_size(faults, ydoc_get(node, "max_memory"), 1 << 20, MOST_BYTES,
              &policy->max_memory_bytes);
    if (policy->min_epsilon > policy->max_epsilon)
        ydoc_fault_at(faults, node, "min_epsilon",
                      "expected at most max_epsilon, which is %g", policy->max_epsilon);
}

static void read_require(struct ydoc_faults *faults, const struct ydoc_node *root,
                         struct conf *conf)
{
    static const char *const keys[] = {"encrypted_disk", "confidential_gpu"};
    const struct ydoc_node *node = section(faults, root, "require", keys, COUNT(keys));
    ydoc_bool(faults, ydoc_get(node, "encrypted_disk"), &conf->needs_encrypted_disk);
    ydoc_bool(faults, ydoc_get(node, "confidential_gpu"),
              &conf->needs_confidential_gpu);
}

static void read_conf(struct ydoc_faults *faults, const struct ydoc_node *root,
                      struct conf *conf)
{
    static const char *const keys[] = {"database", "spool",   "keys",   "node",
                                       "launcher", "pool",    "pilots", "scheduling",
                                       "hooks",    "require", "policy"};
    ydoc_only_keys(faults, root, keys, COUNT(keys));
    read_database(faults, ydoc_get(root, "database"), conf);
    read_absolute(faults, ydoc_get(root, "spool"), conf->spool);
    read_keys(faults, root, conf);
    read_node(faults, root, conf);
    read_launcher(faults, root, conf);
    check_keeper(faults, root, conf);
    read_pool(faults, root, &conf->pool);
    read_pilots(faults, root, &conf->pilots);
    read_hooks(faults, root, &conf->hooks);
    read_scheduling(faults, root, conf);
    read_require(faults, root, conf);
    read_policy(faults, root, &conf->policy);
}

int conf_parse(const char *text, size_t len, const char *path, struct conf *ret_conf,
               struct error *err)
{
    struct conf conf = conf_default();
    struct ydoc_limits limits = {.max_bytes = CONF_MAX_BYTES};
    struct ydoc_faults faults = {.path = path};
    struct ydoc *doc = ydoc_parse(text, len, &limits, &faults);
    if (doc != NULL)
        read_conf(&faults, ydoc_root(doc), &conf);
    ydoc_free(doc);
    int rc = ydoc_faults_end(&faults, "site file", err);
    if (rc != 0)
        return rc;
    snprintf(conf.path, sizeof conf.path, "%s", path);
    *ret_conf = conf;
    return 0;
}

int conf_read(const char *option, struct conf *ret_conf, struct error *err)
{
    const char *path = option != NULL ? option : getenv("PPT_CONFIG");
    bool is_named = path != NULL && path[0] != '\0';
    if (!is_named)
        path = CONF_DEFAULT_PATH;
    char *text;
    size_t len;
    int rc = pathsafe_read_file(path, CONF_MAX_BYTES, &text, &len, err);
    if (rc == -PPT_ENOTFOUND && !is_named) {
        if (err != NULL)
            memset(err, 0, sizeof *err);
        *ret_conf = conf_default();
        return 0;
    }
    if (rc != 0)
        return rc;
    rc = conf_parse(text, len, path, ret_conf, err);
    free(text);
    return rc;
}
