#include "jobs/fl/secure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/verdict.h"
#include "jobs/dp/votes.h"
#include "jobs/fl/cause.h"
#include "jobs/fl/draw.h"
#include "jobs/fl/journal.h"
#include "jobs/fl/post.h"
#include "jobs/fl/secure_plan.h"
#include "kernels/ring.h"

static int allocate(struct secure *secure, struct error *err)
{
    size_t n = (size_t)(secure->n_clients + secure->n_stand_ins) + 1;
    size_t n_values = (size_t)secure->trainer->n_padded *
                      (size_t)scaffold_n_vectors(&secure->spec->federation);
    secure->members = calloc(n, sizeof *secure->members);
    secure->publics = calloc(n, sizeof *secure->publics);
    secure->roster = calloc(n, sizeof *secure->roster);
    secure->clients = calloc(n, sizeof(struct secagg_client *));
    secure->leaves = calloc(n, sizeof *secure->leaves);
    secure->sent = calloc(n, sizeof *secure->sent);
    secure->ring = calloc(n_values + WEIGHT_MAX_DIGITS, sizeof *secure->ring);
    secure->update = calloc(n_values, sizeof *secure->update);
    if (secure->members == NULL || secure->publics == NULL || secure->roster == NULL ||
        secure->clients == NULL || secure->leaves == NULL || secure->sent == NULL ||
        secure->ring == NULL || secure->update == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for secure aggregation");
    }
    return 0;
}

static void open_streams(struct secure *secure,
                         const unsigned char master[CRYPTO_KEY_SIZE])
{
    unsigned char key[CRYPTO_KEY_SIZE];
    int64_t seed = secure->spec->training.seed;
    if (secure->trainer->is_private) {
        draw_key_secret(master, "rounding", key);
    } else { /* so that the same file gives the same model */
        draw_key_public(seed, "rounding", key);
    }
    secure->rounding = crypto_stream_new(key);
    draw_key_public(seed, "fate", key);
    secure->fate = crypto_stream_new(key);
    draw_key_secret(master, "identities", secure->identities);
    crypto_wipe(key, sizeof key);
}

int secure_open(struct secure *secure, const struct spec *spec, struct trainer *trainer,
                struct local *local, struct cohort *cohort, struct consent *consent,
                const unsigned char master[CRYPTO_KEY_SIZE], struct error *err)
{
    *secure = (struct secure){.spec = spec,
                              .trainer = trainer,
                              .local = local,
                              .cohort = cohort,
                              .consent = consent,
                              .n_clients = local->partition->n_clients};
    secure->n_stand_ins = trainer->is_private ? spec->federation.secagg.min_clients : 0;
    if (trainer->is_private && spec->federation.noise.by == NOISE_BY_CLIENTS) {
        secure->n_sharers = (uint32_t)spec_noise_participants(&spec->federation);
        secure->n_stand_ins = secure->n_sharers;
    }
    int rc = allocate(secure, err);
    if (rc == 0) {
        rc = secure_plan(secure, master, err);
    }
    if (rc == 0) {
        open_streams(secure, master);
    } else {
        secure_close(secure);
    }
    return rc;
}

static void end_round(struct secure *secure)
{
    for (uint32_t i = 0; secure->clients != NULL && i < secure->n; i++) {
        secagg_client_free(secure->clients[i]);
        secure->clients[i] = NULL;
        buf_free(&secure->sent[i]);
    }
    secagg_server_free(secure->server);
    session_close(&secure->session);
    secure->server = NULL;
    secure->session = (struct session){0};
    secure->n = 0;
}

void secure_close(struct secure *secure)
{
    end_round(secure);
    if (secure->members != NULL) {
        size_t n = (size_t)(secure->n_clients + secure->n_stand_ins) + 1;
        crypto_wipe(secure->members, n * sizeof *secure->members);
    }
    if (secure->rounding != NULL) {
        crypto_stream_free(secure->rounding);
        crypto_stream_free(secure->fate);
    }
    share_close(&secure->share);
    free(secure->members);
    free(secure->publics);
    free(secure->roster);
    free(secure->clients);
    free(secure->leaves);
    free(secure->sent);
    free(secure->ring);
    free(secure->update);
    buf_free(&secure->mail);
    buf_free(&secure->text);
    crypto_wipe(secure->identities, sizeof secure->identities);
    *secure = (struct secure){0};
}

