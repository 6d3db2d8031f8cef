/* A job spec: the checked struct that every room speaks of, its canonical form and its
 * name for ever (the SHA-256 of that form).
 *
 * YAML in, every fault of the file reported in one go, nothing trusted: bounded size
 * and depth, no aliases, no tags. Field by field: ppt-jobspec(5).
 */
#ifndef PPT_JOBS_SPEC_SPEC_H
#define PPT_JOBS_SPEC_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/kind.h"
#include "jobs/privacy/unit.h"

#define SPEC_MAX_BYTES (256u << 10)
#define SPEC_MAX_LAYERS 64
#define SPEC_MAX_OPTIONS 16
#define SPEC_NAME_SIZE 128
#define SPEC_PATH_SIZE 1024
#define SPEC_HEX_SIZE 65

enum spec_preset { PRESET_LOGISTIC, PRESET_MLP, PRESET_CNN, PRESET_LAYERS, PRESET_N };

enum spec_layer_kind {
    LAYER_LINEAR,
    LAYER_CONV2D,
    LAYER_MAX_POOL,
    LAYER_AVG_POOL,
    LAYER_GROUP_NORM,
    LAYER_LAYER_NORM,
    LAYER_RELU,
    LAYER_TANH,
    LAYER_TEMPERED_SIGMOID,
    LAYER_GELU,
    LAYER_RESIDUAL,
    LAYER_FLATTEN,
    LAYER_EMBEDDING,
    LAYER_POSITION,
    LAYER_ATTENTION,
    LAYER_TOKEN_MEAN,
    LAYER_LSTM,
    LAYER_N_KINDS
};

enum spec_position { POSITION_LEARNT, POSITION_WAVES, POSITION_N };
enum spec_mask { MASK_NONE, MASK_CAUSAL, MASK_N };
enum spec_states { STATES_ALL, STATES_LAST, STATES_N };

/* Fields that a layer does not have are 0. */
struct spec_layer {
    enum spec_layer_kind kind;
    int64_t out;     /* linear: units; conv2d, embedding, lstm: channels; 0 on the last
                        linear,     and only there: the number of classes */
    int64_t kernel;  /* conv2d, pools: square window */
    int64_t stride;  /* conv2d, pools; default 1 (conv2d), kernel (pools) */
    int64_t padding; /* conv2d: zeros on each side; default 0 */
    int64_t groups;  /* group_norm */
    int64_t over;    /* residual: layers before it that the shortcut passes by */
    int64_t heads;   /* attention */
    int64_t rank;    /* linear: of its low-rank factors (LoRA); 0: none */
    double alpha;    /* linear with rank: its factors count alpha / rank; 0: rank */
    enum spec_mask mask;                       /* attention; default none */
    enum spec_states states;                   /* lstm; default all */
    enum spec_position position;               /* position; default learnt */
    double scale, inverse_temperature, offset; /* tempered_sigmoid; default 2, 2, 1 */
};

/* Of the last layer's values and the label; not a layer. */
enum spec_loss { LOSS_CROSS_ENTROPY, LOSS_MSE, LOSS_HINGE, LOSS_N };

/* How gradients are added up. FIXED: each alone, rounded to a grid, so that the sum is
 * the same bits for any number of ranks. */
enum spec_sum { SUM_FLOAT, SUM_FIXED, SUM_N };

/* How a step takes its records. BALLS_IN_BINS: each record falls into one step of every
 * epoch, drawn evenly and afresh. FIXED_ORDER: the same, but drawn once, so that each
 * epoch repeats the first; the noise is correlated over steps. */
enum spec_sampling {
    SAMPLE_POISSON,
    SAMPLE_BALLS_IN_BINS,
    SAMPLE_FIXED_ORDER,
    SAMPLE_N
};

/* Those from TRAINING_N on are of a federation's server only. */
enum spec_optimizer {
    OPTIMIZER_SGD,
    OPTIMIZER_MOMENTUM,
    OPTIMIZER_ADAM,
    OPTIMIZER_TRAINING_N,
    OPTIMIZER_YOGI = OPTIMIZER_TRAINING_N,
    OPTIMIZER_N
};
enum spec_schedule { SCHEDULE_CONSTANT, SCHEDULE_COSINE, SCHEDULE_STEP, SCHEDULE_N };

