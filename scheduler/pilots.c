#include "scheduler/pilots.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/pathsafe.h"
#include "base/ydoc.h"
#include "scheduler/batch_script.h"
#include "scheduler/order.h"

#define FACTS_FILE "pilot.json"
#define LEAVE_FILE "leave"
#define WORLD_FOLDER "worlds"
#define COUNTER_FILE "last"
#define FACTS_MAX_BYTES 4096
/* From being unknown to Slurm to being taken for dead; as for jobs, attempt.c. */
#define MISSING_MS 60000
#define MAX_FAILURES 3
#define BROKEN_MS 60000
/* A pilot without a scheduler waits longer than one that a scheduler would dismiss. */
#define ALONE_S 120

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- one pilot ---- */

int pilots_name(const struct pilots *pilots, int64_t id,
                char ret_directory[SPOOL_PATH_SIZE], char ret_name[SQUEUE_NAME_SIZE],
                struct error *err)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)id);
    snprintf(ret_name, SQUEUE_NAME_SIZE, "ppt-pilot-%s", number);
    return spool_path(pilots->directory, number, ret_directory, err);
}

struct pilot *pilots_find(struct pilots *pilots, int64_t id)
{
    for (int i = 0; i < pilots->n; i++)
        if (pilots->pilots[i]->id == id)
            return pilots->pilots[i];
    return NULL;
}

static struct pilot *add(struct pilots *pilots, const struct pilot *pilot)
{
    struct pilot *copy = pilots->n < PILOTS_MAX ? malloc(sizeof *copy) : NULL;
    if (copy == NULL)
        return NULL;
    *copy = *pilot;
    copy->free = copy->planned = copy->whole;
    copy->idle_since_ms = copy->missing_ms = now_ms();
    return pilots->pilots[pilots->n++] = copy;
}

int64_t pilots_left_s(const struct pilot *pilot)
{
    return (pilot->ends_ms - now_ms()) / 1000;
}

static void fail(struct pilots *pilots, const char *why)
{
    log_warning("pilots: %s", why);
    if (++pilots->n_failures < MAX_FAILURES)
        return;
    log_warning("pilots: none can be had; jobs go to sbatch for a while");
    pilots->broken_until_ms = now_ms() + BROKEN_MS;
    pilots->n_failures = 0;
}

bool pilots_are_broken(const struct pilots *pilots)
{
    return now_ms() < pilots->broken_until_ms;
}

/* ---- what a pilot's directory says ---- */

