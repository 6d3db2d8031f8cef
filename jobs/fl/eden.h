/* A vector as few bits a value: rotated at random (rotation.h), after which its values
 * are as good as normal, each is rounded to the nearest of the 2^bits levels that are
 * best for a normal variable (Lloyd 1982, Max 1960), and a scale makes what arrives
 * right on average over rotations: EDEN (Vargaftik et al., ICML 2022, arXiv 2108.08842,
 * section 3), with one bit DRIVE (Vargaftik et al., NeurIPS 2021, arXiv 2105.08339).
 * Private to this room.
 *
 * With D the levels' squared error for a normal variable, what arrives is off by D / (1
 * - D) of the vector's squared norm on average: 0.571, 0.133, 0.0358, 0.0096 for 1 .. 4
 * bits. For errors that cancel in a mean, each vector needs a rotation of its own. The
 * values before the last block of the rotation have their own scale: they are turned
 * once and the others twice, so their sizes differ.
 */
#ifndef PPT_JOBS_FL_EDEN_H
#define PPT_JOBS_FL_EDEN_H

#include "base/buf.h"
#include "base/crypto.h"

enum { EDEN_MOST_BITS = 4 };

/* Appends x[n], finite, to `out`: two scales as float32 and n numbers of `bits`. */
void eden_pack(const unsigned char rotation[CRYPTO_KEY_SIZE], int bits, const float *x,
               int64_t n, double *work /* [n] */, struct buf *out);

/* Back into ret_x[n]. False: the scales are no numbers. A message that is too short is
 * the reader's to tell. */
bool eden_unpack(const unsigned char rotation[CRYPTO_KEY_SIZE], int bits,
                 struct buf_reader *reader, int64_t n, double *work, float *ret_x);

#endif
