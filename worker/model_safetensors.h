/* The model file in the safetensors format, for other frameworks: a JSON header with
 * each tensor's type, shape and place, then the tensors, little-endian float32, one
 * after the other without holes. The facts of a model (model_facts.h) stand in
 * __metadata__, as text, because the format has no other values there.
 * Format: github.com/huggingface/safetensors, README, "Format". */
#ifndef PPT_WORKER_MODEL_SAFETENSORS_H
#define PPT_WORKER_MODEL_SAFETENSORS_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/io.h"
#include "worker/model_facts.h"

/* Writes path.tmp and renames it, and both the file and its name are on disk when it
 * returns 0. A killed process leaves the old file or the new one; a power cut, while no
 * report says yet that there is a model, may leave a torn one. Errors: PPT_EIO,
 * PPT_EDATA (a tensor name twice), PPT_ENOMEM. */
int model_safetensors_save(const char *path, const struct model_facts *facts,
                           const struct tensor_view *tensors, int n_tensors,
                           struct error *err);

#endif