/* How the test split may be looked at. PUBLIC: the spec states that it holds nobody's
 * secret; every count is reported. PAID: one noisy count at the end, priced. */
enum spec_evaluation {
    EVALUATION_NONE,
    EVALUATION_PUBLIC,
    EVALUATION_PAID,
    EVALUATION_N
};

struct spec_dataset {
    char name[SPEC_NAME_SIZE];  /* as registered with ppt-budget dataset add */
    char train[SPEC_NAME_SIZE]; /* HDF5 group; default "train" */
    char test[SPEC_NAME_SIZE];  /* HDF5 group, or "" */
    double mean, std;           /* x is fed as (x - mean) / std, after uint8 -> [0,1];
                                   public constants; default 0 and 1 */
};

/* A file beside the data set's: a frozen model, or a trace of devices. */
struct spec_base {
    char file[SPEC_NAME_SIZE];  /* "" for none */
    char sha256[SPEC_HEX_SIZE]; /* of the file, in hexadecimal */
};

struct spec_model {
    enum spec_preset preset;
    int64_t hidden; /* mlp: units of the hidden layer; default 128; else 0 */
    int n_layers;   /* PRESET_LAYERS only */
    struct spec_layer layers[SPEC_MAX_LAYERS];
    struct spec_base base; /* with layers only */
};

/* How the gradients of a sample are kept short; each rule bounds what one unit adds to
 * the sum by clip_norm. */
enum spec_clip_mode {
    CLIP_FLAT,      /* g min(1, clip_norm / |g|) (Abadi et al. 2016) */
    CLIP_PER_LAYER, /* that in each of L layers with clip_norm / sqrt(L) */
    CLIP_AUTOMATIC, /* g clip_norm / (|g| + gamma) (Bu et al. 2022) */
    CLIP_QUANTILE,  /* flat; clip_norm follows the norms (Andrew et al. 2021) */
    CLIP_N
};

struct spec_clipping {
    enum spec_clip_mode mode;
    double gamma; /* automatic; default 0.01; else 0 */
    /* quantile, else 0: the fraction of gradients that shall be short enough, default
     * 0.5; the noise on their count, 0: chosen with the price (price.h); how fast
     * clip_norm follows, default 0.2. */
    double quantile, count_noise, rate;
};

struct spec_privacy {
    bool is_private; /* false: `privacy: none` */
    enum privacy_unit unit;
    double epsilon; /* target; 0 when noise_multiplier is given instead */
    double delta;
    double clip_norm; /* L2 bound of one unit's gradient; quantile: at first */
    struct spec_clipping clipping;
    double noise_multiplier; /* 0: auto, calibrated to epsilon */
};

struct spec_training {
    int64_t epochs; /* exactly one of epochs and steps is > 0 */
    int64_t steps;
    int64_t batch_size; /* expected size of the sample; dealt, fixed: at most */
    enum spec_optimizer optimizer;
    double learning_rate;
    double momentum;     /* momentum; default 0.9; else 0 */
    double beta1, beta2; /* adam; defaults 0.9, 0.999; else 0 */
    enum spec_schedule schedule;
    int64_t schedule_every; /* step: every so many steps ... */
    double schedule_factor; /* ... the rate is multiplied by this */
    int64_t seed; /* of the initial weights ONLY; never of noise or sampling */
    enum spec_evaluation evaluation;
    double
        evaluation_noise; /* PAID: standard deviation of the noisy count; default 20 */
    int64_t evaluate_every; /* PUBLIC: steps between evaluations; 0: at the end only */
    int64_t checkpoint_every;    /* steps; default 500 */
    int64_t checkpoint_keep;     /* files; 0: as the worker has it */
    enum spec_loss loss;         /* default cross_entropy */
    double noise_floor;          /* adam: see ppt-jobspec(5); 0: plain Adam */
    double tau;                  /* yogi, of a federation's server: as there */
    enum spec_sum sum;           /* default float */
    enum spec_sampling sampling; /* default poisson */
    int64_t bands;               /* FIXED_ORDER: of the noise; default 16; else 0 */
};

