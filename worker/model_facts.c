#include "worker/model_facts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static struct model_fact *add(struct model_facts *facts, const char *name,
                              enum model_fact_type type)
{
    assert(facts->n < MODEL_MAX_FACTS);
    struct model_fact *fact = &facts->facts[facts->n++];
    *fact = (struct model_fact){.type = type};
    snprintf(fact->name, sizeof fact->name, "%s", name);
    return fact;
}

/* What was spent: the whole, and how often each release was used. */
static int add_cost(struct model_facts *facts, const struct price *price,
                    const int64_t used[PRICE_MAX_RELEASES], struct error *err)
{
    double epsilon;
    int rc = price_epsilon(price, used, &epsilon, err);
    if (rc != 0)
        return rc;
    add(facts, "unit", FACT_TEXT)->text = unit_name(price->unit);
    add(facts, "relation", FACT_TEXT)->text = relation_name(price->relation);
    add(facts, "epsilon", FACT_NUMBER)->number = epsilon;
    add(facts, "delta", FACT_NUMBER)->number = price->delta;
    for (int i = 0; i < price->n_releases; i++) {
        char name[64];
        snprintf(name, sizeof name, "used_%s", price->releases[i].name);
        add(facts, name, FACT_INTEGER)->integer = used[i];
    }
    return 0;
}

int model_facts_make(const struct plan *plan, const struct spec *spec,
                     const int64_t used[PRICE_MAX_RELEASES],
                     struct model_facts *ret_facts, struct error *err)
{
    struct model_facts facts = {0};
    int rc = spec_canonical(spec, &facts.spec, err);
    if (rc != 0)
        return rc;
    add(&facts, "ppt_model_version", FACT_INTEGER)->integer = MODEL_VERSION;
    add(&facts, "job_id", FACT_INTEGER)->integer = plan->job_id;
    add(&facts, "spec_sha256", FACT_TEXT)->text = plan->spec_sha256;
    add(&facts, "spec", FACT_TEXT)->text = facts.spec;
    add(&facts, "is_private", FACT_INTEGER)->integer = plan->price.is_private;
    if (plan->price.is_private)
        rc = add_cost(&facts, &plan->price, used, err);
    if (rc != 0)
        model_facts_free(&facts);
    else
        *ret_facts = facts;
    return rc;
}

void model_facts_free(struct model_facts *facts)
{
    free(facts->spec);
    *facts = (struct model_facts){0};
}
