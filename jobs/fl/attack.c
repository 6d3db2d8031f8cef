#include "jobs/fl/attack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/draw.h"

int attack_open(struct attack *attack, const struct spec *spec, int64_t n_clients,
                struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    *attack = (struct attack){.spec = &spec->federation.attack};
    if (!attack->spec->is_on) {
        return 0;
    }
    if (attack->spec->clients > n_clients) {
        return error_set(err, PPT_ESPEC,
                         "federation.attack.clients: %lld of %lld clients",
                         (long long)attack->spec->clients, (long long)n_clients);
    }
    int64_t *order = malloc((size_t)n_clients * sizeof *order);
    attack->is_false = calloc((size_t)n_clients, sizeof *attack->is_false);
    if (order == NULL || attack->is_false == NULL) {
        free(order);
        attack_close(attack);
        return error_set(err, PPT_ENOMEM, "no memory to choose false clients");
    }
    for (int64_t c = 0; c < n_clients; c++) {
        order[c] = c;
    }
    draw_key_public(spec->training.seed, "attack", key);
    struct crypto_stream *stream = crypto_stream_new(key);
    draw_shuffle(stream, order, n_clients);
    crypto_stream_free(stream);
    for (int64_t i = 0; i < attack->spec->clients; i++) {
        attack->is_false[order[i]] = true;
    }
    free(order);
    return 0;
}

void attack_close(struct attack *attack)
{
    free(attack->is_false);
    *attack = (struct attack){0};
}

bool attack_turns_labels(const struct attack *attack, int64_t client)
{
    return attack_is_by(attack, client) && attack->spec->kind == ATTACK_LABEL_FLIP;
}

void attack_alone(const struct attack *attack, int64_t client, float *update, int64_t n)
{
    if (!attack_is_by(attack, client)) {
        return;
    }
    for (int64_t j = 0; attack->spec->kind == ATTACK_SIGN_FLIP && j < n; j++) {
        update[j] = -update[j];
    }
    for (int64_t j = 0; attack->spec->kind == ATTACK_NAN && j < n; j++) {
        update[j] = NAN;
    }
}

/* Of the honest ones: weights for stack_mean, and how many. */
static int64_t honest_weights(const struct attack *attack, const int64_t *members,
                              int64_t n, double *ret_weights)
{
    int64_t n_honest = 0;
    for (int64_t i = 0; i < n; i++) {
        bool is_honest = !attack_is_by(attack, members[i]);
        ret_weights[i] = is_honest ? 1.0 : 0.0;
        n_honest += is_honest;
    }
    return n_honest;
}

static void honest_std(const struct stack *stack, const double *weights,
                       const double *mean, double n_honest, double *ret)
{
    memset(ret, 0, (size_t)stack->n_slice * sizeof *ret);
    for (int64_t i = 0; i < stack->n; i++) {
        for (int64_t j = 0; weights[i] > 0.0 && j < stack->n_slice; j++) {
            double d = (double)stack_row(stack, i)[j] - mean[j];
            ret[j] += d * d;
        }
    }
    for (int64_t j = 0; j < stack->n_slice; j++) {
        ret[j] = sqrt(ret[j] / n_honest);
    }
}

/* z with Phi(z) = share, by halving. */
static double normal_quantile(double share)
{
    double low = -40.0, high = 40.0;
    for (int i = 0; i < 100; i++) {
        double z = 0.5 * (low + high);
        *(0.5 * erfc(-z * M_SQRT1_2) < share ? &low : &high) = z;
    }
    return low;
}

static double alie_z(int64_t n, int64_t n_false)
{
    double honest = (double)(n - n_false);
    double supporters = fmax(floor((double)n / 2.0 + 1.0) - (double)n_false, 0.0);
    return fmax(normal_quantile((honest - supporters) / honest), 0.0);
}

/* |mean - g std - g_i|^2 = a_i + 2 b_i g + c g^2 from its values at g = -1, 0 and 1;
 * the largest g that keeps it within the honest ones' own distances, for each honest i.
 */