/* How records become clients. USERS: by the data set's own units, so that a client is a
 * person with all its records; the others make clients up, and no privacy per user can
 * be claimed of them.
 */
enum spec_partition {
    PARTITION_USERS,
    PARTITION_IID,
    PARTITION_DIRICHLET,
    PARTITION_SHARDS,
    PARTITION_N
};

/* POISSON: each client independently. Without privacy only: FIXED, exactly so many;
 * WEIGHTED, the same with chances in proportion to their records. DEALT, with `local`
 * only: each in one round of every pass. FIXED_ORDER: each in one round of every pass,
 * drawn once, so that each pass repeats the first; the server's noise is correlated
 * over rounds. */
enum spec_selection {
    SELECTION_POISSON,
    SELECTION_FIXED,
    SELECTION_WEIGHTED,
    SELECTION_DEALT,
    SELECTION_FIXED_ORDER,
    SELECTION_N
};
enum spec_weighting { WEIGHTING_EQUAL, WEIGHTING_EXAMPLES, WEIGHTING_N };

/* What the server does with the mean update, as if it were a gradient's opposite. */
struct spec_server {
    enum spec_optimizer optimizer; /* sgd is FedAvg, momentum FedAvgM, adam FedAdam,
                                      yogi FedYogi */
    double learning_rate;          /* default 1 */
    double momentum, beta1, beta2; /* as in training */
    double tau;                    /* yogi: its adaptivity; default 0.001 */
};

/* How updates come to the server: each as it is, or only their sum (jobs/fl). */
enum spec_aggregation { AGGREGATION_CLEAR, AGGREGATION_SECAGG, AGGREGATION_N };

/* Whom secure aggregation expects; with aggregation: secagg only, else zeros. */
enum spec_trust { TRUST_HONEST, TRUST_LYING, TRUST_N };
struct spec_secagg {
    int64_t bits;            /* of a coordinate of the sum; default 20 */
    double max_norm;         /* L2 bound of an update where privacy is none; else 0 */
    double corrupt, dropout; /* shares of a cohort, default 0.1 each */
    enum spec_trust server;  /* default honest: it keeps to the protocol */
    int64_t min_clients;     /* fewer survivors release nothing; default 10 */
    double vanish;           /* simulated: each client's chance; default 0 */
    int64_t group;           /* with robust: clients that are summed together; else 0 */
};

/* How the server makes one update of a cohort's, some of which are false (jobs/fl). */
enum spec_rule {
    RULE_KRUM,
    RULE_MULTI_KRUM,
    RULE_MEDIAN, /* of each coordinate */
    RULE_TRIMMED_MEAN,
    RULE_BULYAN,
    RULE_GEOMETRIC_MEDIAN,
    RULE_CENTERED_CLIPPING,
    RULE_NORM_BOUND,
    RULE_N
};

/* What is done to updates before the rule. */
enum spec_before { BEFORE_NOTHING, BEFORE_NEAREST, BEFORE_BUCKETS, BEFORE_N };

struct spec_robust {
    bool is_on; /* the file has the section; else zeros */
    enum spec_rule rule;
    int64_t byzantine; /* of a cohort: as many at most are false */
    enum spec_before before;
    int64_t bucket;     /* buckets: updates in one; default 2; else 0 */
    double clip_norm;   /* centered_clipping, norm_bound: L2; else 0 */
    int64_t iterations; /* geometric_median, centered_clipping; default 3; else 0 */
    double smoothing;   /* geometric_median; default 1e-6; else 0 */
};

/* Clients as devices, by a virtual clock (jobs/fl/device.h). */
struct spec_devices {
    bool is_on;                         /* the file has the section; else zeros */
    struct spec_base trace;             /* then the four from examples_per_s on are 0 */
    double over_commit;                 /* so many times the cohort are asked */
    double examples_per_s, bytes_per_s; /* the median client's */
    double spread;                      /* standard deviation of both's logarithms */
    double availability;                /* share of a period that a client is there */
    int64_t period_s;
};