/* A cohort's member by its number in the session. */
static int64_t client_of(const struct secure *secure, uint32_t number)
{
    return number < secure->n_drawn ? secure->drawn[number]
                                    : secure->n_clients + number - secure->n_drawn;
}

static int player_of(const struct secure *secure, uint32_t number)
{
    return keep_player(secure->local->keep, number, client_of(secure, number));
}

static bool is_mine(const struct secure *secure, uint32_t number)
{
    return player_of(secure, number) == secure->trainer->env->comm->rank;
}

static uint32_t count_turns(const struct secure *secure)
{
    uint32_t most = 0;
    for (int r = 0; r < secure->trainer->env->comm->size; r++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < secure->n; i++) {
            n += player_of(secure, i) == r;
        }
        most = n > most ? n : most;
    }
    return most;
}

/* Of a client that takes part for the first time. */
static void make_identity(struct secure *secure, int64_t client)
{
    static const unsigned char none[CRYPTO_KEY_SIZE];
    struct secagg_member *member = &secure->members[client];
    if (memcmp(secure->publics[client], none, sizeof none) == 0) {
        crypto_hkdf("ppt fl", 6, secure->identities, CRYPTO_KEY_SIZE, &client,
                    sizeof client, member->identity, CRYPTO_KEY_SIZE);
        crypto_sign_public(member->identity, secure->publics[client]);
    }
}

/* At which stage a client vanishes. */
static uint8_t fate_of(struct secure *secure, int64_t client)
{
    crypto_stream_seek(secure->fate,
                       (uint64_t)secure->trainer->step << 32 | (uint64_t)client, 0);
    bool vanishes = draw_uniform(secure->fate) < secure->spec->federation.secagg.vanish;
    return vanishes ? (uint8_t)draw_below(secure->fate, SECAGG_SUMMED) : SECAGG_SUMMED;
}

/* Of everybody in the round, so that enough are left of those with a share. */
static uint32_t least_survivors(const struct secure *secure)
{
    const struct spec_federation *federation = &secure->spec->federation;
    uint32_t least = (uint32_t)federation->secagg.min_clients;
    uint32_t of_shares = (uint32_t)federation->noise.min_survivors;
    uint32_t without = secure->n - secure->n_sharers; /* that have none */
    if (secure->n_sharers > 0 && of_shares + without > least) {
        least = of_shares + without;
    }
    return least;
}

/* All of them, or as many as fill the round up to those who add noise. */
static uint32_t stand_ins_of_round(const struct secure *secure)
{
    int64_t n = secure->n_stand_ins, came = secure->n_drawn;
    if (secure->n_sharers == 0) {
        return (uint32_t)n;
    }
    return came < n ? (uint32_t)(n - came) : 0;
}

static int open_session(struct secure *secure, struct error *err)
{
    struct trainer *trainer = secure->trainer;
    const struct spec_secagg *secagg = &secure->spec->federation.secagg;
    struct session_terms terms = {
        .round = (uint64_t)trainer->step,
        .n_clients = secure->n,
        .min_clients = least_survivors(secure),
        .n_coords = secure->terms.n_values + (uint32_t)secure->digits.n,
        .n_bits = (int)secagg->bits,
        .roster = (const unsigned char(*)[CRYPTO_KEY_SIZE])secure->roster};
    crypto_sha256(trainer->plan->spec_sha256, sizeof trainer->plan->spec_sha256,
                  terms.job);
    crypto_sha256(trainer->params, (size_t)trainer->net.n_params * sizeof(float),
                  terms.model);
    int rc =
        secure_plan_degree(secure, secure->n, &terms.degree, &terms.threshold, err);
    return rc != 0 ? rc : session_open(&secure->session, &terms, err);
}

/* In private jobs no weight is sent: the divisor is public. */
static int plan_weights(struct secure *secure, struct error *err)
{
    const struct spec_federation *federation = &secure->spec->federation;
    bool is_sent =
        federation->weighting == WEIGHTING_EXAMPLES && !secure->trainer->is_private;
    secure->digits = (struct weight_digits){0};
    return is_sent ? weight_plan(federation->max_weight, (int)federation->secagg.bits,
                                 secure->n, &secure->digits, err)
                   : 0;
}

