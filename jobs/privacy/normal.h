/* Tails of the standard normal law, as far out as a double's exponent can count and
 * beyond, in the log domain.
 *
 * Internal to jobs/privacy. Assumes of the C library: exp, log, log1p, expm1 right to 2
 * units in the last place, erfc to 8 (glibc documents 1 and 5).
 */
#ifndef PPT_JOBS_PRIVACY_NORMAL_H
#define PPT_JOBS_PRIVACY_NORMAL_H

/* The relative error of normal_mills, for t >= 0. */
#define NORMAL_ERROR 0x1p-46

/* Mills's ratio P(X > t) / phi(t), decreasing. INFINITY where it overflows (t < -37).
 */
double normal_mills(double t);

/* log P(X > t), to an absolute 2^-44 (1 + |log P| / 2^7). */
double normal_log_upper(double t);

/* t with P(X > t) = p, to a few units in the last place; p in (0, 1). */
double normal_upper_inverse(double p);

#endif
