/* A vector of floats as fewer bytes without loss: the first bytes of all values, then
 * the second ones, and so on (values of like size have like exponents), packed by zstd.
 * zstd's door. Private to this room. */
#ifndef PPT_JOBS_FL_LOSSLESS_H
#define PPT_JOBS_FL_LOSSLESS_H

#include "base/buf.h"

/* Appends x[n] to `out`; work[n]. Errors: PPT_ENOMEM. */
int lossless_pack(const float *x, int64_t n, float *work, struct buf *out,
                  struct error *err);

/* Bit for bit, into ret_x[n]. Errors: PPT_ETRUST (not such a message of n values). */
int lossless_unpack(const void *data, size_t len, int64_t n, float *work, float *ret_x,
                    struct error *err);

#endif