/* Whether a round runs, by the clients' consent (jobs/fl/consent.h). */
struct spec_consent {
    bool is_asked;       /* the file has the section; else zeros */
    int64_t min_clients; /* so many consent at least; default 10 */
    double min_share;    /* and this share of those registered; default 0.75 */
};

/* Who makes a private sum noisy: the server once it has it, or the clients, each by a
 * share of the noise in its masked vector (jobs/fl/share.h); CLIENTS with aggregation:
 * secagg only. */
enum spec_noise_by { NOISE_BY_SERVER, NOISE_BY_CLIENTS, NOISE_BY_N };
enum spec_noise_kind {
    NOISE_ROUNDED_GAUSSIAN,  /* Gaussian draws, each rounded to a whole number */
    NOISE_DISCRETE_GAUSSIAN, /* mass ~ e^{-x^2 / 2 s^2} (Kairouz et al. 2021) */
    NOISE_SKELLAM,           /* difference of two Poissons (Agarwal et al. 2021) */
    NOISE_KIND_N
};

/* All but `by` with NOISE_BY_CLIENTS only, else zeros. */
struct spec_noise {
    enum spec_noise_by by;
    enum spec_noise_kind kind;
    int64_t participants;  /* who add a share in a round; 0: as many as cohort */
    int64_t min_survivors; /* so many shares are enough */
};

/* False clients, simulated (jobs/fl/attack.h). */
enum spec_attack_kind {
    ATTACK_SIGN_FLIP,
    ATTACK_LABEL_FLIP,
    ATTACK_ALIE,
    ATTACK_IPM,
    ATTACK_MIN_MAX,
    ATTACK_MIMIC,
    ATTACK_NAN,
    ATTACK_N
};

struct spec_attack {
    bool is_on; /* the file has the section; else zeros */
    enum spec_attack_kind kind;
    int64_t clients; /* as many of all clients are false */
    double strength; /* ipm; default 0.1; else 0 */
};

/* Models of the clients' own (jobs/fl/personal.h); without privacy only. */
enum spec_personal_kind {
    PERSONAL_FINE_TUNE,
    PERSONAL_DITTO,
    PERSONAL_FEDREP,
    PERSONAL_APFL,
    PERSONAL_N
};

struct spec_personal {
    bool is_on; /* the file has the section; else zeros */
    enum spec_personal_kind kind;
    int64_t epochs; /* over a client's records; default 5; apfl: 0 */
    double lambda;  /* ditto; default 0.1; else 0 */
    double holdout; /* share of its records that no round trains on; default 0.2 */
    double alpha;   /* apfl: a client's first share of its own model; default 0.5 */
};

/* How clients send fewer bytes (jobs/fl/compress.h). */
enum spec_compress_kind {
    COMPRESS_TOP_K,
    COMPRESS_RANDOM_K,
    COMPRESS_QSGD,
    COMPRESS_EDEN,
    COMPRESS_LOW_RANK,
    COMPRESS_ZSTD,
    COMPRESS_N
};

struct spec_compress {
    bool is_on; /* the file has the section; else zeros */
    enum spec_compress_kind kind;
    double fraction; /* top_k, random_k: of the values; default 0.01; else 0 */
    int64_t levels;  /* qsgd; default 255; else 0 */
    int64_t bits;    /* eden: of a value; default 2; else 0 */
    int64_t rank;    /* low_rank; default 4; else 0 */
};

/* Whether each client makes its own update noisy before it leaves it, so that nobody
 * else need be trusted (jobs/fl/randomise.h). */
enum spec_local {
    LOCAL_NONE,
    LOCAL_GAUSSIAN, /* Gaussian noise of noise_multiplier times 2 clip_norm */
    LOCAL_PRIVUNIT, /* a direction at a pure epsilon a message */
    LOCAL_STEPS,    /* in each step of a client's training; the same price a pass */
    LOCAL_N
};

/* Of the drift of clients with unlike records (jobs/fl/scaffold.h). */
enum spec_correction { CORRECTION_NONE, CORRECTION_SCAFFOLD, CORRECTION_N };

