#include "jobs/spec/federation.h"

#include <math.h>

#include "jobs/spec/attack.h"
#include "jobs/spec/compress.h"
#include "jobs/spec/correction.h"
#include "jobs/spec/personal.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
#define MOST_CLIENTS (1 << 20) /* as many as secure aggregation knows */
#define MOST_WEIGHT (1 << 20)
#define MOST_ROUNDS 1000000

static const char *const partition_names[PARTITION_N] = {
    [PARTITION_USERS] = "users",
    [PARTITION_IID] = "iid",
    [PARTITION_DIRICHLET] = "dirichlet",
    [PARTITION_SHARDS] = "shards",
};

static const char *const selection_names[SELECTION_N] = {
    [SELECTION_POISSON] = "poisson",         [SELECTION_FIXED] = "fixed",
    [SELECTION_WEIGHTED] = "weighted",       [SELECTION_DEALT] = "dealt",
    [SELECTION_FIXED_ORDER] = "fixed_order",
};

static const char *const weighting_names[WEIGHTING_N] = {
    [WEIGHTING_EQUAL] = "equal",
    [WEIGHTING_EXAMPLES] = "examples",
};

static const char *const aggregation_names[AGGREGATION_N] = {
    [AGGREGATION_CLEAR] = "clear",
    [AGGREGATION_SECAGG] = "secagg",
};

static const char *const trust_names[TRUST_N] = {
    [TRUST_HONEST] = "honest",
    [TRUST_LYING] = "lying",
};

static const char *const correction_names[CORRECTION_N] = {
    [CORRECTION_NONE] = "none",
    [CORRECTION_SCAFFOLD] = "scaffold",
};

static const char *const noise_by_names[NOISE_BY_N] = {
    [NOISE_BY_SERVER] = "server",
    [NOISE_BY_CLIENTS] = "clients",
};

static const char *const noise_kind_names[NOISE_KIND_N] = {
    [NOISE_ROUNDED_GAUSSIAN] = "rounded_gaussian",
    [NOISE_DISCRETE_GAUSSIAN] = "discrete_gaussian",
    [NOISE_SKELLAM] = "skellam",
};

static const char *const local_names[LOCAL_N] = {
    [LOCAL_NONE] = "none",
    [LOCAL_GAUSSIAN] = "gaussian",
    [LOCAL_PRIVUNIT] = "privunit",
    [LOCAL_STEPS] = "steps",
};

const char *spec_local_name(enum spec_local local)
{
    return local_names[local];
}

const char *spec_noise_kind_name(enum spec_noise_kind kind)
{
    return noise_kind_names[kind];
}

int64_t spec_noise_participants(const struct spec_federation *federation)
{
    int64_t wished = federation->noise.participants;
    return wished > 0 ? wished : federation->cohort;
}

const char *spec_aggregation_name(enum spec_aggregation aggregation)
{
    return aggregation_names[aggregation];
}

const char *spec_trust_name(enum spec_trust trust)
{
    return trust_names[trust];
}

const char *spec_partition_name(enum spec_partition partition)
{
    return partition_names[partition];
}

const char *spec_selection_name(enum spec_selection selection)
{
    return selection_names[selection];
}

bool spec_selection_is_exact(enum spec_selection selection)
{
    return selection == SELECTION_FIXED || selection == SELECTION_WEIGHTED;
}

const char *spec_weighting_name(enum spec_weighting weighting)
{
    return weighting_names[weighting];
}

double spec_secagg_least(const struct spec_secagg *secagg)
{
    bool is_lying = secagg->server == TRUST_LYING;
    double bad = secagg->corrupt + (is_lying ? 2 : 1) * secagg->dropout;
    double rest = 1 - bad; /* not to the last digit */
    double least = is_lying ? floor(1 / rest + 1e-6) + 1 : ceil(2 / rest - 1e-6);
    return rest > 1e-9 ? fmax(least, 2) : INFINITY;
}

