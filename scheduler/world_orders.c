#include "scheduler/world_orders.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void close_lock(struct world_order *order)
{
    if (order->lock >= 0)
        close(order->lock);
    order->lock = -1;
}

/* Takes the first one out. */
static void shift(struct world_orders *orders)
{
    struct world_order *open = orders->open;
    close_lock(&open[0]);
    memmove(open, open + 1, (size_t)--orders->n_open * sizeof *open);
}

static void remember_end(struct world_orders *orders)
{
    char *place = orders->ended[orders->n_ended++ % WORLD_ORDERS_MAX];
    memcpy(place, orders->open[0].directory, SPOOL_PATH_SIZE);
    shift(orders);
}

void world_orders_reset(struct world_orders *orders, struct turn *turn)
{
    while (orders->n_open > 0)
        remember_end(orders);
    turn_close(orders->turn);
    orders->turn = turn;
    orders->last = 0;
}

bool world_orders_send(struct world_orders *orders, int fd,
                       const struct launcher_request *request, int lock)
{
    struct pool_message run = {.kind = POOL_RUN,
                               .job_id = request->job_id,
                               .attempt = request->attempt,
                               .number = orders->last + 1,
                               .n_ranks = request->n_ranks,
                               .is_noted = request->is_noted};
    struct world_order order = {.job_id = request->job_id,
                                .attempt = request->attempt,
                                .number = run.number,
                                .memory_bytes = request->memory_bytes};
    snprintf(run.login, sizeof run.login, "%s", request->login);
    snprintf(run.directory, sizeof run.directory, "%s", request->directory);
    snprintf(order.directory, sizeof order.directory, "%s", request->directory);
    order.lock =
        orders->n_open < WORLD_ORDERS_MAX ? fcntl(lock, F_DUPFD_CLOEXEC, 3) : -1;
    if (order.lock < 0)
        return false;
    run.has_checkpoint_key = request->checkpoint_key != NULL;
    if (run.has_checkpoint_key)
        memcpy(run.checkpoint_key, request->checkpoint_key, sizeof run.checkpoint_key);
    bool is_sent = pool_send(fd, &run, lock, NULL) == 0;
    crypto_wipe(run.checkpoint_key, sizeof run.checkpoint_key);
    if (!is_sent) {
        close_lock(&order);
        return false;
    }
    orders->open[orders->n_open++] = order;
    orders->last = run.number;
    orders->n_sent++;
    return true;
}

bool world_orders_have_room(const struct world_orders *orders, int n_promised,
                            int64_t ahead_ms)
{
    int n_before = orders->n_open + n_promised;
    return orders->lasted_us > 0 && n_before < WORLD_ORDERS_MAX &&
           n_before * orders->lasted_us <= ahead_ms * 1000;
}

int64_t world_orders_rest_ms(const struct world_orders *orders)
{
    int64_t ms = (orders->n_open - 1) * orders->lasted_us / 2000;
    return ms < 0 ? 0 : ms < WORLD_ORDERS_REST_MS ? ms : WORLD_ORDERS_REST_MS;
}

static bool is_first(const struct world_orders *orders, const struct pool_message *word)
{
    return orders->n_open > 0 && orders->open[0].job_id == word->job_id &&
           orders->open[0].attempt == word->attempt;
}

bool world_orders_begin(struct world_orders *orders, const struct pool_message *word)
{
    if (!is_first(orders, word))
        return false;
    close_lock(&orders->open[0]);
    return true;
}

bool world_orders_end(struct world_orders *orders, const struct pool_message *word)
{
    if (!is_first(orders, word))
        return false;
    orders->lasted_us = word->lasted_us > 0 ? word->lasted_us : 1;
    remember_end(orders);
    return true;
}

/* The copy that is still on its way to the world is of the same open file, so it is
 * unlocked with this one. */
static void give_back(struct world_order *order, struct world_returned *returned)
{
    if (returned != NULL) {
        flock(order->lock, LOCK_UN);
        world_returned_add(returned, order->directory);
    }
    close_lock(order);
}

void world_orders_take_back(struct world_orders *orders,
                            struct world_returned *returned)
{
    if (orders->turn == NULL || orders->n_open == 0)
        return;
    int64_t decided = turn_take_back(orders->turn, orders->last);
    while (orders->n_open > 0 && orders->open[orders->n_open - 1].number > decided)
        give_back(&orders->open[--orders->n_open], returned);
}

int world_orders_find(const struct world_orders *orders, const char *directory)
{
    for (int i = 0; i < orders->n_open; i++)
        if (strcmp(orders->open[i].directory, directory) == 0)
            return i;
    return -1;
}

/* Where it stands among the ended ones, or -1. */
static int find_ended(const struct world_orders *orders, const char *directory)
{
    for (int i = 0; i < WORLD_ORDERS_MAX; i++)
        if (strcmp(orders->ended[i], directory) == 0)
            return i;
    return -1;
}

bool world_orders_has_ended(const struct world_orders *orders, const char *directory)
{
    return find_ended(orders, directory) >= 0;
}

void world_orders_forget(struct world_orders *orders, const char *directory)
{
    int i = find_ended(orders, directory);
    if (i >= 0)
        orders->ended[i][0] = '\0';
}

void world_orders_free(struct world_orders *orders)
{
    while (orders->n_open > 0)
        shift(orders);
    turn_close(orders->turn);
    orders->turn = NULL;
}

static int find_returned(const struct world_returned *returned, const char *directory)
{
    for (int i = 0; i < returned->n; i++)
        if (strcmp(returned->directories[i], directory) == 0)
            return i;
    return -1;
}

static void drop_returned(struct world_returned *returned, int i)
{
    returned->n--;
    memmove(returned->directories[i], returned->directories[i + 1],
            (size_t)(returned->n - i) * sizeof *returned->directories);
}

void world_returned_add(struct world_returned *returned, const char *directory)
{
    if (returned->directories == NULL)
        returned->directories =
            calloc(WORLD_RETURNED_MAX, sizeof *returned->directories);
    if (returned->directories == NULL || find_returned(returned, directory) >= 0)
        return;
    if (returned->n == WORLD_RETURNED_MAX)
        drop_returned(returned, 0);
    snprintf(returned->directories[returned->n++], SPOOL_PATH_SIZE, "%s", directory);
}

bool world_returned_has(const struct world_returned *returned, const char *directory)
{
    return find_returned(returned, directory) >= 0;
}

void world_returned_forget(struct world_returned *returned, const char *directory)
{
    int i = find_returned(returned, directory);
    if (i >= 0)
        drop_returned(returned, i);
}

void world_returned_free(struct world_returned *returned)
{
    free(returned->directories);
    *returned = (struct world_returned){0};
}
