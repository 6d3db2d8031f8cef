/* A model's list of layers: read, put in order, written. */
#ifndef PPT_JOBS_SPEC_LAYER_H
#define PPT_JOBS_SPEC_LAYER_H

#include "base/json.h"
#include "base/ydoc.h"
#include "jobs/spec/spec.h"

/* Reads a sequence of layers, each a word (tanh) or a mapping of one key (conv2d: {out:
 * 16, kernel: 8}), and checks what can be known without the data's shape: images before
 * flatten, flatten before linear, a linear layer at the end. All faults are added. */
void layer_read_list(struct ydoc_faults *faults, const struct ydoc_node *node,
                     struct spec_model *model);

/* Adds the list under `key`; a layer without options is its bare name. */
void layer_write_list(struct json *json, const char *key,
                      const struct spec_model *model);

#endif
