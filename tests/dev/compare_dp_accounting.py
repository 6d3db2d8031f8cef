#!/usr/bin/env python3
"""Compares prices with Google's dp_accounting at 500 random points, both accountants.

usage: compare_dp_accounting.py PRICE_POINTS [N_POINTS]   (a program of tests/unit/privacy)

Exit status 77 (skipped) where dp_accounting is not installed:
    python3 -m venv v && v/bin/pip install dp_accounting
    PPT_PYTHON=v/bin/python ctest -R compare_dp_accounting

Renyi: over the grid's whole-numbered orders both are exact, so they must agree to 1e-6
and ours must never be lower. At fractional orders dp_accounting adds up absolute values of
a signed series, which is safe but loose: over the whole grid ours must not be above it, and
over all orders not above that.

Privacy-loss distributions: theirs rounds losses up to multiples of an interval, so it may
be too high by about that; ours must be within 1e-3 of it where their interval is fine
enough to tell, and never lower than theirs less what their interval can have added. At
small delta times many steps theirs is below the truth (their FFT's rounding is not
counted); such points are left out.
"""
import logging
import math
import random
import subprocess
import sys

RENYI = 1e-6
PLD = 1e-3
THEIR_ROUNDING = 1e-15  # nats a step: they take log A of an A that is near 1
EPSILONS = (0.05, 50)  # outside, our unit of 2^-40 nat or their overflow shows
PLD_EPSILONS = (0.1, 20)
PLD_MIN_DELTA = 1e-7  # times the largest number of steps below: their FFT is right
PLD_MAX_STEPS = 20000
SECONDS = 540

try:
    import dp_accounting
    from dp_accounting.pld import privacy_loss_distribution
    from dp_accounting.rdp import RdpAccountant
except ImportError:
    print("skipped: dp_accounting is not installed")
    sys.exit(77)


logging.disable(logging.WARNING)  # their fractional orders that do not converge


def points():
    rng = random.Random(5)
    while True:
        rate = 1.0 if rng.random() < 0.05 else 10 ** rng.uniform(-5, -0.1)
        noise = math.exp(rng.uniform(math.log(0.4), math.log(20)))
        steps = int(10 ** rng.uniform(0, 6))
        yield noise, rate, steps, 10 ** rng.uniform(-10, -3)


def priced(run):
    """points with our prices, a hundred at a time"""
    source = points()
    while True:
        sample = [next(source) for _ in range(100)]
        lines = run([], "".join("%.17g %.17g %d %.17g\n" % p for p in sample))
        for point, line in zip(sample, lines):
            yield point, list(map(float, line.split()))


def their_rdp(noise, rate, steps, delta, orders):
    event = dp_accounting.GaussianDpEvent(noise)
    if rate < 1:
        event = dp_accounting.PoissonSampledDpEvent(rate, event)
    accountant = RdpAccountant(
        orders, dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(event, steps)
    return accountant.get_epsilon(delta)


def their_pld(noise, rate, steps, delta):
    """epsilon, and how much their interval may have added to it"""
    variance = rate * rate * math.expm1(min(1 / noise ** 2, 50))
    interval = min(1e-4, math.sqrt(variance) / 20, 0.05 / math.sqrt(steps))
    interval = max(interval, 2e-6)
    pld = privacy_loss_distribution.from_gaussian_mechanism(
        noise, sampling_prob=rate, value_discretization_interval=interval)
    # connect-the-dots spreads each loss over one interval: T h^2 / 8 in KL, a few of it
    return pld.self_compose(steps).get_epsilon_for_delta(delta), steps * interval ** 2


def compare_rdp(point, ours, orders, worst):
    grid, whole, tight, _ = ours
    whole_orders = [order for order in orders if order == int(order)]
    want, want_whole = (their_rdp(*point, o) for o in (orders, whole_orders))
    off = (whole - want_whole) / want_whole
    worst["rdp"] = max(worst["rdp"], abs(off))
    lowest = -THEIR_ROUNDING * point[2] / want_whole - 1e-12
    highest = RENYI + THEIR_ROUNDING * point[2] / want_whole
    return lowest <= off <= highest and grid <= want * (1 + 1e-9) and \
        tight <= grid * (1 + 1e-9)


def compare_pld(point, ours, worst):
    want, slack = their_pld(*point)
    off = (ours[3] - want) / want
    worst["pld"] = max(worst["pld"], abs(off))
    return off <= PLD and ours[3] >= want - 2 * slack - PLD * want and \
        ours[3] <= ours[2] * (1 + PLD)


def main(program, n_points):
    run = lambda args, text: subprocess.run(
        [program] + args, input=text, capture_output=True, text=True, check=True,
        timeout=SECONDS).stdout.split("\n")
    orders = [float(line) for line in run(["orders"], "") if line]
    worst, n_compared, n_pld, failures = {"rdp": 0.0, "pld": 0.0}, 0, 0, 0
    for point, ours in priced(run):
        if n_compared == n_points:
            break
        if not EPSILONS[0] < ours[0] < EPSILONS[1]:
            continue
        n_compared += 1
        good = compare_rdp(point, ours, orders, worst)
        if good and point[3] >= PLD_MIN_DELTA and point[2] <= PLD_MAX_STEPS and \
                PLD_EPSILONS[0] < ours[3] < PLD_EPSILONS[1]:
            n_pld += 1
            good = compare_pld(point, ours, worst)
        if not good:
            failures += 1
            print("noise %g rate %g steps %d delta %g: " % point +
                  "grid %.12g, whole %.12g, tight %.12g, pld %.12g" % tuple(ours))
    print("%d points: largest relative difference %.2g (rdp, whole orders); %d of them "
          "by pld: %.2g" % (n_compared, worst["rdp"], n_pld, worst["pld"]))
    return 1 if failures or n_pld < n_points // 8 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500))
