/* No rule gets more out of an adaptive schedule than was reserved: random rules for
 * the sums, and an adversary who is enumerated exactly for what the sums mean. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "jobs/privacy/adaptive.h"

static struct error err;

static uint64_t random_bits(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static struct cost times(const struct cost *cost, int n)
{
    struct cost sum = cost_zero(cost->unit, cost->relation);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(cost_add(&sum, cost, &sum, &err), 0);
    return sum;
}

static void is_not_above(const struct cost *a, const struct cost *b)
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        ck_assert_int_le(a->rho[i], b->rho[i]);
}

START_TEST(no_rule_exceeds_the_reservation)
{
    const double noises[] = {2.5, 1.9, 1.4, 1.0, 0.8};
    struct adaptive_menu menu;
    ck_assert_int_eq(
        adaptive_menu_gaussian(noises, 5, 0.01, 100, UNIT_EXAMPLE, &menu, &err), 0);
    uint64_t seed = 7;
    int n_cut = 0, n_dear = 0;
    for (int run = 0; run < 2000; run++) {
        int n_epochs = 1 + (int)(random_bits(&seed) % 12);
        /* the room of a uniform plan at some entry: the rule may run dry of it */
        struct cost reserved = times(&menu.epochs[random_bits(&seed) % 5], n_epochs);
        struct cost spent = cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE);
        for (int e = 0; e < n_epochs; e++) {
            int wish = (int)(random_bits(&seed) % 9) - 2, got = -1;
            ck_assert_int_eq(adaptive_pick(&menu, &spent, &reserved, n_epochs - 1 - e,
                                           wish, &got, &err),
                             0);
            ck_assert_int_ge(got, 0); /* all epochs run */
            ck_assert_int_le(got, wish < 0 ? 0 : wish);
            n_cut += got < wish && wish < 5;
            n_dear += got > 0;
            ck_assert_int_eq(cost_add(&spent, &menu.epochs[got], &spent, &err), 0);
            is_not_above(&spent, &reserved);
        }
        int got = 0;
        struct cost none = times(&menu.epochs[0], 0);
        ck_assert_int_eq(adaptive_pick(&menu, &none, &none, 0, 4, &got, &err), 0);
        ck_assert_int_eq(got, -1);
    }
    ck_assert_int_gt(n_cut, 100);
    ck_assert_int_gt(n_dear, 100);
}
END_TEST

/* An epoch that releases one bit: P = (p, 1-p), Q = (q, 1-q). */
static const double bits[3][2] = {{0.06, 0.03}, {0.2, 0.05}, {0.4, 0.04}};

static double renyi(double alpha, double p, double q)
{
    return log(p * pow(p / q, alpha - 1) +
               (1 - p) * pow((1 - p) / (1 - q), alpha - 1)) /
           (alpha - 1);
}

static struct adaptive_menu bit_menu(void)
{
    struct adaptive_menu menu = {.n = 3};
    for (int k = 0; k < 3; k++) {
        struct curve curve = {.unit = UNIT_EXAMPLE, .relation = RELATION_ADD_REMOVE};
        for (int i = 0; i < COST_N_ORDERS; i++)
            curve.rho[i] = fmax(renyi(cost_orders[i], bits[k][0], bits[k][1]),
                                renyi(cost_orders[i], bits[k][1], bits[k][0]));
        ck_assert_int_eq(cost_from_curve(&curve, 1, &menu.epochs[k], &err), 0);
    }
    return menu;
}

struct game {
    struct adaptive_menu menu;
    struct cost reserved;
    bool is_swapped; /* the loss of Q against P */
    bool is_filtered;
    double alpha;   /* the mean of e^{(alpha-1) L}; or, if 0, */
    double epsilon; /* delta here */
};

/* The most that any rule of the bits seen so far gets, from here on. */
static double best(const struct game *game, const struct cost *spent, double loss,
                   int n_left)
{
    double most = game->alpha > 0 ? exp((game->alpha - 1) * loss)
                                  : fmax(0, -expm1(game->epsilon - loss));
    for (int wish = 0; n_left > 0 && wish < game->menu.n; wish++) {
        int got = wish;
        if (game->is_filtered)
            ck_assert_int_eq(
                adaptive_pick(&game->menu, spent, &game->reserved, 0, wish, &got, &err),
                0);
        if (got != wish) /* granted as another wish already */
            continue;
        struct cost after;
        ck_assert_int_eq(cost_add(spent, &game->menu.epochs[got], &after, &err), 0);
        double p = bits[got][game->is_swapped], q = bits[got][!game->is_swapped];
        double value =
            p * best(game, &after, loss + log(p / q), n_left - 1) +
            (1 - p) * best(game, &after, loss + log((1 - p) / (1 - q)), n_left - 1);
        most = fmax(most, value);
    }
    return most;
}