static int keep_facts(const struct pilot *pilot, const struct conf_pilots *conf,
                      struct error *err)
{
    char path[SPOOL_PATH_SIZE], *text = NULL;
    struct json json = {0};
    json_object(&json, NULL);
    json_string(&json, "login", pilot->login);
    json_integer(&json, "nodes", conf->n_nodes);
    json_integer(&json, "cores", conf->n_cores);
    json_integer(&json, "memory", conf->memory_bytes);
    json_integer(&json, "time_s", conf->time_s);
    json_close_object(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        rc = spool_path(pilot->directory, FACTS_FILE, path, err);
    if (rc == 0)
        rc = pathsafe_replace(path, text, strlen(text), 0600, err);
    free(text);
    return rc;
}

static int parse_facts(const char *text, size_t len, const char *path,
                       struct pilot *pilot, struct error *err)
{
    struct ydoc_faults faults = {.path = path};
    struct ydoc *doc = ydoc_parse(text, len, NULL, &faults);
    const struct ydoc_node *root = ydoc_root(doc);
    struct places_room node = {0};
    int64_t n_nodes = 1;
    ydoc_string(&faults, ydoc_need(&faults, root, "login"), sizeof pilot->login,
                pilot->login);
    ydoc_integer(&faults, ydoc_need(&faults, root, "nodes"), 1, PLACES_MAX, &n_nodes);
    ydoc_integer(&faults, ydoc_need(&faults, root, "cores"), 1, INT32_MAX,
                 &node.n_cores);
    ydoc_integer(&faults, ydoc_need(&faults, root, "memory"), 1, INT64_MAX,
                 &node.memory_bytes);
    ydoc_integer(&faults, ydoc_need(&faults, root, "time_s"), 1, INT64_MAX,
                 &pilot->time_s);
    int rc = ydoc_faults_end(&faults, "pilot", err);
    ydoc_free(doc);
    pilot->whole = places_of(n_nodes, &node);
    return rc;
}

bool pilots_is_leaving(struct pilot *pilot)
{
    char path[SPOOL_PATH_SIZE];
    if (!pilot->was_told && spool_path(pilot->directory, LEAVE_FILE, path, NULL) == 0)
        pilot->was_told = access(path, F_OK) == 0;
    if (pilot->was_told && pilot->state == PILOT_RUNNING)
        pilot->state = PILOT_LEAVING;
    return pilot->was_told;
}

static int load(const struct pilots *pilots, int64_t id, struct pilot *ret_pilot,
                struct error *err)
{
    struct pilot pilot = {.id = id};
    char path[SPOOL_PATH_SIZE], *text = NULL;
    size_t len;
    int rc = pilots_name(pilots, id, pilot.directory, pilot.name, err);
    if (rc == 0)
        rc = spool_path(pilot.directory, FACTS_FILE, path, err);
    if (rc == 0)
        rc = pathsafe_read_file(path, FACTS_MAX_BYTES, &text, &len, err);
    if (rc == 0)
        rc = parse_facts(text, len, path, &pilot, err);
    free(text);
    if (rc != 0)
        return rc;
    pilots_is_leaving(&pilot);
    *ret_pilot = pilot;
    return 0;
}

static void remove_file(const char *path)
{
    unlink(path);
}

/* All that is in there, by `remove_entry`, and itself. */
static void remove_folder(const char *directory, void (*remove_entry)(const char *path))
{
    char path[SPOOL_PATH_SIZE];
    DIR *folder = opendir(directory);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.' &&
            spool_path(directory, entry->d_name, path, NULL) == 0)
            remove_entry(path);
    if (folder != NULL)
        closedir(folder);
    rmdir(directory);
}

static void remove_world(const char *directory)
{
    remove_folder(directory, remove_file);
}

static void remove_all(const char *directory)
{
    static const char *const files[] = {FACTS_FILE, LEAVE_FILE, "batch", "log"};
    char path[SPOOL_PATH_SIZE], orders[SPOOL_PATH_SIZE], worlds[SPOOL_PATH_SIZE];
    if (spool_path(directory, ORDER_FOLDER, orders, NULL) != 0)
        return;
    remove_folder(orders, remove_file);
    if (spool_path(directory, WORLD_FOLDER, worlds, NULL) == 0)
        remove_folder(worlds, remove_world);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (spool_path(directory, files[i], path, NULL) == 0)
            unlink(path);
    rmdir(directory);
}

/* ---- its worlds ---- */

/* worlds/W/busy-JOB-ATTEMPT becomes closed-JOB-ATTEMPT (worker/orders.h). */
static bool close_one(const char *world, int64_t job_id, int64_t attempt)
{
    char name[64], busy[SPOOL_PATH_SIZE], closed[SPOOL_PATH_SIZE];
    snprintf(name, sizeof name, "busy-%lld-%lld", (long long)job_id,
             (long long)attempt);
    if (spool_path(world, name, busy, NULL) != 0)
        return false;
    snprintf(name, sizeof name, "closed-%lld-%lld", (long long)job_id,
             (long long)attempt);
    return spool_path(world, name, closed, NULL) == 0 &&
           (rename(busy, closed) == 0 || access(closed, F_OK) == 0);
}