/* Session, clients and server of this round. */
static int begin_round(struct secure *secure, struct error *err)
{
    secure->n = secure->n_drawn + stand_ins_of_round(secure);
    secure->n_turns = count_turns(secure);
    for (uint32_t i = 0; i < secure->n; i++) {
        int64_t client = client_of(secure, i);
        make_identity(secure, client);
        memcpy(secure->roster[i], secure->publics[client], CRYPTO_KEY_SIZE);
        secure->leaves[i] = fate_of(secure, client);
    }
    int rc = plan_weights(secure, err);
    if (rc == 0) {
        rc = open_session(secure, err);
    }
    for (uint32_t i = 0; rc == 0 && i < secure->n; i++) {
        if (is_mine(secure, i)) {
            rc = secagg_client_new(&secure->session, i,
                                   &secure->members[client_of(secure, i)],
                                   &secure->clients[i], err);
        }
    }
    if (rc == 0 && secure->trainer->env->comm->rank == 0) {
        rc = secagg_server_new(&secure->session, &secure->server, err);
    }
    return verdict_join(secure->trainer->env->comm, rc, err);
}

static struct compress *compress_of(const struct secure *secure)
{
    return secure->spec->federation.compress.is_on ? secure->local->compress : NULL;
}

/* What it trains, or what it is given; of compressed ones (random_k) the values at this
 * round's places; with scaffold.h the change of the control behind it. */
static int find_update(struct secure *secure, uint32_t number, struct error *err)
{
    struct trainer *trainer = secure->trainer;
    const struct local *local = secure->local;
    int64_t n = trainer->net.n_params;
    int rc = 0;
    if (secure->given != NULL) {
        memcpy(secure->update, secure->given + number * trainer->n_padded,
               (size_t)n * sizeof *secure->update);
    } else {
        rc = local_train(secure->local, client_of(secure, number), err);
        for (int64_t j = 0; rc == 0 && j < n; j++) {
            secure->update[j] = local->params[j] - trainer->params[j];
        }
        if (rc == 0 && local->scaffold != NULL) {
            scaffold_propose(local->scaffold, local->params, local->learning_rate,
                             local->n_steps, secure->update + n);
        }
    }
    if (rc == 0 && compress_of(secure) != NULL) {
        compress_gather(compress_of(secure), trainer->step, secure->update);
    }
    return rc;
}

/* The sum of what clients sent, as an update of all parameters. */
static int decode(struct secure *secure, float *ret_update, struct error *err)
{
    int n_bits = (int)secure->spec->federation.secagg.bits;
    int rc = encode_decode(&secure->terms, secure->ring, n_bits, ret_update, err);
    if (rc == 0 && compress_of(secure) != NULL) {
        compress_scatter(compress_of(secure), secure->trainer->step, ret_update);
    }
    return rc;
}

/* What one unit of an update is in what is sent (secure_plan.h). */
static double unit_of(const struct secure *secure)
{
    const struct trainer *trainer = secure->trainer;
    return votes_are_taken(trainer) ? secure->first_norm / trainer->threshold.norm
                                    : 1.0;
}

/* The update times the client's share, no longer than the clip norm before: what is
 * longer than that already is not made shorter by a small share. And its vote. */
static void weigh(struct secure *secure, double share)
{
    const struct trainer *trainer = secure->trainer;
    int64_t n = secure->terms.n_values - votes_are_taken(trainer);
    double square = 0.0, unit = unit_of(secure);
    for (int64_t j = 0; j < n; j++) {
        square += (double)secure->update[j] * (double)secure->update[j];
    }
    double norm = sqrt(square), factor = share * unit;
    factor *= fmin(1.0, secure->first_norm / unit / norm);
    for (int64_t j = 0; (share < 1.0 || votes_are_taken(trainer)) && j < n; j++) {
        secure->update[j] = (float)(factor * (double)secure->update[j]);
    }
    if (votes_are_taken(trainer)) {
        secure->update[n] = (float)(votes_of(trainer, norm) * secure->vote_weight);
    }
}

