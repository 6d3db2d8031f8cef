/* The model file: one float32 array per tensor in the group `tensors`, and attributes
 * that say which spec it was trained for and what privacy it cost. Read by any HDF5
 * tool; described in ppt-data(5). */
#ifndef PPT_WORKER_MODEL_H5_H
#define PPT_WORKER_MODEL_H5_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/io.h"
#include "jobs/plan.h"
#include "jobs/privacy/price.h"
#include "jobs/spec/spec.h"

#define MODEL_H5_VERSION 1

/* Writes path.tmp, makes it durable and renames it: after a crash the old file or the
 * new one stands. used[i] counts the uses of the price's releases[i] behind these
 * tensors. Errors: PPT_EIO, PPT_EDATA (a tensor name twice), PPT_ERANGE (used exceeds
 * the price).
 */
int model_h5_save(const char *path, const struct plan *plan, const struct spec *spec,
                  const int64_t used[PRICE_MAX_RELEASES],
                  const struct tensor_view *tensors, int n_tensors, struct error *err);

#endif
