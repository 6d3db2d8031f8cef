/* configs/site.yaml says what the defaults are; faults have their words; the search
 * order holds.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scheduler/conf.h"

static struct error err;
static struct conf conf;

START_TEST(shipped_file_is_the_defaults)
{
    char path[1024];
    struct conf preset = conf_default();
    snprintf(path, sizeof path, "%s/configs/site.yaml", getenv("PPT_SOURCE_DIR"));
    ck_assert_msg(conf_read(path, &conf, &err) == 0, "%s\n%s", err.text, err.detail);
    ck_assert_str_eq(conf.path, path);
    ck_assert_str_eq(conf.database, "host=/run/postgresql dbname=ppt");
    ck_assert_str_eq(conf.spool, preset.spool);
    ck_assert_str_eq(conf.secret_key, preset.secret_key);
    ck_assert_str_eq(conf.public_key, preset.public_key);
    ck_assert_int_eq(conf.n_cores, 0);
    ck_assert_int_eq(conf.memory_bytes, 0);
    ck_assert_str_eq(conf.mpirun, preset.mpirun);
    ck_assert_str_eq(conf.worker, preset.worker);
    ck_assert_int_eq(conf.launcher, CONF_MPIRUN);
    ck_assert_str_eq(conf.template, "");
    ck_assert_str_eq(conf.scratch, "");
    ck_assert_int_eq(conf.n_arguments, 0);
    ck_assert_mem_eq(&conf.pool, &preset.pool, sizeof conf.pool);
    ck_assert_mem_eq(&conf.pilots, &preset.pilots, sizeof conf.pilots);
    ck_assert_int_eq(conf.max_restarts, preset.max_restarts);
    ck_assert_int_eq(conf.poll_ms, preset.poll_ms);
    ck_assert_int_eq(conf.lease_s, preset.lease_s);
    ck_assert_int_eq(conf.grace_s, preset.grace_s);
    ck_assert_int_eq(conf.patience_s, preset.patience_s);
    ck_assert_str_eq(conf.checkpoint_keys, "");
    ck_assert(!preset.hands_keys_over && !conf.hands_keys_over);
    ck_assert(!preset.needs_encrypted_disk && !conf.needs_encrypted_disk);
    ck_assert(!preset.needs_confidential_gpu && !conf.needs_confidential_gpu);
    ck_assert(conf.policy.min_epsilon == preset.policy.min_epsilon);
    ck_assert(conf.policy.max_epsilon == preset.policy.max_epsilon);
    ck_assert(conf.policy.max_delta == preset.policy.max_delta);
    ck_assert_int_eq(conf.policy.max_ranks, preset.policy.max_ranks);
    ck_assert_int_eq(conf.policy.max_cores_per_rank, preset.policy.max_cores_per_rank);
    ck_assert_int_eq(conf.policy.max_time_limit_s, preset.policy.max_time_limit_s);
    ck_assert_int_eq(conf.policy.max_memory_bytes, preset.policy.max_memory_bytes);
}
END_TEST

START_TEST(every_knob_turns)
{
    static const char text[] =
        "database: postgresql://ppt@db.example/ppt\n"
        "spool: /srv/jobs\n"
        "keys: {secret: /k/s, public: /k/p, checkpoints: /k/c}\n"
        "node: {cores: 12, memory: 20GiB}\n"
        "launcher: {kind: sbatch, mpirun: /opt/bin/mpirun, worker: w,\n"
        "  template: /etc/ppt/job.in, scratch: /run/ppt,\n"
        "  arguments: [--bind-to, core]}\n"
        "pool: {ranks: 12, spare: 3, spare_ranks: 4, jobs: 7, idle: 90s,\n"
        "  ahead_ms: 20, max_memory: 1GiB, max_time_limit: 5m, except: [acme/clinic, "
        "other]}\n"
        "pilots: {nodes: 2, cores: 3, memory: 1GiB, time: 30m, most: 5, idle: 40s,\n"
        "  template: /etc/ppt/pilot.in}\n"
        "hooks: {end: /etc/ppt/job-end, time_limit: 5s}\n"
        "scheduling: {max_restarts: 0, poll_ms: 50, lease: 5s, grace: 2m, patience: "
        "1d}\n"
        "require: {encrypted_disk: true, confidential_gpu: true}\n"
        "policy: {min_epsilon: 0.5, max_epsilon: 2, max_delta: 1e-7, max_ranks: 4,\n"
        "  max_cores_per_rank: 2, max_time_limit: 1h, max_memory: 3GiB}\n";
    ck_assert_msg(conf_parse(text, strlen(text), "f", &conf, &err) == 0, "%s",
                  err.detail);
    ck_assert_str_eq(conf.database, "postgresql://ppt@db.example/ppt");
    ck_assert_str_eq(conf.spool, "/srv/jobs");
    ck_assert_str_eq(conf.hooks.end, "/etc/ppt/job-end");
    ck_assert_int_eq(conf.hooks.time_limit_s, 5);
    ck_assert_str_eq(conf.secret_key, "/k/s");
    ck_assert_str_eq(conf.public_key, "/k/p");
    ck_assert_int_eq(conf.n_cores, 12);
    ck_assert_int_eq(conf.memory_bytes, (int64_t)20 << 30);
    ck_assert_str_eq(conf.mpirun, "/opt/bin/mpirun");
    ck_assert_str_eq(conf.worker, "w");
    ck_assert_int_eq(conf.launcher, CONF_SBATCH);
    ck_assert(!conf.policy.refuses_slurm);
    ck_assert_str_eq(conf.template, "/etc/ppt/job.in");
    ck_assert_str_eq(conf.scratch, "/run/ppt");
    ck_assert_int_eq(conf.n_arguments, 2);
    ck_assert_str_eq(conf.arguments[1], "core");
    ck_assert_int_eq(conf.pool.n_ranks, 12);
    ck_assert_int_eq(conf.pool.n_spare, 3);
    ck_assert_int_eq(conf.pool.spare_ranks, 4);
    ck_assert_int_eq(conf.pool.max_jobs, 7);
    ck_assert_int_eq(conf.pool.idle_s, 90);
    ck_assert_int_eq(conf.pool.ahead_ms, 20);
    ck_assert_int_eq(conf.pool.max_memory_bytes, (int64_t)1 << 30);
    ck_assert_int_eq(conf.pool.max_time_limit_s, 300);
    ck_assert_int_eq(conf.pool.n_except, 2);
    ck_assert_str_eq(conf.pool.except[0], "acme/clinic");
    ck_assert(conf_pool_excepts(&conf.pool, "acme/clinic"));
    ck_assert(conf_pool_excepts(&conf.pool, "acme/clinic/ward"));
    ck_assert(!conf_pool_excepts(&conf.pool, "acme/clinics"));
    ck_assert(!conf_pool_excepts(&conf.pool, "acme"));
    ck_assert_int_eq(conf.pilots.n_nodes, 2);
    ck_assert_int_eq(conf.pilots.n_cores, 3);
    ck_assert_int_eq(conf.pilots.memory_bytes, (int64_t)1 << 30);
    ck_assert_int_eq(conf.pilots.time_s, 1800);
    ck_assert_int_eq(conf.pilots.most, 5);
    ck_assert_int_eq(conf.pilots.idle_s, 40);
    ck_assert_str_eq(conf.pilots.template, "/etc/ppt/pilot.in");
    ck_assert_int_eq(conf.max_restarts, 0);
    ck_assert_int_eq(conf.poll_ms, 50);
    ck_assert_int_eq(conf.lease_s, 5);
    ck_assert_int_eq(conf.grace_s, 120);
    ck_assert_int_eq(conf.patience_s, 86400);
    ck_assert_str_eq(conf.checkpoint_keys, "/k/c");
    ck_assert(conf.needs_encrypted_disk && conf.needs_confidential_gpu);
    ck_assert(conf.policy.min_epsilon == 0.5 && conf.policy.max_epsilon == 2);
    ck_assert(conf.policy.max_delta == 1e-7);
    ck_assert_int_eq(conf.policy.max_ranks, 4);
    ck_assert_int_eq(conf.policy.max_cores_per_rank, 2);
    ck_assert_int_eq(conf.policy.max_time_limit_s, 3600);
    ck_assert_int_eq(conf.policy.max_memory_bytes, (int64_t)3 << 30);
}
END_TEST

START_TEST(hosts_of_mpirun)
{
    static const char text[] =
        "launcher: {agent: /opt/rsh, hosts: [{name: node-a, cores: 8, memory: 2GiB},\n"
        "  {name: 10.0.0.2, cores: 4, memory: 1GiB, gpus: 3}]}\nnode: {gpus: 7}\n";
    ck_assert_msg(conf_parse(text, strlen(text), "f", &conf, &err) == 0, "%s",
                  err.detail);
    ck_assert_int_eq(conf.n_hosts, 2);
    ck_assert_str_eq(conf.agent, "/opt/rsh");
    ck_assert_str_eq(conf.hosts[0].name, "node-a");
    ck_assert_int_eq(conf.hosts[0].room.n_cores, 8);
    ck_assert_str_eq(conf.hosts[1].name, "10.0.0.2");
    ck_assert_int_eq(conf.hosts[1].room.memory_bytes, (int64_t)1 << 30);
    ck_assert_int_eq(conf.hosts[0].room.n_gpus, 0);
    ck_assert_int_eq(conf.hosts[1].room.n_gpus, 3);
    ck_assert_int_eq(conf.n_gpus, 7);
}
END_TEST

START_TEST(keys_that_the_scheduler_keeps)
{
    static const char text[] =
        "keys: {checkpoints: /k/c, checkpoint_keeper: scheduler}\n"
        "launcher: {kind: pool, arguments: [--bind-to, core]}\n";
    static const char worker[] =
        "keys: {checkpoints: /k/c, checkpoint_keeper: worker}\n"
        "launcher: {kind: sbatch}\n";
    ck_assert_msg(conf_parse(text, strlen(text), "f", &conf, &err) == 0, "%s",
                  err.detail);
    ck_assert(conf.hands_keys_over);
    ck_assert_msg(conf_parse(worker, strlen(worker), "f", &conf, &err) == 0, "%s",
                  err.detail);
    ck_assert(!conf.hands_keys_over);
}
END_TEST

/* Only a file that names a launcher says whether Slurm is there. */
START_TEST(wishes_to_slurm)
{
    static const char own[] = "launcher: {kind: mpirun}\n", none[] = "spool: /srv\n";
    static const char pilots[] = "launcher: {kind: pool, within: sbatch}\n";
    ck_assert_int_eq(conf_parse(own, strlen(own), "f", &conf, &err), 0);
    ck_assert(conf.policy.refuses_slurm);
    ck_assert_int_eq(conf_parse(none, strlen(none), "f", &conf, &err), 0);
    ck_assert(!conf.policy.refuses_slurm);
    ck_assert_int_eq(conf_parse(pilots, strlen(pilots), "f", &conf, &err), 0);
    ck_assert(!conf.policy.refuses_slurm && conf_uses_slurm(&conf));
}
END_TEST

