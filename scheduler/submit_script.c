/* ppt-submit script.sh: a user's own batch script and its #PPT lines, for sbatch. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "jobs/spec/name.h"
#include "scheduler/script_lines.h"
#include "scheduler/submit.h"

/* ---- what lines and command line say ---- */

/* What makes no sense for a script, or only inside it. */
static int check(const struct submit *said, struct error *err)
{
    const char *what = said->is_here  ? "--here"
                       : said->is_dry ? "--dry-run"
                                      : "--after";
    if (said->account != NULL && !name_is_account(said->account))
        return error_set(err, PPT_EUSAGE,
                         "\"%.200s\" is no account such as acme/research/vision",
                         said->account);
    if (!said->is_here && !said->is_dry && said->after == NULL)
        return 0;
    error_set(err, PPT_EUSAGE, "%s is for a job's own file, not for a batch script",
              what);
    return error_hint(
        err, "%s",
        said->is_here  ? "the script itself runs ppt-submit --here job.yaml"
        : said->is_dry ? "ask for the price of the file that the script runs"
                       : "Slurm's jobs wait for each other by #SBATCH --dependency");
}

/* Would print and exit. */
static bool is_standard(const char *word)
{
    static const char *const words[] = {"--help", "-h", "--version",
                                        "--completion-words"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static int read_line(struct script_line *line, struct submit *said, struct error *err)
{
    const struct opt options[] = {SUBMIT_OPTIONS(*said)};
    const struct opt_program program = {
        .name = "ppt-submit",
        .usage = "[OPTION]... in a #PPT line",
        .options = options,
        .n_options = sizeof options / sizeof *options,
    };
    char *argv[SCRIPT_LINES_MAX_WORDS + 2] = {"ppt-submit"};
    int n_operands = 0;
    for (int i = 0; i < line->n_words; i++) {
        if (is_standard(line->words[i]))
            return error_set(err, PPT_EUSAGE, "%s is for the command line",
                             line->words[i]);
        argv[1 + i] = line->words[i];
    }
    int rc = opt_parse(&program, 1 + line->n_words, argv, &n_operands, err);
    return rc != 0 ? rc : check(said, err);
}

static int read_lines(const char *path, struct script_lines *script,
                      struct submit *said, struct error *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < script->n_lines; i++) {
        rc = read_line(&script->lines[i], said, err);
        if (rc != 0)
            error_prefix(err, "%s:%d", path, script->lines[i].number);
    }
    if (rc == 0 && script->late_line != 0)
        log_warning("%s:%d: this #PPT line stands behind the first command and is not "
                    "read",
                    path, script->late_line);
    return rc;
}

/* ---- what the script's own ppt-submit will find in its environment ---- */

#define MAX_PASSED 3

struct passed {
    int n;
    const char *names[MAX_PASSED];
};

/* Command line, then the environment as it is, then the script's lines. */
static void pass_on(struct passed *passed, const char *name, const char *command,
                    const char *line)
{
    const char *before = getenv(name);
    bool is_set = before != NULL && before[0] != '\0';
    const char *value = command != NULL ? command : is_set ? NULL : line;
    if (value != NULL)
        setenv(name, value, 1);
    if (value != NULL || is_set)
        passed->names[passed->n++] = name;
}

/* The job may begin in another directory. */
static int resolve(const char **path, char resolved[PATH_MAX], struct error *err)
{
    if (*path == NULL)
        return 0;
    if (realpath(*path, resolved) == NULL)
        return error_errno(err, errno == ENOENT ? PPT_ENOTFOUND : PPT_EIO,
                           "cannot find the configuration %s", *path);
    *path = resolved;
    return 0;
}

/* Is `name` among the words with commas between, as sbatch reads --export? */
static bool exports(const char *list, const char *name)
{
    size_t len = strlen(name), n;
    for (; *list != '\0'; list += n + (list[n] == ',')) {
        n = strcspn(list, ",");
        if (n == len && strncasecmp(list, name, len) == 0)
            return true;
    }
    return false;
}

/* The script's --export, the last of them; NULL: none. */
static const char *find_export(const struct script_lines *sbatch, int *ret_line)
{
    const char *found = NULL;
    for (int i = 0; i < sbatch->n_lines; i++) {
        const struct script_line *line = &sbatch->lines[i];
        for (int j = 0; j < line->n_words; j++) {
            bool is_short = strcmp(line->words[j], "--export") == 0;
            if (is_short && j + 1 < line->n_words)
                found = line->words[j + 1];
            else if (strncmp(line->words[j], "--export=", 9) == 0)
                found = line->words[j] + 9;
            else
                continue;
            *ret_line = line->number;
        }
    }
    return found;
}

/* An option that is lost on the way would charge another account in silence. */
static int check_export(const char *path, const struct passed *passed,
                        struct error *err)
{
    struct script_lines sbatch = {0};
    const char *list = getenv("SBATCH_EXPORT");
    char place[PATH_MAX + 32] = "SBATCH_EXPORT";
    int line;
    int rc = passed->n == 0 ? 0 : script_lines_read(path, "#SBATCH", &sbatch, err);
    if (rc == 0 && list == NULL && (list = find_export(&sbatch, &line)) != NULL)
        snprintf(place, sizeof place, "%s:%d", path, line);
    for (int i = 0; rc == 0 && list != NULL && i < passed->n; i++)
        if (!exports(list, "ALL") && !exports(list, passed->names[i])) {
            error_set(err, PPT_EUSAGE, "%s: --export=%.100s keeps %s from the job",
                      place, list, passed->names[i]);
            rc = error_hint(err, "write --export=ALL, or %s=... inside the script",
                            passed->names[i]);
        }
    script_lines_free(&sbatch);
    return rc;
}

static int set_environment(const char *path, const struct submit *command,
                           const struct submit *lines, struct error *err)
{
    char resolved[2][PATH_MAX];
    struct passed passed = {0};
    const char *configs[] = {command->client.config, lines->client.config};
    int rc = resolve(&configs[0], resolved[0], err);
    if (rc == 0)
        rc = resolve(&configs[1], resolved[1], err);
    if (rc != 0)
        return rc;
    pass_on(&passed, "PPT_ACCOUNT", command->account, lines->account);
    pass_on(&passed, "PPT_DATABASE", command->client.database, lines->client.database);
    pass_on(&passed, "PPT_CONFIG", configs[0], configs[1]);
    return check_export(path, &passed, err);
}

/* ---- sbatch ---- */

/* "17" or "17;cluster": its number; 0: not taken. */
static int64_t parse_id(const char *output)
{
    char *end;
    long long id = strtoll(output, &end, 10);
    return end != output && (*end == '\n' || *end == ';') && id > 0 ? id : 0;
}

static void child(char **argv, int out)
{
    if (dup2(out, STDOUT_FILENO) < 0)
        _exit(PPT_ELAUNCH);
    execvp(argv[0], argv);
    _exit(PPT_ELAUNCH);
}

/* Its answer and its status; its complaints go to our standard error. */
static int run_sbatch(char **argv, char *ret_output, size_t size, int *ret_status,
                      struct error *err)
{
    int ends[2], status = 0;
    size_t n = 0;
    ssize_t got = 0;
    if (pipe(ends) != 0)
        return error_errno(err, PPT_EIO, "cannot make a pipe");
    pid_t pid = fork();
    if (pid == 0)
        child(argv, ends[1]);
    close(ends[1]);
    while (pid > 0 && n + 1 < size) {
        got = read(ends[0], ret_output + n, size - 1 - n);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    ret_output[n] = '\0';
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return error_errno(err, PPT_ELAUNCH, "cannot run sbatch");
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

static int print_id(bool is_json, int64_t id, struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    int rc = 0;
    if (!is_json) {
        printf("%lld\n", (long long)id);
    } else {
        json_object(&json, NULL);
        json_integer(&json, "slurm_job_id", id);
        json_close_object(&json);
        rc = json_end(&json, &text, err);
        if (rc == 0)
            fputs(text, stdout);
        free(text);
    }
    if (rc == 0 && fflush(stdout) != 0)
        rc = error_errno(err, PPT_EIO, "cannot write the job's id");
    return rc;
}

static int hand_over(char **operands, int n_operands, bool waits, bool is_json,
                     int *ret_status, struct error *err)
{
    char output[256];
    int status = 0, n = 0;
    char **argv = calloc((size_t)n_operands + 4, sizeof *argv);
    if (argv == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    argv[n++] = "sbatch";
    argv[n++] = "--parsable";
    if (waits)
        argv[n++] = "--wait";
    memcpy(argv + n, operands, (size_t)n_operands * sizeof *argv);
    int rc = run_sbatch(argv, output, sizeof output, &status, err);
    free(argv);
    if (rc != 0)
        return rc;
    int64_t id = parse_id(output);
    if (id == 0)
        return error_set(err, PPT_ELAUNCH,
                         "Slurm did not take %s: sbatch ended with status %d",
                         operands[0], status);
    log_info("Slurm's job %lld; the job in it gets a number of its own when it begins",
             (long long)id);
    *ret_status = waits ? status : 0;
    return print_id(is_json, id, err);
}

int submit_script(const struct submit *request, char **operands, int n_operands,
                  int *ret_status, struct error *err)
{
    const char *path = operands[0];
    struct script_lines *script = calloc(1, sizeof *script);
    struct submit lines = {0};
    if (script == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    int rc = check(request, err);
    if (rc == 0)
        rc = submit_find_program("sbatch", err);
    if (rc == 0)
        rc = script_lines_read(path, "#PPT", script, err);
    if (rc == 0)
        rc = read_lines(path, script, &lines, err);
    if (rc == 0)
        rc = set_environment(path, request, &lines, err);
    if (rc == 0)
        rc = hand_over(operands, n_operands, request->waits || lines.waits,
                       request->is_json || lines.is_json, ret_status, err);
    script_lines_free(script);
    free(script);
    return rc;
}
