/* ppt-budget price: the calculator. Needs no database. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/cost.h"
#include "jobs/privacy/mechanism.h"
#include "scheduler/budget.h"

#define ACCOUNTANT "rdp"

struct question {
    const char *mechanism_name;
    double noise_multiplier, sample_rate, epsilon, delta;
    int64_t n_steps;
    bool has_noise, has_rate, has_epsilon, has_delta, has_steps, is_json;
};

struct answer {
    struct mechanism mechanism;
    double epsilon;
    int order;
};

static int check(struct question *question, int *ret_kind, struct error *err)
{
    int kind = mechanism_from_name(question->mechanism_name);
    if (kind < 0) {
        error_set(err, PPT_EUSAGE, "unknown mechanism '%s'", question->mechanism_name);
        return error_hint(err, "there are gaussian and subsampled-gaussian");
    }
    if (question->has_noise == question->has_epsilon) {
        error_set(err, PPT_EUSAGE, "give either --noise-multiplier or --epsilon");
        return error_hint(err, "the first asks for epsilon, the second for the noise");
    }
    if (!question->has_delta)
        return error_set(err, PPT_EUSAGE, "--delta is missing");
    if (kind == MECHANISM_SUBSAMPLED_GAUSSIAN && !question->has_rate) {
        error_set(err, PPT_EUSAGE, "--sample-rate is missing");
        return error_hint(err, "it is the batch size over the number of records");
    }
    if (kind == MECHANISM_GAUSSIAN && question->has_rate)
        return error_set(err, PPT_EUSAGE,
                         "--sample-rate does not go with --mechanism gaussian");
    if (kind == MECHANISM_GAUSSIAN)
        question->sample_rate = 1;
    if (question->n_steps < 1)
        return error_set(err, PPT_ERANGE,
                         "--steps is %lld, expected a whole number of at least 1",
                         (long long)question->n_steps);
    if (!(question->delta > 0 && question->delta < 1))
        return error_set(err, PPT_ERANGE,
                         "--delta is %g, expected a number between 0 and 1",
                         question->delta);
    *ret_kind = kind;
    return 0;
}

static int answer(struct question *question, struct answer *ret_answer,
                  struct error *err)
{
    struct curve curve;
    struct cost cost;
    struct answer result = {0};
    int kind = 0;
    int rc = check(question, &kind, err);
    if (rc == 0 && question->has_epsilon)
        rc = calibrate_noise_multiplier(question->epsilon, question->delta,
                                        question->sample_rate, question->n_steps, NULL,
                                        &question->noise_multiplier, err);
    if (rc != 0)
        return rc;
    result.mechanism =
        (struct mechanism){.kind = (enum mechanism_kind)kind,
                           .noise_multiplier = question->noise_multiplier,
                           .sample_rate = question->sample_rate};
    rc = mechanism_curve(&result.mechanism, UNIT_EXAMPLE, &curve, err);
    if (rc == 0)
        rc = cost_from_curve(&curve, question->n_steps, &cost, err);
    if (rc == 0)
        rc = cost_epsilon(&cost, question->delta, &result.epsilon, &result.order, err);
    if (rc == 0)
        *ret_answer = result;
    return rc;
}

static int print_json(const struct question *question, const struct answer *answer,
                      struct error *err)
{
    struct json json = {0};
    char *text = NULL;
    json_object(&json, NULL);
    json_string(&json, "mechanism", mechanism_name(answer->mechanism.kind));
    json_string(&json, "accountant", ACCOUNTANT);
    json_number(&json, "epsilon", answer->epsilon);
    json_number(&json, "delta", question->delta);
    json_number(&json, "noise_multiplier", answer->mechanism.noise_multiplier);
    json_number(&json, "sample_rate", answer->mechanism.sample_rate);
    json_integer(&json, "steps", question->n_steps);
    json_close_object(&json);
    int rc = json_end(&json, &text, err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

static void print_words(const struct question *question, const struct answer *answer)
{
    printf("mechanism         %s\n", mechanism_name(answer->mechanism.kind));
    printf("accountant        %s, add/remove, best order %g\n", ACCOUNTANT,
           cost_orders[answer->order]);
    if (isinf(answer->epsilon))
        printf("epsilon           none: no order of the grid bounds it\n");
    else
        printf("epsilon           %.6f\n", ceil(answer->epsilon * 1e6) / 1e6);
    printf("delta             %g\n", question->delta);
    printf("noise multiplier  %.8g\n", answer->mechanism.noise_multiplier);
    printf("sample rate       %.8g\n", answer->mechanism.sample_rate);
    printf("steps             %lld\n", (long long)question->n_steps);
}

int budget_price(int argc, char **argv)
{
    struct question question = {.mechanism_name = "subsampled-gaussian", .n_steps = 1};
    const struct opt options[] = {
        {"mechanism", 'm', OPT_STRING, &question.mechanism_name, "NAME",
         "subsampled-gaussian (default), gaussian", NULL},
        {"noise-multiplier", 's', OPT_NUMBER, &question.noise_multiplier, "S",
         "noise over sensitivity: what epsilon is that?", &question.has_noise},
        {"epsilon", 'e', OPT_NUMBER, &question.epsilon, "E",
         "what noise multiplier is needed for it?", &question.has_epsilon},
        {"sample-rate", 'q', OPT_NUMBER, &question.sample_rate, "Q",
         "batch size / records, in (0, 1]", &question.has_rate},
        {"steps", 't', OPT_INTEGER, &question.n_steps, "T", "releases (default 1)",
         &question.has_steps},
        {"delta", 'd', OPT_NUMBER, &question.delta, "D", "such as 1e-6",
         &question.has_delta},
        {"json", 0, OPT_FLAG, &question.is_json, NULL, "print a JSON object", NULL},
    };
    const struct opt_program program = {
        .name = "ppt-budget price",
        .usage = "-d D (-s S | -e E) [OPTION]...",
        .summary = "Says what privacy a mechanism gives, or what noise it needs.",
        .epilogue = "Example, 60 epochs of MNIST with batches of 600:\n"
                    "  ppt-budget price --noise-multiplier 1.1 --sample-rate 0.01 \\\n"
                    "      --steps 6000 --delta 1e-6",
        .options = options,
        .n_options = sizeof options / sizeof *options,
    };
    struct error err = {0};
    struct answer result;
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    if (rc == 0)
        rc = answer(&question, &result, &err);
    if (rc == 0 && question.is_json)
        rc = print_json(&question, &result, &err);
    else if (rc == 0)
        print_words(&question, &result);
    return rc == 0 ? 0 : log_error(&err);
}
