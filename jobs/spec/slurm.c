#include "jobs/spec/slurm.h"

#include <string.h>

#include "jobs/spec/notify.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* ---- options ---- */

enum passing {
    PASS_VALUE,  /* --name=value */
    PASS_FLAG,   /* --name */
    PASS_EITHER, /* both */
    PASS_FIELD   /* has a field of its own here */
};

/* Options that choose nodes and moments, and nothing else: none names a file, a
 * program, a user, an environment or a signal, and none changes what ppt set. */
static const struct {
    const char *name;
    enum passing passing;
} passed[] = {
    {"begin", PASS_VALUE},
    {"constraint", PASS_VALUE},
    {"contiguous", PASS_FLAG},
    {"cores-per-socket", PASS_VALUE},
    {"distribution", PASS_VALUE},
    {"exclude", PASS_VALUE},
    {"exclusive", PASS_EITHER},
    {"gres", PASS_VALUE},
    {"hint", PASS_VALUE},
    {"licenses", PASS_VALUE},
    {"nice", PASS_VALUE},
    {"nodelist", PASS_VALUE},
    {"ntasks-per-core", PASS_VALUE},
    {"ntasks-per-node", PASS_VALUE},
    {"ntasks-per-socket", PASS_VALUE},
    {"prefer", PASS_VALUE},
    {"sockets-per-node", PASS_VALUE},
    {"spread-job", PASS_FLAG},
    {"switches", PASS_VALUE},
    {"threads-per-core", PASS_VALUE},
    {"tmp", PASS_VALUE},
    {"use-min-nodes", PASS_FLAG},
    {"wckey", PASS_VALUE},
    {"partition", PASS_FIELD},
    {"qos", PASS_FIELD},
    {"account", PASS_FIELD},
    {"reservation", PASS_FIELD},
    {"nodes", PASS_FIELD},
    {"mail-type", PASS_FIELD},
    {"mail-user", PASS_FIELD},
};

/* For a better message only. Some are there to say that ppt knows them. */
static const char *const owned[] = {
    "array",        "batch",     "bcast",       "burst-buffer", "chdir",
    "clusters",     "comment",   "container",   "cpus-per-gpu", "cpus-per-task",
    "dependency",   "error",     "epilog",      "export",       "export-file",
    "get-user-env", "gid",       "gpus",        "input",        "job-name",
    "mem",          "mem-bind",  "mem-per-cpu", "mem-per-gpu",  "no-requeue",
    "ntasks",       "open-mode", "output",      "parsable",     "prolog",
    "propagate",    "requeue",   "signal",      "task-epilog",  "task-prolog",
    "time",         "time-min",  "uid",         "wait",         "wrap"};

static void refuse(struct ydoc_faults *faults, const struct ydoc_node *node,
                   const char *name, int len)
{
    for (int i = 0; i < COUNT(owned); i++)
        if (strncmp(owned[i], name, (size_t)len) == 0) {
            ydoc_fault(faults, node,
                       "expected no --%.*s: only ppt sets it, or nobody does", len,
                       name);
            return;
        }
    ydoc_fault(faults, node,
               "expected an option that a job may pass to Slurm (ppt-jobspec(5) lists "
               "them in full), found --%.*s",
               len, name);
}

static void check_option(struct ydoc_faults *faults, const struct ydoc_node *node,
                         const char *text)
{
    const char *name = text + 2;
    if (strncmp(text, "--", 2) != 0 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz") == 0) {
        ydoc_fault(faults, node,
                   "expected a long option of sbatch, such as --constraint=fast, found "
                   "\"%.60s\"",
                   text);
        return;
    }
    if (strspn(text, LETTERS "._-+=:,/@[]") != strlen(text)) {
        ydoc_fault(faults, node,
                   "expected nothing but letters, digits and ._-+=:,/@[] in an option, "
                   "found \"%.60s\"",
                   text);
        return;
    }
    int len = (int)strcspn(name, "="), i = 0;
    bool has_value = name[len] == '=' && name[len + 1] != '\0';
    while (i < COUNT(passed) && ((int)strlen(passed[i].name) != len ||
                                 strncmp(passed[i].name, name, (size_t)len) != 0))
        i++;
    if (i == COUNT(passed))
        refuse(faults, node, name, len);
    else if (passed[i].passing == PASS_FIELD)
        ydoc_fault(faults, node,
                   "expected the field of its own that resources.slurm has for --%.*s",
                   len, name);
    else if (passed[i].passing == PASS_VALUE && !has_value)
        ydoc_fault(faults, node, "expected a value: --%.*s=...", len, name);
    else if (passed[i].passing == PASS_FLAG ? name[len] == '='
                                            : name[len] == '=' && !has_value)
        ydoc_fault(faults, node, "expected --%.*s without a value", len, name);
}

