/* ppt-budget price: the calculator. Needs no database. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/table.h"
#include "jobs/privacy/accountant.h"
#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/notation.h"
#include "scheduler/budget.h"

struct question {
    struct opt_list mechanisms;
    const char *accountant_name;
    double noise_multiplier, sample_rate, epsilon, delta;
    int64_t n_steps;
    bool has_noise, has_rate, has_epsilon, has_delta, has_steps, is_json;
};

/* What is priced, and what is looked for in it. */
struct plan {
    int n;
    struct notation parts[RENYI_MAX_RELEASES];
    struct renyi_release releases[RENYI_MAX_RELEASES];
    int unknown; /* index, or -1 */
};

/* One accountant's. */
struct answer {
    enum accountant_kind accountant;
    struct renyi_release releases[RENYI_MAX_RELEASES]; /* with what was found */
    double epsilon, order;
    int rc; /* not 0: refused, as `err` says */
    struct error err;
};

/* --noise-multiplier, --sample-rate and --steps speak of the only mechanism. */
static int apply_flags(const struct question *question, struct notation *part,
                       struct error *err)
{
    struct mechanism *m = &part->release.mechanism;
    bool has_noise =
        m->kind == MECHANISM_GAUSSIAN || m->kind == MECHANISM_SUBSAMPLED_GAUSSIAN;
    if (question->has_noise && !has_noise) {
        int rc = error_set(err, PPT_EUSAGE,
                           "--noise-multiplier does not go with --mechanism %s",
                           mechanism_name(m->kind));
        error_hint(err, "say it there: --mechanism %s:%s=...", mechanism_name(m->kind),
                   notation_missing(part) != NULL ? notation_missing(part)->name
                                                  : "count");
        return rc;
    }
    if (question->has_rate && m->kind == MECHANISM_GAUSSIAN &&
        m->sampling == SAMPLING_NONE)
        return error_set(err, PPT_EUSAGE,
                         "--sample-rate does not go with --mechanism gaussian");
    if (question->has_noise)
        m->noise_multiplier = question->noise_multiplier;
    if (question->has_rate) {
        m->sample_rate = question->sample_rate;
        part->has_rate = true;
        if (m->sampling == SAMPLING_NONE)
            m->sampling = SAMPLING_POISSON;
    }
    if (question->n_steps < 1)
        return error_set(err, PPT_ERANGE,
                         "--steps is %lld, expected a whole number of at least 1",
                         (long long)question->n_steps);
    if (question->has_steps) {
        part->release.count = question->n_steps;
        part->has_count = true;
    }
    return 0;
}

/* With --epsilon and no ?, the only mechanism's noise is looked for. */
static void look_for_noise(struct notation *part)
{
    int n;
    if (part->unknown == NULL && !part->is_count_unknown)
        part->unknown = mechanism_parameters(part->release.mechanism.kind, &n);
}

static int check_part(const struct question *question, const struct notation *part,
                      struct error *err)
{
    const char *name = mechanism_name(part->release.mechanism.kind);
    const struct mechanism_parameter *missing = notation_missing(part);
    if (missing != NULL && question->mechanisms.n < 2 && !question->has_epsilon &&
        strcmp(missing->name, "noise_multiplier") == 0) {
        int rc =
            error_set(err, PPT_EUSAGE, "give either --noise-multiplier or --epsilon");
        error_hint(err, "the first asks for epsilon, the second for the noise");
        return rc;
    }
    if (missing != NULL) {
        int rc = error_set(err, PPT_EUSAGE, "%s of %s is missing", missing->name, name);
        error_hint(err, "it is %s: --mechanism %s:%s=...", missing->help, name,
                   missing->name);
        return rc;
    }
    if (part->release.mechanism.kind == MECHANISM_SUBSAMPLED_GAUSSIAN &&
        !part->has_rate) {
        int rc = error_set(err, PPT_EUSAGE, "--sample-rate is missing");
        error_hint(err, "it is the batch size over the number of records");
        return rc;
    }
    return 0;
}

static int check_unknowns(const struct question *question, const struct plan *plan,
                          struct error *err)
{
    int n_unknown = 0;
    for (int i = 0; i < plan->n; i++)
        n_unknown += plan->parts[i].unknown != NULL || plan->parts[i].is_count_unknown;
    if (n_unknown > 0 && !question->has_epsilon)
        return error_set(err, PPT_EUSAGE, "--epsilon is missing: what is ? to meet");
    if (question->has_epsilon && n_unknown != 1) {
        int rc = error_set(err, PPT_EUSAGE,
                           "%d values are looked for, expected one for --epsilon",
                           n_unknown);
        error_hint(err, "put ? in its place: --mechanism laplace:scale=?,count=10");
        return rc;
    }
    return 0;
}