static const char *partition_word(int i)
{
    return partition_names[i];
}

static const char *selection_word(int i)
{
    return selection_names[i];
}

static const char *weighting_word(int i)
{
    return weighting_names[i];
}

static const char *aggregation_word(int i)
{
    return aggregation_names[i];
}

static const char *trust_word(int i)
{
    return trust_names[i];
}

static const char *correction_word(int i)
{
    return correction_names[i];
}

static const char *noise_by_word(int i)
{
    return noise_by_names[i];
}

static const char *noise_kind_word(int i)
{
    return noise_kind_names[i];
}

static const char *local_word(int i)
{
    return local_names[i];
}

static const char *optimizer_word(int i)
{
    return spec_optimizer_name((enum spec_optimizer)i);
}

static bool is_made_up(const void *base)
{
    const struct spec_federation *federation = base;
    return federation->partition != PARTITION_USERS;
}

static bool is_dirichlet(const void *base)
{
    const struct spec_federation *federation = base;
    return federation->partition == PARTITION_DIRICHLET ||
           federation->partition == PARTITION_N;
}

static bool is_shards(const void *base)
{
    const struct spec_federation *federation = base;
    return federation->partition == PARTITION_SHARDS ||
           federation->partition == PARTITION_N;
}

static bool is_weighted(const void *base)
{
    const struct spec_federation *federation = base;
    return federation->weighting == WEIGHTING_EXAMPLES ||
           federation->weighting == WEIGHTING_N;
}

static bool has_momentum(const void *base)
{
    const struct spec_server *server = base;
    return server->optimizer == OPTIMIZER_MOMENTUM || server->optimizer == OPTIMIZER_N;
}

static bool has_betas(const void *base)
{
    const struct spec_server *server = base;
    return server->optimizer >= OPTIMIZER_ADAM;
}

static bool is_yogi(const void *base)
{
    const struct spec_server *server = base;
    return server->optimizer >= OPTIMIZER_YOGI;
}

static bool is_by_clients(const void *base)
{
    const struct spec_noise *noise = base;
    return noise->by == NOISE_BY_CLIENTS || noise->by == NOISE_BY_N;
}

static const struct field server_fields[] = {
    {.key = "optimizer",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_server, optimizer),
     .word = optimizer_word,
     .n_words = OPTIMIZER_N,
     .n_default = OPTIMIZER_SGD},
    {.key = "learning_rate",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_server, learning_rate),
     .range = {0, 1000, true, false},
     .number_default = 1},
    {.key = "momentum",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_server, momentum),
     .range = {0, 1, false, true},
     .number_default = 0.9,
     .applies = has_momentum,
     .only_with = "optimizer: momentum"},
    {.key = "beta1",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_server, beta1),
     .range = {0, 1, false, true},
     .number_default = 0.9,
     .applies = has_betas,
     .only_with = "optimizer: adam or yogi"},
    {.key = "beta2",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_server, beta2),
     .range = {0, 1, false, true},
     .number_default = 0.999,
     .applies = has_betas,
     .only_with = "optimizer: adam or yogi"},
    {.key = "tau",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_server, tau),
     .range = {0, 1, true, false},
     .number_default = 1e-3,
     .applies = is_yogi,
     .only_with = "optimizer: yogi"},
};
const struct field_section field_server = {"federation.server", server_fields,
                                           COUNT(server_fields)};

static const struct field secagg_fields[] = {
    {.key = "bits",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_secagg, bits),
     .n_least = 8,
     .n_most = 24,
     .n_default = 20},
    {.key = "max_norm",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_secagg, max_norm),
     .range = {1e-6, 1e6, false, false},
     .hides_zero = true},
    {.key = "corrupt",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_secagg, corrupt),
     .range = {0, 1, false, true},
     .number_default = 0.1},
    {.key = "dropout",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_secagg, dropout),
     .range = {0, 1, false, true},
     .number_default = 0.1},
    {.key = "server",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_secagg, server),
     .word = trust_word,
     .n_words = TRUST_N,
     .n_default = TRUST_HONEST},
    {.key = "min_clients",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_secagg, min_clients),
     .n_least = 3,
     .n_most = MOST_CLIENTS / 2,
     .n_default = 10},
    {.key = "vanish",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_secagg, vanish),
     .range = {0, 1, false, true}},
    {.key = "group",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_secagg, group),
     .n_least = 2,
     .n_most = MOST_CLIENTS / 2,
     .hides_zero = true},
};
const struct field_section field_secagg = {"federation.secagg", secagg_fields,
                                           COUNT(secagg_fields)};

