/* Cores and nodes of ranks: gathered, shared out as threads, and told in the report. */
#include <check.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/binding.h"

#define LAST_CPU (BINDING_WORD_BITS * BINDING_N_WORDS - 1)

static void add_cpus(struct binding *binding, int first, int last)
{
    for (int cpu = first; cpu <= last; cpu++)
        binding->cpus[cpu / BINDING_WORD_BITS] |= INT64_C(1) << cpu % BINDING_WORD_BITS;
}

static struct binding on(int64_t node, int first, int last)
{
    struct binding binding = {.node = node, .gpu = -1};
    add_cpus(&binding, first, last);
    return binding;
}

START_TEST(cores_of_its_own_are_threads)
{
    const struct binding all[] = {on(0, 0, 3), on(0, 4, 7), on(0, 8, 8)};
    ck_assert_int_eq(binding_threads(all, 3, 0, 4), 4);
    ck_assert_int_eq(binding_threads(all, 3, 0, 2), 2);
    ck_assert_int_eq(binding_threads(all, 3, 1, 64), 4);
    ck_assert_int_eq(binding_threads(all, 3, 2, 4), 1);
}
END_TEST

START_TEST(common_cores_are_shared_out)
{
    const struct binding all[] = {on(0, 0, 7), on(0, 0, 7), on(1, 0, 7), on(0, 7, 8)};
    ck_assert_int_eq(binding_threads(all, 2, 0, 8), 4);
    ck_assert_int_eq(binding_threads(all, 2, 0, 3), 3);
    ck_assert_int_eq(binding_threads(all, 3, 2, 8), 8); /* alone on its node */
    ck_assert_int_eq(binding_threads(all, 4, 0, 8), 2);
    ck_assert_int_eq(binding_threads(all, 4, 3, 8), 1); /* never none */
}
END_TEST

START_TEST(unknown_cores_leave_the_job_its_wish)
{
    const struct binding all[] = {{.gpu = -1}, {.gpu = -1}};
    ck_assert_int_eq(binding_threads(all, 2, 0, 5), 5);
    ck_assert_int_eq(binding_threads(all, 2, 1, 0), 1);
}
END_TEST

START_TEST(the_kernel_is_asked)
{
    struct binding all[2];
    struct error err = {0};
    cpu_set_t before, one;
    size_t cpu = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
    while (!CPU_ISSET(cpu, &before))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    binding_find(&all[1]);
    ck_assert_int_eq(sched_setaffinity(0, sizeof before, &before), 0);
    struct binding expected = on(0, (int)cpu, (int)cpu);
    ck_assert_mem_eq(all[1].cpus, expected.cpus, sizeof expected.cpus);
    all[1].node = 3;
    all[1].gpu = 2;
    ck_assert_int_eq(binding_gather(&comm_alone, &all[1], &all[0], &err), 0);
    ck_assert_int_eq(all[0].node, 3);
    ck_assert_int_eq(all[0].gpu, 2);
    ck_assert_mem_eq(all[0].cpus, expected.cpus, sizeof expected.cpus);
}
END_TEST

START_TEST(places_by_host)
{
    struct binding all[] = {on(1, 0, 1), on(5, 0, 0), on(1, 2, 3), on(5, 59, 61)};
    struct report_places places;
    int first[REPORT_MAX_HOSTS];
    add_cpus(&all[2], 8, 8);
    all[3].gpu = 1;
    binding_places(all, 4, &places, first);
    ck_assert_int_eq(places.n_hosts, 2);
    ck_assert_int_eq(places.n_hosts_listed, 2);
    ck_assert_int_eq(places.n_ranks_listed, 4);
    ck_assert_int_eq(first[0], 0);
    ck_assert_int_eq(first[1], 1);
    ck_assert_int_eq(places.hosts[0].n_ranks, 2);
    ck_assert_str_eq(places.ranks[0].cpus, "0-1");
    ck_assert_str_eq(places.ranks[1].cpus, "0");
    ck_assert_str_eq(places.ranks[2].cpus, "2-3,8");
    ck_assert_str_eq(places.ranks[3].cpus, "59-61");
    ck_assert_int_eq(places.ranks[2].host, 0);
    ck_assert_int_eq(places.ranks[3].host, 1);
    ck_assert_int_eq(places.ranks[3].gpu, 1);
}
END_TEST

/* Every rank on a node of its own, with every other core up to the last. */
static struct binding *many(int n)
{
    struct binding *all = calloc((size_t)n, sizeof *all);
    for (int i = 0; i < n; i++) {
        all[i].node = i;
        all[i].gpu = -1;
        for (int cpu = LAST_CPU % 2; cpu <= LAST_CPU; cpu += 2)
            add_cpus(&all[i], cpu, cpu);
    }
    return all;
}

/* More than there is room for is counted, and the file stays readable. */
START_TEST(many_ranks_are_bounded)
{
    static struct report written, found;
    struct binding *all = many(1000);
    struct error err = {0};
    char path[] = "/tmp/check_binding.XXXXXX";
    int first[REPORT_MAX_HOSTS], fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    for (int i = 0; i < 600; i++)
        all[i].node = i / 10; /* 60 hosts of ten, 400 of one */
    for (int i = 600; i < 1000; i++)
        all[i].node = i - 540;
    binding_places(all, 1000, &written.places, first);
    ck_assert_int_eq(written.places.n_hosts, 460);
    ck_assert_int_eq(written.places.n_hosts_listed, REPORT_MAX_HOSTS);
    ck_assert_int_eq(written.places.n_ranks_listed, REPORT_MAX_RANKS);
    ck_assert_int_eq(written.places.hosts[59].n_ranks, 10);
    ck_assert_int_eq(first[63], 603);
    const char *cpus = written.places.ranks[0].cpus;
    ck_assert_str_eq(cpus + strlen(cpus) - 4, ",...");
    for (int i = 0; i < REPORT_MAX_HOSTS; i++)
        memset(written.places.hosts[i].name, '\"', REPORT_NAME_SIZE - 1);
    written.job_id = written.attempt = 1;
    ck_assert_int_eq(report_write(path, &written, &err), 0);
    ck_assert_msg(report_read(path, &found, &err) == 0, "%s", err.text);
    ck_assert_mem_eq(&found.places, &written.places, sizeof found.places);
    free(all);
    close(fd);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("binding");
    TCase *tc = tcase_create("binding");
    tcase_add_test(tc, cores_of_its_own_are_threads);
    tcase_add_test(tc, common_cores_are_shared_out);
    tcase_add_test(tc, unknown_cores_leave_the_job_its_wish);
    tcase_add_test(tc, the_kernel_is_asked);
    tcase_add_test(tc, places_by_host);
    tcase_add_test(tc, many_ranks_are_bounded);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