/* Reads the mechanisms and checks that they are all said, once. */
static int read_plan(const struct question *question, struct plan *plan,
                     struct error *err)
{
    int rc = 0;
    plan->n = question->mechanisms.n > 0 ? question->mechanisms.n : 1;
    plan->unknown = -1;
    for (int i = 0; rc == 0 && i < plan->n; i++) {
        const char *text = question->mechanisms.n > 0 ? question->mechanisms.values[i]
                                                      : "subsampled-gaussian";
        rc = notation_parse(text, &plan->parts[i], err);
    }
    if (rc == 0 && plan->n > 1 &&
        (question->has_noise || question->has_rate || question->has_steps)) {
        rc = error_set(err, PPT_EUSAGE,
                       "--noise-multiplier, --sample-rate and --steps go with one "
                       "mechanism only");
        error_hint(err, "say them there: --mechanism laplace:scale=2,count=10");
    }
    if (rc == 0 && plan->n == 1)
        rc = apply_flags(question, &plan->parts[0], err);
    if (rc == 0 && question->has_epsilon && question->has_noise &&
        plan->parts[0].unknown == NULL && !plan->parts[0].is_count_unknown) {
        rc = error_set(err, PPT_EUSAGE, "give either --noise-multiplier or --epsilon");
        error_hint(err, "or say what to look for: --mechanism "
                        "subsampled-gaussian:sample_rate=?");
    }
    if (rc == 0 && question->has_epsilon && plan->n == 1)
        look_for_noise(&plan->parts[0]);
    for (int i = 0; rc == 0 && i < plan->n; i++)
        rc = check_part(question, &plan->parts[i], err);
    if (rc == 0)
        rc = check_unknowns(question, plan, err);
    for (int i = 0; rc == 0 && i < plan->n; i++) {
        plan->releases[i] = plan->parts[i].release;
        if (plan->parts[i].unknown != NULL || plan->parts[i].is_count_unknown)
            plan->unknown = i;
    }
    return rc;
}

static int check_target(const struct question *question, struct error *err)
{
    if (!question->has_delta)
        return error_set(err, PPT_EUSAGE, "--delta is missing");
    if (!(question->delta > 0 && question->delta < 1))
        return error_set(err, PPT_ERANGE,
                         "--delta is %g, expected a number between 0 and 1",
                         question->delta);
    return 0;
}

/* Finds what is ? by this accountant. */
static int solve(const struct question *question, const struct plan *plan,
                 struct answer *answer, struct error *err)
{
    int i = plan->unknown;
    const struct notation *part = &plan->parts[i];
    calibrate_price *price = accountant_price(answer->accountant);
    if (part->is_count_unknown) {
        int64_t count = 0;
        int rc = calibrate_count(price, plan->releases, plan->n, i, RENYI_MAX_COUNT,
                                 question->epsilon, question->delta, &count, err);
        if (rc == 0 && count == 0)
            rc = error_set(err, PPT_ERANGE,
                           "one release alone costs more than epsilon %g at delta %g",
                           question->epsilon, question->delta);
        answer->releases[i].count = count;
        return rc;
    }
    return calibrate_parameter(
        price, plan->releases, plan->n, i, part->unknown, question->epsilon,
        question->delta, mechanism_value(&answer->releases[i].mechanism, part->unknown),
        err);
}

static void ask(const struct question *question, const struct plan *plan,
                enum accountant_kind accountant, struct answer *answer)
{
    *answer = (struct answer){.accountant = accountant};
    memcpy(answer->releases, plan->releases, sizeof answer->releases);
    if (plan->unknown >= 0)
        answer->rc = solve(question, plan, answer, &answer->err);
    if (answer->rc == 0)
        answer->rc =
            accountant_epsilon(accountant, answer->releases, plan->n, question->delta,
                               &answer->epsilon, &answer->order, &answer->err);
}

static void release_to_json(struct json *json, const struct renyi_release *release)
{
    struct mechanism m = release->mechanism;
    int n;
    const struct mechanism_parameter *rows = mechanism_parameters(m.kind, &n);
    json_string(json, "mechanism", mechanism_name(m.kind));
    for (int i = 0; i < n; i++)
        json_number(json, rows[i].name, *mechanism_value(&m, &rows[i]));
    json_number(json, "sample_rate", m.sample_rate);
    if (m.sampling != SAMPLING_NONE)
        json_string(json, "sampling", mechanism_sampling_name(m.sampling));
    json_string(json, "relation", relation_name(m.relation));
    json_integer(json, "steps", release->count);
}

