#!/usr/bin/env python3
"""Compares correlated noise with jax_privacy's Toeplitz factorisations.

usage: compare_correlation.py CORRELATION_POINTS   (a program of tests/unit/privacy)

Exit status 77 (skipped) where jax_privacy is not installed:
    python3 -m venv v && v/bin/pip install jax-privacy
    PPT_PYTHON=v/bin/python ctest -R compare_correlation

Our coefficients are theirs for the least maximal error, rounded to 1/256. Of ours, their
sensitivity under a separation of a pass and their mean error of prefix sums must be ours;
and our rounding may cost 1 % of the product of the two at most.
"""
import subprocess
import sys

try:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    from jax_privacy.matrix_factorization import toeplitz
except ImportError:
    print("skipped: jax_privacy is not installed")
    sys.exit(77)

POINTS = [(1, 1, 1), (1, 60, 15), (4, 4, 9), (16, 60, 15), (60, 60, 15), (64, 235, 1),
          (100, 300, 4), (2, 10, 10)]
TOLERANCE = 1e-9
ROUNDING = 1.01


def error_of(coefficients, n):
    errors = toeplitz.per_query_error(strategy_coef=coefficients, n=n)
    return float(jnp.sqrt(jnp.mean(errors)))


def sensitivity_of(coefficients, n_bins, n_passes):
    square = toeplitz.minsep_sensitivity_squared(
        coefficients, n_bins, n_passes, n=n_bins * n_passes)
    return float(jnp.sqrt(square))


def main():
    lines = "".join("%d %d %d\n" % point for point in POINTS)
    answer = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True,
                            check=True).stdout
    n_bad = 0
    for (bands, bins, passes), line in zip(POINTS, answer.splitlines(), strict=True):
        sensitivity, drift, *own = map(float, line.split())
        own = jnp.array(own)
        theirs = toeplitz.optimal_max_error_strategy_coefs(bands)
        n = bins * passes
        their_sensitivity = sensitivity_of(own, bins, passes)
        their_drift = error_of(own, n)
        unrounded = error_of(theirs, n) * sensitivity_of(theirs, bins, passes)
        bad = (float(jnp.max(jnp.abs(own - theirs))) > 0.501 / 256
               or not 0 <= sensitivity / their_sensitivity - 1 <= TOLERANCE
               or abs(drift / their_drift - 1) > TOLERANCE
               or sensitivity * drift > ROUNDING * unrounded)
        n_bad += bad
        print("%s bands %d, %d steps in %d passes: sensitivity %.9f, %.9f; error %.9f, "
              "%.9f; over the unrounded %.5f" %
              ("BAD" if bad else "ok", bands, n, passes, sensitivity,
               their_sensitivity, drift, their_drift, sensitivity * drift / unrounded))
    return n_bad != 0


if __name__ == "__main__":
    sys.exit(main())