#define KEEPER "keys: {checkpoints: /k, checkpoint_keeper: scheduler}\n"
#define NOT_HERE                                                                       \
    "f:1:44: keys.checkpoint_keeper: expected worker, or ranks on this machine only: " \
    "launcher.kind mpirun or pool, no hosts, no arguments that may name some"

static const struct {
    const char *text, *detail;
} faults[] = {
    {KEEPER "launcher: {kind: sbatch}\n", NOT_HERE},
    {KEEPER "launcher: {kind: pool, within: sbatch}\n", NOT_HERE},
    {KEEPER "launcher: {hosts: [{name: a, cores: 1, memory: 1GiB}]}\n", NOT_HERE},
    {KEEPER "launcher: {arguments: [--hostfile, /h]}\n", NOT_HERE},
    {"keys: {checkpoint_keeper: scheduler}\n",
     "f:1:27: keys.checkpoint_keeper: expected keys.checkpoints too, the directory "
     "where "
     "the scheduler keeps them"},
    {"keys: {checkpoints: /k, checkpoint_keeper: slurm}\n",
     "f:1:44: keys.checkpoint_keeper: expected worker or scheduler, found \"slurm\""},
    {"", "f:1:1: expected a document, found nothing"},
    {"- a\n", "f:1:1: expected a mapping, found a list"},
    {"databse: x\n",
     "f:1:1: databse: expected a known key: did you mean \"database\"?"},
    {"database: host=h password=x\n",
     "f:1:11: database: expected no password here: this file is for everybody to read, "
     "~/.pgpass is not"},
    {"database: postgresql://u:secret@h/d\n",
     "f:1:11: database: expected no password here: this file is for everybody to read, "
     "~/.pgpass is not"},
    {"spool: jobs\n", "f:1:8: spool: expected an absolute path, found \"jobs\""},
    {"spool: \"/a\\nb\"\n", "f:1:8: spool: expected an absolute path in one line"},
    {"keys: [a]\nnode: {cores: 0, memory: some}\n",
     "f:1:7: keys: expected a mapping, found a list\n"
     "f:2:15: node.cores: expected an integer from 1 to 65536, found \"0\"\n"
     "f:2:26: node.memory: expected a size in KiB, MiB, GiB or TiB, or an integer of "
     "bytes, from 1MiB to 1024TiB, found \"some\""},
    {"launcher: {mpirun: ./mpirun, arguments: --oversubscribe}\n",
     "f:1:20: launcher.mpirun: expected a program's name or its absolute path, found "
     "\"./mpirun\"\n"
     "f:1:41: launcher.arguments: expected a list of at most 16 arguments"},
    {"launcher: {kind: slurm, template: job.in}\n",
     "f:1:18: launcher.kind: expected mpirun, sbatch or pool, found \"slurm\"\n"
     "f:1:35: launcher.template: expected an absolute path, found \"job.in\""},
    {"launcher: {kind: mpirun, within: sbatch}\n",
     "f:1:34: launcher.within: expected node, or sbatch with kind: pool"},
    {"pilots: {nodes: 65, time: 10}\n",
     "f:1:17: pilots.nodes: expected an integer from 1 to 64, found \"65\"\n"
     "f:1:27: pilots.time: expected a time such as 90s, 15m, 2h, 1d, HH:MM:SS or "
     "D-HH:MM:SS, from 1m to 365d, found \"10\""},
    {"launcher: {kind: pool, hosts: [{name: -oX, cores: 1, memory: 1GiB},\n"
     " {name: a b, cores: 1, memory: 1GiB}, {name: n, cores: 1, memory: 1GiB},\n"
     " {name: n, cores: 1, memory: 1GiB}]}\n",
     "f:1:31: launcher.hosts: expected hosts with kind: mpirun only\n"
     "f:1:39: launcher.hosts[0].name: expected a host's name, found \"-oX\"\n"
     "f:2:9: launcher.hosts[1].name: expected a host's name, found \"a b\"\n"
     "f:3:2: launcher.hosts[3]: the host \"n\" stands here twice"},
    {"launcher: {arguments: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}\n",
     "f:1:23: launcher.arguments: expected a list of at most 16 arguments"},
    {"pool: {ahead_ms: 10001}\n",
     "f:1:18: pool.ahead_ms: expected an integer from 0 to 10000, found \"10001\""},
    {"pool: {ranks: 0, jobs: 0, except: acme}\n",
     "f:1:15: pool.ranks: expected an integer from 1 to 4096, found \"0\"\n"
     "f:1:24: pool.jobs: expected an integer from 1 to 1000000, found \"0\"\n"
     "f:1:35: pool.except: expected a list of at most 16 accounts"},
    {"scheduling: {max_restarts: -1, poll_ms: 0, lease: 30}\n",
     "f:1:28: scheduling.max_restarts: expected an integer from 0 to 1000, found "
     "\"-1\"\n"
     "f:1:41: scheduling.poll_ms: expected an integer from 10 to 60000, found \"0\"\n"
     "f:1:51: scheduling.lease: expected a time such as 90s, 15m, 2h, 1d, HH:MM:SS or "
     "D-HH:MM:SS, from 3s to 1h, found \"30\""},
    {"policy: {min_epsilon: 5, max_epsilon: 2}\n",
     "f:1:23: policy.min_epsilon: expected at most max_epsilon, which is 2"},
    {"policy: {max_epsilon: 0.01}\n",
     "f:1:9: policy.min_epsilon: expected at most max_epsilon, which is 0.01"},
};

