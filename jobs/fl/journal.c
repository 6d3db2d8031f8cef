#include "jobs/fl/journal.h"

#include <stdlib.h>

#include "base/json.h"
#include "jobs/dp/course.h"
#include "jobs/dp/lease.h"
#include "jobs/dp/votes.h"

#define EPSILON_EVERY_S 0.1

static bool is_wanted(const struct trainer *trainer)
{
    const struct env *env = trainer->env;
    return env->comm->rank == 0 && env->io->note != NULL;
}

static void begin(const struct trainer *trainer, int64_t round, struct json *json)
{
    json_object(json, NULL);
    json_integer(json, "attempt", trainer->plan->attempt);
    json_integer(json, "round", round);
}

static int end(const struct trainer *trainer, struct json *json, struct error *err)
{
    struct io *io = trainer->env->io;
    char *text = NULL;
    json_close_object(json);
    int rc = json_end(json, &text, err);
    if (rc == 0) {
        rc = io->note(io, text, err);
    }
    free(text);
    return rc;
}

int journal_round(struct round *round, struct error *err)
{
    const struct trainer *trainer = &round->trainer;
    struct json json = {0};
    double now_s = lease_clock_s();
    if (!is_wanted(&round->trainer)) {
        return 0;
    }
    begin(&round->trainer, round->trainer.step, &json);
    if (!trainer->is_private) {
        json_integer(&json, "clients", round->cohort.n);
        json_integer(&json, "bytes", round_bytes(round));
        if (round->spec->federation.aggregation == AGGREGATION_SECAGG) {
            json_integer(&json, "survivors", round->secure.n_survivors);
        }
        if (round->device.terms != NULL) {
            json_integer(&json, "stragglers", round->device.n_late);
            json_number(&json, "virtual_s", round->device.clock_s);
        }
        if (round->is_gathered) {
            json_integer(&json, "refused", round->robust.n_refused);
            if (round->robust.secure != NULL) {
                json_integer(&json, "hidden_among", round->robust.n_hidden);
            }
        }
        if (round->spec->federation.compress.is_on) {
            json_integer(&json, "client_bytes", round->client_bytes);
        }
        if (round->spec->federation.attack.is_on) {
            json_integer(&json, "attackers", round->robust.n_false);
        }
    }
    if (votes_are_taken(trainer)) {
        json_number(&json, "clip_norm", round->clip_norm);
    }
    if (trainer->is_private && (now_s - round->epsilon_told_s >= EPSILON_EVERY_S ||
                                trainer->step == trainer->n_steps)) {
        json_number(&json, "epsilon", course_epsilon(trainer));
        round->epsilon_told_s = now_s;
    }
    return end(&round->trainer, &json, err);
}

int journal_consent(const struct trainer *trainer, const struct consent *consent,
                    enum consent_when when, int rc, struct error *err)
{
    static const char *const words[] = {[CONSENT_BEFORE] = "before",
                                        [CONSENT_BETWEEN] = "between",
                                        [CONSENT_END] = "end"};
    struct json json = {0};
    bool is_news = consent->has_changed || rc == -PPT_EPOLICY;
    if (consent->allows == NULL || !is_news || !is_wanted(trainer)) {
        return rc;
    }
    begin(trainer, trainer->step + 1, &json);
    json_string(&json, "consent", words[when]);
    json_integer(&json, "registered", consent->n_entries);
    json_integer(&json, "consenting", consent->n_consenting);
    json_integer(&json, "withdrawn", consent->n_withdrawn);
    json_bool(&json, "runs", rc == 0);
    int note_rc = end(trainer, &json, rc == 0 ? err : NULL);
    return rc != 0 ? rc : note_rc;
}

int journal_excluded(const struct trainer *trainer, int64_t n, struct error *err)
{
    struct json json = {0};
    if (trainer->is_private || !is_wanted(trainer)) {
        return 0;
    }
    begin(trainer, trainer->step + 1, &json);
    json_integer(&json, "excluded", n);
    return end(trainer, &json, err);
}

int journal_look(struct round *round, double accuracy, struct error *err)
{
    struct json json = {0};
    if (!is_wanted(&round->trainer)) {
        return 0;
    }
    begin(&round->trainer, round->trainer.step, &json);
    json_number(&json, "test_accuracy", accuracy);
    return end(&round->trainer, &json, err);
}

static void spread_to_json(struct json *json, const char *name,
                           const struct personal_spread *spread)
{
    json_object(json, name);
    json_number(json, "mean", spread->mean);
    json_number(json, "p10", spread->low);
    json_number(json, "median", spread->median);
    json_number(json, "p90", spread->high);
    json_close_object(json);
}

int journal_personal(struct round *round, const struct personal_outcome *outcome,
                     struct error *err)
{
    const struct trainer *trainer = &round->trainer;
    enum spec_personal_kind kind = round->spec->federation.personal.kind;
    struct json json = {0};
    if (!is_wanted(trainer)) {
        return 0;
    }
    begin(trainer, trainer->step, &json);
    json_string(&json, "personal", spec_personal_name(kind));
    json_integer(&json, "clients", outcome->n_clients);
    json_integer(&json, "held_out", outcome->n_records);
    spread_to_json(&json, "common", &outcome->common);
    spread_to_json(&json, "own", &outcome->own);
    return end(trainer, &json, err);
}
