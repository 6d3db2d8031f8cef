#include "worker/run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "jobs/dp/dp_run.h"
#include "jobs/env.h"
#include "jobs/fl/fl_run.h"
#include "jobs/plan.h"
#include "jobs/privacy/meter.h"
#include "jobs/report.h"
#include "jobs/spec/name.h"
#include "kernels/kernels.h"
#include "worker/agree.h"
#include "worker/base_model.h"
#include "worker/binding.h"
#include "worker/checkpoint.h"
#include "worker/consents.h"
#include "worker/data_kept.h"
#include "worker/demands.h"
#include "worker/device_comm.h"
#include "worker/digest.h"
#include "worker/environment.h"
#include "worker/gpu.h"
#include "worker/gpu_module.h"
#include "worker/model_h5.h"
#include "worker/model_safetensors.h"
#include "worker/plot.h"
#include "worker/progress.h"
#include "worker/shard.h"
#include "worker/stop.h"
#include "worker/trace_file.h"
#include "worker/wireup.h"

#define CHECKPOINTS_KEPT 2 /* where the spec does not say */
#define CHECKPOINT_FILE "checkpoint"
#define CHECKPOINT_KEY_FILE "checkpoint.key"
#define REPORT_FILE "report.json"
#define JOURNAL_FILE "rounds.jsonl"
#define JOURNAL_PAUSE_S 1.0
#define DEVICES_PATIENCE_S 60

struct run {
    struct comm *comm, *control; /* the world's, sealed or not */
    struct plan plan;
    struct spec spec;
    struct manifest manifest;
    struct data_h5 data;
    struct rows train, test;
    struct base_model *base; /* NULL: the spec names none */
    struct meter *meter;     /* rank 0 of a private job, else NULL */
    const struct kernels *kernels;
    struct binding binding;
    int n_threads;
    struct report_places places;      /* rank 0 */
    struct checkpoint_writer *writer; /* rank 0, while it writes one */
    struct checkpoint_reader *reader; /* rank 0, while it reads one */
    struct run_order order;
    bool has_checkpoint;       /* rank 0: it has written or found one */
    int n_damaged_checkpoints; /* newer than the one that was read */
    FILE *journal;             /* rank 0, from its first line on */
    double journal_told_s;
    struct consents consents; /* rank 0 */
    struct io io;
    struct report report;
};

/* Beside the checkpoint, or in the directory that the plan names: there keys of other
 * jobs lie too, perhaps of other sites, whose numbers are the same. */
static int key_path(const struct plan *plan, char ret_path[PLAN_PATH_SIZE],
                    struct error *err)
{
    if (plan->checkpoint_keys[0] == '\0')
        return plan_path(plan, CHECKPOINT_KEY_FILE, ret_path, err);
    if (snprintf(ret_path, PLAN_PATH_SIZE, "%s/%lld-%.16s.key", plan->checkpoint_keys,
                 (long long)plan->job_id, plan->spec_sha256) >= PLAN_PATH_SIZE)
        return error_set(err, PPT_EIO, "the path %s is too long",
                         plan->checkpoint_keys);
    return 0;
}

static bool wants_key_handed(const struct plan *plan)
{
    return strcmp(plan->checkpoint_keys, PLAN_KEY_HANDED) == 0;
}

/* Paths and names of this job's checkpoint. */
static int job_checkpoint(const struct run *run, char ret_path[PLAN_PATH_SIZE],
                          char ret_key_path[PLAN_PATH_SIZE],
                          struct checkpoint_job *ret_job, struct error *err)
{
    int64_t n_kept = run->spec.training.checkpoint_keep;
    *ret_job =
        (struct checkpoint_job){.id = run->plan.job_id,
                                .spec_sha256 = run->plan.spec_sha256,
                                .manifest_sha256 = run->plan.manifest_sha256,
                                .key_path = ret_key_path,
                                .n_kept = n_kept > 0 ? (int)n_kept : CHECKPOINTS_KEPT};
    int rc = plan_path(&run->plan, CHECKPOINT_FILE, ret_path, err);
    if (rc == 0 && wants_key_handed(&run->plan)) {
        ret_job->key = run->order.checkpoint_key;
        ret_job->key_path = NULL;
    } else if (rc == 0) {
        rc = key_path(&run->plan, ret_key_path, err);
    }
    return rc;
}

