/* The four kinds of job and what each one is called. */
#ifndef PPT_JOBS_KIND_H
#define PPT_JOBS_KIND_H

#include <stdbool.h>

enum job_kind { JOB_DP, JOB_FL, JOB_SMPC, JOB_HE, JOB_N_KINDS };

struct kind {
    const char *name;      /* "dp": the canonical name */
    const char *long_name; /* "differential_privacy": accepted in a spec */
    bool is_available;     /* this version can price and run it */
};

/* Indexed by enum job_kind. */
extern const struct kind job_kinds[JOB_N_KINDS];

/* The kind of either name, or -1. */
int kind_from_name(const char *name);

#endif