/* What the client has to say: its update, or a stand-in's zeros. */
static int encode_client(struct secure *secure, uint32_t number, struct error *err)
{
    struct trainer *trainer = secure->trainer;
    int64_t client = client_of(secure, number), n = secure->terms.n_values;
    int64_t n_records = 0;
    memset(secure->ring, 0, (size_t)(n + secure->digits.n) * sizeof *secure->ring);
    if (client >= secure->n_clients) {
        return 0;
    }
    int rc = find_update(secure, number, err);
    if (rc != 0) {
        return rc;
    }
    n_records = partition_size(secure->local->partition, client);
    weigh(secure, weight_share(&secure->spec->federation, n_records));
    weight_write(&secure->digits, weight_of(&secure->spec->federation, n_records),
                 secure->ring + n);
    crypto_stream_seek(secure->rounding, partition_id(secure->local->partition, client),
                       (uint64_t)trainer->step << 32);
    return encode_update(&secure->terms, secure->update, secure->rounding, secure->ring,
                         err);
}

/* That, and its share of the noise. */
static int encode_member(struct secure *secure, uint32_t number, struct error *err)
{
    int rc = encode_client(secure, number, err);
    if (rc == 0 && number < secure->n_sharers) {
        share_add(&secure->share, (uint64_t)secure->trainer->step << 32 | number,
                  secure->ring);
    }
    return rc;
}

/* Who has sent its vector is in the sum, or there is none: its control moves by what
 * the vector says, after clipping and rounding. */
static int move_control(struct secure *secure, struct error *err)
{
    const struct local *local = secure->local;
    if (local->scaffold == NULL) {
        return 0;
    }
    int rc =
        encode_decode(&secure->terms, secure->ring, RING_MAX_BITS, secure->update, err);
    if (rc == 0) {
        scaffold_take(local->scaffold, secure->update + secure->trainer->net.n_params,
                      local->control);
    }
    return rc;
}

/* The answer of one client of this rank to the server's text, into secure->text. */
static int answer(struct secure *secure, enum secagg_stage stage, uint32_t number,
                  const void *text, size_t len, struct error *err)
{
    struct secagg_client *client = secure->clients[number];
    struct buf *out = &secure->text;
    int rc = 0;
    switch (stage) {
    case SECAGG_KEYS:
        return secagg_client_keys(client, out, err);
    case SECAGG_SHARES:
        return secagg_client_share(client, text, len, out, err);
    case SECAGG_MASKED:
        rc = encode_member(secure, number, err);
        if (rc == 0) {
            rc = secagg_client_mask(client, text, len, secure->ring, out, err);
        }
        return rc != 0 ? rc : move_control(secure, err);
    case SECAGG_VOUCHES:
        return secagg_client_vouch(client, text, len, out, err);
    default:
        return secagg_client_reveal(client, text, len, out, err);
    }
}

/* Rank 0: the server's letters to those clients of one rank that are still there. */
static int write_letters(struct secure *secure, enum secagg_stage stage, int to,
                         struct buf *ret_mail, struct error *err)
{
    int rc = 0;
    buf_clear(ret_mail);
    for (uint32_t i = 0; rc == 0 && i < secure->n; i++) {
        if (player_of(secure, i) != to || secure->leaves[i] <= stage) {
            continue;
        }
        buf_clear(&secure->text);
        rc = stage == SECAGG_KEYS
                 ? 0
                 : secagg_server_message(secure->server, i, &secure->text, err);
        if (rc == -PPT_ESTATE) { /* it has stopped by itself, or was refused */
            secure->leaves[i] = 0;
            rc = 0;
            continue;
        }
        post_write(ret_mail, i, secure->text.data, secure->text.len);
        secure->n_bytes += (int64_t)secure->text.len;
    }
    return rc != 0 ? rc : buf_check(ret_mail, err);
}

/* The server's letters to every rank; ret_mail ends as this one's. */
static int deliver(struct secure *secure, enum secagg_stage stage, struct buf *ret_mail,
                   struct error *err)
{
    struct comm *comm = secure->trainer->env->comm;
    struct buf passing = {0};
    int rc = 0;
    for (int to = comm->size - 1; rc == 0 && to >= 0; to--) {
        struct buf *mail = to == comm->rank ? ret_mail : &passing;
        rc = comm->rank == 0 ? write_letters(secure, stage, to, mail, err) : 0;
        rc = verdict_share(comm, rc, err);
        if (rc == 0 && to > 0) {
            rc = post_send(comm, 0, mail, err);
        }
    }
    buf_free(&passing);
    return rc;
}