static int job_checkpoint_begin(struct io *io, uint64_t len, struct error *err)
{
    struct run *run = io->state;
    char path[PLAN_PATH_SIZE], key_path[PLAN_PATH_SIZE];
    struct checkpoint_job job;
    int rc = job_checkpoint(run, path, key_path, &job, err);
    run->has_checkpoint = true;
    return rc != 0 ? rc : checkpoint_create(path, &job, len, &run->writer, err);
}

static int job_checkpoint_put(struct io *io, const void *data, size_t len,
                              struct error *err)
{
    struct run *run = io->state;
    return checkpoint_put(run->writer, data, len, err);
}

static int job_checkpoint_end(struct io *io, int rc, struct error *err)
{
    struct run *run = io->state;
    struct checkpoint_writer *writer = run->writer;
    run->writer = NULL;
    if (rc == 0)
        return checkpoint_commit(writer, err);
    checkpoint_abandon(writer);
    return rc;
}

static int job_checkpoint_open(struct io *io, bool *ret_is_there, uint64_t *ret_len,
                               struct error *err)
{
    struct run *run = io->state;
    char path[PLAN_PATH_SIZE], key_path[PLAN_PATH_SIZE];
    struct checkpoint_job job;
    int rc = job_checkpoint(run, path, key_path, &job, err);
    if (rc == 0)
        rc = checkpoint_open(path, &job, &run->reader, ret_len,
                             &run->n_damaged_checkpoints, err);
    if (rc == 0 && run->n_damaged_checkpoints > 0)
        log_warning("the newest checkpoint is damaged: the job goes on from the one "
                    "before it, and pays again for the steps between");
    if (rc == 0)
        *ret_is_there = run->reader != NULL;
    run->has_checkpoint = run->has_checkpoint || run->reader != NULL;
    return rc;
}

static int job_checkpoint_get(struct io *io, void *ret_data, size_t len,
                              struct error *err)
{
    struct run *run = io->state;
    return checkpoint_get(run->reader, ret_data, len, err);
}

static void job_checkpoint_close(struct io *io)
{
    struct run *run = io->state;
    checkpoint_close(run->reader);
    run->reader = NULL;
}

/* A first attempt that has seen none left none and no key. */
static bool may_have_checkpoint(const struct run *run)
{
    return run->has_checkpoint || run->plan.attempt > 1;
}

/* After the report that the job is done, for without it the job would start over. The
 * model is there: what cannot be removed is worth a warning. */
static void forget_checkpoint(const struct run *run)
{
    char path[PLAN_PATH_SIZE], key_path[PLAN_PATH_SIZE];
    struct checkpoint_job job;
    struct error err = {0};
    int rc = job_checkpoint(run, path, key_path, &job, &err);
    if (rc == 0)
        rc = checkpoint_forget(path, job.key_path, &err);
    if (rc != 0)
        log_warning("the checkpoint or its key stays: %s", err.text);
}

/* What the meter holds durably; zeros where there is none. */
static int read_used(const struct run *run, int64_t ret_used[PRICE_MAX_RELEASES],
                     struct error *err)
{
    char path[PLAN_PATH_SIZE];
    bool is_damaged;
    memset(ret_used, 0, PRICE_MAX_RELEASES * sizeof *ret_used);
    if (!run->plan.price.is_private)
        return 0;
    int rc = plan_path(&run->plan, PLAN_METER, path, err);
    return rc != 0 ? rc
                   : meter_read(path, &run->plan.price, ret_used, &is_damaged, err);
}

