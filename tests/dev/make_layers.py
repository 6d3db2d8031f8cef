#!/usr/bin/env python3
"""Writes tests/vectors/layers.txt: losses and gradients of small nets by JAX.

usage: make_layers.py > tests/vectors/layers.txt     (needs jax, at any version)

Nets are made of JAX's own operations in double, and its automatic derivatives are what
is written; nothing of kernels/ is used. Parameters and records are those of hashed()
below, so that the test can make them again. For each net, by name as in check_layers.c:

  net NAME PARAMETERS
  loss     of each example
  norm     of each example's gradient
  probe    sum of all gradients times each of six vectors of hashed numbers
"""
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
N = 4
PROBES = 6
TOKENS = 11  # of one net, whose records are ids; 0 is padding


def hashed(n, salt):
    """n numbers in [-0.5, 0.5), exact in float."""
    at = np.arange(n, dtype=np.uint64) + np.uint64(salt * 1000003)
    at = (at * np.uint64(2654435761) + np.uint64(12345)) & np.uint64(0xFFFFFFFF)
    at ^= at >> np.uint64(15)
    at = (at * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    at ^= at >> np.uint64(13)
    return (at >> np.uint64(8)).astype(np.float64) / 2.0**24 - 0.5


class Net:
    """Takes its parameters off one flat array, in the order of the layers."""

    def __init__(self, params, x):
        self.params, self.at, self.x = params, 0, x
        self.at_frozen = 0

    def take(self, *shape):
        n = int(np.prod(shape))
        self.at += n
        return self.params[self.at - n:self.at].reshape(shape)

    def take_frozen(self, *shape):
        """Numbers of the base, which are no parameters."""
        n = int(np.prod(shape))
        self.at_frozen += n
        return jnp.asarray(hashed(self.at_frozen, 9)[self.at_frozen - n:].reshape(shape))

    def linear(self, out):
        w, b = self.take(self.x.shape[-1], out), self.take(out)
        self.x = self.x @ w + b

    def adapter(self, out, rank):
        """A frozen linear layer and its factors."""
        n = self.x.shape[-1]
        w, b = self.take_frozen(n, out), self.take_frozen(out)
        self.x = self.x @ w + b + self.x @ self.take(n, rank) @ self.take(rank, out)

    def frozen_norm(self):
        scale, shift = (self.take_frozen(self.x.shape[-1]) for _ in range(2))
        self.x = jax.nn.standardize(self.x, epsilon=1e-5) * scale + shift

    def conv2d(self, out, kernel, stride=1, padding=0):
        w, b = self.take(kernel, kernel, self.x.shape[-1], out), self.take(out)
        self.x = jax.lax.conv_general_dilated(
            self.x[None], w, (stride, stride), [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"))[0] + b

    def pool(self, kind, kernel, stride):
        start, op = (-jnp.inf, jax.lax.max) if kind == "max" else (0.0, jax.lax.add)
        y = jax.lax.reduce_window(self.x, start, op, (kernel, kernel, 1),
                                  (stride, stride, 1), "VALID")
        self.x = y if kind == "max" else y / kernel**2

    def group_norm(self, groups):
        h, w, c = self.x.shape
        scale, shift = self.take(c), self.take(c)
        x = self.x.reshape(h, w, groups, c // groups)
        x = x - x.mean((0, 1, 3), keepdims=True)
        x = x / jnp.sqrt((x**2).mean((0, 1, 3), keepdims=True) + 1e-5)
        self.x = x.reshape(h, w, c) * scale + shift

    def layer_norm(self):
        scale, shift = self.take(self.x.shape[-1]), self.take(self.x.shape[-1])
        self.x = jax.nn.standardize(self.x, epsilon=1e-5) * scale + shift

    def tempered_sigmoid(self, scale, inverse_temperature, offset):
        self.x = scale * jax.nn.sigmoid(inverse_temperature * self.x) - offset

    def gelu(self):
        self.x = jax.nn.gelu(self.x, approximate=False)

    def tanh(self):
        self.x = jnp.tanh(self.x)

    def relu(self):
        self.x = jax.nn.relu(self.x)

    def residual(self, block):
        x = self.x
        block()
        self.x = self.x + x

    def embedding(self, tokens, out):
        table = self.take(tokens, out)
        self.ids = self.x
        self.x = jnp.where(self.ids[:, None] > 0, table[self.ids], 0.0)

    def position(self):
        self.x = self.x + self.take(*self.x.shape)

    def waves(self):
        t, c = self.x.shape
        j = np.arange(c)
        angle = np.arange(t)[:, None] / 10000.0 ** (2 * (j // 2) / c)
        self.x = self.x + np.where(j % 2 == 0, np.sin(angle), np.cos(angle))

    def attention(self, heads, is_causal=False):
        t, c = self.x.shape[0], self.x.shape[1] // 3
        q, k, v = (self.x[:, i * c:(i + 1) * c].reshape(t, heads, c // heads)
                   for i in range(3))
        mask = jnp.broadcast_to(self.ids > 0, (t, t))
        if is_causal:
            mask = mask & (np.arange(t)[None] <= np.arange(t)[:, None])
        y = jax.nn.dot_product_attention(q[None], k[None], v[None],
                                         mask=mask[None, None])
        # what comes of padding's own queries is no part of the definition
        self.x = jnp.where(self.ids[:, None] > 0, y[0].reshape(t, c), 0.0)

    def token_mean(self):
        is_token = (self.ids > 0)[:, None]
        self.x = jnp.where(is_token, self.x, 0.0).sum(0) / is_token.sum()

    def flatten(self):
        self.x = self.x.reshape(-1)


def classic(net):
    net.conv2d(6, 3, padding=1)
    net.group_norm(3)
    net.relu()
    net.pool("max", 2, 2)
    net.conv2d(5, 2)
    net.tanh()
    net.pool("avg", 2, 1)
    net.flatten()
    net.linear(4)


def smooth(net):
    net.layer_norm()
    net.conv2d(6, 3, padding=1)
    net.tempered_sigmoid(1.5, 3.0, 0.5)
    net.gelu()
    net.layer_norm()
    net.pool("max", 2, 2)
    net.flatten()
    net.linear(9)
    net.layer_norm()
    net.gelu()
    net.linear(4)


def shortcuts(net):
    def inner():
        net.tanh()
        net.conv2d(4, 1)

    def outer():
        net.relu()
        net.conv2d(4, 3, padding=1)
        net.residual(inner)
        net.gelu()

    net.residual(net.tanh)
    net.conv2d(4, 3, padding=1)
    net.residual(outer)
    net.flatten()
    net.linear(4)


def sequence(net):
    def look():
        net.layer_norm()
        net.linear(24)
        net.attention(2)
        net.linear(8)

    def think():
        net.layer_norm()
        net.linear(12)
        net.gelu()
        net.linear(8)

    net.embedding(TOKENS, 8)
    net.position()
    net.waves()
    net.residual(look)
    net.residual(think)
    net.linear(9)
    net.attention(3, is_causal=True)
    net.token_mean()
    net.linear(4)


def adapters(net):
    net.x = jnp.where(net.x[:, None] > 0, net.take_frozen(TOKENS, 8)[net.x], 0.0)
    net.frozen_norm()
    net.adapter(24, 3)
    net.ids = jnp.ones(7, int)  # its records hold no padding
    net.attention(2)
    net.token_mean()
    net.adapter(10, 2)
    net.gelu()
    net.linear(4)


def xent(logits, label):
    return -jax.nn.log_softmax(logits)[label]


def mse(logits, label):
    return jnp.mean((logits - jax.nn.one_hot(label, logits.size)) ** 2)


def hinge(logits, label):
    margins = jax.nn.relu(1.0 - logits[label] + logits)
    return (margins.sum() - margins[label]) / logits.size


NETS = {  # the net, the loss, the records' shape (h, w, c)
    "classic": (classic, xent, (9, 8, 3)),
    "smooth": (smooth, xent, (6, 5, 4)),
    "shortcuts": (shortcuts, xent, (6, 5, 4)),
    "mse": (smooth, mse, (6, 5, 4)),
    "hinge": (smooth, hinge, (6, 5, 4)),
    "sequence": (sequence, xent, (7,)),
    "adapters": (adapters, xent, (7,)),
}


def count(build, shape):
    """Parameters that it takes; zeros are enough to see."""
    is_ids = len(shape) == 1
    net = Net(jnp.zeros(1000000), jnp.ones(shape, int) if is_ids else jnp.zeros(shape))
    build(net)
    return net.at


def say(word, values):
    print(word, " ".join("%.12g" % v for v in values))


def write(name):
    build, loss, shape = NETS[name]
    n_params = count(build, shape)
    params = hashed(n_params, 1)
    x = 2.0 * hashed(N * int(np.prod(shape)), 2).reshape((N,) + shape)
    if len(shape) == 1:  # the last places of some records are padding
        x = np.floor((x + 1.0) * 5.5).astype(int)
        if name == "adapters":
            x = np.maximum(x, 1)
        else:
            x[1:, 5:] = 0
        x[0, 0] = 3

    def of_one(p, record, label):
        net = Net(p, record)
        build(net)
        return loss(net.x, label)

    both = jax.jit(jax.value_and_grad(of_one))
    results = [both(params, x[i], i % 4) for i in range(N)]
    grads = np.array([np.asarray(g) for _, g in results])
    print("net", name, n_params)
    say("loss", [float(v) for v, _ in results])
    say("norm", np.sqrt((grads**2).sum(1)))
    say("probe", [grads.sum(0) @ hashed(n_params, 3 + k) for k in range(PROBES)])


def main():
    print("# Losses and gradients of small nets by JAX %s, in double." % jax.__version__)
    print("# Written by tests/dev/make_layers.py, which says what stands here.")
    for name in NETS:
        write(name)


main()
