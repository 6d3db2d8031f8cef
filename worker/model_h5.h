/* The model file: one float32 array per tensor in the group `tensors`, and the facts of
 * a model as attributes of the root. Read by any HDF5 tool; described in ppt-data(5).
 */
#ifndef PPT_WORKER_MODEL_H5_H
#define PPT_WORKER_MODEL_H5_H

#include "base/error.h"
#include "jobs/io.h"
#include "worker/model_facts.h"

/* Writes path.tmp and renames it, and both the file and its name are on disk when it
 * returns 0. A killed process leaves the old file or the new one; a power cut, while no
 * report says yet that there is a model, may leave a torn one. Errors: PPT_EIO,
 * PPT_EDATA (a tensor name twice). */
int model_h5_save(const char *path, const struct model_facts *facts,
                  const struct tensor_view *tensors, int n_tensors, struct error *err);

#endif
