/* All that a running job may touch. The worker makes one; a kind's run gets it. */
#ifndef PPT_JOBS_ENV_H
#define PPT_JOBS_ENV_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/comm.h"
#include "jobs/io.h"

struct kernels;
struct meter;

/* One line of progress; everything in it is public or already paid for. */
struct progress {
    int64_t step, n_steps;
    double expected_examples_per_s;
    double epsilon; /* so far, at the price's delta; 0 if not private */
    bool has_loss;  /* only where the job is not private */
    double loss;
    bool has_test_accuracy; /* only where evaluation is public */
    double test_accuracy;
    bool is_round;   /* the step is a federation's round */
    bool has_cohort; /* only where the job is not private; of the last round: */
    int64_t n_clients, n_dropped, n_late, n_bytes;
};

struct env {
    struct comm *comm;
    struct io *io;
    const struct kernels *kernels;
    int n_threads; /* of this rank, by the cores that it has; 0: the spec's number */
    /* Rank 0 only, NULL on the others and in jobs that are not private. */
    struct meter *meter;
    /* Fresh from the operating system in this process: never stored, never replayed,
     * different on every rank and in every attempt. */
    unsigned char noise_key[32];
    unsigned char sampling_key[32];
    /* Rank 0 only; may be NULL. */
    void (*progress)(void *state, const struct progress *progress);
    void *progress_state;
    /* Set by SIGTERM: finish the step, write a checkpoint, return -PPT_EINTERRUPTED. */
    const volatile sig_atomic_t *stop;
};

#endif
