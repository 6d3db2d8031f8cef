/* Arrays whose rows lie in other files: HDF5's virtual datasets, as ppt-data join makes
 * them.
 *
 * HDF5's own reading of them takes a source that is missing, or shorter than it was,
 * for one that is full of fill values. Here the mapping is read, and the sources'
 * arrays are opened and read like any others: what is missing or has another shape is
 * an error. A source is opened when the first of its rows is asked for and stays open.
 * Only files in the list that the virtual file itself carries are opened: each with its
 * digest, each by a path below that file's directory.
 */
#ifndef PPT_WORKER_H5_VIRTUAL_H
#define PPT_WORKER_H5_VIRTUAL_H

#include <stdint.h>

#include "base/error.h"
#include "worker/h5_inside.h"

/* Reads the list of sources into the file; none where it carries none. Raises the limit
 * of open files where there are some. Errors: PPT_EDATA, PPT_ENOMEM. */
int h5_virtual_read_sources(struct h5 *file, struct error *err);
void h5_virtual_free_sources(struct h5 *file);

/* Finds the parts of a virtual array; none where it is no such. The library is held.
 * Errors: PPT_EDATA (a file that is not in the list or not there, rows that are not
 * mapped in order and whole), PPT_ENOMEM. */
int h5_virtual_open(struct h5_data *data, hid_t list, struct error *err);
void h5_virtual_close(struct h5_data *data);

#endif