static int job_model_save(struct io *io, const struct tensor_view *tensors,
                          int n_tensors, struct error *err)
{
    struct run *run = io->state;
    struct model_facts facts = {0};
    int64_t used[PRICE_MAX_RELEASES];
    char path[PLAN_PATH_SIZE];
    int rc = plan_path(&run->plan, run->spec.output.model, path, err);
    if (rc == 0)
        rc = read_used(run, used, err);
    if (rc == 0)
        rc = model_facts_make(&run->plan, &run->spec, used, &facts, err);
    if (rc == 0)
        rc = (name_has_suffix(path, NAME_SAFETENSORS)
                  ? model_safetensors_save
                  : model_h5_save)(path, &facts, tensors, n_tensors, err);
    model_facts_free(&facts);
    if (rc == 0)
        memcpy(run->report.model, path, sizeof path);
    return rc;
}
static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int journal_error(struct error *err)
{
    return error_errno(err, PPT_EIO, "cannot write " JOURNAL_FILE);
}

static int job_note(struct io *io, const char *line, struct error *err)
{
    struct run *run = io->state;
    char path[PLAN_PATH_SIZE];
    int rc = plan_path(&run->plan, JOURNAL_FILE, path, err);
    if (rc == 0 && run->journal == NULL) {
        int fd =
            open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        run->journal = fd < 0 ? NULL : fdopen(fd, "a");
        run->journal_told_s = clock_s();
    }
    if (rc != 0)
        return rc;
    if (run->journal == NULL || fputs(line, run->journal) < 0)
        return journal_error(err);
    if (clock_s() - run->journal_told_s < JOURNAL_PAUSE_S)
        return 0;
    run->journal_told_s = clock_s();
    return fflush(run->journal) == 0 ? 0 : journal_error(err);
}

static int job_consents(struct io *io, char **ret_text, size_t *ret_len,
                        struct error *err)
{
    struct run *run = io->state;
    return consents_read(&run->consents, run->plan.data_file, ret_text, ret_len, err);
}

static int job_trace(struct io *io, char **ret_text, size_t *ret_len, struct error *err)
{
    const struct run *run = io->state;
    return trace_file_read(run->plan.data_file, &run->spec.federation.devices.trace,
                           ret_text, ret_len, err);
}

/* What is lost of a journal is worth a warning. */
static void close_journal(struct run *run)
{
    if (run->journal != NULL && fclose(run->journal) != 0)
        log_warning("the last lines of " JOURNAL_FILE " could not be written");
    run->journal = NULL;
}

/* Rank 0 of a federation that is done: its rounds as a picture. The model is there: a
 * picture that cannot be drawn is worth a warning. */
static void plot_journal(const struct run *run)
{
    char journal[PLAN_PATH_SIZE], svg[PLAN_PATH_SIZE], title[SPEC_NAME_SIZE + 32];
    struct error err = {0};
    if (run->spec.kind != JOB_FL || run->comm->rank != 0)
        return;
    snprintf(title, sizeof title, "job %lld: %s", (long long)run->plan.job_id,
             run->spec.name);
    int rc = plan_path(&run->plan, JOURNAL_FILE, journal, &err);
    if (rc == 0)
        rc = plan_path(&run->plan, PLAN_PLOT, svg, &err);
    if (rc == 0)
        rc = plot_rounds(journal, svg, title, run->plan.price.n_steps, &err);
    if (rc != 0)
        log_warning("no plot of the rounds: %s", err.text);
}

_Static_assert(sizeof((struct report){0}).model == PLAN_PATH_SIZE, "a path fits");

/* What runs a job of each kind; NULL: nothing does. */
static int (*const runners[JOB_N_KINDS])(const struct plan *, const struct spec *,
                                         const struct manifest *, struct env *,
                                         struct report *, struct error *) = {
    [JOB_DP] = dp_run,
    [JOB_FL] = fl_run,
};