static int min_max_scale(const struct stack *stack, const double *weights,
                         const double *mean, const double *std, double *ret,
                         struct error *err)
{
    int64_t n = stack->n, n_slice = stack->n_slice;
    double *square = malloc((size_t)(n * n + 3 * n) * sizeof *square);
    double *center = malloc((size_t)n_slice * sizeof *center);
    int rc = square == NULL || center == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for the distances of updates")
                 : stack_squares(stack, square, err);
    for (int at = 0; rc == 0 && at < 3; at++) {
        for (int64_t j = 0; j < n_slice; j++) {
            center[j] = mean[j] - (at - 1) * std[j];
        }
        rc = stack_squares_to(stack, center, square + n * n + at * n, err);
    }
    double most = 0.0, scale = INFINITY;
    for (int64_t p = 0; rc == 0 && p < n * n; p++) {
        bool is_honest = weights[p / n] > 0.0 && weights[p % n] > 0.0;
        most = is_honest && square[p] > most ? square[p] : most;
    }
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        const double *at = square + n * n + i;
        double a = at[n], b = 0.25 * (at[2 * n] - at[0]);
        double c = 0.5 * (at[2 * n] + at[0]) - a;
        if (weights[i] > 0.0 && c > 0.0) {
            scale = fmin(scale, (sqrt(b * b + c * (most - a)) - b) / c);
        }
    }
    if (rc == 0) {
        *ret = isfinite(scale) ? scale : 0.0;
    }
    free(square);
    free(center);
    return rc;
}

static int64_t first_honest(const double *weights)
{
    int64_t i = 0;
    while (!(weights[i] > 0.0)) {
        i++;
    }
    return i;
}

/* This rank's slice of what all false clients send. */
static int forge(const struct attack *attack, const struct stack *stack,
                 const double *weights, int64_t n_honest, double *mean, double *std,
                 float *ret, struct error *err)
{
    const struct spec_attack *spec = attack->spec;
    double scale = 0.0, share = 1.0;
    int rc = 0;
    stack_mean(stack, weights, mean);
    honest_std(stack, weights, mean, (double)n_honest, std);
    switch (spec->kind) {
    case ATTACK_MIMIC:
        memcpy(ret, stack_row(stack, first_honest(weights)),
               (size_t)stack->n_slice * sizeof *ret);
        return 0;
    case ATTACK_IPM:
        share = -spec->strength;
        break;
    case ATTACK_ALIE:
        scale = alie_z(stack->n, stack->n - n_honest);
        break;
    default:
        rc = min_max_scale(stack, weights, mean, std, &scale, err);
    }
    for (int64_t j = 0; rc == 0 && j < stack->n_slice; j++) {
        ret[j] = (float)(share * mean[j] - scale * std[j]);
    }
    return rc;
}

int attack_together(const struct attack *attack, const int64_t *members,
                    struct stack *stack, struct error *err)
{
    if (attack->is_false == NULL || attack->spec->kind == ATTACK_SIGN_FLIP ||
        attack->spec->kind == ATTACK_LABEL_FLIP || attack->spec->kind == ATTACK_NAN) {
        return 0;
    }
    size_t slice = (size_t)stack->n_slice;
    double *weights = malloc(((size_t)stack->n + 2 * slice + 1) * sizeof *weights);
    float *forged = malloc(slice * sizeof *forged);
    int rc = weights == NULL || forged == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for false updates")
                 : 0;
    int64_t n_honest = rc == 0 ? honest_weights(attack, members, stack->n, weights) : 0;
    if (rc == 0 && n_honest > 0 && n_honest < stack->n) {
        double *mean = weights + stack->n;
        rc = forge(attack, stack, weights, n_honest, mean, mean + slice, forged, err);
        for (int64_t i = 0; rc == 0 && i < stack->n; i++) {
            if (!(weights[i] > 0.0)) {
                memcpy(stack_row(stack, i), forged, slice * sizeof *forged);
            }
        }
    }
    free(weights);
    free(forged);
    return rc;
}
