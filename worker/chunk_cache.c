#include "worker/chunk_cache.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define MAX_HELPERS 63

enum slot_state { SLOT_EMPTY, SLOT_ASKED, SLOT_LOADING, SLOT_READY, SLOT_FAILED };

struct slot {
    enum slot_state state;
    bool is_wanted; /* and not yet taken: keeps its place */
    int64_t chunk;
    int64_t asked;        /* the order of asking */
    int64_t taken;        /* when last, or 0 */
    unsigned char *bytes; /* NULL: not yet needed */
};

struct chunk_cache {
    struct chunk_source source;
    pthread_mutex_t reader; /* held from begin to end */
    pthread_mutex_t mutex;  /* of all below */
    pthread_cond_t asked, loaded;
    bool must_stop, has_started;
    int n_slots;
    struct slot *slots;
    struct error *errors; /* of slots that are SLOT_FAILED */
    struct slot *held;    /* the reader looks at its bytes */
    int64_t clock;
    int n_helpers, n_running;
    pthread_t helpers[MAX_HELPERS];
    void *scratch; /* the reader's */
};

int chunk_cache_open(const struct chunk_source *source, int n_threads,
                     struct chunk_cache **ret_cache, struct error *err)
{
    struct chunk_cache *cache = calloc(1, sizeof *cache);
    size_t n_slots = CHUNK_CACHE_BYTES / source->chunk_bytes;
    size_t n_most = CHUNK_CACHE_SCRATCH_BYTES / (source->scratch_bytes + 1);
    n_slots = n_slots < 2                       ? 2
              : n_slots > CHUNK_CACHE_MAX_SLOTS ? CHUNK_CACHE_MAX_SLOTS
                                                : n_slots;
    if ((size_t)n_threads > n_most)
        n_threads = n_most < 1 ? 1 : (int)n_most;
    struct slot *slots = calloc(n_slots, sizeof *slots);
    struct error *errors = calloc(n_slots, sizeof *errors);
    if (cache == NULL || slots == NULL || errors == NULL) {
        free(cache), free(slots), free(errors);
        return error_set(err, PPT_ENOMEM, "no memory for a cache of chunks");
    }
    cache->source = *source;
    cache->n_slots = (int)n_slots;
    cache->slots = slots;
    cache->errors = errors;
    cache->n_helpers = n_threads - 1 < MAX_HELPERS ? n_threads - 1 : MAX_HELPERS;
    pthread_mutex_init(&cache->reader, NULL);
    pthread_mutex_init(&cache->mutex, NULL);
    pthread_cond_init(&cache->asked, NULL);
    pthread_cond_init(&cache->loaded, NULL);
    *ret_cache = cache;
    return 0;
}

void chunk_cache_close(struct chunk_cache *cache)
{
    if (cache == NULL)
        return;
    pthread_mutex_lock(&cache->mutex);
    cache->must_stop = true;
    pthread_cond_broadcast(&cache->asked);
    pthread_mutex_unlock(&cache->mutex);
    for (int h = 0; h < cache->n_running; h++)
        pthread_join(cache->helpers[h], NULL);
    pthread_cond_destroy(&cache->loaded);
    pthread_cond_destroy(&cache->asked);
    pthread_mutex_destroy(&cache->mutex);
    pthread_mutex_destroy(&cache->reader);
    for (int s = 0; s < cache->n_slots; s++)
        free(cache->slots[s].bytes);
    free(cache->slots);
    free(cache->errors);
    free(cache->scratch);
    free(cache);
}

/* Loads a slot that was asked for; the mutex is held, but for the loading. */
static void load(struct chunk_cache *cache, struct slot *slot, void *scratch)
{
    struct error err = {0};
    slot->state = SLOT_LOADING;
    pthread_mutex_unlock(&cache->mutex);
    int rc = cache->source.load(cache->source.state, slot->chunk, scratch, slot->bytes,
                                &err);
    pthread_mutex_lock(&cache->mutex);
    slot->state = rc == 0 ? SLOT_READY : SLOT_FAILED;
    if (rc != 0)
        cache->errors[slot - cache->slots] = err;
    pthread_cond_broadcast(&cache->loaded);
}

/* What was asked for first, or NULL. */
static struct slot *next_asked(struct chunk_cache *cache)
{
    struct slot *first = NULL;
    for (int s = 0; s < cache->n_slots; s++) {
        struct slot *slot = &cache->slots[s];
        if (slot->state == SLOT_ASKED && (first == NULL || slot->asked < first->asked))
            first = slot;
    }
    return first;
}

static void *help(void *state)
{
    struct chunk_cache *cache = state;
    /* A helper without scratch space leaves all to the reader. */
    void *scratch = malloc(cache->source.scratch_bytes + 1);
    pthread_mutex_lock(&cache->mutex);
    while (scratch != NULL && !cache->must_stop) {
        struct slot *slot = next_asked(cache);
        if (slot != NULL)
            load(cache, slot, scratch);
        else
            pthread_cond_wait(&cache->asked, &cache->mutex);
    }
    pthread_mutex_unlock(&cache->mutex);
    free(scratch);
    return NULL;
}

/* As many as the system gives: the reader can do all of it alone. Signals are for the
 * thread that minds them. */
