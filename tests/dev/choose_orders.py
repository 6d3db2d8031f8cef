#!/usr/bin/env python3
"""Where the ledger's Renyi orders should stand: measures a grid, and looks for a better.

usage: choose_orders.py ORDER_POINTS GRID [N_ORDERS]

ORDER_POINTS is a program of tests/unit/privacy; GRID a file with one order a line
(`price_points orders` prints the ledger's). Jobs are drawn as jobs/privacy/README.md
says, those with epsilon in [0.1, 10] count. A loss is what a grid's epsilon is above the
least over all orders. With N_ORDERS, a grid of that many is chosen: the orders that
published schedulers use and a few at both ends, then again and again the one that helps
most; it is measured on jobs that it was not chosen on, beside the given grid and beside
all candidates, and printed. Needs numpy.
"""
import math
import random
import subprocess
import sys

try:
    import numpy
except ImportError:
    print("skipped: numpy is not installed")
    sys.exit(77)

GOAL = 1e-3
KEPT = (1.125, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 16.0, 32.0, 64.0,
        512.0, 1024.0, 2048.0)
N_SAMPLED, N_PLAIN = 8000, 1200  # drawn; those with epsilon in range count


def candidates():
    fine = [1 + i / 16 for i in range(2, 16 * 31 + 1)]
    coarse = [32 + i / 4 for i in range(4 * 96)] + [128 + i for i in range(384)]
    rest = [512 * 2 ** (i / 12) for i in range(25)]
    return sorted(set(fine + coarse + [float(round(a)) for a in rest]))


def sampled(rng):
    noise = math.exp(rng.uniform(math.log(0.45), math.log(20)))
    rate = math.exp(rng.uniform(math.log(3e-5), math.log(0.6)))
    steps = math.exp(rng.uniform(-math.log(rate), math.log(1e6)))
    return noise, rate, int(math.ceil(steps)), 10 ** rng.uniform(-10, -5)


def plain(rng):
    """epsilon around [0.1, 10], by the zCDP conversion: near enough to draw by."""
    delta, epsilon = 10 ** rng.uniform(-10, -5), 10 ** rng.uniform(-1, 1)
    weight = -math.log(delta)
    rho = (math.sqrt(weight + epsilon) - math.sqrt(weight)) ** 2
    return 1 / math.sqrt(2 * rho), 1.0, 1, delta


def losses(program, orders, jobs):
    text = "".join("%.17g %.17g %d %.17g\n" % job for job in jobs)
    raw = subprocess.run([program] + ["%.17g" % a for a in orders],
                         input=text.encode(), capture_output=True, check=True).stdout
    table = numpy.frombuffer(raw).reshape(len(jobs), len(orders) + 1)
    best = numpy.minimum(table[:, :1], table[:, 1:].min(axis=1, keepdims=True))
    seen = (best[:, 0] >= 0.1) & (best[:, 0] <= 10)
    return (table[seen, 1:] / best[seen] - 1).astype(numpy.float32)


def report(name, loss):
    least = loss.min(axis=1)
    print("%-10s %d jobs, mean %.4f %%, above 0.1 %%: %.2f in 100, above 1 %%: %.2f in 100, "
          "worst %.2f %%" % (name, len(least), 100 * least.mean(), 100 * (least > GOAL).mean(),
                             100 * (least > 1e-2).mean(), 100 * least.max()))


def badness(least):
    """Of each job: missing the goal, and by how much."""
    above = numpy.maximum(least / GOAL - 1, 0)
    return (least > GOAL) + 0.25 * above + numpy.minimum(least / GOAL, 1) * 0.05


def greedy(loss, weight, orders, n_orders):
    loss = numpy.asfortranarray(loss)
    chosen = [orders.index(a) for a in KEPT]
    least = loss[:, chosen].min(axis=1)
    while len(chosen) < n_orders:
        total = [(weight * badness(numpy.minimum(least, loss[:, c]))).sum()
                 for c in range(loss.shape[1])]
        chosen.append(int(numpy.argmin(total)))
        least = numpy.minimum(least, loss[:, chosen[-1]])
    return sorted(orders[c] for c in chosen)


def draw(program, orders, seed):
    rng = random.Random(seed)
    jobs = {"sampled": [sampled(rng) for _ in range(N_SAMPLED)],
            "gaussian": [plain(rng) for _ in range(N_PLAIN)]}
    jobs["common"] = [j for j in jobs["sampled"] if j[0] >= 0.6 and j[1] >= 0.004]
    return {name: losses(program, orders, some) for name, some in jobs.items()}


def main(program, grid_file, n_orders="0"):
    grid = [float(line) for line in open(grid_file)]
    orders = sorted(set(candidates() + grid)) if int(n_orders) else grid
    grids = {"given": grid}
    if int(n_orders):
        jobs = draw(program, orders, 1)
        both = numpy.concatenate([jobs["sampled"], jobs["gaussian"]])
        weight = numpy.concatenate([numpy.ones(len(jobs["sampled"])),
                                    3 * numpy.ones(len(jobs["gaussian"]))])
        grids["chosen"] = greedy(both, weight, orders, int(n_orders))
        grids["all candidates"] = orders
    jobs = draw(program, orders, 2)
    for name, some in grids.items():
        print("%s, %d orders" % (name, len(some)))
        for kind, loss in jobs.items():
            report(kind, loss[:, [orders.index(a) for a in some]])
    for alpha in grids.get("chosen", ()):
        print("%.17g" % alpha)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
