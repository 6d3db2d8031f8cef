#!/usr/bin/env python3
"""Writes tests/vectors/scattering.txt: scattering features by SciPy's convolutions.

usage: make_scattering.py > tests/vectors/scattering.txt     (needs numpy and scipy)

In double, from the formulas of worker/scatter.h; nothing of worker/ is used. The images
are those of check_scatter.c: 28 x 28 bytes and 13 x 9 floats.
"""
import numpy as np
from scipy.ndimage import convolve1d

L = 6


def gauss(deviation):
    r = int(np.ceil(4 * deviation))
    k = np.arange(-r, r + 1)
    g = np.exp(-k**2 / (2 * deviation**2))
    return k, g / g.sum()


def along(x, taps, axis):
    if np.iscomplexobj(taps):
        return along(x, taps.real, axis) + 1j * along(x, taps.imag, axis)
    if np.iscomplexobj(x):
        return along(x.real, taps, axis) + 1j * along(x.imag, taps, axis)
    # convolve1d turns the filter round
    return convolve1d(x, taps[::-1], axis=axis, mode="mirror")


def wavelet(x, j, l, step):
    k, g = gauss(0.8 * 2**j)
    xi, angle = 0.75 * np.pi / 2**j, np.pi * l / L
    across = g * np.exp(1j * xi * np.cos(angle) * k)
    down = g * np.exp(1j * xi * np.sin(angle) * k)
    less = across.sum() * down.sum()
    y = along(along(x, across, 1), down, 0) - less * along(along(x, g, 1), g, 0)
    return np.abs(y)[::step, ::step]


def smooth(x, deviation, step):
    _, g = gauss(deviation)
    return along(along(x, g, 1), g, 0)[::step, ::step]


def scatter(x):
    first = [wavelet(x, 0, l, 1) for l in range(L)]
    out = [(smooth(x, 1.6, 4) - 0.125) / 0.2]
    out += [(smooth(u, 1.6, 4) - 0.03) / 0.05 for u in first]
    out += [(smooth(wavelet(x, 1, l, 2), 0.8, 2) - 0.03) / 0.05 for l in range(L)]
    out += [(smooth(wavelet(u, 1, m, 2), 0.8, 2) - 0.006) / 0.01
            for u in first for m in range(L)]
    out = np.stack(out)
    return (out - out.mean()) / np.sqrt(out.var() + 1e-5)


def main():
    print("# Scattering features by tests/dev/make_scattering.py: h, w, then every 7th.")
    for h, w, scale in ((28, 28, 255.0), (13, 9, 1.0)):
        i = np.arange(h * w)
        bytes_ = (i * 2654435761 % 2**32 >> 24) * ((i // 5) % 3 == 0)
        x = bytes_.reshape(h, w) / scale
        y = scatter(x).ravel()
        print("image", h, w, len(y))
        for at in range(0, len(y), 7):
            print("%.9g" % y[at])


main()
