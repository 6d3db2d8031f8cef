#!/usr/bin/env python3
"""Writes tests/vectors/divergences.csv: Renyi divergences of small mechanisms.

usage: make_divergences.py > tests/vectors/divergences.csv     (needs mpmath)

Every value is a sum over outcomes or a quadrature of the densities at 40 digits; none
uses the closed forms of jobs/privacy/divergence.c. "exact" rows are the mechanism's own
worst pair; "bound" rows are some pair of neighbours that a bound must not fall below.
"""
import itertools

import mpmath as mp

mp.mp.dps = 40
ORDERS = ["1.001", "1.125", "1.75", "2", "3.5625", "17.5", "64", "400", "2048"]


def renyi(pairs, alpha):
    """pairs of masses (p, q)"""
    total = mp.fsum(p ** alpha * q ** (1 - alpha) for p, q in pairs)
    return mp.log(total) / (alpha - 1)


def renyi_density(p, q, alpha, points):
    total = mp.quad(lambda x: mp.e ** (alpha * mp.log(p(x)) + (1 - alpha) * mp.log(q(x))),
                    points)
    return mp.log(total) / (alpha - 1)


def emit(text, alpha, value, kind):
    if abs(value) < mp.mpf(10) ** -35:
        value = mp.mpf(0)
    print("%s;%s;%s;%s" % (text, alpha, mp.nstr(value, 25), kind))


def discrete(log_mass, shift, reach):
    norm = mp.fsum(mp.e ** log_mass(abs(x)) for x in range(-reach, reach + 1))
    table = {x: mp.e ** log_mass(abs(x)) / norm
             for x in range(-reach, reach + shift + 1)}
    mass = lambda x: table[x] if x >= -reach else mp.e ** log_mass(abs(x)) / norm
    return [(mass(x), mass(x - shift))
            for x in range(-reach + shift, reach + 1)]


def laplace():
    for scale in ["0.01", "0.4", "3", "1e4"]:
        b = mp.mpf(scale)
        p = lambda x: mp.e ** (-abs(x) / b) / (2 * b)
        q = lambda x: mp.e ** (-abs(x - 1) / b) / (2 * b)
        for alpha in ORDERS:
            value = renyi_density(p, q, mp.mpf(alpha),
                                  [-90 * b, -20 * b, -5 * b, 0, mp.mpf(1) / 2, 1,
                                   1 + 5 * b, 1 + 20 * b, 1 + 90 * b])
            emit("laplace scale=%s" % scale, alpha, value, "exact")


def discrete_laplace():
    for scale, shift in [("0.3", 1), ("2", 1), ("2", 7), ("40", 3)]:
        b = mp.mpf(scale)
        pairs = discrete(lambda x: -x / b, shift, int(92 * b) + 2 * shift + 2)
        for alpha in ORDERS:
            emit("discrete-laplace scale=%s sensitivity=%d" % (scale, shift), alpha,
                 renyi(pairs, mp.mpf(alpha)), "exact")


def discrete_gaussian():
    for scale, shift in [("0.3", 1), ("1.5", 1), ("5", 4)]:
        s = mp.mpf(scale)
        for alpha in ["1.125", "1.75", "2", "3.5625", "17.5"]:
            reach = int(14 * s + mp.mpf(alpha) * shift) + 10
            pairs = discrete(lambda x: -mp.mpf(x * x) / (2 * s * s), shift, reach)
            whole = mp.mpf(alpha) == int(mp.mpf(alpha))
            emit("discrete-gaussian scale=%s sensitivity=%d" % (scale, shift), alpha,
                 renyi(pairs, mp.mpf(alpha)), "exact" if whole else "bound")


