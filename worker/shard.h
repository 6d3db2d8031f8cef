/* One rank's contiguous part of a split, as the struct rows that a job reads.
 *
 * Memory: a shard whose bytes fit `cache_bytes` is read once, when first used, and
 * kept; a larger one stays in the file and costs about 1 MiB plus, where the file is
 * chunked, 96 MiB at most for its chunks (h5_chunks.h), and whoever reads ahead may
 * take SHARD_AHEAD_BYTES for it, or cache_bytes where that is less. Where it and
 * those of the other ranks on this machine (data->n_beside) take more than three
 * quarters of the memory, what is read in order leaves the system's page cache too
 * (page_cache.h). A record that holds a NaN or an infinity is damage, as a label out of
 * range is.
 */
#ifndef PPT_WORKER_SHARD_H
#define PPT_WORKER_SHARD_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/io.h"
#include "worker/data_h5.h"

#define SHARD_CACHE_BYTES (512u << 20)
#define SHARD_AHEAD_BYTES (128u << 20)

/* What a rank's shard may take of a job's memory: a quarter of the rank's share. */
size_t shard_cache_bytes(int64_t job_memory_bytes, int64_t n_ranks);

/* Rank `rank` of `size` gets records [*ret_first, *ret_first + *ret_n): all of them
 * over the ranks, in order, their numbers differing by at most 1. */
void shard_bounds(int64_t n_rows, int rank, int size, int64_t *ret_first,
                  int64_t *ret_n);

/* Opens split `name` of the file and checks it against the manifest. x is fed as
 * (x - mean) / std, uint8 scaled to [0, 1] before that. The file stays open until the
 * shard is closed. Caller closes by shard_close.
 * Errors: those of data_h5_split and data_split_match; PPT_EDATA where rows->read meets
 * a label outside 0 .. n_classes-1, a NaN or an infinity. */
int shard_open(const struct data_h5 *data, const struct manifest_split *stated,
               double mean, double std, int rank, int size, size_t cache_bytes,
               struct rows *ret_rows, struct error *err);
void shard_close(struct rows *rows);

#endif