static int check_world(const struct run *run, struct error *err)
{
    if (runners[run->spec.kind] == NULL)
        return error_set(err, PPT_ESTATE, "this worker cannot run jobs of kind %s",
                         job_kinds[run->spec.kind].name);
    if (run->comm->size == run->spec.resources.ranks)
        return 0;
    error_set(err, PPT_ESTATE, "the plan is for %lld ranks and %d were started",
              (long long)run->spec.resources.ranks, run->comm->size);
    return error_hint(err, "start it with mpirun -n %lld",
                      (long long)run->spec.resources.ranks);
}

static int open_meter(struct run *run, struct error *err)
{
    char path[PLAN_PATH_SIZE];
    if (run->control->rank != 0 || !run->plan.price.is_private)
        return 0;
    int rc = plan_path(&run->plan, PLAN_METER, path, err);
    return rc != 0
               ? rc
               : (run->order.is_noted ? meter_open_soon : meter_open)(
                     path, (int)run->plan.attempt, &run->plan.price, &run->meter, err);
}

/* A rank's part of a split, or all of it on each. */
static int open_split(struct run *run, const char *name, bool is_whole,
                      struct rows *ret_rows, struct error *err)
{
    const struct manifest_split *stated = manifest_split(&run->manifest, name);
    if (stated == NULL)
        return error_set(err, PPT_ESPEC, "the manifest of %s has no split %s",
                         run->manifest.name, name);
    return shard_open(
        &run->data, stated, run->spec.dataset.mean, run->spec.dataset.std,
        is_whole ? 0 : run->comm->rank, is_whole ? 1 : run->comm->size,
        shard_cache_bytes(run->spec.resources.memory_bytes, run->comm->size), ret_rows,
        err);
}

static int open_file(struct run *run, struct error *err)
{
    int rc = data_kept_open(run->plan.data_file, &run->data, err);
    run->data.n_beside = run->comm->n_beside;
    if (rc == 0)
        h5_set_threads(run->data.file, run->n_threads);
    if (rc == 0 && (run->data.unit != run->manifest.unit ||
                    run->data.relation != run->manifest.relation))
        rc = error_set(err, PPT_EDATA,
                       "%s: its privacy unit or relation is not the manifest's",
                       run->plan.data_file);
    return rc;
}

static int open_splits(struct run *run, struct error *err)
{
    int rc = open_split(run, run->spec.dataset.train, run->spec.kind == JOB_FL,
                        &run->train, err);
    if (rc == 0 && run->spec.dataset.test[0] != '\0')
        rc = open_split(run, run->spec.dataset.test, false, &run->test, err);
    return rc;
}

static int open_base(struct run *run, struct error *err)
{
    const struct spec_base *base = &run->spec.model.base;
    return base->file[0] == '\0'
               ? 0
               : base_model_open(run->plan.data_file, base, &run->base, err);
}

static int job_base_read(struct io *io, const struct tensor_view *wanted,
                         float *ret_values, struct error *err)
{
    struct run *run = io->state;
    return base_model_read(run->base, wanted, ret_values, err);
}

static int record_environment(const struct run *run, struct error *err)
{
    char path[PLAN_PATH_SIZE];
    if (run->comm->rank != 0)
        return 0;
    int rc = plan_path(&run->plan, ENVIRONMENT_FILE, path, err);
    return rc != 0 ? rc : environment_write(path, kernels_cpu_products(), err);
}

/* Rank 0 writes all that the job leaves; every rank with a GPU has one of its own. */
static int check_demands(const struct run *run, struct error *err)
{
    int rc = 0;
    if (run->plan.needs_encrypted_disk && run->comm->rank == 0)
        rc = demands_disk(run->plan.directory, err);
    if (rc == 0 && run->plan.needs_confidential_gpu &&
        run->spec.resources.gpus_per_rank > 0)
        rc = demands_gpu(err);
    return rc;
}