/* Rank 0: the server takes a rank's letters. One that it refuses counts as not sent. */
static void take_letters(struct secure *secure, const struct buf *mail)
{
    struct buf_reader reader = buf_reader(mail->data, mail->len);
    const unsigned char *text;
    uint32_t number;
    size_t len;
    while (post_read(&reader, &number, &text, &len)) {
        (void)secagg_server_take(secure->server, number, text, len, NULL);
        secure->n_bytes += (int64_t)len;
    }
}

/* Clients that stop, stop for good: the server sees them vanish. Anything else than a
 * cause is an error of this rank. */
static bool is_stop(int rc)
{
    return rc == -PPT_ETRUST || rc == -PPT_EPOLICY || rc == -PPT_ESTATE;
}

/* By far the longest message of a client is the masked one. */
static int limit_bytes(struct secure *secure, enum secagg_stage stage,
                       struct error *err)
{
    int64_t most = secure->spec->federation.max_client_bytes;
    int64_t len = (int64_t)secure->text.len;
    if (stage != SECAGG_MASKED) {
        return 0;
    }
    secure->most_bytes = len > secure->most_bytes ? len : secure->most_bytes;
    return most == 0 || len <= most ? 0 : compress_refuse(len, err);
}

/* A masked vector that may have to be taken out again. */
static void keep_sent(struct secure *secure, enum secagg_stage stage, uint32_t number)
{
    if (stage == SECAGG_MASKED && secure->consent->allows != NULL) {
        buf_clear(&secure->sent[number]);
        buf_bytes(&secure->sent[number], secure->text.data, secure->text.len);
    }
}

/* Answers to at most `most` of the letters that are left, one mail to rank 0 from each
 * rank in its turn. Every rank calls it as often. */
static int answer_some(struct secure *secure, enum secagg_stage stage,
                       struct buf_reader *letters, uint32_t most, struct error *err)
{
    struct comm *comm = secure->trainer->env->comm;
    const unsigned char *text;
    uint32_t number;
    size_t len;
    int rc = 0;
    buf_clear(&secure->mail);
    for (uint32_t k = 0;
         rc == 0 && k < most && post_read(letters, &number, &text, &len); k++) {
        rc = answer(secure, stage, number, text, len, err);
        if (rc == 0) {
            post_write(&secure->mail, number, secure->text.data, secure->text.len);
            keep_sent(secure, stage, number);
        }
        rc = rc == 0 ? limit_bytes(secure, stage, err) : is_stop(rc) ? 0 : rc;
    }
    rc = verdict_join(comm, rc, err);
    if (rc == 0 && comm->rank == 0) {
        take_letters(secure, &secure->mail);
    }
    struct buf passing = {0};
    for (int from = 1; rc == 0 && from < comm->size; from++) {
        struct buf *mail = comm->rank == from ? &secure->mail : &passing;
        rc = post_send(comm, from, mail, err);
        if (rc == 0 && comm->rank == 0) {
            take_letters(secure, mail);
        }
    }
    buf_free(&passing);
    return rc;
}

/* One stage: letters out, answers in. Masked vectors travel one a rank at a time, so
 * memory does not grow with the cohort by vectors. */
static int run_stage(struct secure *secure, enum secagg_stage stage, struct error *err)
{
    struct comm *comm = secure->trainer->env->comm;
    uint32_t n_waves = stage == SECAGG_MASKED ? secure->n_turns : 1;
    struct buf mail = {0};
    int rc = deliver(secure, stage, &mail, err);
    struct buf_reader letters = buf_reader(mail.data, mail.len);
    for (uint32_t w = 0; rc == 0 && w < n_waves; w++) {
        rc = answer_some(secure, stage, &letters,
                         stage == SECAGG_MASKED ? 1 : secure->n_turns, err);
    }
    buf_free(&mail);
    if (rc == 0) {
        rc = comm->rank == 0 ? secagg_server_next(secure->server, err) : 0;
        rc = verdict_share(comm, rc, err);
    }
    return rc;
}

