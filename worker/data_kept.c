#include "worker/data_kept.h"

#include <string.h>

#include "worker/files.h"

static struct data_h5 kept; /* file NULL: none, or it is lent */
static struct file_state state;
static bool may_keep; /* what is lent */

void data_kept_forget(void)
{
    if (kept.file != NULL)
        data_h5_close(&kept, NULL);
}

static int open_new(const char *path, struct data_h5 *ret_data, struct error *err)
{
    struct file_state after;
    may_keep = files_at_rest(path, &state);
    int rc = data_h5_open(path, ret_data, err);
    if (rc != 0)
        return rc;
    may_keep = may_keep && h5_n_sources(ret_data->file) == 0 &&
               files_at_rest(path, &after) && files_are_same(&state, &after);
    rc = may_keep ? data_h5_share(ret_data, err) : 0;
    if (rc != 0)
        data_h5_close(ret_data, NULL);
    return rc;
}

int data_kept_open(const char *path, struct data_h5 *ret_data, struct error *err)
{
    struct file_state now;
    if (kept.file == NULL || strcmp(h5_path(kept.file), path) != 0 ||
        !files_at_rest(path, &now) || !files_are_same(&state, &now)) {
        data_kept_forget();
        return open_new(path, ret_data, err);
    }
    *ret_data = kept;
    kept = (struct data_h5){0};
    return 0;
}

void data_kept_close(struct data_h5 *data)
{
    if (data->file == NULL)
        return;
    if (may_keep)
        kept = *data;
    else
        data_h5_close(data, NULL);
    *data = (struct data_h5){0};
}
