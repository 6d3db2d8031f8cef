/* The frozen model that a job adapts: a file beside the data set's, as this program
 * saves models (safetensors or HDF5), of the digest that the spec states. The spec's
 * digest is in the signed plan, and so is this one.
 */
#ifndef PPT_WORKER_BASE_MODEL_H
#define PPT_WORKER_BASE_MODEL_H

#include "base/error.h"
#include "jobs/io.h"
#include "jobs/spec/spec.h"

struct base_model;

/* The base of `spec` in the directory of data_file. The whole file is read and its
 * SHA-256 compared before a byte of it is parsed; a safetensors file stays in memory
 * until it is closed. Caller closes. Errors: PPT_ENOTFOUND, PPT_EIO, PPT_ENOMEM;
 * PPT_ETRUST (another digest); PPT_EDATA. */
int base_model_open(const char *data_file, const struct spec_base *spec,
                    struct base_model **ret_base, struct error *err);
void base_model_close(struct base_model *base);

/* The tensor of wanted's name, float32 of wanted's dims and finite.
 * Errors: PPT_EDATA, PPT_EIO. */
int base_model_read(struct base_model *base, const struct tensor_view *wanted,
                    float *ret_values, struct error *err);

#endif