static void start_helpers(struct chunk_cache *cache)
{
    sigset_t all, before;
    cache->has_started = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (cache->n_running < cache->n_helpers &&
           pthread_create(&cache->helpers[cache->n_running], NULL, help, cache) == 0)
        cache->n_running++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void chunk_cache_begin(struct chunk_cache *cache)
{
    pthread_mutex_lock(&cache->reader);
    pthread_mutex_lock(&cache->mutex);
    for (int s = 0; s < cache->n_slots; s++) {
        struct slot *slot = &cache->slots[s];
        slot->is_wanted = false;
        if (slot->state == SLOT_ASKED)
            slot->state = SLOT_EMPTY;
    }
    pthread_mutex_unlock(&cache->mutex);
}

void chunk_cache_end(struct chunk_cache *cache)
{
    pthread_mutex_lock(&cache->mutex);
    cache->held = NULL;
    pthread_mutex_unlock(&cache->mutex);
    pthread_mutex_unlock(&cache->reader);
}

static struct slot *find(struct chunk_cache *cache, int64_t chunk)
{
    for (int s = 0; s < cache->n_slots; s++)
        if (cache->slots[s].state != SLOT_EMPTY && cache->slots[s].chunk == chunk)
            return &cache->slots[s];
    return NULL;
}

/* The place of what was not taken for longest and nobody wants, or NULL. */
static struct slot *find_room(struct chunk_cache *cache)
{
    struct slot *best = NULL;
    for (int s = 0; s < cache->n_slots; s++) {
        struct slot *slot = &cache->slots[s];
        if (slot->state == SLOT_EMPTY)
            return slot;
        if (slot->is_wanted || slot->state == SLOT_LOADING || slot == cache->held)
            continue;
        if (best == NULL || slot->taken < best->taken)
            best = slot;
    }
    return best;
}

/* A place for a chunk that has none; NULL: no room or no memory. */
static struct slot *give_room(struct chunk_cache *cache, int64_t chunk)
{
    struct slot *slot = find_room(cache);
    if (slot != NULL && slot->bytes == NULL)
        slot->bytes = malloc(cache->source.chunk_bytes);
    if (slot == NULL || slot->bytes == NULL)
        return NULL;
    slot->chunk = chunk;
    slot->taken = 0;
    return slot;
}

/* The slot of a chunk, to be loaded where it is not; NULL: no room or no memory. What
 * failed is tried again once its error was taken. */
static struct slot *ask(struct chunk_cache *cache, int64_t chunk)
{
    struct slot *slot = find(cache, chunk);
    bool is_known = slot != NULL;
    if (!is_known)
        slot = give_room(cache, chunk);
    if (slot == NULL)
        return NULL;
    if (!is_known || (slot->state == SLOT_FAILED && !slot->is_wanted)) {
        slot->state = SLOT_ASKED;
        slot->asked = ++cache->clock;
        pthread_cond_signal(&cache->asked);
    }
    slot->is_wanted = true;
    return slot;
}

static bool is_loading(const struct chunk_cache *cache)
{
    for (int s = 0; s < cache->n_slots; s++)
        if (cache->slots[s].state == SLOT_LOADING)
            return true;
    return false;
}

bool chunk_cache_want(struct chunk_cache *cache, int64_t chunk)
{
    pthread_mutex_lock(&cache->mutex);
    if (!cache->has_started)
        start_helpers(cache);
    bool has_room = ask(cache, chunk) != NULL;
    pthread_mutex_unlock(&cache->mutex);
    return has_room;
}

/* Loads the slot, or loads others until a helper has; the mutex is held. */
static void await(struct chunk_cache *cache, struct slot *slot)
{
    while (slot->state == SLOT_ASKED || slot->state == SLOT_LOADING) {
        struct slot *next = slot->state == SLOT_ASKED ? slot : next_asked(cache);
        if (next != NULL)
            load(cache, next, cache->scratch);
        else
            pthread_cond_wait(&cache->loaded, &cache->mutex);
    }
}

int chunk_cache_take(struct chunk_cache *cache, int64_t chunk,
                     const unsigned char **ret_chunk, struct error *err)
{
    int rc = 0;
    pthread_mutex_lock(&cache->mutex);
    cache->held = NULL;
    if (cache->scratch == NULL)
        cache->scratch = malloc(cache->source.scratch_bytes + 1);
    struct slot *slot = cache->scratch != NULL ? ask(cache, chunk) : NULL;
    /* Helpers may fill every slot with what the reader before wanted. */
    while (slot == NULL && is_loading(cache)) {
        pthread_cond_wait(&cache->loaded, &cache->mutex);
        slot = ask(cache, chunk);
    }
    if (slot == NULL) {
        rc = error_set(err, PPT_ENOMEM, "no memory for a chunk");
    } else {
        await(cache, slot);
        slot->is_wanted = false;
        slot->taken = ++cache->clock;
        if (slot->state == SLOT_FAILED) {
            const struct error *why = &cache->errors[slot - cache->slots];
            rc = -why->code;
            if (err != NULL)
                *err = *why;
        } else {
            cache->held = slot;
            *ret_chunk = slot->bytes;
        }
    }
    pthread_mutex_unlock(&cache->mutex);
    return rc;
}
