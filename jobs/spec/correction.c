#include "jobs/spec/correction.h"

/* What changes what a client sends, so that its control would no longer be the mean of
 * its gradients. */
static void check_clients(struct ydoc_faults *faults, const struct ydoc_node *node,
                          const struct spec_federation *federation)
{
    if (federation->prox > 0)
        ydoc_fault_at(faults, node, "prox",
                      "expected 0 with correction: both hold a client's drift back");
    if (federation->client_momentum > 0)
        ydoc_fault_at(faults, node, "client_momentum",
                      "expected 0 with correction: controls come of updates as they "
                      "are");
    if (federation->compress.is_on)
        ydoc_fault_at(faults, node, "compress",
                      "expected no such section with correction: controls come of "
                      "updates as they are");
    if (federation->personal.is_on && federation->personal.kind == PERSONAL_FEDREP)
        ydoc_fault_at(faults, node, "personal",
                      "expected no fedrep with correction: a control is of all "
                      "parameters");
    if (federation->personal.is_on && federation->personal.kind == PERSONAL_APFL)
        ydoc_fault_at(faults, node, "personal",
                      "expected no apfl with correction: clients' own models would "
                      "drift without a control");
}

void correction_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                      const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    if (federation->correction != CORRECTION_SCAFFOLD)
        return;
    if (spec->privacy.is_private)
        ydoc_fault_at(faults, node, "correction",
                      "expected none, or privacy: none: a client's control depends on "
                      "the secret rounds that it was in before, which no price covers");
    if (federation->weighting == WEIGHTING_EXAMPLES)
        ydoc_fault_at(faults, node, "weighting",
                      "expected equal with correction: the server's control is the "
                      "plain mean of the clients'");
    if (federation->robust.is_on || federation->attack.is_on)
        ydoc_fault_at(
            faults, node, federation->robust.is_on ? "robust" : "attack",
            "expected no such section with correction: a rule would guard the "
            "updates and not the controls");
    if (federation->consent.is_asked)
        ydoc_fault_at(faults, node, "consent",
                      "expected no such section with correction: a round that is made "
                      "anew without those who withdrew would move controls twice");
    check_clients(faults, node, federation);
}