def skellam():
    for variance, shift in [("0.5", 1), ("4", 1), ("100", 5)]:
        mu = mp.mpf(variance)
        for alpha in ["1.125", "2", "3", "5.25", "16"]:
            reach = int(14 * mp.sqrt(mu) + mp.mpf(alpha) * shift * 3) + 60
            pairs = discrete(lambda x: mp.log(mp.besseli(x, mu)), shift, reach)
            emit("skellam variance=%s sensitivity=%d sensitivity_l1=%d" %
                 (variance, shift, shift), alpha, renyi(pairs, mp.mpf(alpha)), "bound")


def bounded_range():
    for text in ["0.0001", "0.3", "1", "8"]:
        epsilon = mp.mpf(text)
        for alpha in ORDERS:
            a = mp.mpf(alpha)

            def value(t):
                q = (mp.e ** (epsilon - t) - 1) / (mp.e ** epsilon - 1)
                return mp.log(q * mp.e ** (a * t) +
                              (1 - q) * mp.e ** (a * (t - epsilon))) / (a - 1)
            low, high = mp.mpf(0), epsilon
            for _ in range(120):  # the maximum over t, by thirds
                x, y = low + (high - low) / 3, high - (high - low) / 3
                low, high = (x, high) if value(x) < value(y) else (low, y)
            emit("exponential epsilon=%s" % text, alpha, value(low), "exact")
    # the exponential mechanism itself, three outcomes, scores moving by 1 at most
    for text in ["0.3", "3"]:
        epsilon = mp.mpf(text)
        for alpha in ["1.125", "2", "17.5", "400"]:
            worst = 0
            for base in [(0, 0, 0), (0, 5, 9), (3, 3, 0)]:
                for move in itertools.product([-1, 0, 1], repeat=3):
                    w = [mp.e ** (epsilon * u / 2) for u in base]
                    v = [mp.e ** (epsilon * (u + d) / 2) for u, d in zip(base, move)]
                    pairs = [(x / sum(w), y / sum(v)) for x, y in zip(w, v)]
                    worst = max(worst, renyi(pairs, mp.mpf(alpha)))
            emit("exponential epsilon=%s" % text, alpha, worst, "bound")


def randomised_response():
    for flip, k in [("0.001", 2), ("0.5", 2), ("0.5", 10), ("0.999", 1000), ("1", 3)]:
        f = mp.mpf(flip)
        for alpha in ORDERS:
            p = [1 - f + f / k] + [f / k] * (k - 1)
            q = [f / k, 1 - f + f / k] + [f / k] * (k - 2)
            emit("randomised-response flip=%s categories=%d" % (flip, k), alpha,
                 renyi(list(zip(p, q)), mp.mpf(alpha)), "exact")


def laplace_cdf(x):
    return mp.e ** x / 2 if x < 0 else 1 - mp.e ** -x / 2


def noisy_max():
    """two or three scores; Laplace or exponential noise of scale 2: epsilon 1"""
    def win(scores, kind):
        scale, chances = mp.mpf(2), []
        for i, u in enumerate(scores):
            if kind == "laplace":
                low, density, cdf = -60, lambda z: mp.e ** -abs(z) / 2, laplace_cdf
            else:
                low, density = 0, lambda z: mp.e ** -z
                cdf = lambda x: 0 if x < 0 else 1 - mp.e ** -x
            kinks = sorted(set([mp.mpf(low), mp.mpf(0), mp.mpf(60)] + [
                (v - u) / scale for v in scores if low < (v - u) / scale < 60]))
            chances.append(mp.quad(lambda z: density(z) * mp.fprod(
                cdf(z + (u - v) / scale) for j, v in enumerate(scores) if j != i),
                kinks))
        return chances
    for kind in ["laplace", "exponential"]:
        for base, moved in [((0, 0), (1, -1)), ((0, 3), (1, 2)), ((0, 0, 0), (1, -1, -1)),
                            ((0, 6, 6), (1, 5, 5))]:
            pairs = list(zip(win(base, kind), win(moved, kind)))
            for alpha in ["1.125", "2", "17.5", "400"]:
                value = max(renyi(pairs, mp.mpf(alpha)),
                            renyi([(q, p) for p, q in pairs], mp.mpf(alpha)))
                emit("noisy-max scale=2", alpha, value, "bound")