/* Rank 0's sum into its ring; how many survived, and what they weigh, to all. */
static int take_sum(struct secure *secure, struct error *err)
{
    struct comm *comm = secure->trainer->env->comm;
    int rc = 0;
    if (comm->rank == 0) {
        rc = secagg_server_sum(secure->server, secure->ring, &secure->n_survivors, err);
        secure->total_weight =
            secure->digits.n > 0
                ? (double)weight_read(&secure->digits,
                                      secure->ring + secure->terms.n_values) /
                      (double)secure->spec->federation.max_weight
                : (double)secure->n_survivors;
    }
    rc = verdict_share(comm, rc, err);
    if (rc == 0) {
        rc = comm->ops->broadcast(comm, &secure->n_survivors,
                                  sizeof secure->n_survivors, 0, err);
    }
    if (rc == 0) {
        rc = comm->ops->broadcast(comm, &secure->total_weight,
                                  sizeof secure->total_weight, 0, err);
    }
    return rc;
}

/* Rank 0's sum into the trainer's as whole numbers, to which noise may come. */
static void write_sum(struct secure *secure)
{
    struct trainer *trainer = secure->trainer;
    int n_bits = (int)secure->spec->federation.secagg.bits;
    for (uint32_t j = 0; trainer->env->comm->rank == 0 && j < secure->terms.n_values;
         j++) {
        trainer->sum[j] = (double)ring_signed(secure->ring[j], n_bits);
    }
}

/* Plain jobs: rank 0's sum, read by all ranks. */
static int share_sum(struct secure *secure, float *ret_update, struct error *err)
{
    struct comm *comm = secure->trainer->env->comm;
    int rc = comm->ops->broadcast(
        comm, secure->ring, secure->terms.n_values * sizeof *secure->ring, 0, err);
    return rc != 0 ? rc : decode(secure, ret_update, err);
}

/* The sum's two halves: this rank's slice of the update, and of the server's control.
 */
static int decode_both(struct secure *secure, struct error *err)
{
    struct trainer *trainer = secure->trainer;
    int64_t n = trainer->n_slice, first = trainer->env->comm->rank * n;
    int rc = share_sum(secure, secure->update, err);
    for (int64_t j = 0; rc == 0 && j < n; j++) {
        bool is_there = first + j < trainer->net.n_params;
        trainer->slice[j] =
            is_there ? -(double)secure->update[first + j] / secure->total_weight : 0.0;
    }
    if (rc == 0) {
        scaffold_grow(secure->local->scaffold, secure->update + trainer->net.n_params);
    }
    return rc;
}

/* The noisy total, modulo the ring, becomes this rank's slice of the update. Numbers of
 * at most 24 bits are exact in float. */
static int decode_total(struct secure *secure, struct error *err)
{
    struct trainer *trainer = secure->trainer;
    struct comm *comm = trainer->env->comm;
    int n_bits = (int)secure->spec->federation.secagg.bits;
    int64_t n = trainer->n_slice, first = comm->rank * n;
    for (int64_t j = 0; j < n; j++) {
        trainer->updated[j] =
            (float)ring_signed(ring_of((int64_t)trainer->slice[j]), n_bits);
    }
    int rc = comm->ops->all_gather_f32(comm, trainer->updated, secure->update,
                                       (size_t)n, err);
    if (rc != 0) {
        return rc;
    }
    for (uint32_t j = 0; j < secure->terms.n_values; j++) {
        secure->ring[j] = ring_of((int64_t)secure->update[j]);
    }
    rc = decode(secure, secure->update, err);
    if (rc != 0) {
        return rc;
    }
    bool is_weighed = !trainer->is_private && secure->total_weight > 0.0;
    double divisor = unit_of(secure) * (is_weighed ? secure->total_weight : 1.0);
    for (int64_t j = 0; j < n; j++) {
        bool is_there = first + j < trainer->net.n_params;
        trainer->slice[j] =
            is_there ? -(double)secure->update[first + j] / divisor : 0.0;
    }
    int64_t at = trainer->net.n_params - first; /* of the votes, in their own unit */
    if (votes_are_taken(trainer) && at >= 0 && at < n) {
        trainer->slice[at] = (double)secure->update[first + at] / secure->vote_weight *
                             trainer->threshold.weight;
    }
    return 0;
}

