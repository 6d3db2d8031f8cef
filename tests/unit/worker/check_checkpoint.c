/* Checkpoints: what comes back, what is refused, and a writer that is killed. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "tests/unit/worker/scratch.h"
#include "worker/checkpoint.h"

#define MIB ((size_t)1 << 20)
#define HEAD 128 /* bytes of a file's head, as checkpoint.h says */
#define TAG 16
#ifdef SYS_rename
#define CALL_RENAME SYS_rename
#else
#define CALL_RENAME SYS_renameat
#endif

static struct error err;
static const char spec_a[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char spec_b[] =
    "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static char path[512], key_path[512];
static struct checkpoint_job job;
static int n_damaged;

static void setup(void)
{
    scratch_setup();
    snprintf(path, sizeof path, "%s", scratch_path("checkpoint"));
    snprintf(key_path, sizeof key_path, "%s", scratch_path("checkpoint.key"));
    job = (struct checkpoint_job){7, spec_a, spec_b, key_path, 1, NULL};
}

/* Bytes that differ by position and seed. */
static unsigned char *state_of(size_t len, unsigned seed)
{
    unsigned char *state = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        state[i] = (unsigned char)((i * 2654435761u + seed * 97u) >> 11);
    return state;
}

static int save(const void *data, size_t len, size_t piece)
{
    struct checkpoint_writer *writer = NULL;
    int rc = checkpoint_create(path, &job, len, &writer, &err);
    if (rc != 0)
        return rc;
    for (size_t at = 0; rc == 0 && at < len; at += piece)
        rc = checkpoint_put(writer, (const char *)data + at,
                            len - at < piece ? len - at : piece, &err);
    if (rc == 0)
        return checkpoint_commit(writer, &err);
    checkpoint_abandon(writer);
    return rc;
}

/* The state or NULL, as checkpoint_open and checkpoint_get have it. */
static int load(unsigned char **ret_data, uint64_t *ret_len, size_t piece)
{
    struct checkpoint_reader *reader = NULL;
    uint64_t len = 0;
    unsigned char *data = NULL;
    *ret_data = NULL;
    *ret_len = 0;
    int rc = checkpoint_open(path, &job, &reader, &len, &n_damaged, &err);
    if (rc != 0 || reader == NULL)
        return rc;
    data = malloc(len + 1);
    for (uint64_t at = 0; rc == 0 && at < len; at += piece)
        rc = checkpoint_get(reader, data + at, len - at < piece ? len - at : piece,
                            &err);
    checkpoint_close(reader);
    if (rc != 0) {
        free(data);
        return rc;
    }
    *ret_data = data;
    *ret_len = len;
    return 0;
}

static bool loads(const void *data, size_t len)
{
    unsigned char *got;
    uint64_t got_len;
    int rc = load(&got, &got_len, MIB);
    bool same = rc == 0 && got != NULL && got_len == len && memcmp(got, data, len) == 0;
    free(got);
    return same;
}

static void refused(const char *words)
{
    unsigned char *got;
    uint64_t len;
    ck_assert_int_eq(load(&got, &len, MIB), -PPT_ETRUST);
    if (words != NULL)
        scratch_expect(&err, words);
}

static char *slurp(const char *name, size_t *ret_len)
{
    int64_t size = scratch_size(name);
    char *text = malloc((size_t)size + 1);
    FILE *file = fopen(name, "r");
    ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    *ret_len = (size_t)size;
    return text;
}

static void spill(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(name, "w");
    fwrite(data, 1, len, file);
    fclose(file);
}

START_TEST(states_of_any_size_come_back)
{
    const size_t sizes[] = {0,   1,       4096,    MIB - 1,
                            MIB, MIB + 1, 2 * MIB, 3 * MIB + 12345};
    const size_t pieces[] = {4099, MIB, 5 * MIB};
    unsigned char *got;
    uint64_t len;
    ck_assert_int_eq(load(&got, &len, MIB), 0);
    ck_assert_ptr_null(got);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (int p = 0; p < 3; p++) {
            unsigned char *state = state_of(sizes[s], (unsigned)s);
            ck_assert_int_eq(save(state, sizes[s], pieces[p]), 0);
            ck_assert_int_eq(load(&got, &len, pieces[2 - p]), 0);
            ck_assert_uint_eq(len, sizes[s]);
            ck_assert(got != NULL && memcmp(got, state, len) == 0);
            free(got);
            free(state);
        }
    }
    ck_assert_int_eq(scratch_size(scratch_path("checkpoint.tmp")), -1);
}
END_TEST

