/* How many neighbours and how many shares secure aggregation needs (Bell, Bonawitz,
 * Gascon, Lepoint, Raykova: Secure single-server aggregation with (poly)logarithmic
 * overhead, CCS 2020).
 *
 * For a cohort whose graph is a circulant of random order. With A clients that work for
 * the server and D that drop out at the most:
 *
 * Security, but for 2^-40: the honest survivors' graph is connected, and nobody has as
 * many corrupt neighbours as it takes to rebuild a secret of his (with a server that
 * lies: as it takes to be told both secrets of his by different neighbours).
 * Correctness, but for 2^-20: everybody keeps enough neighbours to be rebuilt.
 */
#ifndef PPT_JOBS_FL_DEGREE_H
#define PPT_JOBS_FL_DEGREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct degree_wish {
    uint32_t n_clients;
    double corrupt;       /* share of clients that tell the server all they know */
    double dropout;       /* share that vanishes at some point of the round */
    bool is_server_lying; /* semi-malicious: honest keys and graph, then anything */
};

/* The smallest even degree k, and the threshold t of shares. Where no graph will do, or
 * for fewer than 4 clients, the complete graph: k = n_clients - 1.
 * There is one for every n_clients >= spec_secagg_least, for the complete graph's
 * threshold need only be above A and at most n - D - 1: A + D <= n - 2 does, and
 * (corrupt + dropout) n <= n - 2 is enough for that. With a server that lies
 * 2 t > n - 1 + A as well: 2 D + A < n - 1 does.
 * Errors: PPT_ERANGE (shares outside [0, 1), or no threshold does both). */
int degree_find(const struct degree_wish *wish, uint32_t *ret_degree,
                uint32_t *ret_threshold, struct error *err);

/* For the complete graph that was asked for (Bonawitz et al., CCS 2017): the smallest
 * threshold above half the cohort, or above two thirds with a server that lies; where
 * the corrupt or dropped clients rule that out, the one nearest to it that will do.
 * Errors: PPT_ERANGE (too many drop out or are corrupt for any). */
int degree_complete(const struct degree_wish *wish, uint32_t *ret_threshold,
                    struct error *err);

#endif
