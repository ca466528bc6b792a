"""The command as a user meets it: exit codes, one clear line, files that others read."""

import re
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from helpers.command import estag, one_line

from estag_jax import cli
from estag_jax.cli.main import COMMANDS
from estag_jax.runs.presets import PRESETS

RNG = np.random.default_rng(0)
SMALL = (
    "--window.past 4 --window.delta 2 --split.train 20 --split.validation 10 --split.test 10 "
    "--model.hidden 3 --model.layers 1 --train.epochs 2 --train.evaluate-every 1"
).split()


@pytest.fixture(scope="module")
def run(ethanol, tmp_path_factory):
    """A run trained through the command."""
    out = tmp_path_factory.mktemp("runs") / "ethanol"
    cli.main(["train", "--data", str(ethanol), "--out", str(out), *SMALL])
    return out


def test_train_prints_the_table_and_leaves_figures(run, capsys):
    code, out, _ = estag(capsys, "info", run)
    assert code == 0 and "2 of 2" in out and "VAR ridge" in out and "ESTAG" in out
    for name in ("loss.png", "overlay.png", "rollout.png"):
        assert (run / "figures" / name).stat().st_size > 1000


def test_evaluate_repeats_the_table_of_the_run(run, capsys):
    code, out, _ = estag(capsys, "evaluate", run)
    assert code == 0
    table = (run / "table.md").read_text()
    figures = re.findall(r"\d+\.\d{4} ± \d+\.\d{4}", table)
    assert len(figures) >= 9 and all(figure in out for figure in figures)


def test_rollout_writes_extended_xyz_that_ase_reads(run, ethanol, capsys, tmp_path):
    path = tmp_path / "new" / "path.xyz"
    code, out, _ = estag(capsys, "rollout", run, "--steps", "5", "--start", "3", "--out", path)
    assert code == 0 and "5 frames, 1 fs apart, after frame 9" in out
    images = ase.io.read(path, ":")
    assert len(images) == 5 and images[0].get_chemical_formula() == "C2O"
    assert [image.info["time_fs"] for image in images] == [1, 2, 3, 4, 5]
    import estag_jax

    forecaster = estag_jax.load(run)
    frames = np.load(ethanol)["R"][:, :3]
    first = forecaster.predict(forecaster.history(frames, 3))
    np.testing.assert_allclose(images[0].positions, first[:, 0], atol=1e-6)


def test_auto_and_beside_are_options_of_train(ethanol, run, capsys, tmp_path):
    argv = ("train", "--data", ethanol, *SMALL[:10])
    code, out, err = estag(
        capsys, *argv, "--model", "auto", "--model.seconds", "0.2", "--out", tmp_path / "auto"
    )
    assert code == 0, err
    assert re.search(
        r"auto took (.+), the best of \d+ closed forms on the validation windows: \1", out
    )
    assert "auto left out Frame kernel: it would take about" in out
    assert "VAR ridge chose from the data: ridge" in out
    code, again, _ = estag(capsys, "evaluate", tmp_path / "auto")
    said = [
        line for line in out.splitlines() if line.startswith(("auto", "│", "Frame ridge chose"))
    ]
    assert code == 0 and said and all(line in again for line in said)
    code, out, err = estag(
        capsys, *argv, "--model", "AR-LS", "--beside", "Frame kernel", "--out", tmp_path / "beside"
    )
    assert code == 0 and "│ Frame kernel" in out, err
    assert "Frame kernel" in (tmp_path / "beside" / "table.md").read_text()


def test_rollout_writes_what_its_suffix_says_and_compares_structure(run, capsys, tmp_path):
    for name, start in (
        ("a.pdb", b"MODEL"),
        ("a.dcd", b"T\x00\x00\x00CORD"),
        ("a.html", b"<!doctype"),
        ("a.gif", b"GIF8"),
    ):
        code, out, err = estag(capsys, "rollout", run, "--steps", 3, "--out", tmp_path / name)
        assert code == 0 and f"{name}: 3 frames" in out, err
        assert (tmp_path / name).read_bytes().startswith(start)
    code, out, _ = estag(
        capsys, "rollout", run, "--steps", 3, "--structure", 2, "--out", tmp_path / "a.npz"
    )
    assert code == 0 and "2 rollouts of 3 frames" in out and "bonds: Jensen-Shannon" in out
    assert "--structure" in one_line(capsys, "rollout", run, "--structure", 0)


