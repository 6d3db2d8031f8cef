/* LZF, the quick compression of Marc Lehmann's liblzf, as h5py's filter 32000 writes it
 * into HDF5 files: the way back only. */
#ifndef PPT_WORKER_LZF_H
#define PPT_WORKER_LZF_H

#include <stdbool.h>
#include <stddef.h>

/* The `want` bytes that data[len] stands for; false unless it is exactly so many.
 * No byte outside data[len] is read and none outside ret_data[want] is written. */
bool lzf_decode(const unsigned char *data, size_t len, unsigned char *ret_data,
                size_t want);

#endif