static int choose_kernels(struct run *run, struct error *err)
{
    struct wireup_place place;
    int rc = wireup_find_place(run->control->size, &place, err);
    if (rc != 0)
        return rc;
    binding_find(&run->binding);
    run->binding.node = place.node;
    return gpu_choose(run->spec.resources.gpus_per_rank, place.local_rank,
                      &run->kernels, &run->binding.gpu, err);
}

/* Rank 0: the hosts by their names, for the report. The job goes on without. */
static void name_hosts(struct run *run, const struct binding *all)
{
    struct report_places *places = &run->places;
    struct error err = {0};
    int first[REPORT_MAX_HOSTS], rc = 0;
    binding_places(all, run->control->size, places, first);
    for (int i = 0; rc == 0 && i < places->n_hosts_listed; i++)
        rc = wireup_host(run->control->size, first[i], places->hosts[i].name,
                         sizeof places->hosts[i].name, &err);
    if (rc == 0)
        return;
    log_warning("the report will not say where the ranks were: %s", err.text);
    *places = (struct report_places){0};
}

/* What all ranks are bound to, and from that how many threads this one has.
 * all[size]: scratch. */
static int share_out(struct run *run, struct binding *all, struct error *err)
{
    const int rank = run->control->rank, size = run->control->size;
    int rc =
        agree(run->control, binding_gather(run->control, &run->binding, all, err), err);
    if (rc == 0)
        run->n_threads =
            binding_threads(all, size, rank, run->spec.resources.cores_per_rank);
    if (rc == 0 && run->n_threads < run->spec.resources.cores_per_rank)
        log_info("rank %d computes with %d threads, not %lld: it has no more cores",
                 rank, run->n_threads, (long long)run->spec.resources.cores_per_rank);
    if (rc == 0 && rank == 0)
        name_hosts(run, all);
    return rc;
}

/* What each rank can do by itself. */
static int prepare_alone(struct run *run, struct error *err)
{
    int rc = check_world(run, err);
    if (rc == 0)
        rc = record_environment(run, err);
    if (rc == 0)
        rc = check_demands(run, err);
    if (rc == 0)
        rc = choose_kernels(run, err);
    return rc;
}

/* The data file's digest before HDF5 sees a byte of it, and those of its sources before
 * a row is read. */
static int prepare_data(struct run *run, struct error *err)
{
    int rc = digest_check(run->plan.data_file, run->manifest.digest, run->control, err);
    if (rc == 0)
        rc = open_file(run, err);
    rc = agree(run->control, rc, err);
    if (rc == 0)
        rc = digest_check_sources(run->data.file, run->control, err);
    if (rc == 0)
        rc = open_splits(run, err);
    if (rc == 0)
        rc = open_base(run, err);
    return agree(run->control, rc, err);
}

/* The ladder before the first step; each rung is agreed on by all ranks. */
static int prepare(struct run *run, struct error *err)
{
    struct binding *all = calloc((size_t)run->control->size, sizeof *all);
    int rc = all == NULL ? error_set(err, PPT_ENOMEM, "no memory for %d ranks",
                                     run->control->size)
                         : prepare_alone(run, err);
    rc = agree(run->control, rc, err);
    if (rc == 0)
        rc = share_out(run, all, err);
    free(all);
    return rc == 0 ? prepare_data(run, err) : rc;
}

/* Of private training, whose sums and parameters lie on them. */
static int join_devices(struct run *run, bool is_sealed, struct error *err)
{
    struct device_comm_site site = {.device = run->binding.gpu,
                                    .is_sealed = is_sealed,
                                    .patience_s = DEVICES_PATIENCE_S};
    char path[GPU_MODULE_PATH_SIZE];
    struct error no_module = {0};
    if (site.device < 0 || run->comm->size == 1 || run->spec.kind != JOB_DP)
        return 0;
    if (gpu_module_path("ppt-comm-nccl.so", path, &no_module) != 0 ||
        !device_comm_module(path, &site.module, &no_module))
        log_info("NCCL: %s", no_module.text);
    return device_comm_open(run->control, &site, &run->comm->device, err);
}

