#include "worker/orders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pathsafe.h"

#define PATH_SIZE (POOL_PATH_SIZE + 64)
#define IDLE "idle"

/* directory/WHAT-JOB-ATTEMPT, or without JOB where there is none. */
static void name_file(const char *directory, const char *what,
                      const struct pool_message *order, char ret_path[PATH_SIZE])
{
    snprintf(ret_path, PATH_SIZE, "%.*s/%s-%lld-%lld", POOL_PATH_SIZE, directory, what,
             (long long)order->job_id, (long long)order->attempt);
}

static void name_ticket(const struct pool_message *order, const char *what,
                        char ret_path[PATH_SIZE])
{
    snprintf(ret_path, PATH_SIZE, "%.*s/%s-%lld", POOL_PATH_SIZE, order->directory,
             what, (long long)order->attempt);
}

/* The one that is called busy-JOB-ATTEMPT. */
static int find_busy(const char *world, struct pool_message *order, struct error *err)
{
    DIR *folder = opendir(world);
    if (folder == NULL)
        return error_errno(err, errno == ENOENT ? PPT_ESTATE : PPT_EIO,
                           "cannot read %s", world);
    int rc = -PPT_ESTATE;
    for (struct dirent *entry; rc != 0 && (entry = readdir(folder)) != NULL;) {
        long long job, attempt;
        char rest;
        if (sscanf(entry->d_name, "busy-%lld-%lld%c", &job, &attempt, &rest) == 2 &&
            job > 0 && attempt > 0) {
            order->job_id = job;
            order->attempt = attempt;
            rc = 0;
        }
    }
    closedir(folder);
    return rc == 0 ? 0
                   : error_set(err, PPT_ESTATE, "the pilot wants this world to end");
}

int orders_next(const char *world, struct pool_message *ret_order, struct error *err)
{
    struct pool_message order = {.kind = POOL_RUN};
    char path[PATH_SIZE], *text = NULL;
    size_t len = 0;
    snprintf(path, sizeof path, "%.*s/" IDLE, POOL_PATH_SIZE, world);
    if (access(path, F_OK) == 0)
        return error_set(err, PPT_ENOTFOUND, "no order yet");
    if (errno != ENOENT)
        return error_errno(err, PPT_EIO, "cannot look at %s", path);
    int rc = find_busy(world, &order, err);
    if (rc != 0)
        return rc;
    snprintf(path, sizeof path, "%.*s/order", POOL_PATH_SIZE, world);
    rc = pathsafe_read_file(path, POOL_PATH_SIZE, &text, &len, err);
    if (rc != 0)
        return rc;
    text[strcspn(text, "\n")] = '\0';
    if (text[0] != '/' || strlen(text) >= sizeof order.directory)
        rc = error_set(err, PPT_ETRUST, "expected a job's directory in %s", path);
    else
        snprintf(order.directory, sizeof order.directory, "%s", text);
    free(text);
    if (rc == 0)
        *ret_order = order;
    return rc;
}

bool orders_take_ticket(const struct pool_message *order)
{
    char ticket[PATH_SIZE], taken[PATH_SIZE];
    name_ticket(order, "ticket", ticket);
    name_ticket(order, "taken", taken);
    return rename(ticket, taken) == 0;
}

int orders_tell_end(const struct pool_message *order, struct error *err)
{
    char path[PATH_SIZE];
    name_ticket(order, "ended", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, PPT_EIO, "cannot make %s", path);
    close(fd);
    return 0;
}

bool orders_be_idle(const char *world, const struct pool_message *order)
{
    char busy[PATH_SIZE], idle[PATH_SIZE];
    name_file(world, "busy", order, busy);
    snprintf(idle, sizeof idle, "%.*s/" IDLE, POOL_PATH_SIZE, world);
    return rename(busy, idle) == 0;
}
