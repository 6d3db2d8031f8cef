/* audit NAME [--runs N] [--caught-by PROPERTY]: runs one audit. Succeeds if all that it
 * judges holds; with --caught-by, for a broken engine, if that property does not. */
#include "tests/audit/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "jobs/privacy/meter.h"

enum { MAX_PROPERTIES = 16, MAX_TOLD = 4 };

static struct property {
    const char *name;
    int64_t n_judged, n_failed;
} properties[MAX_PROPERTIES];

static struct crypto_stream *stream;

void audit_judge(bool holds, const char *property, const char *format, ...)
{
    struct property *at = properties;
    while (at->name != NULL && strcmp(at->name, property) != 0) {
        at++;
    }
    at->name = property;
    at->n_judged++;
    if (holds) {
        return;
    }
    if (at->n_failed++ < MAX_TOLD) {
        va_list args;
        printf("  not so: %s: ", property);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf("\n");
    }
}

void audit_stop(const char *format, ...)
{
    va_list args;
    printf("the audit cannot go on: ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    exit(2);
}

/* Printed, so that a run can be had again. */
static void seed(void)
{
    unsigned char digest[CRYPTO_SHA256_SIZE];
    char hex[CRYPTO_HEX_SIZE];
    const char *text = getenv("PPT_AUDIT_SEED");
    if (text == NULL) {
        crypto_random(digest, sizeof digest);
        crypto_hex(digest, hex);
        hex[16] = '\0';
        text = hex;
    }
    printf("PPT_AUDIT_SEED=%s\n", text);
    crypto_sha256(text, strlen(text), digest);
    stream = crypto_stream_new(digest);
    crypto_stream_seek(stream, 0, 0);
}

void audit_random(void *ret, size_t len)
{
    crypto_stream_read(stream, ret, len);
}

struct meter *audit_meter(const struct plan *plan, int64_t n_runs)
{
    struct price price = plan->price;
    struct meter *meter;
    struct error err = {0};
    char meter_path[64];
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    price.releases[PRICE_TRAINING_STEP].count *= n_runs;
    snprintf(meter_path, sizeof meter_path, "%s/audit.XXXXXX", folder);
    int fd = mkstemp(meter_path);
    if (fd < 0 || close(fd) != 0 || meter_open(meter_path, 1, &price, &meter, &err)) {
        audit_stop("no meter in %s: %s", folder, err.text);
    }
    unlink(meter_path); /* the open file is enough, and nothing is left behind */
    return meter;
}

void audit_meter_close(struct meter *meter)
{
    meter_close(meter);
}

void audit_run(struct world *world)
{
    world_run(world);
    for (int r = 0; r < world->size; r++) {
        if (world->rc[r] != 0) {
            audit_stop("rank %d: %s", r, world->err[r].text);
        }
    }
}

void audit_run_fresh(struct world *world)
{
    audit_random(world->noise_key, sizeof world->noise_key);
    audit_random(world->sampling_key, sizeof world->sampling_key);
    audit_run(world);
}

static void run_audit(const char *name, int64_t n_runs)
{
    if (strcmp(name, "step") == 0) {
        audit_step();
    } else if (strcmp(name, "noise") == 0) {
        audit_noise();
    } else if (strcmp(name, "noise-short") == 0) {
        audit_noise_short();
    } else if (strcmp(name, "toy") == 0) {
        audit_toy(n_runs);
    } else if (strcmp(name, "chunks") == 0) {
        audit_chunks(n_runs);
    } else {
        audit_stop("there is no audit \"%s\"", name);
    }
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "", *caught_by = NULL;
    int64_t n_runs = 26000;
    bool is_caught = false, holds = true;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--runs") == 0) {
            n_runs = atoll(argv[i + 1]);
        } else if (strcmp(argv[i], "--caught-by") == 0) {
            caught_by = argv[i + 1];
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    seed();
    run_audit(name, n_runs);
    for (struct property *at = properties; at->name != NULL; at++) {
        printf("%s: %lld judged, %lld failed\n", at->name, (long long)at->n_judged,
               (long long)at->n_failed);
        holds = holds && at->n_failed == 0;
        is_caught = is_caught || (caught_by != NULL && at->n_failed > 0 &&
                                  strcmp(at->name, caught_by) == 0);
    }
    crypto_stream_free(stream);
    if (caught_by != NULL) {
        printf("the broken engine is %s by \"%s\"\n",
               is_caught ? "caught" : "NOT caught", caught_by);
        return is_caught ? 0 : 1;
    }
    return holds ? 0 : 1;
}
