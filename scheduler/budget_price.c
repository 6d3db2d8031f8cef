/* ppt-budget price: the calculator. Needs no database. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/table.h"
#include "jobs/privacy/group.h"
#include "jobs/privacy/plan.h"
#include "jobs/privacy/split.h"
#include "scheduler/budget.h"

struct question {
    struct opt_list mechanisms;
    const char *accountant_name;
    double noise_multiplier, sample_rate, epsilon, delta;
    int64_t n_steps, n_records;
    const char *best_of;
    bool has_noise, has_rate, has_epsilon, has_delta, has_steps, is_json;
};

/* One accountant's. */
struct answer {
    enum accountant_kind accountant;
    struct plan plan; /* with what was found */
    struct plan_answer price;
    int rc; /* not 0: refused, as `err` says */
    struct error err;
};

static bool has_unknown(const struct plan_part *part)
{
    if (part->is_scheme)
        return part->scheme.is_unknown;
    return part->notation.unknown != NULL || part->notation.is_count_unknown;
}

static int apply_to_scheme(const struct question *question, struct scheme *scheme,
                           struct error *err)
{
    if (question->has_rate || question->has_steps) {
        int rc = error_set(err, PPT_EUSAGE,
                           "--sample-rate and --steps do not go with --mechanism %s",
                           scheme_name(scheme->kind));
        error_hint(err, "say them there: --mechanism %s:KEY=VALUE,...",
                   scheme_name(scheme->kind));
        return rc;
    }
    if (question->has_noise)
        scheme->values[SCHEME_NOISE] = question->noise_multiplier;
    return 0;
}

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
static void look_for_noise(struct plan_part *any)
{
    int n;
    if (any->is_scheme) {
        any->scheme.is_unknown =
            any->scheme.is_unknown || isnan(any->scheme.values[SCHEME_NOISE]);
        return;
    }
    struct notation *part = &any->notation;
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

static int check_scheme(const struct scheme *scheme, struct error *err)
{
    const struct scheme_key *missing = scheme_missing(scheme);
    if (missing == NULL)
        return 0;
    const char *name = scheme_name(scheme->kind);
    int rc = error_set(err, PPT_EUSAGE, "%s of %s is missing", missing->name, name);
    error_hint(err, "it is %s: --mechanism %s:%s=...", missing->help, name,
               missing->name);
    return rc;
}

static int check_unknowns(const struct question *question, const struct plan *plan,
                          struct error *err)
{
    int n_unknown = 0;
    for (int i = 0; i < plan->n; i++)
        n_unknown += has_unknown(&plan->parts[i]);
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
        rc = plan_parse_part(text, &plan->parts[i], err);
    }
    if (rc == 0 && plan->n > 1 &&
        (question->has_noise || question->has_rate || question->has_steps)) {
        rc = error_set(err, PPT_EUSAGE,
                       "--noise-multiplier, --sample-rate and --steps go with one "
                       "mechanism only");
        error_hint(err, "say them there: --mechanism laplace:scale=2,count=10");
    }
    if (rc == 0 && plan->n == 1)
        rc = plan->parts[0].is_scheme
                 ? apply_to_scheme(question, &plan->parts[0].scheme, err)
                 : apply_flags(question, &plan->parts[0].notation, err);
    if (rc == 0 && question->has_epsilon && question->has_noise &&
        !has_unknown(&plan->parts[0])) {
        rc = error_set(err, PPT_EUSAGE, "give either --noise-multiplier or --epsilon");
        error_hint(err, "or say what to look for: --mechanism "
                        "subsampled-gaussian:sample_rate=?");
    }
    if (rc == 0 && question->has_epsilon && plan->n == 1)
        look_for_noise(&plan->parts[0]);
    for (int i = 0; rc == 0 && i < plan->n; i++)
        rc = plan->parts[i].is_scheme
                 ? check_scheme(&plan->parts[i].scheme, err)
                 : check_part(question, &plan->parts[i].notation, err);
    if (rc == 0)
        rc = check_unknowns(question, plan, err);
    for (int i = 0; rc == 0 && i < plan->n; i++)
        if (has_unknown(&plan->parts[i]))
            plan->unknown = i;
    plan->is_best_of = question->best_of != NULL;
    if (rc == 0 && plan->is_best_of)
        rc = plan_parse_selection(question->best_of, &plan->selection, err);
    plan->n_records = question->n_records;
    if (rc == 0 && (plan->n_records < 1 || plan->n_records > GROUP_MAX_RECORDS))
        rc = error_set(err, PPT_ERANGE,
                       "--records-per-user is %lld, expected a number in [1, %d]",
                       (long long)plan->n_records, GROUP_MAX_RECORDS);
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

static void ask(const struct question *question, const struct plan *plan,
                enum accountant_kind accountant, struct answer *answer)
{
    *answer = (struct answer){.accountant = accountant, .plan = *plan};
    if (plan->unknown >= 0)
        answer->rc = plan_solve(accountant, &answer->plan, question->epsilon,
                                question->delta, &answer->err);
    if (answer->rc == 0)
        answer->rc = plan_epsilon(accountant, &answer->plan, question->delta,
                                  &answer->price, &answer->err);
}

/* What is left for the gradients beside the count. */
static bool gradient_noise(const struct scheme *scheme, double *ret_noise)
{
    return scheme->kind == SCHEME_ADAPTIVE_CLIPPING &&
           split_gradient_noise(scheme->values[SCHEME_NOISE], scheme->values[1],
                                ret_noise, NULL) == 0;
}

static void scheme_to_json(struct json *json, const struct scheme *scheme)
{
    int n;
    double noise;
    const struct scheme_key *keys = scheme_keys(scheme->kind, &n);
    json_string(json, "mechanism", scheme_name(scheme->kind));
    for (int i = 0; i < n; i++) {
        if (isnan(scheme->values[i]))
            json_null(json, keys[i].name);
        else if (keys[i].is_whole)
            json_integer(json, keys[i].name, (int64_t)scheme->values[i]);
        else
            json_number(json, keys[i].name, scheme->values[i]);
    }
    if (gradient_noise(scheme, &noise))
        json_number(json, "gradient_noise", noise);
    json_string(json, "relation", relation_name(RELATION_ADD_REMOVE));
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

static void part_to_json(struct json *json, const struct plan_part *part)
{
    if (part->is_scheme)
        scheme_to_json(json, &part->scheme);
    else
        release_to_json(json, &part->notation.release);
}

static void answer_to_json(struct json *json, const struct question *question,
                           const struct answer *answer)
{
    const int n = answer->plan.n;
    json_object(json, NULL);
    if (n == 1) {
        part_to_json(json, &answer->plan.parts[0]);
    } else {
        json_array(json, "mechanisms");
        for (int i = 0; i < n; i++) {
            json_object(json, NULL);
            part_to_json(json, &answer->plan.parts[i]);
            json_close_object(json);
        }
        json_close_array(json);
    }
    json_string(json, "accountant", accountant_name(answer->accountant));
    if (answer->rc == 0)
        json_number(json, "epsilon", answer->price.epsilon);
    else
        json_null(json, "epsilon");
    json_number(json, "delta", question->delta);
    if (answer->rc == 0 && isfinite(answer->price.order))
        json_number(json, "order", answer->price.order);
    if (answer->plan.n_records > 1)
        json_integer(json, "records_per_user", answer->plan.n_records);
    if (question->best_of != NULL)
        json_string(json, "best_of", question->best_of);
    if (answer->rc == 0 && answer->price.note != NULL)
        json_string(json, "note", answer->price.note);
    if (answer->rc != 0)
        json_string(json, "refused", answer->err.text);
    json_close_object(json);
}

static int print_json(const struct question *question, const struct answer *answers,
                      int n_answers, struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    if (n_answers > 1)
        json_array(&json, NULL);
    for (int i = 0; i < n_answers; i++)
        answer_to_json(&json, question, &answers[i]);
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

static void print_scheme(const struct scheme *scheme)
{
    int n;
    char text[64];
    double noise;
    const struct scheme_key *keys = scheme_keys(scheme->kind, &n);
    print_line("mechanism", scheme_name(scheme->kind));
    for (int i = 0; i < n; i++) {
        say_value(scheme->values[i], i == SCHEME_NOISE, text);
        print_line(keys[i].name, text);
    }
    if (gradient_noise(scheme, &noise)) {
        say_value(noise, 1, text);
        print_line("gradient_noise", text);
    }
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

static void say_found(const struct plan *plan, char ret_text[64])
{
    const struct plan_part *part = &plan->parts[plan->unknown];
    struct renyi_release found = part->notation.release;
    if (part->is_scheme)
        say_value(part->scheme.values[SCHEME_NOISE], 1, ret_text);
    else if (part->notation.is_count_unknown)
        snprintf(ret_text, 64, "%lld", (long long)found.count);
    else
        say_value(*mechanism_value(&found.mechanism, part->notation.unknown),
                  part->notation.unknown->privacy, ret_text);
}

/* What the price rests on, after `separator` if there is something. */
static void say_grounds(const struct answer *answer, const char *separator,
                        char ret_text[160])
{
    const char *note = answer->price.note;
    char order[48] = "";
    if (isinf(answer->price.order))
        snprintf(order, sizeof order, "sum of the largest losses");
    else if (!isnan(answer->price.order))
        snprintf(order, sizeof order, "order %.6g", answer->price.order);
    snprintf(ret_text, 160, "%s%s%s%s", order[0] != '\0' || note ? separator : "",
             order, order[0] != '\0' && note ? ", " : "", note ? note : "");
}

static enum privacy_relation relation_of(const struct plan *plan)
{
    return plan->parts[0].is_scheme
               ? RELATION_ADD_REMOVE
               : plan->parts[0].notation.release.mechanism.relation;
}

static void print_words(const struct question *question, const struct answer *answer)
{
    const struct plan *plan = &answer->plan;
    char text[256], grounds[160], epsilon[64];
    say_grounds(answer, ", ", grounds);
    snprintf(text, sizeof text, "%s, %s%s", accountant_name(answer->accountant),
             relation_of(plan) == RELATION_ADD_REMOVE ? "add/remove" : "replace-one",
             grounds);
    print_line("accountant", text);
    say_epsilon(answer->price.epsilon, epsilon);
    print_line("epsilon", epsilon);
    snprintf(text, sizeof text, "%g", question->delta);
    print_line("delta", text);
    if (plan->n_records > 1) {
        snprintf(text, sizeof text, "%lld", (long long)plan->n_records);
        print_line("records_per_user", text);
    }
    if (question->best_of != NULL)
        print_line("best_of", question->best_of);
    for (int i = 0; i < plan->n; i++) {
        if (plan->parts[i].is_scheme)
            print_scheme(&plan->parts[i].scheme);
        else
            print_release(&plan->parts[i].notation.release);
    }
}

/* One row an accountant. */
static int print_table(const struct plan *plan, const struct answer *answers, int n,
                       struct error *err)
{
    const bool has_found = plan->unknown >= 0;
    const char *found = "";
    if (has_found)
        found = !plan->parts[plan->unknown].is_scheme &&
                        plan->parts[plan->unknown].notation.is_count_unknown
                    ? ">COUNT"
                    : ">FOUND";
    const char *headings[] = {"ACCOUNTANT", ">EPSILON", has_found ? found : "NOTE",
                              "NOTE"};
    struct table *table = table_new(headings, has_found ? 4 : 3);
    if (table == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    for (int i = 0; i < n; i++) {
        char epsilon[64] = "-", value[64] = "-", note[ERROR_TEXT_SIZE] = "";
        const struct answer *a = &answers[i];
        if (a->rc == 0)
            say_epsilon(a->price.epsilon, epsilon);
        if (a->rc == 0 && has_found)
            say_found(&a->plan, value);
        if (a->rc == 0)
            say_grounds(a, "", note);
        else
            snprintf(note, sizeof note, "%s", a->err.text);
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
    struct plan plan = {0};
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
        return print_json(question, answers, n, err);
    if (is_all)
        return print_table(&plan, answers, n, err);
    print_words(question, &answers[0]);
    return 0;
}

int budget_price(int argc, char **argv)
{
    struct question question = {.accountant_name = "rdp", .n_steps = 1, .n_records = 1};
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
        {"records-per-user", 'r', OPT_INTEGER, &question.n_records, "N",
         "protect users of up to N records", NULL},
        {"best-of", 'b', OPT_STRING, &question.best_of, "LAW:mean=M",
         "the best of a random number of runs", NULL},
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
