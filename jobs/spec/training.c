#include "jobs/spec/training.h"

#include <string.h>

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
#define MOST_STEPS 1000000000

static const char *optimizer_word(int i)
{
    return spec_optimizer_name((enum spec_optimizer)i);
}

static const char *sum_word(int i)
{
    return spec_sum_name((enum spec_sum)i);
}

static const char *sampling_word(int i)
{
    return spec_sampling_name((enum spec_sampling)i);
}

static const char *loss_word(int i)
{
    return spec_loss_name((enum spec_loss)i);
}

static const char *evaluation_word(int i)
{
    return spec_evaluation_name((enum spec_evaluation)i);
}

static bool is_word(const struct ydoc_node *node, const char *word)
{
    return node != NULL && node->kind == YDOC_SCALAR && strcmp(node->text, word) == 0;
}

static const struct field step_fields[] = {
    {.key = "every",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, schedule_every),
     .is_required = true,
     .n_least = 1,
     .n_most = MOST_STEPS},
    {.key = "factor",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_training, schedule_factor),
     .is_required = true,
     .range = {0, 1, true, false}},
};
const struct field_section field_step = {"training.schedule.step", step_fields,
                                         COUNT(step_fields)};

static const struct field schedule_fields[] = {
    {.key = "step", .type = FIELD_SECTION, .is_required = true, .section = &field_step},
};
const struct field_section field_schedule = {"training.schedule", schedule_fields,
                                             COUNT(schedule_fields)};

static void read_schedule(struct ydoc_faults *faults, const struct ydoc_node *node,
                          void *base)
{
    struct spec_training *training = base;
    training->schedule = SCHEDULE_CONSTANT;
    if (node == NULL || is_word(node, spec_schedule_name(SCHEDULE_CONSTANT)))
        return;
    if (is_word(node, spec_schedule_name(SCHEDULE_COSINE))) {
        training->schedule = SCHEDULE_COSINE;
    } else if (node->kind == YDOC_MAPPING) {
        training->schedule = SCHEDULE_STEP;
        field_read(faults, node, &field_schedule, training);
    } else {
        ydoc_fault(faults, node,
                   "expected constant, cosine or step: {every: STEPS, factor: F}");
    }
}

static void write_schedule(struct json *json, const struct field *field,
                           const void *base)
{
    const struct spec_training *training = base;
    if (training->schedule != SCHEDULE_STEP) {
        json_string(json, field->key, spec_schedule_name(training->schedule));
        return;
    }
    json_object(json, field->key);
    field_write(json, &field_schedule, training);
    json_close_object(json);
}

static bool has_momentum(const void *base)
{
    const struct spec_training *training = base;
    return training->optimizer == OPTIMIZER_MOMENTUM ||
           training->optimizer == OPTIMIZER_TRAINING_N;
}

static bool has_betas(const void *base)
{
    const struct spec_training *training = base;
    return training->optimizer == OPTIMIZER_ADAM ||
           training->optimizer == OPTIMIZER_TRAINING_N;
}

static bool is_paid(const void *base)
{
    const struct spec_training *training = base;
    return training->evaluation == EVALUATION_PAID ||
           training->evaluation == EVALUATION_N;
}

static bool is_public(const void *base)
{
    const struct spec_training *training = base;
    return training->evaluation == EVALUATION_PUBLIC ||
           training->evaluation == EVALUATION_N;
}

static bool has_bands(const void *base)
{
    const struct spec_training *training = base;
    return training->sampling == SAMPLE_FIXED_ORDER || training->sampling == SAMPLE_N;
}

static const struct field training_fields[] = {
    {.key = "epochs",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, epochs),
     .n_least = 1,
     .n_most = 1000000,
     .hides_zero = true},
    {.key = "steps",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, steps),
     .n_least = 1,
     .n_most = MOST_STEPS,
     .hides_zero = true},
    {.key = "batch_size",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, batch_size),
     .is_required = true,
     .n_least = 1,
     .n_most = INT32_MAX},
    {.key = "optimizer",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_training, optimizer),
     .word = optimizer_word,
     .n_words = OPTIMIZER_TRAINING_N,
     .n_default = OPTIMIZER_SGD},
    {.key = "learning_rate",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_training, learning_rate),
     .is_required = true,
     .range = {0, 1000, true, false}},
    {.key = "momentum",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_training, momentum),
     .range = {0, 1, false, true},
     .number_default = 0.9,
     .applies = has_momentum,
     .only_with = "optimizer: momentum"},
    {.key = "beta1",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_training, beta1),
     .range = {0, 1, false, true},
     .number_default = 0.9,
     .applies = has_betas,
     .only_with = "optimizer: adam"},
    {.key = "beta2",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_training, beta2),
     .range = {0, 1, false, true},
     .number_default = 0.999,
     .applies = has_betas,
     .only_with = "optimizer: adam"},
    {.key = "schedule",
     .type = FIELD_OWN,
     .read = read_schedule,
     .write = write_schedule},
    {.key = "seed",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, seed),
     .n_most = INT64_MAX},
    {.key = "evaluation",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_training, evaluation),
     .word = evaluation_word,
     .n_words = EVALUATION_N,
     .n_default = EVALUATION_NONE},
    {.key = "evaluation_noise",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_training, evaluation_noise),
     .range = {0.05, 1e6, false, false},
     .number_default = 20,
     .applies = is_paid,
     .only_with = "evaluation: paid"},
    {.key = "evaluate_every",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, evaluate_every),
     .n_most = MOST_STEPS,
     .applies = is_public,
     .only_with = "evaluation: public"},
    {.key = "checkpoint_every",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, checkpoint_every),
     .n_least = 1,
     .n_most = MOST_STEPS,
     .n_default = 500},
    {.key = "checkpoint_keep",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, checkpoint_keep),
     .n_least = 1,
     .n_most = 10,
     .hides_zero = true},
    {.key = "loss",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_training, loss),
     .word = loss_word,
     .n_words = LOSS_N,
     .n_default = LOSS_CROSS_ENTROPY,
     .hides_zero = true},
    {.key = "noise_floor",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_training, noise_floor),
     .range = {1e-20, 1, false, false},
     .applies = has_betas,
     .only_with = "optimizer: adam",
     .hides_zero = true},
    {.key = "sum",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_training, sum),
     .word = sum_word,
     .n_words = SUM_N,
     .n_default = SUM_FLOAT,
     .hides_zero = true},
    {.key = "sampling",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_training, sampling),
     .word = sampling_word,
     .n_words = SAMPLE_N,
     .n_default = SAMPLE_POISSON,
     .hides_zero = true},
    {.key = "bands",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_training, bands),
     .n_least = 1,
     .n_most = 1024,
     .n_default = 16,
     .applies = has_bands,
     .only_with = "sampling: fixed_order"},
};
const struct field_section field_training = {"training", training_fields,
                                             COUNT(training_fields)};
