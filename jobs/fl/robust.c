#include "jobs/fl/robust.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/fl/center.h"
#include "jobs/fl/draw.h"
#include "jobs/fl/krum.h"
#include "jobs/fl/middle.h"
#include "jobs/fl/mix.h"

int robust_n_states(const struct spec_robust *spec)
{
    return spec->is_on && spec->rule == RULE_CENTERED_CLIPPING ? 1 : 0;
}

int robust_open(struct robust *robust, const struct spec *spec, struct trainer *trainer,
                struct local *local, const struct cohort *cohort, struct secure *secure,
                struct error *err)
{
    const struct spec_robust *own = &spec->federation.robust;
    int64_t n = spec->federation.cohort, n_mixed = 0;
    unsigned char key[CRYPTO_KEY_SIZE];
    *robust = (struct robust){.spec = own,
                              .secure = secure,
                              .group = spec->federation.secagg.group,
                              .trainer = trainer,
                              .local = local,
                              .cohort = cohort};
    draw_key_public(spec->training.seed, "buckets", key);
    robust->stream = crypto_stream_new(key);
    if (secure != NULL) {
        n_mixed = robust->group > 0 ? n / robust->group : 1;
    } else if (own->before == BEFORE_NEAREST) {
        n_mixed = n;
    } else if (own->before == BEFORE_BUCKETS) {
        n_mixed = (n + own->bucket - 1) / own->bucket;
    }
    int rc = stack_open(&robust->stack, trainer->env->comm, n, trainer->n_slice, err);
    if (rc == 0 && n_mixed > 0) {
        rc = stack_open(&robust->mixed, trainer->env->comm, n_mixed, trainer->n_slice,
                        err);
    }
    robust->whole = calloc((size_t)trainer->n_padded, sizeof *robust->whole);
    if (secure != NULL && spec->federation.attack.is_on) {
        int64_t most = robust->group > 0 ? 2 * robust->group : n;
        robust->given =
            malloc((size_t)(most * trainer->n_padded) * sizeof *robust->given);
        rc = robust->given == NULL && rc == 0
                 ? error_set(err, PPT_ENOMEM, "no memory for a group's updates")
                 : rc;
    }
    robust->center = calloc((size_t)trainer->n_slice, sizeof *robust->center);
    robust->members = malloc((size_t)n * sizeof *robust->members);
    robust->turn = malloc((size_t)n * sizeof *robust->turn);
    robust->player = malloc((size_t)n * sizeof *robust->player);
    robust->n_turns =
        malloc((size_t)trainer->env->comm->size * sizeof *robust->n_turns);
    robust->is_kept = malloc((size_t)n * sizeof *robust->is_kept);
    if (rc == 0 &&
        (robust->whole == NULL || robust->center == NULL || robust->members == NULL ||
         robust->turn == NULL || robust->player == NULL || robust->n_turns == NULL ||
         robust->is_kept == NULL)) {
        rc = error_set(err, PPT_ENOMEM, "no memory for a robust rule");
    }
    if (rc != 0) {
        robust_close(robust);
    }
    return rc;
}

void robust_close(struct robust *robust)
{
    stack_close(&robust->stack);
    stack_close(&robust->mixed);
    if (robust->stream != NULL) {
        crypto_stream_free(robust->stream);
    }
    free(robust->whole);
    free(robust->given);
    free(robust->center);
    free(robust->members);
    free(robust->turn);
    free(robust->player);
    free(robust->n_turns);
    free(robust->is_kept);
    *robust = (struct robust){0};
}

/* Clients with records, and who plays them. Returns how many turns the ranks take. */
static int64_t find_members(struct robust *robust)
{
    const struct cohort *cohort = robust->cohort;
    int size = robust->stack.comm->size;
    int64_t n = 0, most = 0;
    robust->n_false = 0;
    memset(robust->n_turns, 0, (size_t)size * sizeof *robust->n_turns);
    for (int64_t i = 0; i < cohort->n; i++) {
        int64_t client = cohort->members[i];
        if (partition_size(robust->local->partition, client) == 0) {
            continue;
        }
        int player = keep_player(robust->local->keep, n, client);
        robust->player[n] = player;
        robust->turn[n] = robust->n_turns[player]++;
        most = robust->n_turns[player] > most ? robust->n_turns[player] : most;
        robust->n_false += attack_is_by(robust->local->attack, client);
        robust->members[n++] = client;
    }
    robust->stack.n = n;
    return most;
}