static void read_secagg(struct ydoc_faults *faults, const struct ydoc_node *node,
                        void *base)
{
    struct spec_federation *federation = base;
    if (federation->aggregation == AGGREGATION_CLEAR && node != NULL)
        ydoc_fault(faults, node, "expected only with aggregation: secagg");
    if (federation->aggregation == AGGREGATION_SECAGG)
        field_read(faults, node, &field_secagg, &federation->secagg);
}

static void write_secagg(struct json *json, const struct field *field, const void *base)
{
    const struct spec_federation *federation = base;
    if (federation->aggregation != AGGREGATION_SECAGG)
        return;
    json_object(json, field->key);
    field_write(json, &field_secagg, &federation->secagg);
    json_close_object(json);
}

static const struct field noise_fields[] = {
    {.key = "by",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_noise, by),
     .word = noise_by_word,
     .n_words = NOISE_BY_N,
     .n_default = NOISE_BY_SERVER},
    {.key = "kind",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_noise, kind),
     .word = noise_kind_word,
     .n_words = NOISE_KIND_N,
     .n_default = NOISE_ROUNDED_GAUSSIAN,
     .applies = is_by_clients,
     .only_with = "by: clients"},
    {.key = "participants",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_noise, participants),
     .n_least = 3,
     .n_most = MOST_CLIENTS / 2,
     .hides_zero = true,
     .applies = is_by_clients,
     .only_with = "by: clients"},
    {.key = "min_survivors",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_noise, min_survivors),
     .n_least = 1,
     .n_most = MOST_CLIENTS / 2,
     .hides_zero = true,
     .applies = is_by_clients,
     .only_with = "by: clients"},
};
const struct field_section field_noise = {"federation.noise", noise_fields,
                                          COUNT(noise_fields)};

static void read_noise(struct ydoc_faults *faults, const struct ydoc_node *node,
                       void *base)
{
    struct spec_federation *federation = base;
    if (node != NULL)
        field_read(faults, node, &field_noise, &federation->noise);
}

/* Left out where the server does it, so that specs from before there was a choice keep
 * their digests. */
static void write_noise(struct json *json, const struct field *field, const void *base)
{
    const struct spec_federation *federation = base;
    if (federation->noise.by == NOISE_BY_SERVER)
        return;
    json_object(json, field->key);
    field_write(json, &field_noise, &federation->noise);
    json_close_object(json);
}

static bool has_bands(const void *base)
{
    const struct spec_federation *federation = base;
    return federation->selection == SELECTION_FIXED_ORDER ||
           federation->selection == SELECTION_N;
}

