#include "scheduler/submit_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/ydoc.h"
#include "scheduler/command.h"
#include "scheduler/conf.h"
#include "scheduler/figures.h"
#include "scheduler/ledger.h"

#define ASK_MS 20000

static int write_text(const char *directory, const char *name, const char *text,
                      struct error *err)
{
    char path[CONF_PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    bool is_written = file != NULL && fputs(text, file) >= 0;
    if (file != NULL && fclose(file) != 0)
        is_written = false;
    return is_written ? 0 : error_set(err, PPT_EIO, "cannot write %s", path);
}

/* The two files of a job's directory that ppt-worker --memory reads. */
static int write_job(const char *directory, const struct spec *spec,
                     const char *manifest, struct error *err)
{
    char *text = NULL;
    int rc = spec_canonical(spec, &text, err);
    if (rc == 0)
        rc = write_text(directory, "spec.json", text, err);
    if (rc == 0)
        rc = write_text(directory, "manifest.yaml", manifest, err);
    free(text);
    return rc;
}

static int read_answer(const char *text, struct submit_memory *ret_memory,
                       struct error *err)
{
    struct ydoc_faults faults = {.path = "ppt-worker's answer"};
    struct submit_memory memory = {0};
    struct ydoc *doc = ydoc_parse(text, strlen(text), NULL, &faults);
    const struct ydoc_node *root = ydoc_root(doc);
    ydoc_integer(&faults, ydoc_need(&faults, root, "rank_bytes"), 1, INT64_MAX,
                 &memory.rank_bytes);
    ydoc_integer(&faults, ydoc_need(&faults, root, "job_bytes"), 1, INT64_MAX,
                 &memory.job_bytes);
    ydoc_integer(&faults, ydoc_need(&faults, root, "micro_batch"), 1, INT64_MAX,
                 &memory.micro_batch);
    ydoc_integer(&faults, ydoc_need(&faults, root, "least_job_bytes"), 1, INT64_MAX,
                 &memory.least_job_bytes);
    int rc = ydoc_faults_end(&faults, "footprint", err);
    ydoc_free(doc);
    if (rc == 0)
        *ret_memory = memory;
    return rc;
}

static int ask(const char *worker, const char *directory,
               struct submit_memory *ret_memory, struct error *err)
{
    const char *const argv[] = {worker, "--memory", directory, NULL};
    struct command_result result = {0};
    int rc = command_run(argv, environ, ASK_MS, &result, err);
    if (rc == 0 && (result.has_timed_out || result.status != 0))
        rc = error_set(err, PPT_ELAUNCH, "%s --memory: %s", worker,
                       result.has_timed_out ? "no answer" : result.errors);
    if (rc == 0)
        rc = read_answer(result.output, ret_memory, err);
    command_result_free(&result);
    return rc;
}

static int find_out(const struct client *client, const struct spec *spec,
                    const char *manifest, struct submit_memory *ret_memory,
                    struct error *err)
{
    static const char *const names[] = {"spec.json", "manifest.yaml"};
    const char *parent = getenv("TMPDIR");
    char worker[CONF_PATH_SIZE], directory[CONF_PATH_SIZE / 2], path[CONF_PATH_SIZE];
    struct conf *conf = malloc(sizeof *conf);
    int rc = conf == NULL ? error_set(err, PPT_ENOMEM, "out of memory")
                          : conf_read(client->config, conf, err);
    if (rc == 0)
        rc = client_program(conf->worker, "worker", worker, sizeof worker, err);
    free(conf);
    if (rc != 0)
        return rc;
    snprintf(directory, sizeof directory, "%s/ppt-dry.XXXXXX",
             parent != NULL ? parent : "/tmp");
    if (mkdtemp(directory) == NULL)
        return error_set(err, PPT_EIO, "cannot make %s", directory);
    rc = write_job(directory, spec, manifest, err);
    if (rc == 0)
        rc = ask(worker, directory, ret_memory, err);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
    return rc;
}

static bool has_formula(const struct spec *spec)
{
    return spec->kind == JOB_DP && spec->resources.gpus_per_rank == 0;
}

struct submit_memory submit_memory(const struct client *client, const struct spec *spec,
                                   const char *manifest)
{
    struct submit_memory memory = {0};
    struct error err = {0};
    if (has_formula(spec) && find_out(client, spec, manifest, &memory, &err) != 0)
        log_info("what the ranks would take is not known: %s", err.text);
    return memory;
}

void submit_memory_print(const struct submit_memory *memory, const struct spec *spec)
{
    char rank[FIGURES_SIZE], job[FIGURES_SIZE], asked[FIGURES_SIZE];
    if (memory->rank_bytes == 0)
        return;
    figures_bytes(memory->rank_bytes, rank);
    figures_bytes(memory->job_bytes, job);
    figures_bytes(spec->resources.memory_bytes, asked);
    printf("memory            about %s a rank, %s in all; the job asks for %s\n"
           "                  micro-batches of %lld\n",
           rank, job, asked, (long long)memory->micro_batch);
}

void submit_memory_to_json(struct json *json, const struct submit_memory *memory)
{
    if (memory->rank_bytes == 0)
        return;
    json_object(json, "memory");
    json_integer(json, "rank_bytes", memory->rank_bytes);
    json_integer(json, "job_bytes", memory->job_bytes);
    json_integer(json, "micro_batch", memory->micro_batch);
    json_close_object(json);
}

int submit_memory_check(const struct submit_memory *memory, const struct spec *spec,
                        struct error *err)
{
    const int64_t ranks = spec->resources.ranks;
    char rank[FIGURES_SIZE], asked[FIGURES_SIZE];
    if (memory->job_bytes <= spec->resources.memory_bytes)
        return 0;
    figures_bytes(memory->rank_bytes, rank);
    figures_bytes(spec->resources.memory_bytes / ranks, asked);
    error_set(err, PPT_ESPEC,
              "resources.memory: a rank would take about %s and the job asks for %s a "
              "rank; so little leaves room for micro-batches of %lld",
              rank, asked, (long long)memory->micro_batch);
    return error_hint(err, "write memory: %lldMiB or more",
                      (long long)(memory->least_job_bytes >> 20));
}

/* What the last spec of this command took. */
static struct {
    struct spec *spec; /* NULL: none yet */
    struct submit_memory memory;
} last;

/* *ret_like: the spec without what takes no memory, which jobs of one command mostly
 * differ in. */
static void strip(const struct spec *spec, struct spec *ret_like)
{
    *ret_like = *spec;
    memset(ret_like->name, 0, sizeof ret_like->name);
    memset(ret_like->account, 0, sizeof ret_like->account);
    memset(ret_like->sha256, 0, sizeof ret_like->sha256);
    ret_like->training.learning_rate = 0;
    ret_like->training.seed = 0;
}

static int ask_anew(struct client *client, const struct spec *spec, struct error *err)
{
    struct ledger_dataset dataset = {0};
    struct error own = {0};
    int rc = client->db == NULL ? client_connect(client, "ppt-submit", err) : 0;
    if (rc != 0)
        return rc;
    last.memory = (struct submit_memory){0};
    if (ledger_dataset_find(client->db, spec->dataset.name, &dataset, &own) == 0)
        last.memory = submit_memory(client, spec, dataset.manifest);
    ledger_dataset_free(&dataset);
    return 0;
}

int submit_memory_before(struct client *client, const struct spec *spec,
                         struct error *err)
{
    if (spec->resources.memory_bytes == SPEC_MEMORY || !has_formula(spec))
        return 0;
    struct spec *like = malloc(sizeof *like);
    if (like == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    strip(spec, like);
    bool is_seen = last.spec != NULL && memcmp(last.spec, like, sizeof *like) == 0;
    int rc = is_seen ? 0 : ask_anew(client, spec, err);
    free(is_seen ? like : last.spec);
    if (!is_seen)
        last.spec = rc == 0 ? like : NULL;
    if (!is_seen && rc != 0)
        free(like);
    return rc != 0 ? rc : submit_memory_check(&last.memory, spec, err);
}