/* kind: fl only, else zeros. Training is then what a client does in a round. */
struct spec_federation {
    int64_t rounds;
    enum spec_partition partition;
    int64_t clients; /* made up; 0 with users */
    double alpha;    /* dirichlet; default 0.5; else 0 */
    int64_t shards;  /* of a client; default 2; else 0 */
    int64_t
        cohort; /* clients in a round: expected (poisson) or exact; dealt: at most */
    enum spec_selection selection;
    int64_t bands; /* FIXED_ORDER: of the noise; default 16; else 0 */
    enum spec_weighting weighting;
    int64_t max_weight; /* examples: so many count at the most; 0: all */
    double prox; /* FedProx: mu of mu/2 |w - w_t|^2 in a client's loss; default 0 */
    struct spec_server server;
    enum spec_aggregation aggregation;
    struct spec_secagg secagg;
    struct spec_consent consent;
    struct spec_devices devices;
    struct spec_robust robust;
    struct spec_noise noise;
    struct spec_attack attack;
    double client_momentum; /* of updates, kept by each client; default 0 */
    struct spec_personal personal;
    struct spec_compress compress;
    int64_t max_client_bytes; /* with compress: of a client's message; 0: no limit */
    enum spec_local local;    /* default none */
    enum spec_correction correction;
};

/* Wishes to Slurm; "", 0: none. Used by the sbatch launcher only. */
struct spec_slurm {
    char partition[SPEC_NAME_SIZE], qos[SPEC_NAME_SIZE];
    char account[SPEC_NAME_SIZE]; /* Slurm's, not the one whose budget pays */
    char reservation[SPEC_NAME_SIZE];
    int64_t n_nodes;       /* exactly so many */
    int64_t time_margin_s; /* added to the time limit that Slurm is told */
    int mail_types;        /* bit b: spec_mail_name(b); with mail_user only */
    char mail_user[SPEC_NAME_SIZE];
    int n_options;
    char options[SPEC_MAX_OPTIONS][SPEC_NAME_SIZE]; /* "--constraint=fast": checked, no
                                                       blank or quote */
};

#define SPEC_MEMORY ((int64_t)2 << 30)

struct spec_resources {
    int64_t ranks;          /* MPI processes, default 1 */
    int64_t cores_per_rank; /* threads of a rank, default 1 */
    int64_t gpus_per_rank;  /* default 0 */
    int64_t time_limit_s;   /* default 3600 */
    int64_t memory_bytes;   /* of all ranks together, default SPEC_MEMORY */
    int64_t priority;       /* -100 .. 100, default 0: larger starts first */
    struct spec_slurm slurm;
};

struct spec_output {
    char model[SPEC_NAME_SIZE]; /* file name inside the job's directory: model.h5 */
};

#define SPEC_N_ENDS 4

/* Whom to write to when the job has ended. */
struct spec_notify {
    char mail[SPEC_NAME_SIZE]; /* an address; "": nobody */
    unsigned ends;             /* bit b: done, failed, cancelled, refused */
};

struct spec {
    char name[SPEC_NAME_SIZE];
    char account[SPEC_PATH_SIZE]; /* path such as acme/research/vision */
    enum job_kind kind;
    struct spec_dataset dataset;
    struct spec_model model;
    struct spec_privacy privacy;
    struct spec_training training;
    struct spec_resources resources;
    struct spec_output output;
    struct spec_federation federation;
    struct spec_notify notify;
    char sha256[SPEC_HEX_SIZE]; /* of the canonical form, filled by spec_parse */
};

/* What the site allows; read from configs/site.yaml by scheduler/conf. */
struct spec_policy {
    double min_epsilon, max_epsilon; /* default 0.1, 10 */
    double max_delta;                /* default 1e-6 */
    int64_t max_ranks, max_cores_per_rank, max_time_limit_s, max_memory_bytes;
    bool refuses_slurm; /* jobs are not started by Slurm; default false: not known */
};

/* The defaults that hold where no site.yaml is at hand. */
struct spec_policy spec_policy_default(void);