static const struct field federation_fields[] = {
    {.key = "rounds",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_federation, rounds),
     .is_required = true,
     .n_least = 1,
     .n_most = MOST_ROUNDS},
    {.key = "partition",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_federation, partition),
     .is_required = true,
     .word = partition_word,
     .n_words = PARTITION_N},
    {.key = "clients",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_federation, clients),
     .n_least = 1,
     .n_most = MOST_CLIENTS,
     .hides_zero = true,
     .applies = is_made_up,
     .only_with = "partition: iid, dirichlet or shards"},
    {.key = "alpha",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_federation, alpha),
     .range = {1e-3, 1e6, false, false},
     .number_default = 0.5,
     .applies = is_dirichlet,
     .only_with = "partition: dirichlet"},
    {.key = "shards",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_federation, shards),
     .n_least = 1,
     .n_most = 1000,
     .n_default = 2,
     .applies = is_shards,
     .only_with = "partition: shards"},
    {.key = "cohort",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_federation, cohort),
     .is_required = true,
     .n_least = 1,
     .n_most = MOST_CLIENTS / 2},
    {.key = "selection",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_federation, selection),
     .word = selection_word,
     .n_words = SELECTION_N,
     .n_default = SELECTION_POISSON},
    {.key = "bands",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_federation, bands),
     .n_least = 1,
     .n_most = 1024,
     .n_default = 16,
     .applies = has_bands,
     .only_with = "selection: fixed_order"},
    {.key = "weighting",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_federation, weighting),
     .word = weighting_word,
     .n_words = WEIGHTING_N,
     .n_default = WEIGHTING_EQUAL},
    {.key = "max_weight",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_federation, max_weight),
     .n_least = 1,
     .n_most = MOST_WEIGHT,
     .hides_zero = true,
     .applies = is_weighted,
     .only_with = "weighting: examples"},
    {.key = "prox",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_federation, prox),
     .range = {0, 1e6, false, false}},
    {.key = "server",
     .type = FIELD_SECTION,
     .offset = offsetof(struct spec_federation, server),
     .section = &field_server},
    {.key = "aggregation",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_federation, aggregation),
     .word = aggregation_word,
     .n_words = AGGREGATION_N,
     .n_default = AGGREGATION_CLEAR},
    {.key = "secagg", .type = FIELD_OWN, .read = read_secagg, .write = write_secagg},
    {.key = "consent", .type = FIELD_OWN, .read = consent_read, .write = consent_write},
    {.key = "devices", .type = FIELD_OWN, .read = devices_read, .write = devices_write},
    {.key = "robust", .type = FIELD_OWN, .read = robust_read, .write = robust_write},
    {.key = "noise", .type = FIELD_OWN, .read = read_noise, .write = write_noise},
    {.key = "attack", .type = FIELD_OWN, .read = attack_read, .write = attack_write},
    {.key = "client_momentum",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_federation, client_momentum),
     .range = {0, 1, false, true},
     .hides_zero = true},
    {.key = "personal",
     .type = FIELD_OWN,
     .read = personal_read,
     .write = personal_write},
    {.key = "compress",
     .type = FIELD_OWN,
     .read = compress_read,
     .write = compress_write},
    {.key = "max_client_bytes",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_federation, max_client_bytes),
     .n_least = 1,
     .n_most = INT64_MAX,
     .hides_zero = true},
    {.key = "local",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_federation, local),
     .word = local_word,
     .n_words = LOCAL_N,
     .hides_zero = true},
    {.key = "correction",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_federation, correction),
     .word = correction_word,
     .n_words = CORRECTION_N,
     .n_default = CORRECTION_NONE,
     .hides_zero = true},
};
const struct field_section field_federation = {"federation", federation_fields,
                                               COUNT(federation_fields)};

void federation_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                     void *base)
{
    struct spec *spec = base;
    if (node == NULL)
        return;
    if (spec->kind != JOB_FL) {
        ydoc_fault(faults, node, "expected only with kind: fl");
        return;
    }
    field_read(faults, node, &field_federation, &spec->federation);
}

void federation_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec *spec = base;
    if (spec->kind != JOB_FL)
        return;
    json_object(json, field->key);
    field_write(json, &field_federation, &spec->federation);
    json_close_object(json);
}

/* The server's noise takes back that of earlier rounds, value by value. */
static void check_fixed_order(struct ydoc_faults *faults,
                              const struct ydoc_node *privacy,
                              const struct ydoc_node *node, const struct spec *spec)
{
    if (spec->privacy.clipping.mode == CLIP_QUANTILE)
        ydoc_fault_at(faults, privacy, "clipping",
                      "expected flat: with selection fixed_order noise is correlated "
                      "over rounds, which have one clip norm");
    if (spec->federation.aggregation == AGGREGATION_SECAGG)
        ydoc_fault_at(faults, node, "aggregation",
                      "expected clear: with selection fixed_order noise is correlated "
                      "over rounds, and secagg turns each round's sum another way");
}

