/* False clients: who they are, what each kind sends, and how close to the honest ones
 * it stays. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/attack.h"

enum { N = 12, N_FALSE = 3, D = 64 };

static struct spec spec;
static struct attack attack;
static struct stack stack;
static int64_t members[N];
static double mean[D], std[D];

static void open_attack(enum spec_attack_kind kind)
{
    spec = (struct spec){.federation = {.attack = {.is_on = true,
                                                   .kind = kind,
                                                   .clients = N_FALSE,
                                                   .strength = 0.5}}};
    ck_assert_int_eq(attack_open(&attack, &spec, N, NULL), 0);
}

/* Updates around 1, and of the honest ones mean and standard deviation. */
static void setup(void)
{
    open_attack(ATTACK_ALIE);
    ck_assert_int_eq(stack_open(&stack, &comm_alone, N, D, NULL), 0);
    srand48(9);
    for (int i = 0; i < N; i++) {
        members[i] = i;
        for (int j = 0; j < D; j++) {
            stack_row(&stack, i)[j] = (float)(1.0 + drand48());
        }
    }
    for (int j = 0; j < D; j++) {
        mean[j] = std[j] = 0.0;
        for (int i = 0; i < N; i++) {
            mean[j] += attack_is_by(&attack, i) ? 0.0 : stack_row(&stack, i)[j];
        }
        mean[j] /= N - N_FALSE;
        for (int i = 0; i < N; i++) {
            double d = stack_row(&stack, i)[j] - mean[j];
            std[j] += attack_is_by(&attack, i) ? 0.0 : d * d;
        }
        std[j] = sqrt(std[j] / (N - N_FALSE));
    }
    attack_close(&attack);
}

static void teardown(void)
{
    attack_close(&attack);
    stack_close(&stack);
}

static int first(bool is_false)
{
    int i = 0;
    while (attack_is_by(&attack, i) != is_false) {
        i++;
    }
    return i;
}

/* Runs it and returns what a false client sends; the honest ones' stay. */
static const float *send(enum spec_attack_kind kind)
{
    float before[N * D];
    memcpy(before, stack.rows, sizeof before);
    open_attack(kind);
    ck_assert_int_eq(attack_together(&attack, members, &stack, NULL), 0);
    for (int i = 0; i < N; i++) {
        const float *wanted =
            attack_is_by(&attack, i) ? stack_row(&stack, first(true)) : before + i * D;
        ck_assert_mem_eq(stack_row(&stack, i), wanted, D * sizeof *wanted);
    }
    return stack_row(&stack, first(true));
}

START_TEST(as_many_as_asked)
{
    open_attack(ATTACK_NAN);
    int n = 0;
    for (int c = 0; c < N; c++) {
        n += attack_is_by(&attack, c);
    }
    ck_assert_int_eq(n, N_FALSE);
    attack_close(&attack);
    struct error err = {0};
    ck_assert_int_eq(attack_open(&attack, &spec, N_FALSE - 1, &err), -PPT_ESPEC);
    ck_assert_str_eq(err.text, "federation.attack.clients: 3 of 2 clients");
    spec.federation.attack.is_on = false;
    ck_assert_int_eq(attack_open(&attack, &spec, N, NULL), 0);
    ck_assert(!attack_is_by(&attack, 0));
    ck_assert_int_eq(attack_together(&attack, members, &stack, NULL), 0);
}
END_TEST

START_TEST(alone)
{
    float x[2] = {1.5f, -2.0f};
    open_attack(ATTACK_SIGN_FLIP);
    attack_alone(&attack, first(false), x, 2);
    ck_assert_float_eq(x[0], 1.5f);
    attack_alone(&attack, first(true), x, 2);
    ck_assert_float_eq(x[0], -1.5f);
    ck_assert_float_eq(x[1], 2.0f);
    ck_assert(!attack_turns_labels(&attack, first(true)));
    attack_close(&attack);
    open_attack(ATTACK_NAN);
    attack_alone(&attack, first(true), x, 2);
    ck_assert(isnan(x[0]) && isnan(x[1]));
    attack_close(&attack);
    open_attack(ATTACK_LABEL_FLIP);
    ck_assert(attack_turns_labels(&attack, first(true)));
    ck_assert(!attack_turns_labels(&attack, first(false)));
}
END_TEST

/* s = 12 / 2 + 1 - 3 = 4 of 9: Phi(z) = 5 / 9. */
START_TEST(alie_hides)
{
    const float *sent = send(ATTACK_ALIE);
    for (int j = 0; j < D; j++) {
        ck_assert_double_eq_tol(sent[j], mean[j] - 0.13971029888186212 * std[j], 1e-6);
    }
}
END_TEST

START_TEST(ipm_turns_the_mean)
{
    const float *sent = send(ATTACK_IPM);
    for (int j = 0; j < D; j++) {
        ck_assert_double_eq_tol(sent[j], -0.5 * mean[j], 1e-6);
    }
}
END_TEST

START_TEST(mimic_copies)
{
    const float *sent = send(ATTACK_MIMIC);
    ck_assert_mem_eq(sent, stack_row(&stack, first(false)), D * sizeof *sent);
}
END_TEST

/* As far as the farthest two honest ones are from each other, to a rounding. */
START_TEST(min_max_stays_within)
{
    double square[N * N], honest = 0.0, forged = 0.0;
    const float *sent = send(ATTACK_MIN_MAX);
    double scale = (mean[0] - (double)sent[0]) / std[0];
    ck_assert_double_gt(scale, 0.5);
    for (int j = 0; j < D; j++) {
        ck_assert_double_eq_tol(sent[j], mean[j] - scale * std[j], 1e-5);
    }
    ck_assert_int_eq(stack_squares(&stack, square, NULL), 0);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N && !attack_is_by(&attack, i); k++) {
            double *most = attack_is_by(&attack, k) ? &forged : &honest;
            *most = fmax(*most, square[i * N + k]);
        }
    }
    ck_assert_double_eq_tol(forged / honest, 1.0, 1e-5);
}
END_TEST

/* Nobody to hide among, nobody false: nothing happens. */
START_TEST(one_side_only)
{
    float before[N * D];
    memcpy(before, stack.rows, sizeof before);
    open_attack(ATTACK_ALIE);
    for (int i = 0; i < N; i++) {
        members[i] = first(_i == 0);
    }
    ck_assert_int_eq(attack_together(&attack, members, &stack, NULL), 0);
    ck_assert_mem_eq(stack.rows, before, sizeof before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack");
    TCase *tcase = tcase_create("attack");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, as_many_as_asked);
    tcase_add_test(tcase, alone);
    tcase_add_test(tcase, alie_hides);
    tcase_add_test(tcase, ipm_turns_the_mean);
    tcase_add_test(tcase, mimic_copies);
    tcase_add_test(tcase, min_max_stays_within);
    tcase_add_loop_test(tcase, one_side_only, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