/* What one client sends, into `whole`. */
static int train(struct robust *robust, int64_t client, struct error *err)
{
    const struct trainer *trainer = robust->trainer;
    int64_t n = trainer->net.n_params;
    int rc = local_train(robust->local, client, err);
    for (int64_t j = 0; rc == 0 && j < n; j++) {
        robust->whole[j] = robust->local->params[j] - trainer->params[j];
    }
    attack_alone(robust->local->attack, client, robust->whole, n);
    return rc;
}

/* In a turn each rank trains one client, then all hear of all of them: one update at a
 * time is whole anywhere. */
static int take_turn(struct robust *robust, int64_t turn, float *passing,
                     struct error *err)
{
    struct stack *stack = &robust->stack;
    int rank = stack->comm->rank, rc = 0;
    for (int64_t i = 0; rc == 0 && i < stack->n; i++) {
        if (robust->turn[i] == turn && robust->player[i] == rank) {
            rc = train(robust, robust->members[i], err);
        }
    }
    for (int64_t i = 0; rc == 0 && i < stack->n; i++) {
        if (robust->turn[i] == turn) {
            float *whole = robust->player[i] == rank ? robust->whole : passing;
            rc = stack_put(stack, i, robust->player[i], whole, err);
            robust->is_kept[i] = stack_is_update(whole, robust->trainer->net.n_params);
        }
    }
    return rc;
}

static int gather(struct robust *robust, struct error *err)
{
    int64_t n_turns = find_members(robust);
    float *passing = calloc((size_t)robust->trainer->n_padded, sizeof *passing);
    int rc = passing == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for a client's update")
                 : 0;
    for (int64_t turn = 0; rc == 0 && turn < n_turns; turn++) {
        rc = take_turn(robust, turn, passing, err);
    }
    free(passing);
    return rc != 0 ? rc
                   : attack_together(robust->local->attack, robust->members,
                                     &robust->stack, err);
}

/* What is no update came from one of the byzantine. */
static int refuse(struct robust *robust, struct error *err)
{
    struct stack *stack = &robust->stack;
    int64_t n = stack->n;
    stack_keep(stack, robust->is_kept);
    robust->n_refused = n - stack->n;
    if (robust->n_refused <= robust->spec->byzantine) {
        return 0;
    }
    error_set(err, PPT_ERANGE,
              "training diverged, or clients are false: %lld of %lld sent what is no "
              "update, more than the %lld of federation.robust.byzantine",
              (long long)robust->n_refused, (long long)n,
              (long long)robust->spec->byzantine);
    return error_hint(err, "lower training.learning_rate");
}

/* As `before` wants it; ret_stack is what the rule shall see. */
static int mix(struct robust *robust, int64_t n_byzantine,
               const struct stack **ret_stack, struct error *err)
{
    int rc = 0;
    *ret_stack = &robust->stack;
    switch (robust->spec->before) {
    case BEFORE_NEAREST:
        rc = mix_nearest(&robust->stack, robust->stack.n - n_byzantine, &robust->mixed,
                         err);
        break;
    case BEFORE_BUCKETS:
        crypto_stream_seek(robust->stream, (uint64_t)robust->trainer->step, 0);
        rc = mix_buckets(&robust->stack, robust->spec->bucket, robust->stream,
                         &robust->mixed, err);
        break;
    default:
        return 0;
    }
    *ret_stack = &robust->mixed;
    return rc;
}

static int mean(const struct stack *stack, double *ret, struct error *err)
{
    double *weight = malloc((size_t)(stack->n + 1) * sizeof *weight);
    if (weight == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for the weights of updates");
    }
    for (int64_t i = 0; i < stack->n; i++) {
        weight[i] = 1.0;
    }
    stack_mean(stack, weight, ret);
    free(weight);
    return 0;
}