static void answer_to_json(struct json *json, const struct question *question, int n,
                           const struct answer *answer)
{
    json_object(json, NULL);
    if (n == 1) {
        release_to_json(json, &answer->releases[0]);
    } else {
        json_array(json, "mechanisms");
        for (int i = 0; i < n; i++) {
            json_object(json, NULL);
            release_to_json(json, &answer->releases[i]);
            json_close_object(json);
        }
        json_close_array(json);
    }
    json_string(json, "accountant", accountant_name(answer->accountant));
    if (answer->rc == 0)
        json_number(json, "epsilon", answer->epsilon);
    else
        json_null(json, "epsilon");
    json_number(json, "delta", question->delta);
    if (answer->rc == 0 && isfinite(answer->order))
        json_number(json, "order", answer->order);
    if (answer->rc != 0)
        json_string(json, "refused", answer->err.text);
    json_close_object(json);
}

static int print_json(const struct question *question, int n,
                      const struct answer *answers, int n_answers, struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    if (n_answers > 1)
        json_array(&json, NULL);
    for (int i = 0; i < n_answers; i++)
        answer_to_json(&json, question, n, &answers[i]);
    if (n_answers > 1)
        json_close_array(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

/* Eight digits, never less private than the value itself (privacy as in struct
 * mechanism_parameter; 0: to the nearest). */
static void say_value(double value, int privacy, char ret_text[64])
{
    snprintf(ret_text, 64, "%.8g", value);
    double shown = strtod(ret_text, NULL);
    if ((privacy > 0 && shown < value) || (privacy < 0 && shown > value))
        snprintf(ret_text, 64, "%.8g", value * (1 + 6e-8 * privacy));
}

/* A word with blanks where its name has lines under it. */
static void print_line(const char *name, const char *text)
{
    char label[32];
    snprintf(label, sizeof label, "%s", name);
    for (char *c = label; *c != '\0'; c++)
        *c = *c == '_' ? ' ' : *c;
    printf("%-17s %s\n", label, text);
}

static void print_release(const struct renyi_release *release)
{
    struct mechanism m = release->mechanism;
    int n;
    char text[64];
    const struct mechanism_parameter *rows = mechanism_parameters(m.kind, &n);
    print_line("mechanism", mechanism_name(m.kind));
    for (int i = 0; i < n; i++) {
        say_value(*mechanism_value(&m, &rows[i]), rows[i].privacy, text);
        print_line(rows[i].name, text);
    }
    say_value(m.sample_rate, -1, text);
    if (m.sampling != SAMPLING_NONE) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, ", %s",
                 mechanism_sampling_name(m.sampling));
    }
    print_line("sample_rate", text);
    snprintf(text, sizeof text, "%lld", (long long)release->count);
    print_line("steps", text);
}

static void say_epsilon(double epsilon, char ret_text[64])
{
    if (isinf(epsilon))
        snprintf(ret_text, 64, "none: no order bounds it");
    else if (epsilon < 0.01)
        snprintf(ret_text, 64, "%.6g", epsilon * (1 + 1e-6));
    else
        snprintf(ret_text, 64, "%.6f", ceil(epsilon * 1e6) / 1e6);
}

static void say_found(const struct plan *plan, const struct answer *answer,
                      char ret_text[64])
{
    const struct notation *part = &plan->parts[plan->unknown];
    struct renyi_release found = answer->releases[plan->unknown];
    if (part->is_count_unknown)
        snprintf(ret_text, 64, "%lld", (long long)found.count);
    else
        say_value(*mechanism_value(&found.mechanism, part->unknown),
                  part->unknown->privacy, ret_text);
}

static void print_words(const struct question *question, const struct plan *plan,
                        const struct answer *answer)
{
    char text[128], epsilon[64];
    snprintf(text, sizeof text, "%s, %s", accountant_name(answer->accountant),
             plan->releases[0].mechanism.relation == RELATION_ADD_REMOVE
                 ? "add/remove"
                 : "replace-one");
    size_t used = strlen(text);
    if (isinf(answer->order))
        snprintf(text + used, sizeof text - used, ", sum of the largest losses");
    else if (!isnan(answer->order))
        snprintf(text + used, sizeof text - used, ", best order %.6g", answer->order);
    print_line("accountant", text);
    say_epsilon(answer->epsilon, epsilon);
    print_line("epsilon", epsilon);
    snprintf(text, sizeof text, "%g", question->delta);
    print_line("delta", text);
    for (int i = 0; i < plan->n; i++)
        print_release(&answer->releases[i]);
}

