/* What privacy costs on this device: private and plain steps of the same engine, model
 * and batch, taken in turns. Records "loaded" are copied out of the host's memory as a
 * job does; "resident" ones stay where they were read to, which leaves the transfer to
 * the device and the arithmetic. Exit 77 without a device. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/device.h"
#include "tests/twins/engine.h"

enum { N_RECORDS = 60000, N_PAIRS = 60 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, N_PAIRS, sizeof *values, by_size);
    return values[N_PAIRS / 2];
}

static void line(const char *name, const char *what, double value, const char *unit,
                 const char *peer, double peer_value, double ratio)
{
    printf("{\"bench\":\"engine-cuda\",\"case\":\"%s %s\",\"value\":%.4g,\"unit\":"
           "\"%s\",\"peer\":\"%s\",\"peer_value\":%.4g,\"ratio\":%.3f}\n",
           name, what, value, unit, peer, peer_value, ratio);
}

static void compare(enum spec_preset preset, const char *name, double target,
                    int64_t batch, struct engine_records *records)
{
    static double times[2][N_PAIRS];
    struct engine *engines[2];
    struct engine_wish wish = {
        .preset = preset, .batch = batch, .hidden = 128, .n_dims = 2, .dims = {28, 28}};
    char label[96];
    for (int i = 0; i < 2; i++) {
        wish.is_private = i == 0;
        engines[i] = engine_open(&wish, records, &kernels_cuda);
    }
    for (int step = -5; step < N_PAIRS; step++) { /* the first ones warm up */
        for (int i = 0; i < 2; i++) {
            double started_s = now_s();
            engine_step(engines[i]);
            times[i][step < 0 ? 0 : step] = now_s() - started_s;
        }
    }
    double private_s = median(times[0]), plain_s = median(times[1]);
    snprintf(label, sizeof label, "%s, batch %lld, %s", name, (long long)batch,
             records->is_resident ? "resident" : "loaded");
    line(label, "dp step", private_s * 1e3, "ms", "plain step", plain_s * 1e3,
         plain_s / private_s);
    line(label, "dp/plain", private_s / plain_s, "x", "target", target,
         target * plain_s / private_s);
    line(label, "dp examples", (double)batch / private_s, "1/s", "plain examples",
         (double)batch / plain_s, plain_s / private_s);
    fflush(stdout);
    engine_close(engines[0]);
    engine_close(engines[1]);
}

int main(void)
{
    if (device_count() == 0 || !device_use(0)) {
        printf("skipped: no CUDA device\n");
        return 77;
    }
    const int64_t dims[] = {28, 28}, batches[] = {256, 4096};
    struct engine_records records = engine_records(N_RECORDS, 2, dims);
    for (int i = 0; i < 4; i++) {
        records.is_resident = i % 2 == 1;
        compare(PRESET_LOGISTIC, "logistic", 1.10, batches[i / 2], &records);
        compare(PRESET_MLP, "mlp", 1.05, batches[i / 2], &records);
        compare(PRESET_CNN, "cnn", 1.25, batches[i / 2], &records);
    }
    engine_records_free(&records);
    return 0;
}