bool pilots_close_world(const struct pilot *pilot, int64_t job_id, int64_t attempt,
                        int64_t *ret_world)
{
    char worlds[SPOOL_PATH_SIZE], world[SPOOL_PATH_SIZE];
    bool is_found = false;
    if (spool_path(pilot->directory, WORLD_FOLDER, worlds, NULL) != 0)
        return false;
    DIR *folder = opendir(worlds);
    for (struct dirent *entry;
         !is_found && folder != NULL && (entry = readdir(folder)) != NULL;) {
        char *end;
        int64_t number = strtoll(entry->d_name, &end, 10);
        if (*end != '\0' || number <= 0 ||
            spool_path(worlds, entry->d_name, world, NULL) != 0)
            continue;
        is_found = close_one(world, job_id, attempt);
        if (is_found)
            *ret_world = number;
    }
    if (folder != NULL)
        closedir(folder);
    return is_found;
}

/* ---- opening ---- */

static int make_directory(const char *path, struct error *err)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST
               ? 0
               : error_errno(err, PPT_EIO, "cannot create %s", path);
}

static int read_counter(struct pilots *pilots, struct error *err)
{
    char path[SPOOL_PATH_SIZE], *text = NULL;
    int rc = spool_path(pilots->directory, COUNTER_FILE, path, err);
    if (rc == 0)
        rc = pathsafe_read_file(path, 64, &text, NULL, err);
    if (rc == 0)
        pilots->last_id = strtoll(text, NULL, 10);
    free(text);
    return rc == -PPT_ENOTFOUND ? 0 : rc;
}

static int find_all(struct pilots *pilots, struct error *err)
{
    struct pilot pilot;
    DIR *folder = opendir(pilots->directory);
    if (folder == NULL)
        return error_errno(err, PPT_EIO, "cannot read %s", pilots->directory);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char *end;
        long long id = strtoll(entry->d_name, &end, 10);
        if (*end != '\0' || id <= 0)
            continue;
        if (id > pilots->last_id)
            pilots->last_id = id;
        if (load(pilots, id, &pilot, NULL) == 0)
            add(pilots, &pilot);
    }
    closedir(folder);
    return 0;
}

int pilots_open(struct pilots *pilots, const struct conf *conf,
                const struct spool *spool, struct launch_sbatch *sbatch,
                const char *template, struct error *err)
{
    *pilots = (struct pilots){.conf = &conf->pilots,
                              .spool = spool,
                              .sbatch = sbatch,
                              .template = template,
                              .max_jobs = conf->pool.max_jobs};
    int rc = spool_path(spool->root, "pilots", pilots->directory, err);
    if (rc == 0)
        rc = make_directory(pilots->directory, err);
    if (rc == 0)
        rc = read_counter(pilots, err);
    return rc == 0 ? find_all(pilots, err) : rc;
}

void pilots_close(struct pilots *pilots)
{
    for (int i = 0; i < pilots->n; i++)
        free(pilots->pilots[i]);
    pilots->n = 0;
}

/* ---- starting ---- */