/* One row an accountant. */
static int print_table(const struct plan *plan, const struct answer *answers, int n,
                       struct error *err)
{
    const bool has_found = plan->unknown >= 0;
    const char *found = "";
    if (has_found)
        found = plan->parts[plan->unknown].is_count_unknown ? ">COUNT" : ">FOUND";
    const char *headings[] = {"ACCOUNTANT", ">EPSILON", has_found ? found : "NOTE",
                              "NOTE"};
    struct table *table = table_new(headings, has_found ? 4 : 3);
    if (table == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    for (int i = 0; i < n; i++) {
        char epsilon[64] = "-", value[64] = "-", note[ERROR_TEXT_SIZE] = "";
        const struct answer *a = &answers[i];
        if (a->rc == 0)
            say_epsilon(a->epsilon, epsilon);
        if (a->rc == 0 && has_found)
            say_found(plan, a, value);
        if (a->rc != 0)
            snprintf(note, sizeof note, "%s", a->err.text);
        else if (isinf(a->order))
            snprintf(note, sizeof note, "sum of the largest losses");
        else if (!isnan(a->order))
            snprintf(note, sizeof note, "order %.6g", a->order);
        const char *cells[] = {accountant_name(a->accountant), epsilon,
                               has_found ? value : note, note};
        table_row(table, cells);
    }
    table_print(table, stdout, true);
    table_free(table);
    return 0;
}

static int run(struct question *question, struct error *err)
{
    struct plan plan;
    struct answer answers[ACCOUNTANT_N];
    int n = 0, n_refused = 0;
    bool is_all = strcmp(question->accountant_name, "all") == 0;
    int wanted = accountant_from_name(question->accountant_name);
    if (wanted < 0 && !is_all) {
        int rc = error_set(err, PPT_EUSAGE, "unknown accountant '%s'",
                           question->accountant_name);
        error_hint(err, "there are rdp, pld, gdp, ledger and all");
        return rc;
    }
    int rc = read_plan(question, &plan, err);
    if (rc == 0)
        rc = check_target(question, err);
    if (rc != 0)
        return rc;
    for (int i = 0; i < ACCOUNTANT_N; i++)
        if (is_all || i == wanted)
            ask(question, &plan, (enum accountant_kind)i, &answers[n++]);
    for (int i = 0; i < n; i++)
        n_refused += answers[i].rc != 0;
    if (n_refused == n) { /* the first says what is wrong with the plan */
        *err = answers[0].err;
        return answers[0].rc;
    }
    if (question->is_json)
        return print_json(question, plan.n, answers, n, err);
    if (is_all)
        return print_table(&plan, answers, n, err);
    print_words(question, &plan, &answers[0]);
    return 0;
}

int budget_price(int argc, char **argv)
{
    struct question question = {.accountant_name = "rdp", .n_steps = 1};
    const struct opt options[] = {
        {"mechanism", 'm', OPT_LIST, &question.mechanisms, "NAME[:K=V,...]",
         "may be repeated (subsampled-gaussian)", NULL},
        {"accountant", 'a', OPT_STRING, &question.accountant_name, "NAME",
         "rdp (default), pld, gdp, ledger, all", NULL},
        {"noise-multiplier", 's', OPT_NUMBER, &question.noise_multiplier, "S",
         "noise over sensitivity", &question.has_noise},
        {"epsilon", 'e', OPT_NUMBER, &question.epsilon, "E",
         "what noise, or what value of ?, meets it", &question.has_epsilon},
        {"sample-rate", 'q', OPT_NUMBER, &question.sample_rate, "Q",
         "batch size / records, in (0, 1]", &question.has_rate},
        {"steps", 't', OPT_INTEGER, &question.n_steps, "T", "releases (default 1)",
         &question.has_steps},
        {"delta", 'd', OPT_NUMBER, &question.delta, "D", "such as 1e-6",
         &question.has_delta},
        {"json", 0, OPT_FLAG, &question.is_json, NULL, "print JSON", NULL},
    };
    const struct opt_program program = {
        .name = "ppt-budget price",
        .usage = "--delta D [--mechanism M]... [OPTION]...",
        .summary = "Says what privacy mechanisms give, or what noise they need.",
        .epilogue =
            "Example, 60 epochs of MNIST with batches of 600:\n"
            "  ppt-budget price -s 1.1 -q 0.01 -t 6000 -d 1e-6 --accountant all\n"
            "The noise with which that and ten Laplace counts meet epsilon 2:\n"
            "  ppt-budget price -d 1e-6 -e 2 -m laplace:scale=50,count=10 \\\n"
            "    -m subsampled-gaussian:noise_multiplier=?,sample_rate=0.01,count=6000",
        .options = options,
        .n_options = sizeof options / sizeof *options,
    };
    struct error err = {0};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = run(&question, &err);
    return rc == 0 ? 0 : log_error(&err);
}
