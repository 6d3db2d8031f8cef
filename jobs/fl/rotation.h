/* A random rotation of a vector of any length: random signs and a Hadamard transform of
 * size 2^m, the largest that fits, twice: over the first 2^m coordinates and over the
 * last. So it needs no padding, keeps lengths, and spreads any vector over 2^m
 * coordinates or more. Private to this room. */
#ifndef PPT_JOBS_FL_ROTATION_H
#define PPT_JOBS_FL_ROTATION_H

#include <stdint.h>

#include "base/crypto.h"

/* 2^m; the vector's first n - 2^m coordinates are in the first transform only. */
uint32_t rotation_block(uint32_t n);

/* x[n] in place, n > 0, with signs from this key; and back. */
void rotation_turn(const unsigned char key[CRYPTO_KEY_SIZE], double *x, uint32_t n);
void rotation_turn_back(const unsigned char key[CRYPTO_KEY_SIZE], double *x,
                        uint32_t n);

#endif
