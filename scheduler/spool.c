#include "scheduler/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/pathsafe.h"
#include "base/ydoc.h"

#define STATE_FILE "scheduler.json"
#define STATE_MAX_BYTES 4096

static const char *const stop_names[SPOOL_STOP_N] = {"none", "cancel", "time"};

static int state_text(const struct spool_state *state, char **ret_text,
                      struct error *err);

/* "": this system does not tell. */
static const char *this_boot(void)
{
    static char boot[SPOOL_BOOT_SIZE];
    char *text = NULL;
    size_t len = 0;
    if (boot[0] == '\0' && pathsafe_read_file("/proc/sys/kernel/random/boot_id", 64,
                                              &text, &len, NULL) == 0) {
        len = strcspn(text, "\n");
        if (len < sizeof boot)
            memcpy(boot, text, len);
        free(text);
    }
    return boot;
}

int spool_path(const char *directory, const char *name, char ret_path[SPOOL_PATH_SIZE],
               struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int len = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (len < 0 || len >= (int)sizeof path)
        return error_set(err, PPT_EIO, "the path %s/%s is too long", directory, name);
    memcpy(ret_path, path, (size_t)len + 1);
    return 0;
}

static int make_directory(const char *path, struct error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_errno(err, PPT_EIO, "cannot create %s", path);
    return 0;
}

int spool_check_owner(const char *path, struct error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return error_errno(err, PPT_EIO, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, PPT_EIO, "%s is not a directory", path);
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        error_set(err, PPT_ETRUST, "%s is not this user's alone", path);
        return error_hint(err,
                          "the scheduler must own it and nobody else may write there");
    }
    return 0;
}

/* An open file with an exclusive lock. Not inherited unless the caller says so. */
static int open_locked(const char *path, int *ret_fd, struct error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, PPT_EIO, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = errno == EWOULDBLOCK
                     ? error_set(err, PPT_ESTATE, "%s is locked", path)
                     : error_errno(err, PPT_EIO, "cannot lock %s", path);
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* Its directories have nothing to do with each other (chattr(1), attribute T): ext4
 * lays them all over the disk then. Next to each other their files come to use up
 * groups of inodes one by one, and where files were deleted lately ext4 without a
 * journal passes over thousands of inodes for each that it makes. Elsewhere nothing. */
static void spread(const char *root)
{
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), flags = 0;
    if (fd < 0)
        return;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_TOPDIR_FL) == 0) {
        flags |= FS_TOPDIR_FL;
        ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    close(fd);
}

int spool_open(const char *root, struct spool *ret_spool, struct error *err)
{
    struct spool spool;
    char path[SPOOL_PATH_SIZE], resolved[PATH_MAX];
    int rc = make_directory(root, err);
    if (rc == 0)
        rc = spool_check_owner(root, err);
    if (rc != 0)
        return rc;
    if (realpath(root, resolved) == NULL)
        return error_errno(err, PPT_EIO, "cannot resolve %s", root);
    rc = spool_path(resolved, "schedd.lock", path, err);
    if (rc != 0)
        return rc;
    memcpy(spool.root, resolved, strlen(resolved) + 1);
    rc = open_locked(path, &spool.lock, err);
    if (rc == -PPT_ESTATE)
        error_set(err, PPT_ESTATE, "another ppt-schedd uses %s", spool.root);
    if (rc == 0) {
        spread(spool.root);
        *ret_spool = spool;
    }
    return rc;
}

void spool_close(struct spool *spool)
{
    close(spool->lock);
    spool->lock = -1;
}

static int note_first(const char *directory, struct spool_state *ret_state,
                      struct error *err)
{
    struct spool_state nothing = {0};
    char path[SPOOL_PATH_SIZE], *text = NULL;
    strcpy(nothing.boot, this_boot());
    int rc = spool_path(directory, STATE_FILE, path, err);
    if (rc == 0)
        rc = state_text(&nothing, &text, err);
    if (rc == 0 && nothing.boot[0] == '\0')
        rc = pathsafe_replace_soon(path, text, strlen(text), 0600, err);
    else if (rc == 0)
        rc = pathsafe_write_fast(path, text, strlen(text), 0600, err);
    free(text);
    *ret_state = nothing;
    return rc;
}