static void leave_devices(struct run *run)
{
    device_comm_close(run->comm->device);
    run->comm->device = NULL;
}

static int train(struct run *run, struct error *err)
{
    struct progress_line line = {.file = stderr, .is_terminal = isatty(STDERR_FILENO)};
    struct env env = {.comm = run->comm,
                      .io = &run->io,
                      .kernels = run->kernels,
                      .n_threads = run->n_threads,
                      .meter = run->meter,
                      .stop = &stop_requested};
    if (run->comm->rank == 0) {
        env.progress = progress_show;
        env.progress_state = &line;
    }
    run->io = (struct io){.train = &run->train,
                          .test = run->test.read != NULL ? &run->test : NULL,
                          .state = run,
                          .checkpoint_begin = job_checkpoint_begin,
                          .checkpoint_put = job_checkpoint_put,
                          .checkpoint_end = job_checkpoint_end,
                          .checkpoint_open = job_checkpoint_open,
                          .checkpoint_get = job_checkpoint_get,
                          .checkpoint_close = job_checkpoint_close,
                          .base_read = run->base != NULL ? job_base_read : NULL,
                          .consents = job_consents,
                          .trace = job_trace,
                          .note = job_note,
                          .model_save = job_model_save};
    crypto_random(env.noise_key, sizeof env.noise_key);
    crypto_random(env.sampling_key, sizeof env.sampling_key);
    struct report report = {0};
    int rc = runners[run->spec.kind](&run->plan, &run->spec, &run->manifest, &env,
                                     &report, err);
    crypto_wipe(env.noise_key, sizeof env.noise_key);
    crypto_wipe(env.sampling_key, sizeof env.sampling_key);
    progress_end(&line);
    close_journal(run);
    if (rc == 0)
        plot_journal(run);
    memcpy(report.model, run->report.model, sizeof report.model);
    run->report = report;
    if (rc != 0)
        stop_within(RUN_PATIENCE_S);
    rc = agree(run->control, rc, err);
    stop_at_ease();
    return rc;
}

/* Tells how it ended; a report that cannot be written is an error of its own
 * only where there was none. */
static int write_report(struct run *run, int rc, struct error *err)
{
    struct report *report = &run->report;
    struct error report_err = {0};
    char path[PLAN_PATH_SIZE];
    report->job_id = run->plan.job_id;
    report->attempt = run->plan.attempt;
    report->outcome = rc == 0                   ? REPORT_DONE
                      : rc == -PPT_EINTERRUPTED ? REPORT_INTERRUPTED
                                                : REPORT_FAILED;
    report->error_code = -rc;
    report->places = run->places;
    report->n_damaged_checkpoints = run->n_damaged_checkpoints;
    if (rc != 0) {
        memcpy(report->error_text, err->text, sizeof report->error_text);
        report->model[0] = '\0';
    }
    int report_rc = read_used(run, report->used, &report_err);
    if (report_rc == 0)
        report_rc = plan_path(&run->plan, REPORT_FILE, path, &report_err);
    if (report_rc == 0)
        /* Where there is a checkpoint it is forgotten next. */
        report_rc = (rc == 0 && !may_have_checkpoint(run)
                         ? report_write_soon
                         : report_write)(path, report, &report_err);
    if (report_rc == 0 || rc != 0)
        return rc;
    *err = report_err;
    return report_rc;
}

/* Every rank for itself. */
static int check_place(const struct plan *plan, struct error *err)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0)
        return error_errno(err, PPT_EIO, "cannot tell this host's name");
    return plan_check_place(plan, geteuid(), host, err);
}

static int check_key(const struct run *run, struct error *err)
{
    if (run->control->rank != 0 || !wants_key_handed(&run->plan) ||
        run->order.checkpoint_key != NULL)
        return 0;
    error_set(err, PPT_ETRUST, "the key of its checkpoints was not handed over");
    return error_hint(err, "only ppt-schedd, which keeps it, can start this job");
}

