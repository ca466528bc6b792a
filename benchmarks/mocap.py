"""Times forward kinematics over all frames at once against a walk joint by joint and frame by frame.

    .venv/bin/python benchmarks/mocap.py [--folder FOLDER] [--rounds 5]

FOLDER holds one skeleton (.asf) and trials of it (.amc), or folders that do; without it, a synthetic
body of 31 joints moves. Both are run in turn, so that a machine whose speed drifts slows them alike;
the ratio within each round is what to quote. The walk is what public parsers of such files do, in
numpy.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from estag_jax.sources.mocap import Motion, Skeleton, positions, read_amc, read_asf

AT_LEAST = 50
"""The ratio that is required."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Seconds for the positions of all joints in all frames."""

    folder: Path | None = None
    """Where an .asf with .amc files is, at any depth; None for a synthetic body."""

    rounds: int = 5
    """Times that each program is run."""

    frames: int = 400
    """Of the synthetic body."""


def synthetic(frames: int) -> tuple[Skeleton, list[Motion]]:
    """Five chains of six bones, whose joints turn about three, one and two axes (CMU's have 56)."""
    random = np.random.default_rng(0)
    names = ("root", *(f"joint{i}" for i in range(30)))
    parents = np.array([-1, *(i if i % 6 else 0 for i in range(30))])
    directions = random.normal(size=(31, 3))
    skeleton = Skeleton(
        path="synthetic",
        names=names,
        directions=directions / np.linalg.norm(directions, axis=1, keepdims=True),
        lengths=np.array([0.0, *random.uniform(1, 8, 30)]),
        axes=np.linalg.qr(random.normal(size=(31, 3, 3)))[0],
        rotation_orders=("XYZ",) * 31,
        dof=(
            ("tx", "ty", "tz", "rx", "ry", "rz"),
            *[("rx", "ry", "rz"), ("rx",), ("rx", "rz")] * 10,
        ),
        parents=parents,
        order=tuple(range(31)),
        radians=False,
        inch=1.0,
    )
    sizes = zip(names, skeleton.dof, strict=True)
    values = {name: random.uniform(-90, 90, (frames, len(dof))) for name, dof in sizes}
    return skeleton, [Motion("synthetic", values, dict.fromkeys(names, 0), None)]


def turn(angles: np.ndarray) -> np.ndarray:
    """R_z R_y R_x of three angles in degrees [3, 3]."""
    (a, b, c), (d, e, f) = np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))
    return np.array(
        [
            [b * c, d * e * c - a * f, a * e * c + d * f],
            [b * f, d * e * f + a * c, a * e * f - d * c],
            [-e, d * b, a * b],
        ]
    )


def walk(skeleton: Skeleton, motion: Motion) -> np.ndarray:
    """The same as ``positions`` frame by frame, for angles in degrees about x, y and z in turn."""
    inverses = [np.linalg.inv(axes) for axes in skeleton.axes]
    frames = []
    for frame in range(len(motion.values["root"])):
        where, world = np.zeros((len(skeleton.names), 3)), [np.eye(3)] * len(skeleton.names)
        for joint in skeleton.order:
            name, parent = skeleton.names[joint], skeleton.parents[joint]
            angles = np.zeros(3)
            dof = skeleton.dof[joint]
            values = motion.values[name][frame] if dof else ()
            for key, value in zip(dof, values, strict=True):
                if key[0] == "t":
                    where[joint, "xyz".index(key[1])] = value
                else:
                    angles["xyz".index(key[1])] = value
            local = skeleton.axes[joint].dot(turn(angles)).dot(inverses[joint])
            if parent < 0:
                world[joint] = local
            else:
                world[joint] = world[parent].dot(local)
                bone = skeleton.lengths[joint] * world[joint].dot(skeleton.directions[joint])
                where[joint] = where[parent] + bone
        frames.append(where)
    return np.array(frames)


def main(config: Config) -> None:
    """Checks that both agree, runs them in turn, prints the table and fails below the ratio."""
    if config.folder is None:
        bodies = [synthetic(config.frames)]
    else:
        bodies = [
            (read_asf(path), [read_amc(trial) for trial in sorted(path.parent.glob("*.amc"))])
            for path in sorted(config.folder.rglob("*.asf"))
        ]
    pairs = [(skeleton, motion) for skeleton, motions in bodies for motion in motions]
    if not pairs:
        raise SystemExit(f"{config.folder}: has no .asf with .amc files beside it")
    apart = max(np.abs(positions(*pair) - walk(*pair)).max() for pair in pairs)
    seconds = {"all frames at once": [], "frame by frame": []}
    for _ in range(config.rounds):
        for values, function in zip(seconds.values(), (positions, walk), strict=True):
            began = time.perf_counter()
            for pair in pairs:
                function(*pair)
            values.append(time.perf_counter() - began)
    frames = sum(len(motion.values["root"]) for _, motion in pairs)
    title = f"{frames} frames, {len(pairs[0][0].names)} joints, {len(pairs)} trials"
    table = Table("program", "median [ms]", "least [ms]", title=f"{title}, {apart:.0e} apart")
    for name, values in seconds.items():
        table.add_row(name, f"{1e3 * np.median(values):.1f}", f"{1e3 * min(values):.1f}")
    fast, slow = map(np.array, seconds.values())
    ratio = np.median(slow / fast)
    Console(width=100).print(table, f"ratio: {ratio:.0f} (required: {AT_LEAST})")
    if apart > 1e-9 or ratio < AT_LEAST:
        raise SystemExit(1)


if __name__ == "__main__":
    main(tyro.cli(Config))