/* Means of the chosen. */
static int choose(const struct spec_robust *spec, const struct stack *stack,
                  int64_t n_byzantine, double *ret, struct error *err)
{
    int64_t n = stack->n, n_chosen = spec->rule == RULE_KRUM ? 1 : n - n_byzantine;
    double *square = malloc((size_t)(n * n + n) * sizeof *square);
    bool *is_chosen = malloc((size_t)n * sizeof *is_chosen);
    int rc = square == NULL || is_chosen == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for the distances of updates")
                 : stack_squares(stack, square, err);
    if (rc == 0) {
        rc = krum_choose(square, n, n_byzantine, n_chosen, is_chosen, err);
    }
    if (rc == 0) {
        double *weight = square + n * n;
        for (int64_t i = 0; i < n; i++) {
            weight[i] = is_chosen[i] ? 1.0 : 0.0;
        }
        stack_mean(stack, weight, ret);
    }
    free(square);
    free(is_chosen);
    return rc;
}

/* n - 2 f by Krum, one by one; of their coordinates the n - 4 f nearest the median. */
static int bulyan(const struct stack *stack, int64_t n_byzantine, double *ret,
                  struct error *err)
{
    int64_t n = stack->n, n_chosen = n - 2 * n_byzantine;
    double *square = malloc((size_t)(n * n) * sizeof *square);
    bool *is_chosen = malloc((size_t)n * sizeof *is_chosen);
    struct stack chosen = {0};
    int rc = square == NULL || is_chosen == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for the distances of updates")
                 : stack_squares(stack, square, err);
    if (rc == 0) {
        rc = krum_repeat(square, n, n_byzantine, n_chosen, is_chosen, err);
    }
    if (rc == 0) {
        rc = stack_open(&chosen, stack->comm, n, stack->n_slice, err);
    }
    if (rc == 0) {
        memcpy(chosen.rows, stack->rows,
               (size_t)(n * stack->n_slice) * sizeof *stack->rows);
        stack_keep(&chosen, is_chosen);
        rc = middle_near(&chosen, n_chosen - 2 * n_byzantine, ret, err);
    }
    stack_close(&chosen);
    free(square);
    free(is_chosen);
    return rc;
}

int robust_rule(const struct spec_robust *spec, const struct stack *stack,
                int64_t n_byzantine, double *center, struct error *err)
{
    int64_t n = stack->n, least = spec_rule_least(spec->rule, n_byzantine);
    if (!spec->is_on) {
        return mean(stack, center, err);
    }
    if (n < least) {
        return error_set(err, PPT_ERANGE,
                         "rule %s over %lld updates of which %lld may be false: it "
                         "needs %lld",
                         spec_rule_name(spec->rule), (long long)n,
                         (long long)n_byzantine, (long long)least);
    }
    switch (spec->rule) {
    case RULE_KRUM:
    case RULE_MULTI_KRUM:
        return choose(spec, stack, n_byzantine, center, err);
    case RULE_MEDIAN:
        return middle_trim(stack, 2 - n % 2, center, err);
    case RULE_TRIMMED_MEAN:
        return middle_trim(stack, n - 2 * n_byzantine, center, err);
    case RULE_BULYAN:
        return bulyan(stack, n_byzantine, center, err);
    case RULE_GEOMETRIC_MEDIAN:
        return center_geometric(stack, spec->iterations, spec->smoothing, center, err);
    case RULE_CENTERED_CLIPPING:
        return center_clip(stack, spec->iterations, spec->clip_norm, center, err);
    default: /* norm bounding */
        memset(center, 0, (size_t)stack->n_slice * sizeof *center);
        return center_clip(stack, 1, spec->clip_norm, center, err);
    }
}

/* The rule's outcome is the opposite of the server's gradient. Its center is kept as
 * floats, with which a job goes on from a checkpoint. */
static int apply(struct robust *robust, const struct stack *stack, int64_t n_byzantine,
                 struct error *err)
{
    struct trainer *trainer = robust->trainer;
    int64_t n = trainer->n_slice;
    float *kept =
        robust_n_states(robust->spec) > 0 ? trainer_own_states(trainer) : NULL;
    for (int64_t j = 0; kept != NULL && j < n; j++) {
        robust->center[j] = (double)kept[j];
    }
    int rc = robust_rule(robust->spec, stack, n_byzantine, robust->center, err);
    for (int64_t j = 0; rc == 0 && j < n; j++) {
        if (kept != NULL) {
            kept[j] = (float)robust->center[j];
        }
        trainer->slice[j] = -robust->center[j];
    }
    return rc != 0 ? rc : trainer_apply(trainer, err);
}

