"""The ablation: its rows, its other windows, and the command."""

import numpy as np
import pytest
from helpers.command import estag, one_line
from helpers.springs import FULL, SPLIT, WINDOW, frames, training

from estag_jax.models.estag import EstagConfig
from estag_jax.models.variants import WHOLE, WITHOUT_EDFT
from estag_jax.runs import ablation
from estag_jax.runs.settings import RunConfig


@pytest.fixture
def quick(monkeypatch):
    """Variants that compile at once: the pooling alone."""
    found = {
        WHOLE: EstagConfig(layers=0),
        WITHOUT_EDFT: EstagConfig(layers=0, hidden=2),
        "without temporal pooling": EstagConfig(layers=0, head="softmax"),
    }

    def variants(channels, names=(), atoms=True):
        return {name: c for name, c in found.items() if not names or name in (WHOLE, *names)}

    monkeypatch.setattr(ablation, "variants", variants)


def test_rows_share_windows_and_the_command_prints_them(quick, tmp_path, capsys):
    path, out = tmp_path / "springs.npy", tmp_path / "out"
    np.save(path, frames(count=900))
    # fmt: off
    argv = ("ablation", "--data", f"walk={path}", "--variants", "without temporal pooling",
            "released: leaky ReLU", "--pasts", "3", "--seeds", "2", "--graph.kind", "full",
            "--train.epochs", "1", "--out", out)
    # fmt: on
    code, said, err = estag(capsys, *argv)
    assert code == 0, said + err
    assert "against ESTAG" in said and "walk, T = 3" in said
    text = (out / "table.md").read_text()
    first, second = text.split("## walk, T = 3")
    rows = [line.split(" | ")[0][2:] for line in first.splitlines() if line.startswith("| ")]
    assert rows == ["variant", "---", "Last frame", "VAR ridge", WHOLE, "without temporal pooling"]
    assert "T=3" in second and WITHOUT_EDFT in second and "pooling" not in second
    (note,) = [line for line in text.splitlines() if line.startswith("- ")]
    assert "leaky ReLU: skipped" in note and "several channels" in note and note in first
    assert "leaky ReLU: skipped" in said
    assert "estag ablation --data" in text and (out / "table.csv").exists()
    again = estag(capsys, *argv)
    assert again[0] == 0 and (out / "table.md").read_text() == text


def test_a_name_that_is_no_variant_is_refused_at_once(tmp_path, capsys):
    argv = "ablation", "--data", "demo", "--variants", "no leyers", "--out", tmp_path / "out"
    code, out, err = estag(capsys, *argv)
    assert (code, out) == (2, "") and "did you mean 'no layers'" in err
    assert not (tmp_path / "out").exists()


def test_data_without_any_of_the_variants_are_refused(tmp_path, capsys):
    """Before anything is fitted: not even the closed forms."""
    path, out = tmp_path / "springs.npy", tmp_path / "out"
    np.save(path, frames(count=900))
    argv = "ablation", "--data", f"walk={path}", "--out", out, "--variants", "released: leaky ReLU"
    said = one_line(capsys, *argv, "released: atomic number as a float")
    assert "leaky ReLU (only data with several channels" in said
    assert "atomic number as a float (only atoms" in said
    assert not out.exists()


def test_hydrogens_become_visible_and_heavy_atoms_are_told_apart(quick, tmp_path):
    path = tmp_path / "methane.npz"
    np.savez(path, R=frames(bodies=5), z=np.array([6, 8, 6, 1, 1]))
    config = RunConfig(
        data=(str(path),), window=WINDOW, split=SPLIT, graph=FULL, train=training(epochs=1)
    )
    names = ["without temporal pooling"]
    found = ablation.run_ablation({"a": config}, 1, tmp_path / "out", names, hydrogens=True)
    hidden, visible = found
    assert (hidden.data["nodes"], visible.data["nodes"]) == (3, 5)
    assert [row.name for row in visible.rows][-2:] == [WHOLE, WITHOUT_EDFT]
    last = visible.row("Last frame")
    heavy = last.metrics[ablation.HEAVY]["mean"]
    assert heavy == pytest.approx(hidden.row("Last frame").mse, rel=1e-6) != last.mse
    assert ablation.HEAVY not in hidden.row("Last frame").metrics