def test_rollout_draws_samples(run, capsys, tmp_path):
    def samples(path, *argv):
        code, out, _ = estag(
            capsys, "rollout", run, "--steps", 4, "--samples", 3, "--out", path, *argv
        )
        assert code == 0 and f"{path}: 3 samples of 4 frames, 1 fs apart" in out
        assert "mean squared distance of samples from the forecast" in out
        return path

    images = ase.io.read(samples(tmp_path / "e.xyz"), ":")
    assert [i.info["sample"] for i in images] == [1] * 4 + [2] * 4 + [3] * 4
    assert [i.info["step"] for i in images] == [1, 2, 3, 4] * 3
    with np.load(samples(tmp_path / "e.npz")) as found:
        assert found["samples"].shape == (3, 4, 3, 1, 3) and found["time_fs"].tolist() == [
            1,
            2,
            3,
            4,
        ]
        drawn, forecast = found["samples"], found["forecast"]
    np.testing.assert_allclose(images[5].positions, drawn[1, 1, :, 0], atol=1e-6)
    other = np.load(samples(tmp_path / "o.npz", "--seed", 1))
    np.testing.assert_array_equal(other["forecast"], forecast)
    assert np.abs(other["samples"] - drawn).min() > 0
    assert "at least 1" in one_line(capsys, "rollout", run, "--samples", 0)