START_TEST(the_best_adversary_stays_within)
{
    struct game game = {.menu = bit_menu(), .is_filtered = true};
    game.reserved = times(&game.menu.epochs[1], 3);
    struct cost none = times(&game.menu.epochs[0], 0);
    int n_broken = 0, n_near = 0;
    for (int swapped = 0; swapped < 2; swapped++) {
        game.is_swapped = swapped != 0;
        for (int i = 0; i < COST_N_ORDERS && cost_orders[i] <= 16; i += 8) {
            game.alpha = cost_orders[i];
            double bound = (double)game.reserved.rho[i] / COST_RHO_PER_NAT;
            double got = log(best(&game, &none, 0, 5)) / (game.alpha - 1);
            ck_assert_double_le(got, bound * (1 + 1e-9));
            n_near += got > 0.8 * bound;
            game.is_filtered = false; /* the test can fail */
            n_broken += log(best(&game, &none, 0, 5)) / (game.alpha - 1) > bound;
            game.is_filtered = true;
        }
        game.alpha = 0;
        for (game.epsilon = 0; game.epsilon < 6; game.epsilon += 0.5) {
            double bound;
            ck_assert_int_eq(
                cost_delta(&game.reserved, game.epsilon, &bound, NULL, &err), 0);
            ck_assert_double_le(best(&game, &none, 0, 5), bound);
        }
    }
    ck_assert_int_gt(n_near, 0);
    ck_assert_int_gt(n_broken, 0);
}
END_TEST

START_TEST(rules_and_nonsense)
{
    struct adaptive_menu menu = bit_menu();
    struct cost none = times(&menu.epochs[0], 0), user = none;
    int got = 77;
    ck_assert_int_eq(adaptive_wish(&menu, 0, 0.5, 0.6, 0.05), 0);
    ck_assert_int_eq(adaptive_wish(&menu, 0, 0.5, 0.52, 0.05), 1);
    ck_assert_int_eq(adaptive_wish(&menu, 2, 0.5, 0.4, 0.05), 2);
    ck_assert_int_eq(adaptive_wish(&menu, 1, 0.5, NAN, 0.05), 2);
    user.unit = UNIT_USER;
    ck_assert_int_eq(adaptive_pick(&menu, &none, &user, 0, 0, &got, &err), -PPT_ERANGE);
    ck_assert_int_eq(adaptive_pick(&menu, &none, &none, -1, 0, &got, &err),
                     -PPT_ERANGE);
    struct adaptive_menu upside_down = menu;
    upside_down.epochs[0] = menu.epochs[2];
    ck_assert_int_eq(adaptive_pick(&upside_down, &none, &none, 0, 0, &got, &err),
                     -PPT_ERANGE);
    menu.n = 0;
    ck_assert_int_eq(adaptive_pick(&menu, &none, &none, 0, 0, &got, &err), -PPT_ERANGE);
    ck_assert_int_eq(got, 77);
    const double rising[] = {1, 2}, bad[] = {NAN, 1};
    ck_assert_int_eq(
        adaptive_menu_gaussian(rising, 2, 0.1, 5, UNIT_EXAMPLE, &menu, &err),
        -PPT_ERANGE);
    ck_assert_int_eq(adaptive_menu_gaussian(bad, 2, 0.1, 5, UNIT_EXAMPLE, &menu, &err),
                     -PPT_ERANGE);
    ck_assert_int_eq(adaptive_menu_gaussian(rising, 1, 2, 5, UNIT_EXAMPLE, &menu, &err),
                     -PPT_ERANGE);
    ck_assert_int_eq(
        adaptive_menu_gaussian(rising, 1, 0.1, 0, UNIT_EXAMPLE, &menu, &err),
        -PPT_ERANGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("adaptive");
    TCase *tcase = tcase_create("adaptive");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, no_rule_exceeds_the_reservation);
    tcase_add_test(tcase, the_best_adversary_stays_within);
    tcase_add_test(tcase, rules_and_nonsense);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
