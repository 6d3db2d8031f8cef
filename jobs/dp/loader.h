/* A feed's records on their way to a device: while it works on one micro-batch, the
 * next is read into pinned memory and copied up beside the work (struct beside of
 * kernels/memory.h), over the ends of steps too. What is read ahead depends on neither
 * data nor model (feed.h), and a record that cannot be read is an error of the
 * micro-batch that it belongs to, as if it had been read then.
 */
#ifndef PPT_JOBS_DP_LOADER_H
#define PPT_JOBS_DP_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/dp/feed.h"
#include "jobs/model/net.h"

struct loader {
    struct feed *feed;
    struct net *net;
    const struct beside *beside;
    struct lift *lift; /* NULL: zeroed */
    int64_t n_steps;
    int64_t step; /* being read */
    /* What was read and not asked for yet. */
    bool is_ahead;
    size_t n;
    int rc;
    struct error err;
};

/* For a net whose memory has a beside, of steps below n_steps; both outlive the loader.
 * It takes two blocks of net_block_bytes on the host and one on the device. Close with
 * loader_close. Errors: PPT_ENOMEM. */
int loader_open(struct loader *loader, struct feed *feed, struct net *net,
                int64_t n_steps, struct error *err);
void loader_close(struct loader *loader); /* a zeroed one too */

/* As feed_begin. */
void loader_begin(struct loader *loader, int64_t step);

/* As feed_next for net->max_n records, which the next net_forward takes. */
int loader_next(struct loader *loader, size_t *ret_n, struct error *err);

/* When the work on what loader_next gave is queued: reads on, to the first micro-batch
 * of the next step at most. */
void loader_ahead(struct loader *loader);

#endif