/* The mean of one group, of the members `order`[n], becomes row b of `mixed`. */
static int hide_group(struct robust *robust, const int64_t *order, int64_t n, int64_t b,
                      int64_t *clients, struct error *err)
{
    const struct trainer *trainer = robust->trainer;
    int rc = 0;
    for (int64_t i = 0; i < n; i++) {
        clients[i] = robust->members[order[i]];
        if (rc == 0 && robust->given != NULL) {
            rc = stack_whole(&robust->stack, order[i],
                             robust->given + i * trainer->n_padded, err);
        }
    }
    if (rc == 0) {
        rc = secure_mean(robust->secure, clients, (uint32_t)n, robust->given,
                         robust->whole, err);
    }
    if (rc == 0) {
        memcpy(stack_row(&robust->mixed, b),
               robust->whole + trainer->env->comm->rank * trainer->n_slice,
               (size_t)trainer->n_slice * sizeof *robust->whole);
    }
    return rc;
}

/* Members dealt at random to as many groups as there may be; secure->n_survivors
 * becomes that of all. */
static int hide(struct robust *robust, struct error *err)
{
    int64_t n = robust->stack.n, n_groups = robust->group > 0 ? n / robust->group : 1;
    uint32_t n_survivors = 0;
    if (n_groups < 1) {
        return error_set(err, PPT_ERANGE,
                         "%lld clients with records, less than a group", (long long)n);
    }
    int64_t *order = malloc((size_t)(2 * n + 1) * sizeof *order);
    if (order == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory to deal clients to groups");
    }
    for (int64_t i = 0; i < n; i++) {
        order[i] = i;
    }
    crypto_stream_seek(robust->stream, (uint64_t)robust->trainer->step, 0);
    draw_shuffle(robust->stream, order, n);
    int rc = 0;
    for (int64_t b = 0; rc == 0 && b < n_groups; b++) {
        int64_t from = b * n / n_groups, to = (b + 1) * n / n_groups;
        rc = hide_group(robust, order + from, to - from, b, order + n, err);
        n_survivors += robust->secure->n_survivors;
        if (b == 0 || robust->n_hidden > (int64_t)robust->secure->n_survivors) {
            robust->n_hidden = robust->secure->n_survivors;
        }
    }
    robust->secure->n_survivors = n_survivors;
    robust->mixed.n = n_groups;
    free(order);
    return rc;
}

/* Rules that do not count on `byzantine` get as many false groups as they bear. */
static int run_hidden(struct robust *robust, struct error *err)
{
    int64_t n_byzantine = robust->spec->byzantine;
    int rc = 0;
    if (robust->given != NULL) {
        rc = gather(robust, err);
    } else {
        find_members(robust);
    }
    if (rc == 0) {
        rc = hide(robust, err);
    }
    int64_t most = (robust->mixed.n - 1) / 2;
    if (rc == 0 && !spec_rule_counts(robust->spec->rule) && n_byzantine > most) {
        n_byzantine = most;
    }
    return rc != 0 ? rc : apply(robust, &robust->mixed, n_byzantine, err);
}

int robust_run(struct robust *robust, struct error *err)
{
    const struct stack *stack = NULL;
    if (robust->secure != NULL) {
        return run_hidden(robust, err);
    }
    int rc = gather(robust, err);
    if (rc == 0) {
        rc = refuse(robust, err);
    }
    int64_t n_byzantine = robust->spec->byzantine - robust->n_refused;
    if (rc == 0 && robust->spec->is_on && robust->stack.n <= 2 * n_byzantine) {
        rc = error_set(err, PPT_ERANGE,
                       "%lld clients sent an update, of which %lld may be false",
                       (long long)robust->stack.n, (long long)n_byzantine);
    }
    if (rc == 0) {
        rc = mix(robust, n_byzantine, &stack, err);
    }
    return rc != 0 ? rc : apply(robust, stack, n_byzantine, err);
}