/* Who is protected, and by which draw, must be what the price assumes. */
static void check_privacy(struct ydoc_faults *faults, const struct ydoc_node *root,
                          const struct spec *spec)
{
    const struct ydoc_node *privacy = ydoc_get(root, "privacy");
    const struct ydoc_node *node = ydoc_get(root, "federation");
    const struct spec_federation *federation = &spec->federation;
    if (!spec->privacy.is_private)
        return;
    if (spec->privacy.unit == UNIT_EXAMPLE)
        ydoc_fault_at(faults, privacy, "unit",
                      "expected user: with kind fl a client's whole update is clipped");
    if (federation->partition != PARTITION_USERS &&
        federation->partition != PARTITION_N)
        ydoc_fault_at(
            faults, node, "partition",
            "expected users, or privacy: none: a record in or out moves other "
            "records between clients that are made up, so a price per client "
            "would not hold");
    if (federation->selection == SELECTION_WEIGHTED)
        ydoc_fault_at(faults, node, "selection",
                      "expected poisson, fixed or fixed_order, or privacy: none: these "
                      "are the ones that are priced");
    if (federation->selection == SELECTION_FIXED_ORDER)
        check_fixed_order(faults, privacy, node, spec);
    if (federation->weighting == WEIGHTING_EXAMPLES && federation->max_weight == 0)
        ydoc_fault_at(faults, node, "max_weight",
                      "expected how many of a client's records count at the most, or "
                      "weighting: equal: with privacy a client's weight has a bound");
}

static void check_training(struct ydoc_faults *faults, const struct ydoc_node *root,
                           const struct spec *spec)
{
    const struct ydoc_node *training = ydoc_get(root, "training");
    if (spec->training.optimizer == OPTIMIZER_MOMENTUM ||
        spec->training.optimizer == OPTIMIZER_ADAM)
        ydoc_fault_at(faults, training, "optimizer",
                      "expected sgd: it is the clients'; the server's stands in "
                      "federation.server");
    if (spec->training.evaluation == EVALUATION_PAID)
        ydoc_fault_at(faults, training, "evaluation",
                      "expected none or public: how far one user moves a count of "
                      "records is not bounded");
    if (spec->training.sampling == SAMPLE_BALLS_IN_BINS ||
        spec->training.sampling == SAMPLE_FIXED_ORDER)
        ydoc_fault_at(faults, training, "sampling",
                      "expected no such key: it draws the records of kind dp, clients "
                      "are drawn as federation.selection says");
    if (spec->training.sum == SUM_FIXED)
        ydoc_fault_at(faults, training, "sum",
                      "expected float: updates are added up in fixed point anyway");
    if (spec->resources.gpus_per_rank > 0)
        ydoc_fault_at(faults, ydoc_get(root, "resources"), "gpus_per_rank",
                      "expected 0: clients of kind fl train on the CPU");
}

