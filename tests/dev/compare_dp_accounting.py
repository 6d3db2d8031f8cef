#!/usr/bin/env python3
"""Compares prices with Google's dp_accounting on the same grid of orders.

usage: compare_dp_accounting.py PRICE_POINTS   (a program of tests/unit/privacy)

Exit status 77 (skipped) where dp_accounting is not installed:
    python3 -m venv v && v/bin/pip install dp_accounting
    PPT_PYTHON=v/bin/python ctest -R compare_dp_accounting

Over the grid's whole-numbered orders both are exact, so they must agree and ours must
never be lower. At fractional orders dp_accounting adds up absolute values of a signed
series, which is safe but loose: over the whole grid ours must not be above it.
"""
import math
import random
import subprocess
import sys

TOLERANCE = 1e-3  # of a price; what is seen is below 1e-9
THEIR_ROUNDING = 1e-15  # nats a step: they take log A of an A that is near 1
EPSILONS = (0.05, 50)  # outside, our unit of 2^-40 nat or their overflow shows
N_POINTS = 600  # about half of them are inside

try:
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant
except ImportError:
    print("skipped: dp_accounting is not installed")
    sys.exit(77)


def points():
    rng = random.Random(5)
    for _ in range(N_POINTS):
        rate = 1.0 if rng.random() < 0.05 else 10 ** rng.uniform(-5, -0.1)
        noise = math.exp(rng.uniform(math.log(0.4), math.log(20)))
        steps = int(10 ** rng.uniform(0, 6))
        yield noise, rate, steps, 10 ** rng.uniform(-10, -3)


def theirs(noise, rate, steps, delta, orders):
    event = dp_accounting.GaussianDpEvent(noise)
    if rate < 1:
        event = dp_accounting.PoissonSampledDpEvent(rate, event)
    accountant = RdpAccountant(
        orders, dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(event, steps)
    return accountant.get_epsilon(delta)


def main(program):
    run = lambda args, text: subprocess.run(
        [program] + args, input=text, capture_output=True, text=True, check=True,
        timeout=300).stdout.split("\n")
    orders = [float(line) for line in run(["orders"], "") if line]
    whole_orders = [order for order in orders if order == int(order)]
    sample = list(points())
    lines = run([], "".join("%.17g %.17g %d %.17g\n" % p for p in sample))
    worst, worst_fraction, n_compared, failures = 0.0, 0.0, 0, 0
    for point, line in zip(sample, lines):
        ours, ours_whole = map(float, line.split())
        if not EPSILONS[0] < ours < EPSILONS[1]:
            continue
        n_compared += 1
        want = theirs(*point, orders)
        want_whole = theirs(*point, whole_orders)
        off = (ours_whole - want_whole) / want_whole
        worst = max(worst, abs(off))
        worst_fraction = max(worst_fraction, 1 - ours / want if want > 0 else 0)
        lowest = -THEIR_ROUNDING * point[2] / want_whole - 1e-12
        if off < lowest or off > TOLERANCE or ours > want * (1 + 1e-9):
            failures += 1
            print("noise %g rate %g steps %d delta %g: " % point +
                  "whole %.12g, theirs %.12g; all %.12g, theirs %.12g" %
                  (ours_whole, want_whole, ours, want))
    print("%d points: largest relative difference %.2g over whole orders; at most "
          "%.2g %% lower over all orders" % (n_compared, worst, 100 * worst_fraction))
    return 1 if failures or n_compared < 200 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