static int next_id(struct pilots *pilots, struct error *err)
{
    char path[SPOOL_PATH_SIZE], number[24];
    snprintf(number, sizeof number, "%lld", (long long)pilots->last_id + 1);
    int rc = spool_path(pilots->directory, COUNTER_FILE, path, err);
    if (rc == 0)
        rc = pathsafe_replace(path, number, strlen(number), 0600, err);
    if (rc == 0)
        pilots->last_id++;
    return rc;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

enum {
    NAME,
    NODES,
    CORES,
    MEMORY,
    TIME,
    IDLE,
    DIRECTORY,
    WORKER,
    KEY,
    SCRATCH,
    JOBS,
    N_VALUES
};

static int write_script(const struct pilots *pilots, const struct pilot *pilot,
                        char ret_path[SPOOL_PATH_SIZE], struct error *err)
{
    struct batch_value values[N_VALUES] = {[NAME] = {.name = "NAME"},
                                           [NODES] = {.name = "NODES"},
                                           [CORES] = {.name = "CORES"},
                                           [MEMORY] = {.name = "MEMORY_MIB"},
                                           [TIME] = {.name = "TIME_MIN"},
                                           [IDLE] = {.name = "IDLE_S"},
                                           [DIRECTORY] = {.name = "DIRECTORY"},
                                           [WORKER] = {.name = "WORKER"},
                                           [KEY] = {.name = "PUBLIC_KEY"},
                                           [SCRATCH] = {.name = "SCRATCH"},
                                           [JOBS] = {.name = "JOBS"}};
    const struct conf_pilots *conf = pilots->conf;
    const int64_t numbers[N_VALUES] = {[NODES] = conf->n_nodes,
                                       [CORES] = conf->n_cores,
                                       [MEMORY] =
                                           divide_up(conf->memory_bytes, 1 << 20),
                                       [TIME] = divide_up(conf->time_s, 60),
                                       [IDLE] = conf->idle_s + ALONE_S,
                                       [JOBS] = pilots->max_jobs};
    const char *const texts[N_VALUES] = {[NAME] = pilot->name,
                                         [DIRECTORY] = pilot->directory,
                                         [WORKER] = pilots->sbatch->worker,
                                         [KEY] = pilots->sbatch->public_key,
                                         [SCRATCH] =
                                             launch_sbatch_scratch(pilots->sbatch)};
    for (int i = 0; i < N_VALUES; i++) {
        size_t size = sizeof values[i].text;
        if (texts[i] == NULL)
            snprintf(values[i].text, size, "%lld", (long long)numbers[i]);
        else if (snprintf(values[i].text, size, "%s", texts[i]) >= (int)size)
            return error_set(err, PPT_ELAUNCH, "the path %.200s... is too long",
                             texts[i]);
    }
    int rc = spool_path(pilot->directory, "batch", ret_path, err);
    return rc == 0
               ? batch_script_write(pilots->template, values, N_VALUES, ret_path, err)
               : rc;
}

static int prepare(struct pilots *pilots, const char *login, struct pilot *ret_pilot,
                   char ret_script[SPOOL_PATH_SIZE], struct error *err)
{
    const struct conf_pilots *conf = pilots->conf;
    struct places_room node = {.n_cores = conf->n_cores,
                               .memory_bytes = conf->memory_bytes};
    struct pilot pilot = {.time_s = conf->time_s,
                          .is_ours = true,
                          .whole = places_of(conf->n_nodes, &node)};
    char orders[SPOOL_PATH_SIZE];
    snprintf(pilot.login, sizeof pilot.login, "%s", login);
    int rc = next_id(pilots, err);
    if (rc != 0)
        return rc;
    pilot.id = pilots->last_id;
    rc = pilots_name(pilots, pilot.id, pilot.directory, pilot.name, err);
    if (rc == 0)
        rc = make_directory(pilot.directory, err);
    if (rc == 0)
        rc = spool_path(pilot.directory, ORDER_FOLDER, orders, err);
    if (rc == 0)
        rc = make_directory(orders, err);
    if (rc == 0)
        rc = keep_facts(&pilot, conf, err);
    if (rc == 0)
        rc = write_script(pilots, &pilot, ret_script, err);
    if (rc == 0)
        *ret_pilot = pilot;
    else
        remove_all(pilot.directory);
    return rc;
}

/* No clear yes from sbatch is no yes: should Slurm have it all the same, its script
 * finds no directory and ends. */
static int hand_in(struct pilots *pilots, const struct pilot *pilot, const char *script,
                   int64_t *ret_slurm_id, struct error *err)
{
    struct sbatch_job job = {pilot->id, 1, pilot->name, script, NULL, 0};
    struct command_result result = {0};
    struct squeue *squeue = &pilots->sbatch->squeue;
    int rc = launch_sbatch_submit(pilots->sbatch, &job, &result, err);
    if (rc == 0 && result.has_timed_out) {
        squeue_failed(squeue, "sbatch did not answer");
        rc = error_set(err, PPT_ESTATE, "sbatch did not answer");
    } else if (rc == 0 && (result.status != 0 ||
                           !launch_sbatch_job_id(result.output, ret_slurm_id))) {
        rc = error_set(err, PPT_ELAUNCH, "Slurm did not take one: %.400s",
                       result.errors);
    } else if (rc == 0) {
        squeue_forget(squeue);
    }
    command_result_free(&result);
    return rc;
}

struct pilot *pilots_start(struct pilots *pilots, const char *login)
{
    char script[SPOOL_PATH_SIZE];
    struct error why = {0};
    struct pilot pilot;
    int rc = prepare(pilots, login, &pilot, script, &why);
    if (rc == 0) {
        rc = hand_in(pilots, &pilot, script, &pilot.slurm_id, &why);
        if (rc == 0)
            log_info("pilot %lld: handed in for %s, Slurm's job %lld",
                     (long long)pilot.id, login, (long long)pilot.slurm_id);
        else
            remove_all(pilot.directory);
    }
    if (rc == 0)
        return add(pilots, &pilot);
    fail(pilots, why.text);
    return NULL;
}

/* ---- watching ---- */

/* Its last words, if it had any. */
static void keep_log(const struct pilots *pilots, const struct pilot *pilot)
{
    char from[SPOOL_PATH_SIZE], to[SPOOL_PATH_SIZE];
    if (spool_path(pilot->directory, "log", from, NULL) == 0 &&
        spool_path(pilots->directory, "failed.log", to, NULL) == 0)
        rename(from, to);
}

static void set_ended(struct pilots *pilots, struct pilot *pilot, const char *how)
{
    char why[256];
    if (pilot->state == PILOT_COMING && pilot->is_ours) {
        keep_log(pilots, pilot);
        snprintf(why, sizeof why, "pilot %lld ended before it was seen to run: %.100s",
                 (long long)pilot->id, how);
        fail(pilots, why);
    } else {
        log_info("pilot %lld: ended: %s", (long long)pilot->id, how);
    }
    pilot->state = PILOT_ENDED;
}

static void refresh(struct pilots *pilots, struct pilot *pilot)
{
    struct squeue_job entry;
    if (pilot->state == PILOT_ENDED)
        return;
    if (!squeue_find(&pilots->sbatch->squeue, pilot->directory, pilot->name, &entry)) {
        if (pilot->missing_ms == 0)
            pilot->missing_ms = now_ms();
        else if (now_ms() - pilot->missing_ms >= MISSING_MS)
            set_ended(pilots, pilot, "Slurm does not know it any more");
        return;
    }
    pilot->missing_ms = 0;
    pilot->slurm_id = entry.id;
    if (squeue_has_ended(&entry)) {
        set_ended(pilots, pilot, entry.state);
    } else if (pilot->was_told || strcmp(entry.state, "COMPLETING") == 0) {
        pilot->state = PILOT_LEAVING;
    } else if (strcmp(entry.state, "RUNNING") == 0) {
        if (pilot->state == PILOT_COMING) {
            pilots->n_failures = 0;
            pilot->idle_since_ms = now_ms();
        }
        pilot->state = PILOT_RUNNING;
        pilot->ends_ms =
            now_ms() + (pilot->time_s - (entry.ran_s < 0 ? 0 : entry.ran_s)) * 1000;
    }
}

void pilots_refresh(struct pilots *pilots)
{
    for (int i = 0; i < pilots->n; i++)
        refresh(pilots, pilots->pilots[i]);
}

void pilots_dismiss(struct pilot *pilot)
{
    char path[SPOOL_PATH_SIZE];
    struct error why = {0};
    int rc = spool_path(pilot->directory, LEAVE_FILE, path, &why);
    if (rc == 0)
        rc = pathsafe_replace(path, "", 0, 0600, &why);
    if (rc != 0) {
        log_warning("pilot %lld: cannot be told to leave: %.300s", (long long)pilot->id,
                    why.text);
        return;
    }
    pilot->was_told = true;
    pilot->state = PILOT_LEAVING;
}

void pilots_remove(struct pilots *pilots, struct pilot *pilot)
{
    for (int i = 0; i < pilots->n; i++)
        if (pilots->pilots[i] == pilot) {
            pilots->pilots[i] = pilots->pilots[--pilots->n];
            remove_all(pilot->directory);
            free(pilot);
            return;
        }
}