static void check_secagg(struct ydoc_faults *faults, const struct ydoc_node *node,
                         const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    const struct spec_secagg *secagg = &federation->secagg;
    const struct ydoc_node *own = ydoc_get(node, "secagg");
    bool is_private = spec->privacy.is_private;
    if (federation->aggregation != AGGREGATION_SECAGG)
        return;
    if (federation->weighting == WEIGHTING_EXAMPLES && !is_private &&
        federation->max_weight == 0)
        ydoc_fault_at(faults, node, "max_weight",
                      "expected how many of a client's records count at the most: a "
                      "sum that is hidden needs a bound");
    if (!is_private && ydoc_get(own, "max_norm") == NULL)
        ydoc_fault_at(faults, own != NULL ? own : node,
                      own != NULL ? "max_norm" : "secagg",
                      "expected max_norm, how long an update may be: a sum that is "
                      "hidden needs a bound, and privacy is none");
    if (is_private && secagg->max_norm > 0)
        ydoc_fault_at(faults, own, "max_norm",
                      "expected no such key: privacy.clip_norm bounds updates");
    if (is_private && secagg->vanish > 0)
        ydoc_fault_at(faults, own, "vanish",
                      "expected 0, or privacy: none: a round that fails tells who was "
                      "in it");
    if (isinf(spec_secagg_least(secagg)))
        ydoc_fault_at(faults, own != NULL ? own : node, "dropout",
                      secagg->server == TRUST_LYING
                          ? "expected corrupt and twice dropout together below 1 with "
                            "server: lying"
                          : "expected corrupt and dropout together below 1");
    else if (is_private && (double)secagg->min_clients < spec_secagg_least(secagg))
        ydoc_fault_at(faults, own != NULL ? own : node, "min_clients",
                      "expected at least %.0f: with these rates smaller cohorts may "
                      "have no graph, and a round that fails tells who was in it",
                      spec_secagg_least(secagg));
    if (is_private && secagg->min_clients > MOST_CLIENTS / 2 - federation->cohort)
        ydoc_fault_at(faults, own != NULL ? own : node, "min_clients",
                      "expected at most %lld with the cohort, so that one of any size "
                      "has room",
                      (long long)(MOST_CLIENTS / 2));
    if (!is_private && secagg->min_clients > federation->cohort)
        ydoc_fault_at(faults, own != NULL ? own : node, "min_clients",
                      "expected at most the cohort, which is %lld, found %lld",
                      (long long)federation->cohort, (long long)secagg->min_clients);
}

/* Enough shares must be there whoever is drawn, or the price would not hold. */
static void check_noise(struct ydoc_faults *faults, const struct ydoc_node *node,
                        const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    const struct spec_noise *noise = &federation->noise;
    const struct ydoc_node *own = ydoc_get(node, "noise");
    int64_t participants = spec_noise_participants(federation);
    if (noise->by != NOISE_BY_CLIENTS)
        return;
    if (!spec->privacy.is_private)
        ydoc_fault_at(faults, own, "by",
                      "expected server: with privacy: none there is no noise to share");
    if (federation->aggregation == AGGREGATION_CLEAR)
        ydoc_fault_at(faults, own, "by",
                      "expected server, or aggregation: secagg: a share of the noise "
                      "hides nobody whose update is sent in the clear");
    if (noise->min_survivors == 0) {
        ydoc_fault_at(faults, own, "min_survivors",
                      "expected how many participants' shares are noise enough");
    } else if (noise->min_survivors > participants) {
        ydoc_fault_at(faults, own, "min_survivors",
                      "expected at most as many as there are participants, %lld, "
                      "found %lld",
                      (long long)participants, (long long)noise->min_survivors);
    }
    if (federation->aggregation == AGGREGATION_SECAGG &&
        participants < federation->secagg.min_clients)
        ydoc_fault_at(faults, own, "participants",
                      "expected at least secagg.min_clients, %lld, found %lld",
                      (long long)federation->secagg.min_clients,
                      (long long)participants);
}

/* What each client's own noise is priced with, and nothing that counts on other people.
 */