int spool_job(const struct spool *spool, int64_t job_id,
              char ret_directory[SPOOL_PATH_SIZE], struct spool_state *ret_state,
              struct error *err)
{
    char name[24], directory[SPOOL_PATH_SIZE];
    struct error own = {0};
    snprintf(name, sizeof name, "%lld", (long long)job_id);
    int rc = spool_path(spool->root, name, directory, err);
    if (rc == 0)
        rc = make_directory(directory, err);
    if (rc == 0)
        rc = spool_check_owner(directory, err);
    if (rc != 0)
        return rc;
    rc = spool_load(directory, ret_state, &own);
    if (rc == -PPT_ENOTFOUND)
        rc = note_first(directory, ret_state, err);
    else if (rc != 0 && err != NULL)
        *err = own;
    if (rc == 0)
        memcpy(ret_directory, directory, sizeof directory);
    return rc;
}

int spool_lock(const char *directory, int *ret_fd, struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int rc = spool_path(directory, "lock", path, err);
    return rc == 0 ? open_locked(path, ret_fd, err) : rc;
}

int spool_is_locked(const char *directory, bool *ret_is_locked, struct error *err)
{
    int fd;
    struct stat st;
    if (stat(directory, &st) != 0 && errno == ENOENT) {
        *ret_is_locked = false;
        return 0;
    }
    int rc = spool_lock(directory, &fd, err);
    if (rc == 0)
        close(fd);
    if (rc != 0 && rc != -PPT_ESTATE)
        return rc;
    *ret_is_locked = rc != 0;
    return 0;
}