/* One client leaves, by the vector that its rank has kept. */
static int withdraw(struct secure *secure, uint32_t number, struct error *err)
{
    struct comm *comm = secure->trainer->env->comm;
    int owner = player_of(secure, number), rc = 0;
    struct buf passing = {0};
    struct buf *mail = comm->rank == owner ? &secure->sent[number] : &passing;
    if (owner > 0) {
        rc = post_send(comm, owner, mail, err);
    }
    if (rc == 0 && comm->rank == 0) {
        rc = secagg_server_withdraw(secure->server, number, mail->data, mail->len, err);
        rc = rc == -PPT_ESTATE ? 0 : rc; /* it has vanished before */
    }
    buf_free(&passing);
    secure->leaves[number] = 0;
    return verdict_share(comm, rc, err);
}

/* A threshold bears floor(dropout n) that leave, which is least in the smallest cohort.
 */
static int check_leavers(const struct secure *secure, struct error *err)
{
    double dropout = secure->spec->federation.secagg.dropout;
    double most = floor(dropout * (double)secure->n_stand_ins + 1e-9);
    if (!secure->trainer->is_private || (double)secure->consent->n_leavers <= most) {
        return 0;
    }
    return cause_set(err, CAUSE_TOO_MANY_LEAVE,
                     "%lld clients withdrew in the middle of a round, and a cohort of "
                     "any size bears %.0f",
                     (long long)secure->consent->n_leavers, most);
}

/* Between the masked vectors and the list of survivors. */
static int let_leave(struct secure *secure, struct error *err)
{
    int64_t n_left = 0, n_excluded = 0;
    int rc = consent_look(secure->consent, err);
    rc = journal_consent(secure->trainer, secure->consent, CONSENT_BETWEEN, rc, err);
    if (rc == 0) {
        rc = check_leavers(secure, err);
    }
    for (uint32_t i = 0; rc == 0 && i < secure->n; i++) {
        int64_t client = client_of(secure, i);
        if (client >= secure->n_clients || consent_allows(secure->consent, client)) {
            n_left += client < secure->n_clients;
            continue;
        }
        rc = withdraw(secure, i, err);
        n_excluded++;
    }
    if (rc == 0 && n_excluded > 0) {
        rc = journal_excluded(secure->trainer, n_excluded, err);
    }
    return rc != 0 ? rc : consent_enough(secure->consent, n_left, err);
}

/* The protocol among those who are drawn, up to the server's sum. */
static int run_session(struct secure *secure, struct error *err)
{
    char purpose[48];
    snprintf(purpose, sizeof purpose, "rotation %lld",
             (long long)secure->trainer->step);
    draw_key_public(secure->spec->training.seed, purpose, secure->terms.rotation);
    int rc = begin_round(secure, err);
    for (int stage = SECAGG_KEYS; rc == 0 && stage < SECAGG_SUMMED; stage++) {
        rc = run_stage(secure, (enum secagg_stage)stage, err);
        if (rc == 0 && stage == SECAGG_MASKED) {
            rc = let_leave(secure, err);
        }
    }
    if (rc == 0) {
        rc = take_sum(secure, err);
    }
    end_round(secure);
    return rc;
}

int secure_run(struct secure *secure, struct error *err)
{
    struct trainer *trainer = secure->trainer;
    trainer->threshold.grid = secure->grid; /* not one for C */
    secure->drawn = secure->cohort->members;
    secure->n_drawn = (uint32_t)secure->cohort->n;
    int rc = run_session(secure, err);
    if (rc == 0) {
        rc = consent_look(secure->consent, err);
        rc = journal_consent(trainer, secure->consent, CONSENT_END, rc, err);
    }
    if (rc == 0 && secure->local->scaffold != NULL) {
        rc = decode_both(secure, err);
    } else if (rc == 0) {
        write_sum(secure);
        rc = trainer_total(trainer, err);
        rc = rc != 0 ? rc : decode_total(secure, err);
    }
    return rc != 0 ? rc : trainer_apply(trainer, err);
}

int secure_mean(struct secure *secure, const int64_t *clients, uint32_t n,
                const float *given, float *ret_mean, struct error *err)
{
    int64_t n_params = secure->trainer->net.n_params;
    secure->drawn = clients;
    secure->n_drawn = n;
    secure->given = given;
    int rc = run_session(secure, err);
    secure->given = NULL;
    if (rc == 0) {
        rc = share_sum(secure, ret_mean, err);
    }
    for (int64_t j = 0; rc == 0 && j < n_params; j++) {
        ret_mean[j] = (float)((double)ret_mean[j] / (double)secure->n_survivors);
    }
    return rc;
}