@pytest.mark.parametrize(
    "argv, message",
    [
        (["trian"], "no command 'trian', did you mean 'train'"),
        (["train", "--preset", "papr"], "no preset 'papr', did you mean 'paper'.*released"),
        (["train", "--preset", "reference"], "--preset reference is now released"),
        (["train", "--preset", "st_egnn"], "--preset st_egnn is now --model ST_EGNN"),
        (["train", "--window.horizon", "2"], "--window.horizon is now --window.horizons"),
        (["train", "--model", "ESTGA"], "no method 'ESTGA', did you mean 'ESTAG'.*VAR ridge"),
        (["train", "--beside", "ESTAG"], "beside takes a closed form .*; ESTAG is none"),
        (["train", "--start", "EqMotion"], "start takes a closed form .*; EqMotion is none"),
        (["train", "--model", "auto", "--model.seconds", "-1"], "seconds is -1"),
        (["table", "--data", "demo", "--models", "auto"], "auto chooses a method for one run"),
        (["train", "--model.hiden", "3"], "model.hiden.*did you mean --model.hidden"),
        (["train", "--model.hidden", "many"], "--model.hidden.*'many'"),
        (["train", "--train.epochs", "0"], "epochs is 0, it must be at least 1"),
        (["train", "--split.kind", "random"], "random"),
        (["train", "--data", "missing.npz"], "missing.npz.* no such file"),
        (["train", "--data", "dmo"], "did you mean 'demo'"),
        (["evaluate", "nowhere"], "nowhere: there is no such file"),
        (["rollout", "nowhere"], "nowhere: there is no such file"),
        (["evaluate"], "run|RUN"),
        (["info", "nothing"], "nothing: is not the folder of a run; for data see estag data info"),
        (["data", "lst"], "no command data 'lst', did you mean 'list'"),
        (["data", "info"], "SOURCE|source"),
        (["data", "info", "nothing"], "neither a known source nor a file"),
        (["data", "info", "md17:asprin"], "did you mean 'aspirin'"),
        (["data", "info", "md17"], "needs a name"),
        (["data", "info", "demo:x"], "takes no name"),
        (["data", "info", "demo", "--read.select", "name CA"], "select has no effect on 'demo'"),
        (["data", "prepare", "demo", "--out", "x.csv"], "must end in .npz"),
    ],
)
def test_wrong_words_are_one_line(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(message, one_line(capsys, *argv))
    assert not list(tmp_path.iterdir()), "a refused command left something behind"


def _file(folder, **arrays):
    np.savez(folder / "bad.npz", **arrays)


Z = np.array([6, 6, 8])
R = np.tile(np.array([[0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0]], np.float32), (300, 1, 1))
R[:, 2, 2] = 0.1 * np.sin(np.arange(300))
NAN = R.copy()
NAN[17, 2, 1] = np.nan


@pytest.mark.parametrize(
    "arrays, message",
    [
        (dict(positionz=R, z=Z), "key R is missing, the file has positionz, z"),
        (dict(R=NAN, z=Z), r"not finite .* the first, nan, in frame 17, atom 2 \(O\)"),
        (dict(R=R[:50], z=Z), "has 50 frames, but .* needs at least"),
        (dict(R=R[..., :2], z=Z), r"R has shape \[300, 3, 2\], expected \[frames, atoms, 3\]"),
        (dict(R=R, z=Z[:2]), r"z has shape \[2\]"),
        (dict(R=np.array([None, {}]), z=Z), "pickled objects, which are refused"),
    ],
)
def test_bad_data_are_one_line(arrays, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _file(tmp_path, **arrays)
    assert re.search(message, one_line(capsys, "train", "--data", "bad.npz", "--out", "run"))
    assert not (tmp_path / "run").exists()


def test_other_data_must_be_of_the_same_system(run, capsys, tmp_path):
    _file(tmp_path, R=R, z=np.array([6, 8, 6]))
    argv = ("evaluate", run, "--data", tmp_path / "bad.npz")
    assert "names of the nodes: C O C, but" in one_line(capsys, *argv)


def test_a_rollout_needs_its_history(run, capsys, tmp_path):
    argv = ("rollout", run, "--start", 295, "--out", tmp_path / "x.xyz")
    assert "frames 295 to 301" in one_line(capsys, *argv)
    assert "at least 1" in one_line(capsys, "rollout", run, "--steps", 0)
    assert "at least 0" in one_line(capsys, "rollout", run, "--start", -5)
    assert "a folder" in one_line(capsys, "rollout", run, "--out", tmp_path)
    assert not list(tmp_path.iterdir())


def test_divergence_exits_with_one(ethanol, capsys, tmp_path):
    argv = ["--data", ethanol, "--out", tmp_path / "run", *SMALL, "--train.learning-rate", "1e30"]
    code, _, err = estag(capsys, "train", *argv)
    assert code == 1 and err.splitlines()[-1].startswith("estag: training diverged by epoch")


def test_a_closed_form_is_a_model_like_any_other(ethanol, capsys, tmp_path):
    """Chosen by name, saved, loaded, rolled out and drawn by the same commands."""
    windows = SMALL[: SMALL.index("--model.hidden")]
    argv = ["--model", "var-ridge", "--data", ethanol, "--out", tmp_path / "run", *windows]
    code, out, err = estag(capsys, "train", *argv)
    assert code == 0 and "fit" in out, err
    assert {p.name for p in (tmp_path / "run" / "figures").iterdir()} == {
        "overlay.png",
        "rollout.png",
    }
    code, again, _ = estag(capsys, "evaluate", tmp_path / "run")
    assert code == 0 and "VAR ridge" in again
    code, out, _ = estag(
        capsys, "rollout", tmp_path / "run", "--steps", 3, "--out", tmp_path / "r.xyz"
    )
    assert code == 0 and len(ase.io.read(tmp_path / "r.xyz", ":")) == 3
    code, out, _ = estag(capsys, "train", "--model", "var-ridge", "--help")
    assert code == 0 and "--model.no-centred" in out


def test_any_network_is_trained_by_its_name(ethanol, capsys, tmp_path):
    argv = ["train", "--model", "stgcn", "--data", ethanol, "--out", tmp_path / "run", *SMALL]
    changes = {"--window.past": "6", "--model.layers": "1"}
    argv = [changes.get(str(before), a) for before, a in zip(["", *argv[:-1]], argv, strict=True)]
    code, out, err = estag(capsys, *argv, "--model.gated", 4)
    assert code == 0 and "STGCN" in out, err
    assert '"type": "StgcnConfig"' in (tmp_path / "run" / "run.json").read_text()
    message = one_line(capsys, "train", "--model", "stgnc", "--data", ethanol)
    assert "no method 'stgnc', did you mean 'STGCN'" in message and "EqMotion" in message
    code, out, _ = estag(capsys, "train", "--model", "eqmotion", "--help")
    assert code == 0 and "--model.geometric-channels" in out


def test_help_lists_presets_and_options(capsys):
    code, out, _ = estag(capsys, "train", "--help")
    assert code == 0 and "--model.hidden" in out and "--split.kind" in out
    for name in PRESETS:
        assert f"--preset {name}" in out
    code, out, _ = estag(capsys)
    assert code == 0 and all(command in out for command in COMMANDS)


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "estag_jax", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("estag ")
