#!/usr/bin/env python3
"""Compares composed-loss epsilons with Google's dp_accounting at 500 random points.

usage: compare_pld.py PLD_POINTS   (a program of tests/unit/privacy)

Exit status 77 (skipped) where dp_accounting is not installed, as for
compare_dp_accounting.py. Points stay where dp_accounting is right: delta at least 1e-8,
at most 3000 steps. Its grid is chosen so that its own discretisation error, at most
steps * h^2 * (1 + tilt) / 12, is small; its estimate is pessimistic, so ours may be below it
by that error and above it by our own.
"""
import math
import random
import subprocess
import sys

TOLERANCE = 1e-3  # relative, and of an epsilon of 0.05 where it is smaller
OURS = 2e-4  # what ours may be above theirs
N_POINTS = 500

try:
    from dp_accounting.pld import privacy_loss_distribution
except ImportError:
    print("skipped: dp_accounting is not installed")
    sys.exit(77)


def points():
    rng = random.Random(7)
    for _ in range(N_POINTS):
        noise = math.exp(rng.uniform(math.log(0.6), math.log(10)))
        rate = 10 ** rng.uniform(-3, -0.1)
        steps = int(10 ** rng.uniform(0, 3.4))
        yield noise, rate, steps, 10 ** rng.uniform(-8, -3)


def theirs(noise, rate, steps, delta):
    spread = rate * math.sqrt(math.expm1(1 / noise ** 2))
    grid = min(1e-3, 0.1 * spread, math.sqrt(2e-5 / steps))
    law = privacy_loss_distribution.from_gaussian_mechanism(
        noise, sampling_prob=rate, value_discretization_interval=grid)
    return law.self_compose(steps).get_epsilon_for_delta(delta)


def main(program):
    sample = list(points())
    lines = subprocess.run(
        [program], input="".join("%.17g %.17g %d %.17g\n" % p for p in sample),
        capture_output=True, text=True, check=True, timeout=600).stdout.split()
    worst, failures = 0.0, 0
    for point, line in zip(sample, lines):
        ours, reference = float(line), theirs(*point)
        size = max(reference, 0.05)
        difference = (ours - reference) / size
        worst = max(worst, abs(difference))
        if not -TOLERANCE <= difference <= OURS:
            failures += 1
            print("noise %g rate %g steps %d delta %g: ours %.9g, theirs %.9g"
                  % (*point, ours, reference))
    print("%d points, largest relative difference %.2g" % (len(sample), worst))
    return 1 if failures or len(lines) != len(sample) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