START_TEST(lengths_are_kept_to)
{
    struct checkpoint_writer *writer;
    struct checkpoint_reader *reader;
    uint64_t len;
    char more[8];
    ck_assert_int_eq(save("first", 5, 5), 0);
    ck_assert_int_eq(checkpoint_create(path, &job, 4, &writer, &err), 0);
    ck_assert_int_eq(checkpoint_put(writer, "12345", 5, &err), -PPT_EINTERNAL);
    ck_assert_int_eq(checkpoint_put(writer, "123", 3, &err), 0);
    ck_assert_int_eq(checkpoint_commit(writer, &err), -PPT_EINTERNAL);
    ck_assert_int_eq(checkpoint_open(path, &job, &reader, &len, &n_damaged, &err), 0);
    ck_assert_int_eq(checkpoint_get(reader, more, 6, &err), -PPT_ETRUST);
    checkpoint_close(reader);
    ck_assert(loads("first", 5));
    ck_assert_int_eq(checkpoint_create("/nowhere/c", &job, 1, &writer, &err), -PPT_EIO);
    ck_assert_int_eq(checkpoint_create(path, &job, UINT64_MAX, &writer, &err),
                     -PPT_EIO);
}
END_TEST

START_TEST(what_lies_there_is_sealed)
{
    static const char state[] = "the state that nobody else may read";
    size_t len, other_len, key_len;
    struct stat st;
    ck_assert_int_eq(save(state, sizeof state, 7), 0);
    char *first = slurp(path, &len), *key = slurp(key_path, &key_len);
    ck_assert_uint_eq(key_len, CRYPTO_KEY_SIZE);
    ck_assert_ptr_null(memmem(first, len, "nobody", 6));
    ck_assert_ptr_null(memmem(first, len, key, 8));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(stat(key_path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    /* The same state under the same key: another salt, so not one byte of key stream
     * in common. */
    ck_assert_int_eq(save(state, sizeof state, 7), 0);
    char *other = slurp(path, &other_len);
    ck_assert_uint_eq(len, other_len);
    ck_assert(memcmp(first + HEAD, other + HEAD, sizeof state) != 0);
    ck_assert(memcmp(first + 64, other + 64, 32) != 0);
    /* An older one of the same job is resumed; its chunks under a newer head are not.
     */
    spill(path, first, len);
    ck_assert(loads(state, sizeof state));
    memcpy(first, other, HEAD);
    spill(path, first, len);
    refused("damaged checkpoint");
    free(first);
    free(other);
    free(key);
}
END_TEST

START_TEST(another_job_is_told_apart)
{
    ck_assert_int_eq(save("state", 5, 5), 0);
    job.id = 8;
    refused("checkpoint of job 7, expected 8");
    job = (struct checkpoint_job){7, spec_b, spec_b, key_path, 1, NULL};
    refused("checkpoint of another spec or data set");
    job = (struct checkpoint_job){7, spec_a, spec_a, key_path, 1, NULL};
    refused("checkpoint of another spec or data set");
    job = (struct checkpoint_job){7, spec_a, spec_b, key_path, 1, NULL};
    ck_assert(loads("state", 5));
}
END_TEST

START_TEST(a_key_that_was_handed_over_lies_nowhere)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    size_t len;
    crypto_random(key, sizeof key);
    job.key = key;
    job.key_path = NULL;
    ck_assert_int_eq(save("state", 5, 5), 0);
    ck_assert_int_eq(scratch_size(key_path), -1);
    char *file = slurp(path, &len);
    ck_assert_ptr_null(memmem(file, len, key, 8));
    free(file);
    ck_assert(loads("state", 5));
    key[0] ^= 1;
    refused("sealed by another key");
    key[0] ^= 1;
    job.key = NULL;
    job.key_path = key_path;
    refused("its key");
    ck_assert_int_eq(checkpoint_forget(path, NULL, &err), 0);
    ck_assert_int_eq(scratch_size(path), -1);
}
END_TEST

START_TEST(keys_are_what_they_should_be)
{
    size_t len;
    ck_assert_int_eq(save("state", 5, 5), 0);
    char *key = slurp(key_path, &len);
    scratch_flip(key_path, 31);
    refused("sealed by another key");
    scratch_flip(key_path, 31);
    scratch_truncate(key_path, 31);
    refused("is not a key of 32 bytes");
    ck_assert_int_eq(save("other", 5, 5), -PPT_ETRUST);
    spill(key_path, key, len);
    ck_assert_int_eq(chmod(key_path, 0640), 0);
    refused("too open for a key");
    ck_assert_int_eq(save("other", 5, 5), -PPT_ETRUST);
    ck_assert_int_eq(chmod(key_path, 0600), 0);
    ck_assert(loads("state", 5));
    ck_assert_int_eq(rename(key_path, scratch_path("elsewhere")), 0);
    refused("its key");
    scratch_expect(&err, "is not there");
    ck_assert_int_eq(symlink(scratch_path("elsewhere"), key_path), 0);
    refused("is a symbolic link");
    free(key);
}
END_TEST

START_TEST(every_flipped_byte_is_noticed)
{
    unsigned char *state = state_of(300, 1);
    ck_assert_int_eq(save(state, 300, 300), 0);
    int64_t size = scratch_size(path);
    ck_assert_int_eq(size, HEAD + 300 + TAG);
    for (int64_t at = 0; at < size; at++) {
        scratch_flip(path, at);
        refused(NULL);
        scratch_flip(path, at);
    }
    ck_assert(loads(state, 300));
    for (int64_t at = size - 1; at >= 0; at--) {
        scratch_truncate(path, at);
        refused(NULL);
    }
    free(state);
}
END_TEST

/* Damage in a later chunk is found when it is reached; chunks do not change places. */
START_TEST(chunks_are_bound_to_their_places)
{
    const size_t chunk = MIB + TAG;
    const int64_t places[] = {HEAD + 5, HEAD + MIB + 3, HEAD + MIB + TAG + 9,
                              HEAD + 3 * MIB + 2 * TAG + 50, -1};
    unsigned char *state = state_of(3 * MIB + 99, 2);
    size_t len;
    ck_assert_int_eq(save(state, 3 * MIB + 99, MIB), 0);
    char *whole = slurp(path, &len);
    for (int i = 0; i < 5; i++) {
        int64_t at = places[i] < 0 ? (int64_t)len - 1 : places[i];
        scratch_flip(path, at);
        refused("damaged checkpoint");
        scratch_flip(path, at);
    }
    char *swapped = malloc(len);
    memcpy(swapped, whole, len);
    memcpy(swapped + HEAD, whole + HEAD + chunk, chunk);
    memcpy(swapped + HEAD + chunk, whole + HEAD, chunk);
    spill(path, swapped, len);
    refused("damaged checkpoint");
    spill(path, whole, len - chunk);
    refused("damaged checkpoint: not as long as it says");
    spill(path, whole, len);
    FILE *file = fopen(path, "a");
    fputc('x', file);
    fclose(file);
    refused("damaged checkpoint: not as long as it says");
    spill(path, whole, len);
    ck_assert(loads(state, 3 * MIB + 99));
    free(swapped);
    free(whole);
    free(state);
}
END_TEST

/* A disk that is full, as far as this process can see: the old one stays. */
START_TEST(a_full_disk_leaves_the_old_one)
{
    unsigned char *state = state_of(3 * MIB, 3);
    ck_assert_int_eq(save("old", 3, 3), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit was, limit;
    getrlimit(RLIMIT_FSIZE, &was);
    limit = was;
    for (size_t n = 0; n < 3 * MIB; n += MIB / 2 + 11) {
        limit.rlim_cur = n;
        setrlimit(RLIMIT_FSIZE, &limit);
        ck_assert_int_eq(save(state, 3 * MIB, MIB), -PPT_EIO);
    }
    setrlimit(RLIMIT_FSIZE, &was);
    ck_assert_int_eq(scratch_size(scratch_path("checkpoint.tmp")), -1);
    ck_assert(loads("old", 3));
    free(state);
}
END_TEST

/* ---- those before the newest ---- */

static bool is_there(const char *name)
{
    return scratch_size(scratch_path(name)) >= 0;
}

static void save_four(void)
{
    job.n_kept = 3;
    for (char c = '1'; c <= '4'; c++)
        ck_assert_int_eq(save(&c, 1, 1), 0);
    ck_assert(is_there("checkpoint.1") && is_there("checkpoint.2"));
    ck_assert(!is_there("checkpoint.3"));
}

/* Damage in any byte, or a file that was cut short anywhere: as if it had not been
 * written. What was damaged is not kept in the place of what is whole. */
START_TEST(the_one_before_is_used)
{
    const int64_t size = HEAD + 1 + TAG;
    for (int64_t at = 0; at < size; at += 9) {
        save_four();
        ck_assert(loads("4", 1));
        ck_assert_int_eq(n_damaged, 0);
        if (_i == 0)
            scratch_flip(path, at);
        else
            scratch_truncate(path, at);
        ck_assert(loads("3", 1));
        ck_assert_int_eq(n_damaged, 1);
        ck_assert(loads("3", 1));
        ck_assert_int_eq(n_damaged, 0);
        ck_assert_int_eq(save("5", 1, 1), 0);
        scratch_flip(path, at);
        ck_assert(loads("3", 1));
        scratch_truncate(path, 0);
        ck_assert(loads("2", 1));
        ck_assert(!is_there("checkpoint.1"));
        scratch_flip(path, HEAD);
        refused("damaged checkpoint");
        ck_assert(is_there("checkpoint"));
    }
    ck_assert_int_eq(save("6", 1, 1), 0);
    ck_assert_int_eq(checkpoint_forget(path, key_path, &err), 0);
    ck_assert(!is_there("checkpoint") && !is_there("checkpoint.1"));
    ck_assert(!is_there("checkpoint.2") && !is_there("checkpoint.key"));
}
END_TEST

/* Damage behind the first chunk is found before a byte of it is used. */
START_TEST(the_last_chunk_counts_too)
{
    const size_t len = 2 * MIB + 5;
    unsigned char *state = state_of(len, 9);
    job.n_kept = 2;
    ck_assert_int_eq(save("old", 3, 3), 0);
    ck_assert_int_eq(save(state, len, MIB), 0);
    scratch_flip(path, scratch_size(path) - 1);
    ck_assert(loads("old", 3));
    ck_assert_int_eq(n_damaged, 1);
    free(state);
}
END_TEST

START_TEST(older_ones_do_not_hide_a_missing_key)
{
    save_four();
    ck_assert_int_eq(rename(key_path, scratch_path("elsewhere")), 0);
    refused("is not there");
    job.id = 8;
    refused("checkpoint of job 7, expected 8");
    job.id = 7;
    ck_assert_int_eq(rename(scratch_path("elsewhere"), key_path), 0);
    ck_assert(loads("4", 1));
    ck_assert(is_there("checkpoint.1") && is_there("checkpoint.2"));
    /* All in one file's place: none is there until the first is made again. */
    unlink(path);
    ck_assert(loads("3", 1));
    ck_assert_int_eq(n_damaged, 0);
}
END_TEST

/* ---- kill -9 ---- */

/* Runs a save in a process that is killed as it enters its n-th system call from the
 * start of the save on; false if it ended before. *ret_names gets the calls seen. */
static bool killed_at(int n, const void *data, size_t len, long *ret_calls,
                      int *ret_n_calls)
{
    int status;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        raise(SIGSTOP);
        _exit(save(data, len, 70000) == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return false;
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(long)PTRACE_O_TRACESYSGOOD);
    *ret_n_calls = 0;
    for (;;) {
        struct __ptrace_syscall_info call;
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            ck_assert_int_eq(WEXITSTATUS(status), 0);
            return false;
        }
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
            continue;
        ck_assert_int_gt(
            ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof call, &call), 0);
        if (call.op != PTRACE_SYSCALL_INFO_ENTRY)
            continue;
        if (*ret_n_calls < 256)
            ret_calls[*ret_n_calls] = (long)call.entry.nr;
        if (++*ret_n_calls == n) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return true;
        }
    }
}

