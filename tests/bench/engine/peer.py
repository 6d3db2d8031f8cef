#!/usr/bin/env python3
"""Examples a second of Opacus, in its fastest mode, and of a plain PyTorch loop.

usage: peer.py mlp|cnn BATCH STEPS THREADS
prints: OPACUS LOADED PLAIN MODE

Development only: bench_engine runs it where PPT_PYTHON names an interpreter that has
torch and opacus. The models are the presets; batches are Poisson samples of 60000
records that lie in memory. OPACUS and PLAIN index a tensor and pay for no data loader;
LOADED is Opacus as its documentation has it, with the loader that it makes. Its noise is
torch's own generator (no secure mode). Their steps are the fastest tenth, the engine's the
median.
"""
import logging
import statistics
import sys
import time
import warnings

import torch
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

N = 60000
WARM_UP = 3


def model_of(name):
    torch.manual_seed(1)
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return nn.Sequential(
        nn.Conv2d(1, 16, 8, 2, 3), nn.Tanh(), nn.MaxPool2d(2, 1),
        nn.Conv2d(16, 32, 4, 2), nn.Tanh(), nn.MaxPool2d(2, 1),
        nn.Flatten(), nn.Linear(512, 32), nn.Tanh(), nn.Linear(32, 10))


def fast(times):
    """The fastest tenth: two threads that wait for each other in short steps lose up to a
    hundred times where anything else runs beside them, and a median would show that."""
    return statistics.quantiles(times, n=10)[0]


def seconds(model, optimizer, criterion, x, y, rate, steps):
    """A step: sample, forward, backward, (noisy) update."""
    times = []
    for step in range(WARM_UP + steps):
        start = time.perf_counter()
        chosen = (torch.rand(N) < rate).nonzero().squeeze(1)
        optimizer.zero_grad()
        criterion(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
        if step >= WARM_UP:
            times.append(time.perf_counter() - start)
    return fast(times)


def loaded(model, optimizer, criterion, loader, steps):
    times, start = [], time.perf_counter()
    for step, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
        if step >= WARM_UP:
            times.append(time.perf_counter() - start)
        if len(times) == steps:
            break
        start = time.perf_counter()
    return fast(times)


def private(name, mode, x, y, batch, steps):
    model = model_of(name)
    extra = {"criterion": nn.CrossEntropyLoss()} if mode == "ghost" else {}
    made = PrivacyEngine().make_private(
        module=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(TensorDataset(x, y), batch_size=batch),
        noise_multiplier=1.0, max_grad_norm=1.0, grad_sample_mode=mode, **extra)
    criterion = made[2] if mode == "ghost" else nn.CrossEntropyLoss()
    indexed = seconds(made[0], made[1], criterion, x, y, batch / N, steps)
    return indexed, loaded(made[0], made[1], criterion, made[-1], steps)


def main(name, batch, steps, threads):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    x, y = torch.rand(N, 1, 28, 28), torch.randint(0, 10, (N,))
    model = model_of(name)
    plain = seconds(model, torch.optim.SGD(model.parameters(), lr=0.1),
                    nn.CrossEntropyLoss(), x, y, batch / N, steps)
    best, best_mode = None, None
    for mode in "hooks", "ew", "functorch", "ghost":
        try:
            taken = private(name, mode, x, y, batch, steps)
        except (NotImplementedError, RuntimeError, ValueError) as error:
            print(f"{name}, {mode}: {error}".splitlines()[0], file=sys.stderr)
            continue
        if best is None or taken[0] < best[0]:
            best, best_mode = taken, mode
    if best is None:
        return 1
    print(f"{batch / best[0]:.6g} {batch / best[1]:.6g} {batch / plain:.6g} {best_mode}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