/* Parses and checks `len` bytes of YAML (or of the canonical form, which is JSON).
 * `path` is for messages. Syntax, unknown and repeated keys, types, ranges, impossible
 * combinations and the policy's bounds: each fault is one line
 * "path:line:column: field.path: what was expected" in err->detail, all faults in one
 * go (those that do not fit are counted). `policy` NULL: no bounds are checked, as for
 * a spec that was admitted before. A section `sweep` is a fault here: such a file is
 * many jobs (sweep.h). Errors: PPT_ESPEC; PPT_EPOLICY when the policy's
 * bounds are the only faults; PPT_ENOMEM. */
int spec_parse(const char *text, size_t len, const char *path,
               const struct spec_policy *policy, struct spec *ret_spec,
               struct error *err);

/* Reads a file of at most SPEC_MAX_BYTES and parses it. Also hands back the text where
 * ret_text is not NULL (NUL-terminated; caller frees). Errors: PPT_ENOTFOUND, PPT_EIO,
 * PPT_ESPEC, PPT_EPOLICY, PPT_ENOMEM. */
int spec_read(const char *path, const struct spec_policy *policy, struct spec *ret_spec,
              char **ret_text, struct error *err);

/* Another account than the one of the file, as a command line may wish; the digest is
 * that of the changed spec. Errors: PPT_ESPEC (not an account's path), PPT_ENOMEM. */
int spec_set_account(struct spec *spec, const char *account, struct error *err);

/* The canonical form: JSON, fixed key order, every default written out, shortest
 * round-trip numbers, one trailing newline. NUL-terminated; caller frees. Parsing it
 * gives the same struct and the same digest. Errors: PPT_ENOMEM. */
int spec_canonical(const struct spec *spec, char **ret_text, struct error *err);

/* Is anybody to be told of that end, "failed"? */
bool spec_notifies(const struct spec_notify *notify, const char *end);

/* Is anything set? */
bool spec_has_slurm(const struct spec_slurm *slurm);

/* The word of a bit of mail_types, "time_limit_90"; NULL past the last. */
const char *spec_mail_name(int bit);

/* The words of the YAML for each value: "cnn", "conv2d", "momentum", "cosine",
 * "public". */
const char *spec_preset_name(enum spec_preset preset);
const char *spec_layer_name(enum spec_layer_kind kind);
const char *spec_position_name(enum spec_position position);
const char *spec_mask_name(enum spec_mask mask);
const char *spec_states_name(enum spec_states states);
const char *spec_loss_name(enum spec_loss loss);
const char *spec_sum_name(enum spec_sum sum);
const char *spec_sampling_name(enum spec_sampling sampling);
const char *spec_optimizer_name(enum spec_optimizer optimizer);
const char *spec_clip_mode_name(enum spec_clip_mode mode);
const char *spec_schedule_name(enum spec_schedule schedule);
const char *spec_evaluation_name(enum spec_evaluation evaluation);
const char *spec_partition_name(enum spec_partition partition);
const char *spec_selection_name(enum spec_selection selection);
const char *spec_local_name(enum spec_local local);
/* Are there exactly so many clients in each round? */
bool spec_selection_is_exact(enum spec_selection selection);
const char *spec_weighting_name(enum spec_weighting weighting);
const char *spec_personal_name(enum spec_personal_kind kind);
const char *spec_aggregation_name(enum spec_aggregation aggregation);
const char *spec_trust_name(enum spec_trust trust);
const char *spec_rule_name(enum spec_rule rule);
const char *spec_attack_name(enum spec_attack_kind kind);

/* How many updates the rule needs where n_byzantine of them are false. */
int64_t spec_rule_least(enum spec_rule rule, int64_t n_byzantine);

/* Does the rule count on at most so many? The others count on most updates being true.
 */
bool spec_rule_counts(enum spec_rule rule);

/* Cohorts of so many clients or more always have a graph for these rates
 * (jobs/fl/degree.h); infinite where large ones never have. */
double spec_secagg_least(const struct spec_secagg *secagg);
const char *spec_noise_kind_name(enum spec_noise_kind kind);

/* Does a client remember what it has not sent, to add it to its next update? */
bool spec_compress_leaves_out(const struct spec_compress *compress);

/* noise.participants, or what it is where the spec does not say. */
int64_t spec_noise_participants(const struct spec_federation *federation);

#endif
