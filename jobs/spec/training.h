/* The section training: how a model is trained. */
#ifndef PPT_JOBS_SPEC_TRAINING_H
#define PPT_JOBS_SPEC_TRAINING_H

#include "jobs/spec/field.h"

/* The tables, for fields.c. */
extern const struct field_section field_training, field_schedule, field_step;

#endif
