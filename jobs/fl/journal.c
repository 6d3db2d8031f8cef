#include "jobs/fl/journal.h"

#include <stdlib.h>

#include "base/json.h"
#include "jobs/dp/course.h"
#include "jobs/dp/lease.h"

#define EPSILON_EVERY_S 0.1

static bool is_wanted(const struct round *round)
{
    const struct env *env = round->trainer.env;
    return env->comm->rank == 0 && env->io->note != NULL;
}

static void begin(const struct round *round, struct json *json)
{
    json_object(json, NULL);
    json_integer(json, "attempt", round->trainer.plan->attempt);
    json_integer(json, "round", round->trainer.step);
}

static int end(struct round *round, struct json *json, struct error *err)
{
    struct io *io = round->trainer.env->io;
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
    if (!is_wanted(round)) {
        return 0;
    }
    begin(round, &json);
    if (!trainer->is_private) {
        json_integer(&json, "clients", round->cohort.n);
        if (round->spec->federation.aggregation == AGGREGATION_SECAGG) {
            json_integer(&json, "survivors", round->secure.n_survivors);
        }
        if (round->is_gathered) {
            json_integer(&json, "refused", round->robust.n_refused);
        }
        if (round->spec->federation.attack.is_on) {
            json_integer(&json, "attackers", round->robust.n_false);
        }
    } else if (now_s - round->epsilon_told_s >= EPSILON_EVERY_S) {
        json_number(&json, "epsilon", course_epsilon(trainer));
        round->epsilon_told_s = now_s;
    }
    return end(round, &json, err);
}

int journal_look(struct round *round, double accuracy, struct error *err)
{
    struct json json = {0};
    if (!is_wanted(round)) {
        return 0;
    }
    begin(round, &json);
    json_number(&json, "test_accuracy", accuracy);
    return end(round, &json, err);
}
