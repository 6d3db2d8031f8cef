#include "jobs/fl/device.h"

#include <math.h>
#include <stdlib.h>

#include "jobs/fl/draw.h"
#include "jobs/fl/scaffold.h"

/* While nobody is there the clock is looked at so often in a period. */
enum { LOOKS = 256 };

struct finish {
    double time_s;
    int64_t client;
};

static int by_time(const void *a, const void *b)
{
    const struct finish *x = a, *y = b;
    return x->time_s != y->time_s ? (x->time_s > y->time_s) - (x->time_s < y->time_s)
                                  : (x->client > y->client) - (x->client < y->client);
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void draw_traits(struct device *device)
{
    const struct spec_devices *terms = device->terms;
    unsigned char key[CRYPTO_KEY_SIZE];
    draw_key_public(device->spec->training.seed, "devices", key);
    struct crypto_stream *stream = crypto_stream_new(key);
    for (int64_t c = 0; c < device->partition->n_clients; c++) {
        crypto_stream_seek(stream, partition_id(device->partition, c), 0);
        device->examples_per_s[c] =
            terms->examples_per_s * exp(terms->spread * draw_normal(stream));
        device->bytes_per_s[c] =
            terms->bytes_per_s * exp(terms->spread * draw_normal(stream));
        device->phase[c] = draw_uniform(stream);
    }
    crypto_stream_free(stream);
}

static int read_trace(struct device *device, struct io *io, struct error *err)
{
    const struct spec_devices *terms = device->terms;
    char *text = NULL;
    size_t len = 0;
    if (io->trace == NULL) {
        return error_set(err, PPT_ESTATE,
                         "federation.devices.trace: nothing can read "
                         "it here");
    }
    int rc = io->trace(io, &text, &len, err);
    if (rc == 0) {
        rc = trace_parse(text, len, terms->trace.file, device->partition,
                         (double)terms->period_s, &device->trace, err);
    }
    free(text);
    return rc;
}

int device_open(struct device *device, const struct spec *spec,
                const struct partition *partition, int64_t n_params, struct io *io,
                struct error *err)
{
    size_t n = (size_t)partition->n_clients + 1;
    *device =
        (struct device){.spec = spec, .partition = partition, .n_params = n_params};
    if (!spec->federation.devices.is_on) {
        return 0;
    }
    device->terms = &spec->federation.devices;
    device->examples_per_s = malloc(n * sizeof *device->examples_per_s);
    device->bytes_per_s = malloc(n * sizeof *device->bytes_per_s);
    device->phase = malloc(n * sizeof *device->phase);
    device->is_there = malloc(n * sizeof *device->is_there);
    device->finishes = malloc(n * sizeof *device->finishes);
    if (device->examples_per_s == NULL || device->bytes_per_s == NULL ||
        device->phase == NULL || device->is_there == NULL || device->finishes == NULL) {
        device_close(device);
        return error_set(err, PPT_ENOMEM, "no memory for the clients' devices");
    }
    if (device->terms->trace.file[0] == '\0') {
        draw_traits(device);
        return 0;
    }
    int rc = read_trace(device, io, err);
    if (rc != 0) {
        device_close(device);
    }
    return rc;
}

void device_close(struct device *device)
{
    trace_close(&device->trace);
    free(device->examples_per_s);
    free(device->bytes_per_s);
    free(device->phase);
    free(device->is_there);
    free(device->finishes);
    *device = (struct device){0};
}

int64_t device_asked(const struct spec_federation *federation, int64_t n_clients)
{
    double over = federation->devices.is_on ? federation->devices.over_commit : 1.0;
    int64_t n = (int64_t)ceil(over * (double)federation->cohort - 1e-9);
    return n < n_clients ? n : n_clients;
}

double device_time_s(const struct device *device, int64_t client)
{
    const struct spec_training *training = &device->spec->training;
    int64_t n = partition_size(device->partition, client);
    double bytes = 2.0 * sizeof(float) * (double)device->n_params *
                   scaffold_n_vectors(&device->spec->federation);
    double most = (double)training->steps * (double)training->batch_size;
    double examples = training->steps > 0 ? most : (double)(n * training->epochs);
    return (n > 0 ? examples / device->examples_per_s[client] : 0.0) +
           bytes / device->bytes_per_s[client];
}

static double second_of(const struct device *device)
{
    return fmod(device->clock_s, (double)device->terms->period_s);
}

/* Who is there now by the trace, and how fast; how many. */
static int64_t look_up(struct device *device)
{
    double second = second_of(device);
    int64_t n = 0;
    for (int64_t c = 0; c < device->partition->n_clients; c++) {
        const struct trace_interval *now = trace_find(&device->trace, c, second);
        device->is_there[c] = now != NULL;
        device->examples_per_s[c] = now != NULL ? now->examples_per_s : 1.0;
        device->bytes_per_s[c] = now != NULL ? now->bytes_per_s : 1.0;
        n += now != NULL;
    }
    return n;
}

/* Who is there now; how many. */
static int64_t look_around(struct device *device)
{
    if (device->trace.n > 0) {
        return look_up(device);
    }
    double day = device->clock_s / (double)device->terms->period_s;
    int64_t n = 0;
    for (int64_t c = 0; c < device->partition->n_clients; c++) {
        double hour = day + device->phase[c];
        device->is_there[c] = hour - floor(hour) < device->terms->availability;
        n += device->is_there[c];
    }
    return n;
}

/* Until somebody may be there. */
static void wait(struct device *device)
{
    double period_s = (double)device->terms->period_s;
    device->clock_s += device->trace.n > 0
                           ? trace_wait_s(&device->trace, second_of(device), period_s)
                           : period_s / LOOKS;
}

static void play_round(struct device *device, struct cohort *cohort, int64_t round)
{
    int64_t wanted = device->spec->federation.cohort, n;
    for (int i = 0; look_around(device) == 0 && i < LOOKS; i++) {
        wait(device);
    }
    cohort_draw(cohort, round, device->is_there);
    for (int64_t i = 0; i < cohort->n; i++) {
        int64_t client = cohort->members[i];
        device->finishes[i] = (struct finish){device_time_s(device, client), client};
    }
    qsort(device->finishes, (size_t)cohort->n, sizeof *device->finishes, by_time);
    n = cohort->n < wanted ? cohort->n : wanted;
    for (int64_t i = 0; i < n; i++) {
        cohort->members[i] = device->finishes[i].client;
    }
    qsort(cohort->members, (size_t)n, sizeof *cohort->members, by_number);
    device->clock_s += n > 0 ? device->finishes[n - 1].time_s : 0.0;
    device->n_late = cohort->n - n;
    device->n_rounds = round + 1;
    cohort->n = n;
}

void device_draw(struct device *device, struct cohort *cohort, int64_t round)
{
    while (device->n_rounds < round) {
        play_round(device, cohort, device->n_rounds);
    }
    play_round(device, cohort, round);
}
