/* Federations with false clients, robust rules, and clients that remember or compress:
 * the same model for any number of ranks, also after a stop; rules learn under attack.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/fl/fl_world.h"

/* And by every rule, which sees updates in slices. */
START_TEST(one_model_by_robust_rules)
{
    static const int sizes[] = {3, 8};
    use_federation(PARTITION_IID, 15, 2);
    use_rule(_i < RULE_N ? (enum spec_rule)_i : RULE_MULTI_KRUM,
             _i < RULE_N ? BEFORE_NOTHING : (enum spec_before)(_i - RULE_N + 1));
    struct world one = federation_of(1);
    run_well(&one, 1);
    for (int i = 0; i < 2; i++) {
        struct world many = federation_of(sizes[i]);
        run_well(&many, 1);
        expect_same_model(&one, &many);
        world_free(&many);
    }
    spec.federation.robust.is_on = false;
    struct world mean = federation_of(1);
    run_well(&mean, 1);
    ck_assert_int_ne(
        memcmp(one.model, mean.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&mean);
    world_free(&one);
}
END_TEST

/* And with false clients, in the mean and under a rule, whose clients remember their
 * momentum. Under a rule that is prepared for them no numbers do no harm. */
START_TEST(one_model_under_attack)
{
    use_federation(PARTITION_IID, 14, 3);
    use_attack((enum spec_attack_kind)_i);
    spec.federation.client_momentum = 0.5;
    if (_i % 2 == 0) {
        use_rule(RULE_TRIMMED_MEAN, BEFORE_NOTHING);
        spec.federation.robust.byzantine = 4;
    }
    struct world one = federation_of(1);
    run_well(&one, 1);
    char attack[REPORT_NAME_SIZE];
    snprintf(attack, sizeof attack, "%s by 4 clients",
             spec_attack_name(spec.federation.attack.kind));
    ck_assert_str_eq(one.report[0].attack, attack);
    struct world many = federation_of(2 + _i); /* 2 .. 8 */
    run_well(&many, 1);
    expect_same_model(&one, &many);
    world_free(&many);
    spec.federation.attack.is_on = false;
    struct world honest = federation_of(1);
    run_well(&honest, 1);
    ck_assert_str_eq(honest.report[0].attack, "");
    ck_assert_int_ne(
        memcmp(one.model, honest.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&honest);
    world_free(&one);
}
END_TEST

/* And where the rule sees sums of groups only: with clients that remember, under attack
 * (whose clients know all) and without. */
START_TEST(one_model_by_groups)
{
    use_federation(PARTITION_IID, 14, 2);
    use_secagg(2.0);
    spec.federation.secagg.min_clients = 3;
    spec.federation.secagg.group = 4;
    use_rule(_i % 2 == 0 ? RULE_MEDIAN : RULE_CENTERED_CLIPPING, BEFORE_NOTHING);
    spec.federation.client_momentum = 0.5;
    if (_i >= 2) {
        use_attack(ATTACK_ALIE);
    }
    char notes[2048] = "";
    struct world one = federation_of(1);
    one.notes = notes;
    one.notes_size = sizeof notes;
    run_well(&one, 1);
    ck_assert_ptr_nonnull(strstr(notes, "\"hidden_among\": 4")); /* of 4, 5 and 5 */
    struct world many = federation_of(2 + _i);                   /* 2 .. 5 */
    many.sampling_key[3] = 1;
    run_well(&many, 1);
    expect_same_model(&one, &many);
    world_free(&many);
    spec.federation.secagg.group = 7;
    struct world larger = federation_of(1);
    run_well(&larger, 1);
    ck_assert_int_ne(
        memcmp(one.model, larger.model, (size_t)one.n_model * sizeof *one.model), 0);
    world_free(&larger);
    world_free(&one);
}
END_TEST

/* One group of all is the mean in the clear, but for the rounding; a group of fewer
 * than its least has no sum. */
START_TEST(groups_are_means)
{
    double worst = 0.0;
    use_federation(PARTITION_IID, 14, 3);
    use_attack(ATTACK_SIGN_FLIP);
    struct world clear = federation_of(2);
    run_well(&clear, 1);
    use_secagg(4.0);
    spec.federation.secagg.bits = 24;
    struct world secure = federation_of(2);
    run_well(&secure, 1);
    for (int64_t j = 0; j < clear.n_model; j++) {
        worst = fmax(worst, fabs((double)clear.model[j] - (double)secure.model[j]));
    }
    ck_assert_double_gt(worst, 0.0);
    ck_assert_double_lt(worst, 1e-4);
    world_free(&clear);
    world_free(&secure);
    use_rule(RULE_MEDIAN, BEFORE_NOTHING);
    spec.federation.secagg.group = 3;
    struct world small = federation_of(2);
    run(&small, 1);
    ck_assert_int_eq(small.rc[0], -PPT_EPOLICY);
    ck_assert_msg(strstr(small.err[0].text, "cohort_too_small: ") != NULL, "%s",
                  small.err[0].text);
    ck_assert_int_eq(small.n_models_saved, 0);
    world_free(&small);
}
END_TEST

/* And where clients compress; what is left out is remembered, also in a checkpoint. */
START_TEST(one_model_compressed)
{
    use_federation(PARTITION_IID, 6, 120);
    spec.federation.compress =
        (struct spec_compress){.is_on = true,
                               .kind = (enum spec_compress_kind)_i,
                               .fraction = 0.1,
                               .levels = 15,
                               .bits = 2,
                               .rank = 2};
    spec.training.evaluation = EVALUATION_PUBLIC;
    struct world whole = federation_of(1), parts = federation_of(2);
    run_well(&whole, 1);
    ck_assert_double_gt(whole.report[0].test_accuracy, 0.9);
    parts.stop_after_reads = 40;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    world_free(&parts);
    world_free(&whole);
    spec.federation.max_client_bytes = 50;
    struct world limited = federation_of(1);
    run(&limited, 1);
    ck_assert_int_eq(limited.rc[0], -PPT_EPOLICY);
    world_free(&limited);
}
END_TEST

/* Values at places that all clients of a round share add up under masks: but for the
 * rounding the mean is that in the clear, for any number of ranks, also of groups, and
 * a masked message is as much shorter. */
START_TEST(random_values_add_up_under_masks)
{
    double worst = 0.0;
    int64_t bytes[2];
    use_federation(PARTITION_IID, 14, 8);
    spec.federation.selection = SELECTION_FIXED;
    spec.federation.compress = (struct spec_compress){
        .is_on = true, .kind = COMPRESS_RANDOM_K, .fraction = 0.25};
    struct world clear = federation_of(2);
    run_well(&clear, 1);
    use_secagg(4.0);
    spec.federation.secagg.bits = 24;
    if (_i == 1) {
        spec.federation.secagg.group = 14;
        use_rule(RULE_NORM_BOUND, BEFORE_NOTHING);
        spec.federation.robust.clip_norm = 100.0;
    }
    struct world one = federation_of(1), many = federation_of(3);
    run_well(&one, 1);
    run_well(&many, 1);
    expect_same_model(&one, &many);
    for (int64_t j = 0; j < clear.n_model; j++) {
        worst = fmax(worst, fabs((double)clear.model[j] - (double)one.model[j]));
    }
    ck_assert_double_gt(worst, 0.0);
    ck_assert_double_lt(worst, 1e-4);
    world_free(&clear);
    world_free(&one);
    world_free(&many);
    bytes[0] = 65 * 3; /* a quarter of 259 values of 24 bits, and little else */
    bytes[1] = bytes[0] + 150;
    for (int i = 0; i < 2; i++) {
        spec.federation.max_client_bytes = bytes[i];
        struct world limited = federation_of(2);
        run(&limited, 1);
        ck_assert_int_eq(limited.rc[0], i == 0 ? -PPT_EPOLICY : 0);
        world_free(&limited);
    }
}
END_TEST

/* Where the mean goes the other way, or nowhere, a rule learns. */
START_TEST(rules_learn_under_attack)
{
    static const enum spec_attack_kind kinds[] = {ATTACK_SIGN_FLIP, ATTACK_IPM,
                                                  ATTACK_NAN};
    double accuracy[2] = {0.0, 0.0};
    for (int i = 0; i < 2; i++) {
        use_federation(PARTITION_IID, 20, 15);
        use_attack(kinds[_i]);
        spec.federation.attack.clients = 8;
        spec.federation.attack.strength = 3.0;
        spec.training.evaluation = EVALUATION_PUBLIC;
        if (i == 1) {
            use_rule(RULE_MEDIAN, BEFORE_NOTHING);
            spec.federation.robust.byzantine = 8;
        }
        struct world world = federation_of(2);
        run(&world, 1);
        if (i == 0 && kinds[_i] == ATTACK_NAN) {
            ck_assert_int_eq(world.rc[0], -PPT_ERANGE);
        } else {
            ck_assert_int_eq(world.rc[0], 0);
            accuracy[i] = world.report[0].test_accuracy;
        }
        world_free(&world);
    }
    ck_assert_double_gt(accuracy[1], 0.85);
    ck_assert_double_lt(accuracy[0], accuracy[1] - 0.02);
}
END_TEST

/* What clients remember is in the checkpoint, wherever they are played afterwards; and
 * it must fit the job's memory. */
START_TEST(memories_resume)
{
    use_federation(PARTITION_IID, 6, 300);
    spec.federation.client_momentum = 0.8;
    struct world whole = federation_of(1), parts = federation_of(2);
    run_well(&whole, 1);
    parts.stop_after_reads = 60;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    ck_assert_int_gt(parts.report[0].n_steps, 0);
    ck_assert_int_lt(parts.report[0].n_steps, 300);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    world_free(&whole);
    world_free(&parts);
    spec.resources.memory_bytes = 40000; /* 20 clients of 259 floats are 20720 bytes */
    struct world small = federation_of(2);
    run(&small, 1);
    ck_assert_int_eq(small.rc[0], -PPT_ESPEC);
    ck_assert_msg(strstr(small.err[1].text, "what 20 clients remember") != NULL, "%s",
                  small.err[1].text);
    world_free(&small);
}
END_TEST

/* The center that clipping keeps from round to round is in the checkpoint. */
START_TEST(a_center_resumes)
{
    use_federation(PARTITION_IID, 6, 300);
    use_rule(RULE_CENTERED_CLIPPING, BEFORE_NOTHING);
    spec.federation.robust.clip_norm = 0.01;
    spec.federation.server.optimizer = OPTIMIZER_MOMENTUM;
    struct world whole = federation_of(1), parts = federation_of(2);
    run_well(&whole, 1);
    parts.stop_after_reads = 60;
    run(&parts, 1);
    ck_assert_int_eq(parts.rc[0], -PPT_EINTERRUPTED);
    ck_assert_int_gt(parts.report[0].n_steps, 0);
    ck_assert_int_lt(parts.report[0].n_steps, 300);
    parts.size = 3;
    parts.stop_after_reads = 0;
    run_well(&parts, 2);
    expect_same_model(&whole, &parts);
    world_free(&whole);
    world_free(&parts);
}
END_TEST

/* A rule's outcome has no sensitivity that is known. */
START_TEST(refuses_private_rules)
{
    use_privacy(1.0);
    use_federation(PARTITION_USERS, 10, 2);
    use_rule(RULE_MEDIAN, BEFORE_NOTHING);
    spec.federation.selection = SELECTION_POISSON;
    struct world world = federation_of(1);
    run(&world, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EINTERNAL);
    ck_assert_str_eq(world.err[0].text, "a robust rule, an attack, a client's momentum "
                                        "or control or compression in a private job");
    world_free(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fl_false");
    TCase *tcase = tcase_create("fl_false");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup_federation, teardown);
    tcase_add_loop_test(tcase, one_model_by_robust_rules, 0, RULE_N + BEFORE_N - 1);
    tcase_add_loop_test(tcase, one_model_under_attack, 0, ATTACK_N);
    tcase_add_loop_test(tcase, one_model_by_groups, 0, 4);
    tcase_add_test(tcase, groups_are_means);
    tcase_add_loop_test(tcase, one_model_compressed, 0, COMPRESS_N);
    tcase_add_loop_test(tcase, random_values_add_up_under_masks, 0, 2);
    tcase_add_loop_test(tcase, rules_learn_under_attack, 0, 3);
    tcase_add_test(tcase, memories_resume);
    tcase_add_test(tcase, a_center_resumes);
    tcase_add_test(tcase, refuses_private_rules);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
