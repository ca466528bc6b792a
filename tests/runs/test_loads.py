"""A run under way is read again and again: the trainer is unharmed, and each load is a state that it had."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.springs import config, frames

import estag_jax
from estag_jax.runs import folder
from estag_jax.runs.run import train
from estag_jax.training.callbacks import Callback

LOADS = int(os.environ.get("ESTAG_LOADS", 200))
TRAIN = (
    "import sys; from helpers.springs import config; from estag_jax.runs.run import train;"
    "train(config('a.npy', epochs=int(sys.argv[1]), evaluate_every=1), 'run')"
)


def digest(forecaster):
    arrays = forecaster.predictor.to_arrays()
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()


@pytest.mark.slow
def test_many_loads_during_a_training_with_a_save_every_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", frames())
    states = {}

    class Seen(Callback):
        def evaluated(self, loop, evaluation):
            if loop.best_epoch[0] == loop.epoch:
                states[digest(loop.snapshot().forecaster)] = loop.epoch

    train(config("a.npy", epochs=LOADS, evaluate_every=1), "undisturbed", callbacks=[Seen()])
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    trainer = subprocess.Popen([sys.executable, "-c", TRAIN, str(LOADS)], env=environment)
    loaded = []
    while len(loaded) < LOADS and trainer.poll() is None:
        if os.path.exists(f"run/{folder.FORECASTER}"):
            loaded.append(digest(estag_jax.load("run")))
            folder.read_metrics(tmp_path / "run")
    assert trainer.wait(600) == 0
    assert len(loaded) == LOADS and set(loaded) <= states.keys()
    epochs = [states[one] for one in loaded]
    assert epochs == sorted(epochs) and len(set(epochs)) > LOADS / 20
    one, other = (digest(estag_jax.load(name)) for name in ("run", "undisturbed"))
    assert one == other