static int n_calls_of(const long *calls, int n, long call)
{
    int found = 0;
    for (int i = 0; i < n; i++)
        found += calls[i] == call;
    return found;
}

/* Whatever the moment, the old one or the new one is there, whole: the old one until
 * the file has its name, the new one from then on; and the next save goes well. */
START_TEST(killed_at_any_call_a_whole_one_is_there)
{
    const size_t len = 2 * MIB + 777;
    unsigned char *old = state_of(len, 4), *new = state_of(len, 5);
    long calls[256];
    int n_calls = 0, n = 1, n_old = 0, n_new = 0;
    job.n_kept = _i == 0 ? 1 : 3;
    ck_assert_int_eq(save(old, len, MIB), 0);
    ck_assert_int_eq(save(old, len, MIB), 0);
    for (; killed_at(n, new, len, calls, &n_calls); n++) {
        bool is_old = loads(old, len), is_new = loads(new, len);
        ck_assert_msg(is_old != is_new, "torn after %d calls", n);
        ck_assert_int_eq(n_damaged, 0);
        /* The last call was not made any more. The others rename older ones. */
        ck_assert_msg(_i > 0 ||
                          is_new == (n_calls_of(calls, n_calls - 1, CALL_RENAME) > 0),
                      "wrong one after %d calls", n);
        ck_assert_msg(is_old || n_calls_of(calls, n_calls, SYS_fsync) > 0,
                      "named before it was synced");
        n_old += is_old;
        n_new += is_new;
        if (_i > 0) {
            scratch_flip(path, HEAD + 5);
            ck_assert_msg(loads(old, len), "none before it after %d calls", n);
            ck_assert_int_eq(save(old, len, MIB), 0);
            continue;
        }
        if (is_new)
            ck_assert_int_eq(save(old, len, MIB), 0);
    }
    if (n_calls == 0) {
        fprintf(stderr, "skipped: no right to trace\n");
    } else {
        /* Begin, head, three chunks, sync, name; then the directory's sync. */
        ck_assert_int_ge(n_old, 8);
        ck_assert_int_ge(n_new, 2);
        ck_assert_int_ge(n_calls_of(calls, n_calls, SYS_fsync), 2);
        ck_assert(loads(new, len));
    }
    free(old);
    free(new);
}
END_TEST