START_TEST(faults_have_their_words)
{
    conf = conf_default();
    ck_assert_int_eq(
        conf_parse(faults[_i].text, strlen(faults[_i].text), "f", &conf, &err),
        -PPT_ESPEC);
    ck_assert_str_eq(err.detail, faults[_i].detail);
    ck_assert_str_eq(conf.spool, "/var/lib/ppt/jobs");
}
END_TEST

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(search_order)
{
    char dir[] = "/tmp/check_conf.XXXXXX", a[64], b[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(a, sizeof a, "%s/a.yaml", dir);
    snprintf(b, sizeof b, "%s/b.yaml", dir);
    write_file(a, "spool: /a\n");
    write_file(b, "spool: /b\n");
    setenv("PPT_CONFIG", b, 1);
    ck_assert_int_eq(conf_read(a, &conf, &err), 0);
    ck_assert_str_eq(conf.spool, "/a");
    ck_assert_int_eq(conf_read(NULL, &conf, &err), 0);
    ck_assert_str_eq(conf.spool, "/b");
    unlink(b);
    ck_assert_int_eq(conf_read(NULL, &conf, &err), -PPT_ENOTFOUND);
    ck_assert_str_eq(conf.spool, "/b");
    unlink(a);
    ck_assert_int_eq(conf_read(a, &conf, &err), -PPT_ENOTFOUND);
    rmdir(dir);
    unsetenv("PPT_CONFIG");
    if (access(CONF_DEFAULT_PATH, F_OK) != 0) {
        ck_assert_int_eq(conf_read(NULL, &conf, &err), 0);
        ck_assert_str_eq(conf.spool, "/var/lib/ppt/jobs");
        ck_assert_str_eq(conf.path, "");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conf");
    TCase *tcase = tcase_create("conf");
    tcase_add_test(tcase, shipped_file_is_the_defaults);
    tcase_add_test(tcase, every_knob_turns);
    tcase_add_test(tcase, keys_that_the_scheduler_keeps);
    tcase_add_test(tcase, wishes_to_slurm);
    tcase_add_test(tcase, hosts_of_mpirun);
    tcase_add_loop_test(tcase, faults_have_their_words, 0,
                        sizeof faults / sizeof faults[0]);
    tcase_add_test(tcase, search_order);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