static struct plan_seen seen; /* in a pool the next job is often alike */

/* The plan, if it is this run's to run. Until here nothing is written, for it may be
 * another run's directory: whoever has the meter speaks for the job. */
static int load(struct run *run, const unsigned char public_key[CRYPTO_KEY_SIZE],
                struct error *err)
{
    const char *directory = run->order.directory;
    const int64_t attempt = run->order.attempt;
    int rc = plan_load(directory, public_key, &seen, &run->plan, &run->spec,
                       &run->manifest, err);
    if (rc == 0 && attempt != 0 && attempt != run->plan.attempt)
        rc = error_set(err, PPT_ESTATE,
                       "the plan in %s is for attempt %lld, and this is attempt %lld",
                       directory, (long long)run->plan.attempt, (long long)attempt);
    if (rc == 0)
        rc = check_place(&run->plan, err);
    if (rc == 0)
        rc = check_key(run, err);
    if (rc == 0)
        rc = open_meter(run, err);
    return rc;
}

/* `run` is NULL where there is no memory for it.
 *
 * Once ranks know that they share a node rank 0 verifies for all of them and tells the
 * others the plan, in memory that is only the job's user's: there they take its word
 * for more, that what they release has been charged, and who could change one could
 * change their own. Ranks of several nodes each trust the signature only: nothing has
 * proven yet who is at the other end. */
static int load_on_all(struct run *run, const char *directory,
                       const unsigned char public_key[CRYPTO_KEY_SIZE],
                       const struct world *world, struct error *err)
{
    struct comm *control = world->control;
    const bool is_told = world->is_one_node && control->rank != 0;
    int rc = run == NULL ? error_set(err, PPT_ENOMEM, "no memory to run a plan") : 0;
    if (rc == 0 && !is_told)
        rc = load(run, public_key, err);
    rc = agree(control, rc, err);
    if (rc != 0 || !world->is_one_node)
        return rc;
    rc = control->ops->broadcast(control, &run->plan, sizeof run->plan, 0, err);
    if (rc == 0 && is_told)
        rc = plan_load_told(&run->plan, directory, &seen, &run->spec, &run->manifest,
                            err);
    if (rc == 0 && is_told)
        rc = check_place(&run->plan, err);
    return agree(control, rc, err);
}

int run_plan(const struct run_order *order,
             const unsigned char public_key[CRYPTO_KEY_SIZE], struct world *world,
             struct error *err)
{
    struct run *run = calloc(1, sizeof *run);
    if (run != NULL) {
        run->control = world->control;
        run->order = *order;
    }
    int rc = load_on_all(run, order->directory, public_key, world, err);
    if (rc != 0)
        goto out;
    rc = world_seal(world, run->plan.job_id, run->plan.attempt, err);
    run->comm = world->comm;
    run->control = world->control;
    if (world->is_sealed)
        log_info("the channels between the ranks are sealed");
    if (rc == 0)
        rc = prepare(run, err);
    if (rc == 0)
        rc = join_devices(run, world->is_sealed, err);
    if (rc == 0)
        rc = train(run, err);
    if (!stop_overdue) /* else there is a report to be written, and nothing to keep */
        leave_devices(run);
    run->report.is_sealed = world->is_sealed;
    if (run->comm->rank == 0 || stop_overdue)
        rc = write_report(run, rc, err);
    if (run->comm->rank == 0 && rc == 0 && may_have_checkpoint(run))
        forget_checkpoint(run);
    if (!stop_overdue)
        rc = agree(run->control, rc, err);
    shard_close(&run->train);
    shard_close(&run->test);
    data_kept_close(&run->data);
    base_model_close(run->base);
out:
    if (run != NULL)
        meter_close(run->meter);
    free(run);
    return rc;
}
