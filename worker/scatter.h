/* Scattering features of images: a fixed transform of each record alone, so it costs no
 * privacy and may be applied at import (Bruna, Mallat 2013, arXiv 1203.1513; as a
 * first stage of private models: Tramer, Boneh 2021, arXiv 2011.11660).
 *
 * With SCATTER_ANGLES = L directions and two scales j = 0, 1:
 *   psi_j,l  a Gaussian of deviation 0.8 2^j times exp(i xi (x cos + y sin)) with
 *            xi = 3 pi / 4 2^-j at the angle pi l / L, less as much of the Gaussian as
 *            makes its sum 0; phi the Gaussian of 1.6, all cut at 4 deviations
 *   order 0  x * phi, order 1  |x * psi_j,l| * phi,
 *   order 2  ||x * psi_0,l| * psi_1,m| * phi
 * where * is convolution with the image mirrored at its edges (its edge's pixel once),
 * and every fourth value each way is kept; what passed psi_1 is kept at every second
 * value before phi, which then has deviation 0.8. The channels are scaled by constants
 * (scatter.c), then all values of an image together to mean 0 and variance 1 (plus
 * 1e-5).
 */
#ifndef PPT_WORKER_SCATTER_H
#define PPT_WORKER_SCATTER_H

#include "base/error.h"
#include "worker/source.h"

enum { SCATTER_ANGLES = 6 };
enum { SCATTER_CHANNELS = 1 + 2 * SCATTER_ANGLES + SCATTER_ANGLES * SCATTER_ANGLES };

/* *source, of h x w or 1 x h x w images of 9 x 9 to 1024 x 1024 pixels, gives from now
 * on float32 records of SCATTER_CHANNELS x ceil(h / 4) x ceil(w / 4); uint8 pixels
 * count from 0 to 1. Owns what it was until it is closed. Errors: PPT_EDATA (other
 * records), PPT_ENOMEM; then *source is as it was. */
int scatter_source(struct source *source, struct error *err);

#endif
