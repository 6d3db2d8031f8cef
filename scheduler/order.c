#include "scheduler/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"
#include "scheduler/ticket.h"

#define MAX_BYTES (64u << 10)

struct places_room order_rank(const struct order *order)
{
    return (struct places_room){.n_cores = order->cores_per_rank,
                                .memory_bytes = (order->mib_per_core << 20) *
                                                order->cores_per_rank};
}

struct order order_of(const struct launcher_request *request)
{
    int64_t n_cores = request->n_ranks * request->cores_per_rank;
    int64_t bytes = request->memory_bytes, share = n_cores << 20;
    return (struct order){.n_ranks = request->n_ranks,
                          .cores_per_rank = request->cores_per_rank,
                          .mib_per_core = bytes / share + (bytes % share != 0)};
}

/* *ret_text: caller frees. */
static int write_text(const struct order *order, const char *directory, char **ret_text,
                      struct error *err)
{
    size_t len;
    FILE *to = open_memstream(ret_text, &len);
    if (to == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory starting a job");
    fprintf(to, "%lld %lld %lld %lld ", (long long)order->pilot,
            (long long)order->n_ranks, (long long)order->cores_per_rank,
            (long long)order->mib_per_core);
    const char *comma = "";
    for (int i = 0; i < PLACES_MAX; i++)
        for (int64_t rank = 0; rank < order->ranks[i]; rank++, comma = ",")
            fprintf(to, "%s%d", comma, i);
    fprintf(to, " %s\n", directory);
    if (fclose(to) == 0)
        return 0;
    free(*ret_text);
    return error_set(err, PPT_ENOMEM, "out of memory starting a job");
}

static int write_at(const struct order *order, const char *directory, const char *path,
                    struct error *err)
{
    char *text;
    if (strpbrk(directory, " \t\n\\'\"$`*?[") != NULL)
        return error_set(err, PPT_ELAUNCH,
                         "expected a spool without blanks and quotes, found %.200s",
                         directory);
    int rc = write_text(order, directory, &text, err);
    if (rc != 0)
        return rc;
    rc = pathsafe_replace(path, text, strlen(text), 0600, err);
    free(text);
    return rc;
}

int order_keep(const struct order *order, const char *directory, int64_t attempt,
               struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int rc = ticket_path(directory, "order", attempt, path, err);
    return rc == 0 ? write_at(order, directory, path, err) : rc;
}

int order_send(const struct order *order, const char *pilot_directory,
               const char *directory, int64_t job_id, int64_t attempt,
               struct error *err)
{
    char name[64], path[SPOOL_PATH_SIZE];
    snprintf(name, sizeof name, ORDER_FOLDER "/%lld-%lld", (long long)job_id,
             (long long)attempt);
    int rc = spool_path(pilot_directory, name, path, err);
    return rc == 0 ? write_at(order, directory, path, err) : rc;
}

/* "0,0,1": false if it is no such list of n places. */
static bool parse_places(const char *text, int64_t n, int64_t ret_ranks[PLACES_MAX])
{
    for (int64_t i = 0; i < n; i++) {
        char *end;
        long place = strtol(text, &end, 10);
        if (end == text || place < 0 || place >= PLACES_MAX ||
            *end != (i + 1 < n ? ',' : ' '))
            return false;
        ret_ranks[place]++;
        text = end + 1;
    }
    return true;
}

int order_read(const char *directory, int64_t attempt, struct order *ret_order,
               struct error *err)
{
    char path[SPOOL_PATH_SIZE], *text;
    long long pilot, n_ranks, cores, mib;
    struct order order = {0};
    int at = 0;
    int rc = ticket_path(directory, "order", attempt, path, err);
    if (rc == 0)
        rc = pathsafe_read_file(path, MAX_BYTES, &text, NULL, err);
    if (rc != 0)
        return rc;
    int n = sscanf(text, "%lld %lld %lld %lld %n", &pilot, &n_ranks, &cores, &mib, &at);
    if (n == 4 && at > 0 && pilot > 0 && n_ranks > 0 && cores > 0 && mib > 0)
        order = (struct order){.pilot = pilot,
                               .n_ranks = n_ranks,
                               .cores_per_rank = cores,
                               .mib_per_core = mib};
    if (order.pilot == 0 || !parse_places(text + at, n_ranks, order.ranks))
        rc = error_set(err, PPT_ETRUST, "%s is damaged", path);
    else
        *ret_order = order;
    free(text);
    return rc;
}
