#!/usr/bin/env python3
"""Seconds and epsilons of Google's dp_accounting for one subsampled Gaussian plan.

usage: peer.py NOISE RATE STEPS DELTA
prints: PLD_SECONDS PLD_EPSILON RENYI_SECONDS RENYI_EPSILON

Development only: bench_accountant runs it where PPT_PYTHON names an interpreter that
has dp_accounting.
"""
import sys
import time

import dp_accounting
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant


def main(noise, rate, steps, delta):
    event = dp_accounting.GaussianDpEvent(noise)
    if rate < 1:
        event = dp_accounting.PoissonSampledDpEvent(rate, event)
    answers = []
    for accountant in PLDAccountant(), RdpAccountant():
        start = time.perf_counter()
        accountant.compose(event, steps)
        epsilon = accountant.get_epsilon(delta)
        answers += [time.perf_counter() - start, epsilon]
    print(*("%.9g" % answer for answer in answers))


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), int(float(sys.argv[3])),
         float(sys.argv[4]))
