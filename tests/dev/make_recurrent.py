#!/usr/bin/env python3
"""Writes tests/vectors/recurrent.txt: losses and gradients of nets with LSTMs by PyTorch.

usage: make_recurrent.py > tests/vectors/recurrent.txt     (needs torch, at any version)

The LSTM is torch.nn.LSTM on packed sequences, in double, and its automatic derivatives
are what is written; low-rank factors scaled by alpha / rank stand between two of them.
Numbers and the file's form are those of make_layers.py.
"""
import torch

N, PROBES, TOKENS, PLACES = 4, 6, 11, 7
torch.set_default_dtype(torch.float64)


def hashed(n, salt):
    """n numbers in [-0.5, 0.5), exact in float."""
    values = []
    for i in range(n):
        at = ((i + salt * 1000003) * 2654435761 + 12345) & 0xFFFFFFFF
        at ^= at >> 15
        at = at * 2246822519 & 0xFFFFFFFF
        at ^= at >> 13
        values.append((at >> 8) / 2.0**24 - 0.5)
    return torch.tensor(values)


class Flat:
    """Hands out parts of one flat array, in the order of the layers."""

    def __init__(self, values):
        self.values, self.at = values, 0

    def take(self, *shape):
        n = 1
        for length in shape:
            n *= length
        self.at += n
        return self.values[self.at - n:self.at].reshape(shape)


def lstm(x, length, out, numbers):
    """All states of one sequence and the one behind its last token; padding's states are
    that one too."""
    recurrent = numbers.take(out, 4 * out)
    weight, bias = numbers.take(x.shape[1], 4 * out), numbers.take(4 * out)
    layer = torch.nn.LSTM(x.shape[1], out, batch_first=True)
    for name, value in (("weight_ih_l0", weight.T), ("weight_hh_l0", recurrent.T),
                        ("bias_ih_l0", bias), ("bias_hh_l0", torch.zeros(4 * out))):
        delattr(layer, name)
        setattr(layer, name, value)
    layer._flat_weights = [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0,
                           layer.bias_hh_l0]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x[None], [length], batch_first=True)
    states, (last, _) = layer(packed)
    states, _ = torch.nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
    return torch.cat([states[0], last[0].expand(len(x) - length, out)]), last[0, 0]


def linear(x, out, numbers):
    weight, bias = numbers.take(x.shape[-1], out), numbers.take(out)
    return x @ weight + bias


def adapter(x, out, rank, alpha, numbers, base):
    y = linear(x, out, base)
    return y + alpha / rank * (x @ numbers.take(x.shape[-1], rank) @ numbers.take(rank, out))


def embedding(ids, out, numbers):
    return torch.where(ids[:, None] > 0, numbers.take(TOKENS, out)[ids], 0.0)


def recurrent(ids, numbers, _base):
    length = int((ids > 0).sum())
    x = embedding(ids, 8, numbers)
    x, _ = lstm(x, length, 6, numbers)
    x = torch.tanh(linear(x, 9, numbers))
    x, _ = lstm(x, length, 15, numbers)
    return linear(x[:length].mean(0), 4, numbers)


def last_state(ids, numbers, _base):
    length = int((ids > 0).sum())
    _, x = lstm(embedding(ids, 8, numbers), length, 12, numbers)
    return linear(x, 4, numbers)


def scaled_adapters(ids, numbers, base):
    x = adapter(embedding(ids, 8, base), 10, 2, 0.5, numbers, base)
    x, _ = lstm(x, len(ids), 6, base)
    x = adapter(x, 9, 3, 16.0, numbers, base)
    return linear(x.mean(0), 4, numbers)


# the net, and whether its records hold padding
NETS = {"recurrent": (recurrent, True), "last_state": (last_state, True),
        "scaled_adapters": (scaled_adapters, False)}


def records(has_padding):
    x = torch.floor((2.0 * hashed(N * PLACES, 2).reshape(N, PLACES) + 1.0) * 5.5).long()
    x = torch.clamp(x, min=1)
    if has_padding:
        x[1:, 5:] = 0
    x[0, 0] = 3
    return x


def say(word, values):
    print(word, " ".join("%.12g" % v.item() for v in values))


def write(name):
    build, has_padding = NETS[name]
    x, base = records(has_padding), hashed(4000, 9)
    numbers = Flat(torch.zeros(4000))
    build(x[0], numbers, Flat(base))
    n_params, losses, grads = numbers.at, [], []
    for i in range(N):
        params = hashed(n_params, 1).requires_grad_()
        logits = build(x[i], Flat(params), Flat(base))
        loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([i % 4]))
        loss.backward()
        losses.append(loss)
        grads.append(params.grad)
    total = torch.stack(grads).sum(0)
    print("net", name, n_params)
    say("loss", losses)
    say("norm", [g.norm() for g in grads])
    say("probe", [total @ hashed(n_params, 3 + k) for k in range(PROBES)])


def main():
    version = torch.__version__.split("+")[0]
    print("# Losses and gradients of nets with LSTMs by PyTorch %s, in double." % version)
    print("# Written by tests/dev/make_recurrent.py, which says what stands here.")
    for name in NETS:
        write(name)


main()
