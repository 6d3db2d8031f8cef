/* Who of the clients consents: a list that its keeper may change at any time, looked at
 * before, between and at the end of every round. Private to this room, but for tests.
 *
 * The list is text, a line each: "registered NAME", "consents NAME" or "withdrawn
 * NAME"; the last word about a name counts, "#" begins a comment. Names are those that
 * the users of the data set were imported under; clients that are made up are called
 * 0, 1 and so on. A last line without its end is not yet read: it may be half written.
 *
 * What it means for a round:
 * - who is not on the list, or does not consent, is no member of any cohort;
 * - it runs only while min_clients of the list consent and min_share of all that are on
 *   it; in plain jobs min_clients of the cohort must, too;
 * - who withdraws before the end is taken out of the sum: in the clear the sum is made
 *   anew, by secure aggregation the client's vector is taken out before anybody is told
 *   who survives. Later is too late: what was released cannot be taken back.
 *
 * Privacy: the list is public, also that of private jobs, and may name people who are
 * not in the data set: whether somebody is in it is not told by it. In each round a
 * private job sums over the users who are in the data set and on the list; with or
 * without one user that is a Poisson sample of the same rate and one user more or less,
 * so the price holds whatever the list says and whenever it changes. Whether a round
 * runs, and what is logged, depends on the list alone and never on who was drawn.
 */
#ifndef PPT_JOBS_FL_CONSENT_H
#define PPT_JOBS_FL_CONSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/env.h"
#include "jobs/fl/partition.h"
#include "jobs/spec/spec.h"

enum consent_when { CONSENT_BEFORE, CONSENT_BETWEEN, CONSENT_END };

/* One name's last word. */
struct consent_entry {
    uint64_t client; /* as partition_id */
    uint8_t state;   /* enum consent_state */
};
enum consent_state { CONSENT_REGISTERED, CONSENT_GIVEN, CONSENT_WITHDRAWN };

struct consent {
    const struct spec_consent *terms;
    const struct partition *partition;
    struct env *env;
    bool is_private;
    struct consent_entry *entries; /* by client */
    int64_t n_entries;
    bool *allows;         /* [n_clients]; NULL: nobody is asked */
    int64_t n_consenting; /* of the list, as the next two */
    int64_t n_withdrawn;
    int64_t n_leavers; /* consented at the look before */
    bool has_changed;  /* the list since the look before */
};

/* What is asked for stands in spec->federation.consent; where nothing is, all consent.
 * Everything is kept by the caller for as long. Close with consent_close.
 * Errors: PPT_ENOMEM, PPT_ESPEC (nobody keeps a list, or users without names). */
int consent_open(struct consent *consent, const struct spec *spec,
                 const struct partition *partition, struct env *env, struct error *err);
void consent_close(struct consent *consent);

/* Looks at the list; every rank calls it. Where it says no, what it found is there all
 * the same. Errors: PPT_EPOLICY with a cause (cause.h), those of io->consents,
 * PPT_EDATA (a line that is none of the three), PPT_ECOMM, PPT_ENOMEM. */
int consent_look(struct consent *consent, struct error *err);

static inline bool consent_allows(const struct consent *consent, int64_t client)
{
    return consent->allows == NULL || consent->allows[client];
}

/* Leaves those members who consent, in their order. */
int64_t consent_filter(const struct consent *consent, int64_t *members, int64_t n);

/* Plain jobs: whether so many members are enough. Errors: PPT_EPOLICY with a cause. */
int consent_enough(const struct consent *consent, int64_t n_members, struct error *err);

/* The list's entries, ascending, each client once; caller frees. Names are numbers
 * where the clients are made up. Errors: PPT_EDATA, PPT_ENOMEM. */
int consent_parse(const char *text, size_t len, bool by_number,
                  struct consent_entry **ret_entries, int64_t *ret_n,
                  struct error *err);

#endif
