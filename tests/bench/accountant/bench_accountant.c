/* What an answer costs, and what it says: composed losses, Renyi orders, calibration
 * and balls in bins, on one core, the median of five. bench_accountant [--json]; with
 * PPT_PYTHON naming an interpreter that has dp_accounting, its figures stand beside
 * ours (once: it is slow). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/opt.h"
#include "jobs/privacy/balls_in_bins.h"
#include "jobs/privacy/pld.h"
#include "jobs/privacy/renyi.h"
#include "tests/bench/figure.h"

enum { N_RUNS = 5 };

static bool is_json;

struct plan_case {
    double noise, rate;
    int64_t steps;
    double delta;
};

static const struct plan_case plans[] = {
    {0.8, 1e-5, 1000000, 1e-6}, {2, 1e-3, 1000000, 1e-6}, {2, 1e-3, 1000000, 1e-12},
    {10, 0.01, 1000000, 1e-12}, {1, 1e-3, 10000, 1e-6},
};

static const struct balls_in_bins bins[] = {{0.5, 100, 1}, {1, 100, 10}, {1, 1000, 10}};

/* A peer's figure is NAN where there is none; smaller is better throughout. */
static void show(const char *name, double value, const char *unit, double peer_value)
{
    figure_show(name, value, unit, isnan(peer_value) ? NULL : "dp_accounting",
                peer_value, peer_value / value);
}

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Seconds and epsilons of dp_accounting's PLD and Renyi accountants; NAN without it. */
static void ask_peer(const struct plan_case *plan, double ret_answers[4])
{
    const char *python = getenv("PPT_PYTHON"), *source = getenv("PPT_SOURCE_DIR");
    for (int i = 0; i < 4; i++)
        ret_answers[i] = NAN;
    if (python == NULL || source == NULL)
        return;
    char command[4096];
    snprintf(command, sizeof command,
             "'%s' '%s/tests/bench/accountant/peer.py' %.17g %.17g %lld %.17g", python,
             source, plan->noise, plan->rate, (long long)plan->steps, plan->delta);
    FILE *pipe = popen(command, "r");
    double got[4];
    if (pipe == NULL)
        return;
    if (fscanf(pipe, "%lf %lf %lf %lf", &got[0], &got[1], &got[2], &got[3]) == 4)
        memcpy(ret_answers, got, sizeof got);
    if (pclose(pipe) != 0)
        log_warning("dp_accounting could not be run by %s", python);
}

/* One question of any accountant. */
struct question {
    int (*ask)(const void *plan, double *ret_answer, struct error *err);
    const void *plan;
};

static int ask_pld(const void *state, double *ret_answer, struct error *err)
{
    const struct plan_case *plan = state;
    struct pld_release release = {PAIR_GAUSSIAN, plan->noise, plan->rate,
                                  NULL,          plan->steps, {NULL}};
    struct pld_plan whole = {RELATION_ADD_REMOVE, 1, &release};
    return pld_epsilon(&whole, plan->delta, ret_answer, NULL, err);
}

static int ask_renyi(const void *state, double *ret_answer, struct error *err)
{
    const struct plan_case *plan = state;
    struct renyi_release release = {.mechanism = {.kind = MECHANISM_SUBSAMPLED_GAUSSIAN,
                                                  .noise_multiplier = plan->noise,
                                                  .sample_rate = plan->rate,
                                                  .sampling = SAMPLING_POISSON},
                                    .count = plan->steps};
    return renyi_epsilon(&release, 1, plan->delta, ret_answer, NULL, err);
}

static int ask_noise(const void *state, double *ret_answer, struct error *err)
{
    const struct plan_case *plan = state;
    return pld_noise_multiplier(1, plan->delta, plan->rate, plan->steps,
                                RELATION_ADD_REMOVE, ret_answer, err);
}

static int ask_bins(const void *state, double *ret_answer, struct error *err)
{
    return balls_in_bins_epsilon(state, 1e-5, ret_answer, NULL, err);
}

static int measure(const struct question *question, double *ret_seconds,
                   double *ret_answer, struct error *err)
{
    double seconds[N_RUNS];
    for (int i = 0; i < N_RUNS; i++) {
        double start = now_s();
        int rc = question->ask(question->plan, ret_answer, err);
        if (rc != 0)
            return rc;
        seconds[i] = now_s() - start;
    }
    *ret_seconds = figure_median(seconds, N_RUNS);
    return 0;
}

static int both(const char *name, const struct question *question, const char *unit,
                double peer_seconds, double peer_answer, struct error *err)
{
    double seconds, answer;
    char label[128];
    int rc = measure(question, &seconds, &answer, err);
    if (rc != 0)
        return rc;
    snprintf(label, sizeof label, "%s time", name);
    show(label, seconds, "s", peer_seconds);
    show(name, answer, unit, peer_answer);
    return 0;
}

static int bench_plans(struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof plans / sizeof plans[0] && rc == 0; i++) {
        double peer[4];
        char plan[96], name[128];
        ask_peer(&plans[i], peer);
        snprintf(plan, sizeof plan, "noise %g rate %g steps %g delta %g",
                 plans[i].noise, plans[i].rate, (double)plans[i].steps, plans[i].delta);
        snprintf(name, sizeof name, "pld %s", plan);
        rc = both(name, &(struct question){ask_pld, &plans[i]}, "epsilon", peer[0],
                  peer[1], err);
        snprintf(name, sizeof name, "renyi %s", plan);
        if (rc == 0)
            rc = both(name, &(struct question){ask_renyi, &plans[i]}, "epsilon",
                      peer[2], peer[3], err);
    }
    if (rc == 0)
        rc = both("pld calibration rate 0.001 steps 1e+06 epsilon 1 delta 1e-06",
                  &(struct question){ask_noise, &plans[1]}, "noise multiplier", NAN,
                  NAN, err);
    for (size_t i = 0; i < sizeof bins / sizeof bins[0] && rc == 0; i++) {
        char name[128];
        snprintf(name, sizeof name,
                 "balls in bins noise %g bins %lld epochs %lld delta "
                 "1e-05",
                 bins[i].noise_multiplier, (long long)bins[i].n_bins,
                 (long long)bins[i].n_epochs);
        rc = both(name, &(struct question){ask_bins, &bins[i]}, "epsilon", NAN, NAN,
                  err);
    }
    return rc;
}

int main(int argc, char **argv)
{
    const struct opt options[] = {
        {"json", 0, OPT_FLAG, &is_json, NULL, "one object a line", NULL},
    };
    const struct opt_program program = {
        .name = "bench_accountant",
        .usage = "",
        .summary = "Times the accountants and shows their answers.",
        .options = options,
        .n_options = 1,
    };
    struct error err = {0};
    int n_operands;
    log_init("bench_accountant", false);
    int rc = opt_parse(&program, argc, argv, &n_operands, &err);
    figure_begin("accountant", is_json);
    if (rc == 0)
        rc = bench_plans(&err);
    figure_end();
    return rc == 0 ? 0 : log_error(&err);
}