/* The same for the first checkpoint, which makes the key: none, or a whole one. */
START_TEST(killed_while_the_key_is_made)
{
    long calls[256];
    int n_calls = 0;
    for (int n = 1; killed_at(n, "first", 5, calls, &n_calls); n++) {
        unsigned char *got;
        uint64_t len;
        ck_assert_int_eq(load(&got, &len, MIB), 0);
        ck_assert(got == NULL || memcmp(got, "first", 5) == 0);
        free(got);
        ck_assert_int_eq(save("again", 5, 5), 0);
        ck_assert(loads("again", 5));
        ck_assert_int_eq(checkpoint_forget(path, key_path, &err), 0);
    }
}
END_TEST

START_TEST(a_job_that_is_done_leaves_nothing)
{
    ck_assert_int_eq(checkpoint_forget(path, key_path, &err), 0);
    ck_assert_int_eq(save("state", 5, 5), 0);
    ck_assert_int_eq(link(key_path, scratch_path("kept")), 0);
    ck_assert_int_eq(checkpoint_forget(path, key_path, &err), 0);
    ck_assert_int_eq(scratch_size(path), -1);
    ck_assert_int_eq(scratch_size(key_path), -1);
    static const char zeros[CRYPTO_KEY_SIZE];
    size_t len;
    char *kept = slurp(scratch_path("kept"), &len);
    ck_assert_uint_eq(len, sizeof zeros);
    ck_assert_mem_eq(kept, zeros, sizeof zeros);
    free(kept);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tc = tcase_create("checkpoint");
    tcase_add_checked_fixture(tc, setup, scratch_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, states_of_any_size_come_back);
    tcase_add_test(tc, lengths_are_kept_to);
    tcase_add_test(tc, what_lies_there_is_sealed);
    tcase_add_test(tc, another_job_is_told_apart);
    tcase_add_test(tc, a_key_that_was_handed_over_lies_nowhere);
    tcase_add_test(tc, keys_are_what_they_should_be);
    tcase_add_test(tc, every_flipped_byte_is_noticed);
    tcase_add_test(tc, chunks_are_bound_to_their_places);
    tcase_add_test(tc, a_full_disk_leaves_the_old_one);
    tcase_add_loop_test(tc, killed_at_any_call_a_whole_one_is_there, 0, 2);
    tcase_add_loop_test(tc, the_one_before_is_used, 0, 2);
    tcase_add_test(tc, the_last_chunk_counts_too);
    tcase_add_test(tc, older_ones_do_not_hide_a_missing_key);
    tcase_add_test(tc, killed_while_the_key_is_made);
    tcase_add_test(tc, a_job_that_is_done_leaves_nothing);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
