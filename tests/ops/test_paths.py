"""Features of bond paths: sums that are spelled out in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.bond_paths import SCALES, features, system, windows

from estag_jax.models.bond_paths import neighbours


def unit(v):
    return v / np.linalg.norm(v)


def spelled_out(h, given, i):
    """The features of node i in one window h [N, T, 3], in a plain loop over paths: by name."""
    s, r0, r2, spread = SCALES
    near, x, count = neighbours(given), h[:, -1], len(s)
    mass = {6: 12.011, 7: 14.007, 8: 15.999}
    mu = [
        (mass[z] + 1.008 * n - 13) / 3
        for z, n in zip(given.atomic_numbers, given.hydrogens, strict=True)
    ]
    d = np.array(
        [
            [np.diff(h[a], m, axis=0)[-1] / s[m - 1] for m in range(1, 1 + count)]
            for a in range(len(h))
        ]
    )

    def u(a, b):
        return unit(x[b] - x[a])

    def mean(a, b):
        return np.linalg.norm(h[a] - h[b], axis=1).mean()

    def rho(a, b):
        return (mean(a, b) - r0) / spread

    def normal(a):
        c = near[a][0] if len(near[a]) == 1 else a
        n = near[c]
        if len(n) == 2:
            v = np.cross(u(c, n[0]), u(c, n[1]))
        elif len(n) == 3:
            v = np.cross(u(c, n[1]) - u(c, n[0]), u(c, n[2]) - u(c, n[0]))
        else:
            v = np.zeros(3)
        return v / np.sqrt(v @ v + 1e-6)

    def op(p, q, v):
        return np.outer(v @ q, p)

    f: dict[str, np.ndarray] = {}

    def add(name, value):
        f[name] = f.get(name, 0.0) + value

    def products(name, a, b):
        e, v = u(a, b), (d[b] - d[a])[:4]
        al = v @ e
        across = v - np.outer(al, e)
        st = (np.linalg.norm(x[b] - x[a]) - mean(a, b)) / spread
        add(name + "ss", e * st**2)
        for m in range(3):
            for q in range(m, 3):
                add(f"{name}A{m}{q}", e * (across[m] @ across[q]))
                add(f"{name}B{m}{q}", e * al[m] * al[q])
            for q in range(3):
                add(f"{name}C{m}{q}", across[m] * al[q])
        for m in range(4):
            add(f"{name}D{m}", st * e * al[m])
            add(f"{name}E{m}", st * across[m])

    n, v = normal(i), d[i]
    add("o0", v)
    add("o2", op(n, n, v))
    for j in near[i]:
        a, w = u(i, j), d[j] - v
        for tag, factor in (("", 1.0), ("r", rho(i, j)), ("m", mu[j])):
            add("o1" + tag, factor * op(a, a, v))
            if tag:
                add("o0" + tag, factor * v)
                add("o2" + tag, factor * op(n, n, v))
            for name, value in (("I", w), ("uu", op(a, a, w)), ("nn", op(n, n, w))):
                add("1" + name + tag, factor * value)
            add("1mm" + tag, factor * op(normal(j), normal(j), w))
        r = np.linalg.norm(x[j] - x[i])
        for tag, factor in (("", 1.0), ("r", rho(i, j))):
            add("s1" + tag, factor * a)
            add("s1l" + tag, factor * a * (r - r0) / spread)
        add("s1n", n * (n @ (x[j] - x[i])) / spread)
        products("E", i, j)
        for k in near[i]:
            if k == j:
                continue
            b = u(i, k)
            add("o4", op(a, b, v))
            for tag, factor in (("", 1.0), ("r", rho(i, j)), ("m", mu[j])):
                add("1ku" + tag, factor * op(b, a, w))
                if tag != "m":
                    add("1uk" + tag, factor * op(a, b, w))
                    add("1kk" + tag, factor * op(b, b, w))
        for k in near[j]:
            if k == i:
                continue
            b, w2 = u(j, k), d[k] - d[j]
            add("o3", op(b, b, v))
            for tag, factor in (("", 1.0), ("r", rho(i, j)), ("m", mu[j])):
                add("1qu" + tag, factor * op(b, a, w))
                if tag != "m":
                    add("1uq" + tag, factor * op(a, b, w))
                    add("1qq" + tag, factor * op(b, b, w))
            for tag, factor in (("", 1.0), ("r", rho(j, k))):
                add("2I" + tag, factor * w2)
                for name, left, right in (
                    ("nn", n, n), ("aa", a, a), ("bb", b, b), ("ab", a, b), ("ba", b, a)
                ):  # fmt: skip
                    add("2" + name + tag, factor * op(left, right, w2))
                for other in near[i]:
                    if other != j:
                        add("2lb" + tag, factor * op(u(i, other), b, w2))
            apart = x[k] - x[i]
            r = np.linalg.norm(apart)
            add("s2", apart / r)
            add("s2l", apart / r * (r - r2) / spread)
            add("s2b", b)
            add("s2n", n * (n @ apart) / spread)
            products("F", i, k)
            for m in near[k]:
                if m in (i, j):
                    continue
                c, w3 = u(k, m), d[m] - d[k]
                add("3I", w3)
                add("3nn", op(n, n, w3))
                for name, left in (("ac", a), ("bc", b), ("cc", c)):
                    add("3" + name, op(left, c, w3))
                add("s3n", n * (n @ (x[m] - x[i])) / spread)
                for q in near[m]:
                    if q in (i, j, k):
                        continue
                    e, w4 = u(m, q), d[q] - d[m]
                    add("4I", w4)
                    add("4nn", op(n, n, w4))
                    add("4ae", op(a, e, w4))
    for name in ("o0", "o1", "o2", "o3", "o4"):
        if name in f:
            f[name + "M"] = mu[i] * f[name]
    return np.concatenate([np.atleast_2d(value) for value in f.values()])


@pytest.mark.parametrize("node", [0, 3, 6, 7, 9])
def test_features_are_sums_over_bond_paths(node):
    given = system()
    history, _ = windows(given.num_nodes)
    found = features(history, given)
    for w in range(2):
        expected = spelled_out(history[w, :, :, 0], given, node)
        rest = list(range(found.shape[2]))
        # As sets: each feature of the loop is one of the features, and the others are zero.
        for vector in expected:
            if np.abs(vector).max() == 0:
                continue
            errors = np.abs(found[w, node, rest] - vector).max(axis=1)
            assert errors.min() < 1e-9 * max(1, np.abs(vector).max())
            rest.pop(int(np.argmin(errors)))
        assert np.abs(found[w, node, rest]).max(initial=0) < 1e-12


def test_ten_frames_give_646_features():
    given = system()
    scales = SCALES._replace(differences=np.ones(9))
    assert features(windows(10, 1, 10)[0], given, scales).shape == (1, 10, 646, 3)