static int parse_state(const char *text, size_t len, const char *path,
                       struct spool_state *ret_state, struct error *err)
{
    struct ydoc_faults faults = {.path = path};
    struct ydoc *doc = ydoc_parse(text, len, NULL, &faults);
    const struct ydoc_node *root = ydoc_root(doc);
    struct spool_state state = {0};
    int stop = 0;
    const struct {
        const char *name;
        int64_t *value;
    } fields[] = {{"started_attempt", &state.started_attempt},
                  {"started_at_s", &state.started_at_s},
                  {"stop_at_s", &state.stop_at_s},
                  {"n_losses", &state.n_losses},
                  {"last_loss", &state.last_loss},
                  {"missing_since_s", &state.missing_since_s}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        ydoc_integer(&faults, ydoc_need(&faults, root, fields[i].name), 0, INT64_MAX,
                     fields[i].value);
    ydoc_word(&faults, ydoc_need(&faults, root, "stop"), stop_names, SPOOL_STOP_N,
              &stop);
    /* Not in files of an older version; a reader given no node does nothing. */
    ydoc_integer(&faults, ydoc_get(root, "n_early"), 0, INT64_MAX, &state.n_early);
    ydoc_integer(&faults, ydoc_get(root, "last_early"), 0, INT64_MAX,
                 &state.last_early);
    ydoc_integer(&faults, ydoc_get(root, "ahead_attempt"), 0, INT64_MAX,
                 &state.ahead_attempt);
    ydoc_integer(&faults, ydoc_get(root, "held_since_s"), 0, INT64_MAX,
                 &state.held_since_s);
    ydoc_string(&faults, ydoc_get(root, "boot"), sizeof state.boot, state.boot);
    int rc = ydoc_faults_end(&faults, "scheduler's state of a job", err);
    ydoc_free(doc);
    if (rc != 0)
        return error_set(err, PPT_ETRUST, "%s is damaged", path);
    state.stop = (enum spool_stop)stop;
    state.is_doubtful = state.boot[0] != '\0' && strcmp(state.boot, this_boot()) != 0;
    *ret_state = state;
    return 0;
}

/* The last line that has an end: what stands behind it was never saved. */
static const char *last_line(const char *text, size_t len, size_t *ret_len)
{
    const char *end = memrchr(text, '\n', len);
    if (end == NULL) {
        *ret_len = len;
        return text;
    }
    while (end > text && end[-1] == '\n') /* empty lines say nothing */
        end--;
    const char *before = memrchr(text, '\n', (size_t)(end - text));
    const char *line = before == NULL ? text : before + 1;
    *ret_len = (size_t)(end - line);
    return line;
}

int spool_load(const char *directory, struct spool_state *ret_state, struct error *err)
{
    char path[SPOOL_PATH_SIZE], *text = NULL;
    size_t len, line_len;
    int rc = spool_path(directory, STATE_FILE, path, err);
    if (rc == 0)
        rc = pathsafe_read_file(path, STATE_MAX_BYTES, &text, &len, err);
    if (rc == 0 && len == 0) /* its first line was never written */
        rc = error_set(err, PPT_ENOTFOUND, "%s is empty", path);
    if (rc == 0) {
        const char *line = last_line(text, len, &line_len);
        rc = parse_state(line, line_len, path, ret_state, err);
    }
    free(text);
    return rc;
}

/* One more line at the end of a state file that is there and has room: no name
 * changes, so one sync of the file does. *ret_done false: it is to be replaced. */
static int append(const char *path, const char *line, bool is_synced, bool *ret_done,
                  struct error *err)
{
    struct stat st;
    size_t len = strlen(line);
    *ret_done = false;
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    int rc = 0;
    if (fstat(fd, &st) == 0 && st.st_size + (off_t)len <= STATE_MAX_BYTES) {
        ssize_t n = write(fd, line, len);
        if (n == (ssize_t)len && (!is_synced || fdatasync(fd) == 0))
            *ret_done = true;
        else
            rc = error_errno(err, PPT_EIO, "cannot write '%s'", path);
    }
    close(fd);
    return rc;
}

static int state_text(const struct spool_state *state, char **ret_text,
                      struct error *err)
{
    struct json json = {0};
    json_object(&json, NULL);
    json_integer(&json, "started_attempt", state->started_attempt);
    json_integer(&json, "started_at_s", state->started_at_s);
    json_string(&json, "stop", stop_names[state->stop]);
    json_integer(&json, "stop_at_s", state->stop_at_s);
    json_integer(&json, "n_losses", state->n_losses);
    json_integer(&json, "last_loss", state->last_loss);
    json_integer(&json, "missing_since_s", state->missing_since_s);
    json_integer(&json, "n_early", state->n_early);
    json_integer(&json, "last_early", state->last_early);
    json_integer(&json, "ahead_attempt", state->ahead_attempt);
    json_integer(&json, "held_since_s", state->held_since_s);
    if (state->boot[0] != '\0')
        json_string(&json, "boot", state->boot);
    json_close_object(&json);
    return json_end(&json, ret_text, err);
}

static int write_state(const char *directory, const struct spool_state *state,
                       bool is_synced, struct error *err)
{
    char path[SPOOL_PATH_SIZE], *text = NULL, *line = NULL;
    bool is_done = false;
    int rc = spool_path(directory, STATE_FILE, path, err);
    if (rc == 0)
        rc = state_text(state, &text, err);
    /* The text ends its own line; the newline before it, what an interrupted save left.
     */
    if (rc == 0 && asprintf(&line, "\n%s", text) < 0) {
        line = NULL;
        rc = error_set(err, PPT_ENOMEM, "no memory for a job's state");
    }
    if (rc == 0)
        rc = append(path, line, is_synced, &is_done, err);
    if (rc == 0 && !is_done)
        rc = pathsafe_replace(path, text, strlen(text), 0600, err);
    free(text);
    free(line);
    return rc;
}

int spool_save(const char *directory, const struct spool_state *state,
               struct error *err)
{
    return write_state(directory, state, true, err);
}

int spool_note(const char *directory, struct spool_state *state, struct error *err)
{
    strcpy(state->boot, this_boot());
    return write_state(directory, state, state->boot[0] == '\0', err);
}

int spool_keep(const char *directory, struct spool_state *state, struct error *err)
{
    char path[SPOOL_PATH_SIZE];
    int rc = spool_path(directory, STATE_FILE, path, err);
    if (rc == 0)
        rc = pathsafe_sync_parent(path, err);
    if (rc == 0)
        rc = pathsafe_sync_parent(directory, err);
    if (rc != 0)
        return rc;
    state->boot[0] = '\0';
    return write_state(directory, state, true, err);
}
