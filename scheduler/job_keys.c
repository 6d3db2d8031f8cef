#include "scheduler/job_keys.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/pathsafe.h"
#include "scheduler/queue.h"

static int path_of(const char *directory, int64_t job_id, char ret_path[CONF_PATH_SIZE],
                   struct error *err)
{
    int n =
        snprintf(ret_path, CONF_PATH_SIZE, "%s/%lld.key", directory, (long long)job_id);
    return n < CONF_PATH_SIZE
               ? 0
               : error_set(err, PPT_EIO, "the path %s is too long", directory);
}

int job_keys_find(const char *directory, int64_t job_id,
                  unsigned char ret_key[CRYPTO_KEY_SIZE], struct error *err)
{
    char path[CONF_PATH_SIZE];
    struct error own = {0};
    int rc = path_of(directory, job_id, path, err);
    if (rc != 0)
        return rc;
    rc = pathsafe_read_own(path, ret_key, CRYPTO_KEY_SIZE, &own);
    if (rc == -PPT_ENOTFOUND) {
        crypto_random(ret_key, CRYPTO_KEY_SIZE);
        return pathsafe_replace(path, ret_key, CRYPTO_KEY_SIZE, 0600, err);
    }
    if (rc != 0 && err != NULL)
        *err = own;
    return rc;
}

int job_keys_start(const struct conf *conf, struct launcher *launcher,
                   const struct launcher_request *request, bool are_own, int lock,
                   struct launcher_started *ret_started, struct error *err)
{
    struct launcher_request with_key = *request;
    unsigned char key[CRYPTO_KEY_SIZE];
    if (!conf->hands_keys_over || !are_own)
        return launcher->ops->start(launcher, request, lock, ret_started, err);
    int rc = job_keys_find(conf->checkpoint_keys, request->job_id, key, err);
    with_key.checkpoint_key = key;
    if (rc == 0)
        rc = launcher->ops->start(launcher, &with_key, lock, ret_started, err);
    crypto_wipe(key, sizeof key);
    return rc;
}

int job_keys_wipe(const char *directory, int64_t job_id, struct error *err)
{
    char path[CONF_PATH_SIZE];
    int rc = path_of(directory, job_id, path, err);
    return rc == 0 ? pathsafe_wipe(path, CRYPTO_KEY_SIZE, err) : rc;
}

/* Has this job ended? A job that is not known has not. */
static int has_ended(struct db *db, int64_t job_id, bool *ret_has_ended,
                     struct error *err)
{
    struct queue_job job = {0};
    struct error own = {0};
    int rc = queue_find(db, job_id, &job, &own);
    *ret_has_ended = rc == 0 && queue_state_is_final(job.state);
    queue_job_free(&job);
    if (rc == 0 || rc == -PPT_ENOTFOUND)
        return 0;
    if (err != NULL)
        *err = own;
    return rc;
}

int job_keys_tidy(const char *directory, struct db *db, struct error *err)
{
    DIR *entries = opendir(directory);
    int rc = 0;
    if (entries == NULL)
        return error_errno(err, PPT_EIO, "cannot look into %s", directory);
    for (struct dirent *entry; rc == 0 && (entry = readdir(entries)) != NULL;) {
        long long job_id;
        int n = 0;
        bool is_over = false;
        if (sscanf(entry->d_name, "%lld.key%n", &job_id, &n) != 1 || n == 0 ||
            entry->d_name[n] != '\0')
            continue;
        rc = has_ended(db, job_id, &is_over, err);
        if (rc == 0 && is_over)
            rc = job_keys_wipe(directory, job_id, err);
    }
    closedir(entries);
    return rc;
}
