/* What a model file says beside its tensors: which spec it was trained for and what
 * privacy it cost. The same facts under the same names in every format (ppt-data(5)).
 */
#ifndef PPT_WORKER_MODEL_FACTS_H
#define PPT_WORKER_MODEL_FACTS_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/plan.h"
#include "jobs/privacy/price.h"
#include "jobs/spec/spec.h"

#define MODEL_VERSION 1
#define MODEL_MAX_FACTS (16 + PRICE_MAX_RELEASES)

enum model_fact_type { FACT_TEXT, FACT_INTEGER, FACT_NUMBER };

struct model_fact {
    char name[64];
    enum model_fact_type type;
    const char *text;
    int64_t integer;
    double number;
};

struct model_facts {
    int n;
    struct model_fact facts[MODEL_MAX_FACTS];
    char *spec; /* canonical form; a fact points to it */
};

/* used[i] counts the uses of the price's releases[i] behind the tensors; epsilon is
 * theirs at the price's delta. The spec and plan must outlive the facts. Caller calls
 * model_facts_free. Errors: PPT_ERANGE (used exceeds the price), PPT_ENOMEM. */
int model_facts_make(const struct plan *plan, const struct spec *spec,
                     const int64_t used[PRICE_MAX_RELEASES],
                     struct model_facts *ret_facts, struct error *err);
void model_facts_free(struct model_facts *facts);

#endif