def sparse_vector():
    """two queries, until the first "above": "above"; "below, above"; "below, below" """
    t_scale, q_scale = mp.mpf(2), mp.mpf(4)

    def law(queries):
        density = lambda z: mp.e ** -abs(z) / 2
        below = lambda z, q: laplace_cdf((t_scale * z - q) / q_scale)
        kinks = sorted(set([mp.mpf(-70), mp.mpf(0), mp.mpf(70)] +
                           [q / t_scale for q in queries]))
        first = mp.quad(lambda z: density(z) * (1 - below(z, queries[0])), kinks)
        second = mp.quad(lambda z: density(z) * below(z, queries[0]) *
                         (1 - below(z, queries[1])), kinks)
        return [first, second, 1 - first - second]
    for base, moved in [((0, 0), (1, -1)), ((0, 0), (-1, 1)), ((-9, 0), (-10, 1)),
                        ((3, 3), (2, 4))]:
        pairs = list(zip(law([mp.mpf(x) for x in base]), law([mp.mpf(x) for x in moved])))
        for alpha in ["1.125", "2", "17.5", "400"]:
            emit("sparse-vector threshold_scale=2 query_scale=4", alpha,
                 renyi(pairs, mp.mpf(alpha)), "bound")


def poisson():
    """the sampled Laplace mechanism and randomised-response-like pairs, both ways"""
    for scale, rate in [("0.5", "0.01"), ("1", "0.3"), ("10", "0.1"), ("0.2", "1e-6")]:
        b, r = mp.mpf(scale), mp.mpf(rate)
        q = lambda x: mp.e ** (-abs(x) / b) / (2 * b)
        p = lambda x: (1 - r) * q(x) + r * q(x - 1)
        points = [-90 * b, -20 * b, -5 * b, 0, mp.mpf(1) / 2, 1, 1 + 5 * b, 1 + 20 * b,
                  1 + 90 * b]
        for alpha in ["1.125", "1.75", "2", "5", "5.25", "64", "400"]:
            remove = renyi_density(p, q, mp.mpf(alpha), points)
            add = renyi_density(q, p, mp.mpf(alpha), points)
            whole = mp.mpf(alpha) == int(mp.mpf(alpha))
            emit("laplace sampling=poisson sample_rate=%s scale=%s" % (rate, scale),
                 alpha, max(remove, add),
                 "exact" if whole and remove > 3 * add else "bound")


def without_replacement():
    """one record of many is 1 instead of 0: a mixture against pure noise, both ways"""
    for noise, rate in [("0.8", "0.01"), ("2", "0.1"), ("30", "0.2")]:
        s, r = mp.mpf(noise), mp.mpf(rate)
        q = lambda x: mp.npdf(x, 0, s)
        p = lambda x: (1 - r) * q(x) + r * mp.npdf(x, 1, s)
        for alpha in ["1.125", "2", "5.25", "16"]:
            a = mp.mpf(alpha)
            points = [-14 * s, -6 * s, 0, 1, a / 2, a, a + 6 * s, a + 14 * s]
            value = max(renyi_density(p, q, a, points), renyi_density(q, p, a, points))
            emit("gaussian sampling=without_replacement sample_rate=%s "
                 "noise_multiplier=%s" % (rate, noise), alpha, value, "bound")


if __name__ == "__main__":
    print("# Renyi divergences of one release, in nats: mechanism;alpha;value;exact or "
          "bound.\n# Made by tests/dev/make_divergences.py (mpmath %s, 40 digits)."
          % mp.__version__)
    for family in [laplace, discrete_laplace, discrete_gaussian, skellam, bounded_range,
                   randomised_response, noisy_max, sparse_vector, poisson,
                   without_replacement]:
        family()