static void check_local(struct ydoc_faults *faults, const struct ydoc_node *root,
                        const struct spec *spec)
{
    const struct ydoc_node *node = ydoc_get(root, "federation");
    const struct spec_federation *federation = &spec->federation;
    bool is_local = federation->local != LOCAL_NONE && federation->local < LOCAL_N;
    if (is_local && !spec->privacy.is_private)
        ydoc_fault_at(faults, node, "local",
                      "expected none: with privacy: none nothing is made noisy");
    if (is_local && federation->selection != SELECTION_DEALT &&
        federation->selection != SELECTION_N)
        ydoc_fault_at(faults, node, "selection",
                      "expected dealt with local: %s, by which each client takes part "
                      "in one round of a pass: each time is paid for",
                      local_names[federation->local]);
    if (federation->local == LOCAL_NONE && federation->selection == SELECTION_DEALT)
        ydoc_fault_at(faults, node, "selection",
                      "expected dealt only with local, whose price counts on it");
    if (!is_local)
        return;
    if (federation->aggregation == AGGREGATION_SECAGG)
        ydoc_fault_at(faults, node, "aggregation",
                      "expected clear with local: what clients send needs no mask; "
                      "noise: {by: clients} is for masked sums");
    if (federation->weighting == WEIGHTING_EXAMPLES)
        ydoc_fault_at(faults, node, "weighting",
                      "expected equal with local: a weight would not be hidden");
    if (federation->consent.is_asked)
        ydoc_fault_at(faults, node, "consent",
                      "expected no such section with local: a round that is summed "
                      "anew would need every client's noise anew");
    if (federation->local == LOCAL_STEPS && spec->training.steps == 0)
        ydoc_fault_at(faults, ydoc_get(root, "training"), "epochs",
                      "expected steps in its place with local: steps: how many a "
                      "client takes would tell how many records it has");
    if (federation->local == LOCAL_PRIVUNIT && spec->privacy.noise_multiplier > 0)
        ydoc_fault_at(faults, ydoc_get(root, "privacy"), "noise_multiplier",
                      "expected epsilon in its place: privunit has a pure epsilon a "
                      "message, which follows from it");
    if (spec->privacy.clipping.mode == CLIP_QUANTILE)
        ydoc_fault_at(faults, ydoc_get(root, "privacy"), "clipping",
                      "expected flat with local: votes would need noise of their own");
    if (spec->privacy.clipping.mode == CLIP_PER_LAYER ||
        spec->privacy.clipping.mode == CLIP_AUTOMATIC)
        ydoc_fault_at(faults, ydoc_get(root, "privacy"), "clipping",
                      "expected flat with local: noise is made for a whole update of "
                      "length clip_norm");
}

/* What clients remember of rounds. */
static void check_memory(struct ydoc_faults *faults, const struct ydoc_node *node,
                         const struct spec *spec)
{
    if (spec->federation.client_momentum > 0 && spec->privacy.is_private)
        ydoc_fault_at(
            faults, node, "client_momentum",
            "expected 0, or privacy: none: what a client sends would depend on "
            "the secret rounds that it was in before, which no price covers");
}

void federation_check(struct ydoc_faults *faults, const struct ydoc_node *root,
                      const struct spec *spec)
{
    const struct ydoc_node *node = ydoc_get(root, "federation");
    const struct spec_federation *federation = &spec->federation;
    if (spec->kind != JOB_FL)
        return;
    if (node == NULL) {
        ydoc_fault_at(faults, root, "federation",
                      "expected a mapping with rounds, partition and cohort, such as "
                      "{rounds: 50, partition: users, cohort: 100}");
        return;
    }
    bool is_made_up = federation->partition != PARTITION_USERS &&
                      federation->partition != PARTITION_N;
    if (is_made_up && ydoc_get(node, "clients") == NULL)
        ydoc_fault_at(faults, node, "clients",
                      "expected how many clients to make of the records, such as "
                      "clients: 100");
    if (is_made_up && federation->clients > 0 &&
        federation->cohort > federation->clients)
        ydoc_fault_at(faults, node, "cohort",
                      "expected at most as many as there are clients, %lld",
                      (long long)federation->clients);
    check_privacy(faults, root, spec);
    check_training(faults, root, spec);
    check_secagg(faults, node, spec);
    consent_check(faults, node, spec);
    devices_check(faults, node, spec);
    robust_check(faults, node, spec);
    personal_check(faults, root, spec);
    check_noise(faults, node, spec);
    check_local(faults, root, spec);
    attack_check(faults, node, spec);
    compress_check(faults, node, spec);
    check_memory(faults, node, spec);
    correction_check(faults, node, spec);
}
