/* A mechanism as people write it: laplace:scale=2,count=10
 *
 * NAME, or NAME:KEY=VALUE,... with the keys of mechanism_parameters(NAME), sample_rate,
 * sampling, relation and count. One value of a plan may be ?, which is then looked for.
 * sample_rate without sampling means a Poisson sample (not for gaussian, whose sampled
 * kind has a name of its own); sampling=without_replacement means relation=replace_one.
 */
#ifndef PPT_JOBS_PRIVACY_NOTATION_H
#define PPT_JOBS_PRIVACY_NOTATION_H

#include <stdbool.h>

#include "base/error.h"
#include "jobs/privacy/renyi.h"

struct notation {
    struct renyi_release release; /* count 1 unless given */
    bool has_rate, has_count;
    bool is_count_unknown;                     /* count=? */
    const struct mechanism_parameter *unknown; /* KEY=?, or NULL */
};

/* Values are read, not checked for range; a missing one without a default stays NAN.
 * Errors: PPT_EUSAGE (unknown name or key, no number, more than one ?); the hint lists
 * what there is. */
int notation_parse(const char *text, struct notation *ret_notation, struct error *err);

/* The first parameter that is needed and neither given nor ?, or NULL. */
const struct mechanism_parameter *notation_missing(const struct notation *notation);

#endif
