"""External vectors: of archives, comments, motion capture and simulations, and by the option."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.mocap import write

from estag_jax.cli.main import main
from estag_jax.data.system import DataError
from estag_jax.simulate.settings import SyntheticConfig
from estag_jax.sources.catalog import ReadConfig, load
from estag_jax.sources.options import parse_direction

RNG = np.random.default_rng(0)
R = RNG.normal(size=(8, 3, 3)) * 3
BY_FRAME = RNG.normal(size=(8, 3))
BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  End Site
  {
    OFFSET 0 -1 0
  }
}
MOTION
Frames: 2
Frame Time: 0.01
0 0 0 0 0 0
1 0 0 0 9 0
"""


def saved(folder, **arrays):
    np.savez(folder / "a.npz", positions=R, **arrays)
    return str(folder / "a.npz")


def test_archives_give_vectors_of_the_system_or_by_frame(tmp_path):
    found = load(saved(tmp_path, up=[0, 0, 1], field=BY_FRAME, length_unit="nm"))
    assert found.system.vectors["up"].tolist() == [0, 0, 1] and found.system.length_unit == "nm"
    np.testing.assert_array_equal(found.vectors["field"], BY_FRAME)
    kept = load(saved(tmp_path, up=BY_FRAME, lengths=[3, 5]), read=ReadConfig(min_frames=4))
    np.testing.assert_array_equal(kept.vectors["up"], BY_FRAME[3:])


def test_gravity_points_down(tmp_path):
    found = load(saved(tmp_path, gravity=[0, -9.8, 0]))
    assert {name: v.tolist() for name, v in found.external.items()} == {"up": [0, 9.8, 0]}
    both = load(saved(tmp_path, gravity=[0, -9.8, 0], up=[0, 0, 1]))
    assert both.external["up"].tolist() == [0, 0, 1]


def test_frames_that_are_left_out_take_their_vectors_along(tmp_path):
    times = np.array([0, 1, 2, 2, 3, 4, 5, 6.0])  # one frame twice
    twice = R.copy()
    twice[3] = twice[2]
    path = tmp_path / "a.npz"
    np.savez(path, positions=twice, time_ps=times, field=BY_FRAME)
    found = load(path)
    assert found.num_frames == 7
    np.testing.assert_array_equal(found.vectors["field"], np.delete(BY_FRAME, 3, axis=0))


def test_vectors_of_arrays_with_runs(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        positions=R.reshape(2, 4, 3, 3),
        axes="runs",
        field=BY_FRAME.reshape(2, 4, 3),
    )
    found = load(tmp_path / "a.npz")
    assert found.lengths == (4, 4)
    np.testing.assert_array_equal(found.vectors["field"], BY_FRAME)


@pytest.mark.parametrize(
    ("vector", "fact"),
    [
        (np.ones(4), r"float64\[4\]"),
        (BY_FRAME[:5], r"\[5, 3\]"),
        (np.array("z"), "expected an external"),
    ],
)
def test_a_key_that_is_no_vector_is_one_line(vector, fact, tmp_path):
    with pytest.raises(DataError, match=f"a.npz: up is .*{fact}.*rename the key") as error:
        load(saved(tmp_path, up=vector))
    assert "\n" not in str(error.value)


def test_comments_of_frames(tmp_path):
    lines = []
    for k, frame in enumerate(R):
        field = " ".join(map(repr, map(float, BY_FRAME[k])))
        lines += ["3", f'up="0 0 1" field="{field}" gravity=9.8 time_fs={k}']
        lines += [f"X {x!r} {y!r} {z!r}" for x, y, z in frame.tolist()]
    (tmp_path / "a.xyz").write_text("\n".join(lines) + "\n")
    found = load(tmp_path / "a.xyz")
    assert found.system.vectors["up"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(found.vectors["field"], BY_FRAME)
    assert sorted(found.external) == ["field", "up"]  # gravity of one number is no vector


def test_motion_capture_knows_up(tmp_path):
    asf, amc = write(tmp_path)
    (tmp_path / "a.bvh").write_text(BVH)
    for spec in (f"{asf},{amc}", tmp_path / "a.bvh"):
        assert load(spec).system.vectors["up"].tolist() == [0, 1, 0]


def test_a_pendulum_knows_up_and_springs_do_not():
    config = ReadConfig(synthetic=SyntheticConfig(runs=1, frames=12))
    pendulum = load("synthetic:pendulum", read=config)
    assert pendulum.system.vectors["up"].tolist() == [0, 0, 1]
    assert not load("synthetic:springs", read=config).external


@pytest.mark.parametrize(
    ("text", "direction"),
    [("x", [1, 0, 0]), ("-z", [0, 0, -1]), ("0,0.6,0.8", [0, 0.6, 0.8]), ("-1,0,2", [-1, 0, 2])],
)
def test_the_option_names_an_axis_or_a_direction(text, direction, tmp_path):
    assert list(parse_direction(text)) == direction
    found = load(saved(tmp_path, up=BY_FRAME), read=ReadConfig(up=text))
    assert found.external["up"].tolist() == direction and not found.vectors


@pytest.mark.parametrize("text", ["w", "0,0", "0,0,0", "0,0,nan", "", "--z"])
def test_other_words_are_refused(text):
    with pytest.raises(ValueError, match="read up is .* expected x, y, z"):
        ReadConfig(up=text)


def test_info_says_which_vectors_are_known(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, field=BY_FRAME)
    main(["data", "info", path, "--read.up=-z"])
    (line,) = (o for o in capsys.readouterr().out.splitlines() if o.startswith("external"))
    assert "field by frame" in line and "up [ 0.  0. -1.]" in line