static void read_options(struct ydoc_faults *faults, const struct ydoc_node *node,
                         void *base)
{
    struct spec_slurm *slurm = base;
    if (node == NULL)
        return;
    if (node->kind != YDOC_SEQUENCE || node->n_children > SPEC_MAX_OPTIONS) {
        ydoc_fault(faults, node, "expected a list of at most %d options of sbatch",
                   SPEC_MAX_OPTIONS);
        return;
    }
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next) {
        char *text = slurm->options[slurm->n_options];
        if (ydoc_string(faults, n, SPEC_NAME_SIZE, text) != 0)
            continue;
        slurm->n_options++;
        check_option(faults, n, text);
    }
}

static void write_options(struct json *json, const struct field *field,
                          const void *base)
{
    const struct spec_slurm *slurm = base;
    if (slurm->n_options == 0)
        return;
    json_array(json, field->key);
    for (int i = 0; i < slurm->n_options; i++)
        json_string(json, NULL, slurm->options[i]);
    json_close_array(json);
}

/* ---- e-mail ---- */

static const char *const mails[] = {
    "begin",         "end",           "fail",          "time_limit",
    "time_limit_90", "time_limit_80", "time_limit_50", "all"};

const char *spec_mail_name(int bit)
{
    return bit < COUNT(mails) ? mails[bit] : NULL;
}

static void read_mail_type(struct ydoc_faults *faults, const struct ydoc_node *node,
                           void *base)
{
    struct spec_slurm *slurm = base;
    if (node == NULL)
        return;
    if (node->kind != YDOC_SEQUENCE || node->n_children == 0) {
        ydoc_fault(faults, node, "expected a list such as [end, fail]");
        return;
    }
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next) {
        int bit;
        if (ydoc_word(faults, n, mails, COUNT(mails), &bit) == 0)
            slurm->mail_types |= 1 << bit;
    }
}

static void write_mail_type(struct json *json, const struct field *field,
                            const void *base)
{
    const struct spec_slurm *slurm = base;
    if (slurm->mail_types == 0)
        return;
    json_array(json, field->key);
    for (int bit = 0; bit < COUNT(mails); bit++)
        if (slurm->mail_types & 1 << bit)
            json_string(json, NULL, mails[bit]);
    json_close_array(json);
}

static void read_mail_user(struct ydoc_faults *faults, const struct ydoc_node *node,
                           void *base)
{
    struct spec_slurm *slurm = base;
    notify_read_address(faults, node, slurm->mail_user);
}

static void write_mail_user(struct json *json, const struct field *field,
                            const void *base)
{
    const struct spec_slurm *slurm = base;
    if (slurm->mail_user[0] != '\0')
        json_string(json, field->key, slurm->mail_user);
}

/* ---- the section ---- */

#define NAME(key_, member)                                                             \
    {                                                                                  \
        .key = key_, .type = FIELD_NAME,                                               \
        .offset = offsetof(struct spec_slurm, member), .hides_zero = true              \
    }

static const struct field slurm_fields[] = {
    NAME("partition", partition),
    NAME("qos", qos),
    NAME("account", account),
    NAME("reservation", reservation),
    {.key = "nodes",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_slurm, n_nodes),
     .n_least = 1,
     .n_most = 4096,
     .hides_zero = true},
    {.key = "time_margin",
     .type = FIELD_DURATION,
     .offset = offsetof(struct spec_slurm, time_margin_s),
     .n_least = 1,
     .n_most = 86400,
     .hides_zero = true},
    {.key = "mail_type",
     .type = FIELD_OWN,
     .read = read_mail_type,
     .write = write_mail_type},
    {.key = "mail_user",
     .type = FIELD_OWN,
     .read = read_mail_user,
     .write = write_mail_user},
    {.key = "options", .type = FIELD_OWN, .read = read_options, .write = write_options},
};
const struct field_section field_slurm = {"resources.slurm", slurm_fields,
                                          COUNT(slurm_fields)};

bool spec_has_slurm(const struct spec_slurm *slurm)
{
    return slurm->partition[0] != '\0' || slurm->qos[0] != '\0' ||
           slurm->account[0] != '\0' || slurm->reservation[0] != '\0' ||
           slurm->n_nodes != 0 || slurm->time_margin_s != 0 || slurm->mail_types != 0 ||
           slurm->mail_user[0] != '\0' || slurm->n_options != 0;
}

void slurm_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec_resources *resources = base;
    if (node != NULL && !ydoc_is_null(node))
        field_read(faults, node, &field_slurm, &resources->slurm);
}

void slurm_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec_resources *resources = base;
    if (!spec_has_slurm(&resources->slurm))
        return;
    json_object(json, field->key);
    field_write(json, &field_slurm, &resources->slurm);
    json_close_object(json);
}
