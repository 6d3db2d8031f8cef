/* How many GPUs a job has, and which. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "jobs/report.h"
#include "scheduler/jobs.h"
#include "scheduler/settle.h"
#include "scheduler/spool.h"

int64_t jobs_n_gpus(const struct queue_job *job)
{
    return job->n_ranks * job->gpus_per_rank;
}

/* The report of the last attempt, where this login may read it. The directory may be
 * another user's: nothing but a file is opened. */
static bool find_places(const struct queue_job *job, struct report *ret_report)
{
    char path[SPOOL_PATH_SIZE];
    struct stat about;
    return job->gpus_per_rank > 0 && job->attempt > 0 &&
           spool_path(jobs_directory(job), "report.json", path, NULL) == 0 &&
           lstat(path, &about) == 0 && S_ISREG(about.st_mode) &&
           settle_find_report(jobs_directory(job), job->id, job->attempt, ret_report);
}

void jobs_print_gpus(const struct queue_job *job)
{
    struct report *report = malloc(sizeof *report);
    const struct report_places *places = report == NULL ? NULL : &report->places;
    bool is_found = report != NULL && find_places(job, report);
    for (int i = 0; is_found && i < places->n_ranks_listed; i++)
        if (places->ranks[i].gpu >= 0)
            printf("%-17s rank %lld on %s, GPU %lld\n", i == 0 ? "GPUs" : "",
                   (long long)places->ranks[i].rank,
                   places->hosts[places->ranks[i].host].name,
                   (long long)places->ranks[i].gpu);
    free(report);
}

void jobs_gpus_to_json(struct json *json, const struct queue_job *job)
{
    struct report *report;
    if (job->gpus_per_rank == 0)
        return;
    json_integer(json, "gpus_per_rank", job->gpus_per_rank);
    json_integer(json, "gpus", jobs_n_gpus(job));
    report = malloc(sizeof *report);
    if (report != NULL && find_places(job, report)) {
        json_array(json, "gpu_places");
        for (int i = 0; i < report->places.n_ranks_listed; i++) {
            const struct report_rank *rank = &report->places.ranks[i];
            if (rank->gpu < 0)
                continue;
            json_object(json, NULL);
            json_integer(json, "rank", rank->rank);
            json_string(json, "host", report->places.hosts[rank->host].name);
            json_integer(json, "gpu", rank->gpu);
            json_close_object(json);
        }
        json_close_array(json);
    }
    free(report);
}
