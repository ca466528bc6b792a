"""Motion capture of the user's own: .asf with .amc, and .bvh, against forward kinematics written out."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from helpers.files import has_note, read
from scipy.spatial.transform import Rotation

from estag_jax.data.system import DataError
from estag_jax.sources.mocap import positions, read_amc, read_asf

ASF = """# a skeleton
:version 1.10
:units
  mass 1.0
  length 0.45   # inches
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name arm # the upper one
    direction 1 0 0
    length 2.0
    axis 0 0 0 XYZ
    dof rx ry rz l
    limits (-180 180)
  end
  begin
    id 2
    name hand
    direction 0 1 0
    length 1.5
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root arm
    arm hand
  end
"""
VALUES = np.random.default_rng(0).normal(0, 20, (8, 9))
VALUES = np.concatenate([VALUES, np.linspace(0, 0.7, 8)[:, None]], axis=1).round(4)


def amc(values=VALUES):
    lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES"]
    for k, row in enumerate(values, 1):
        root, arm = (" ".join(map(str, part)) for part in (row[:6], row[6:]))
        lines += [str(k), f"root {root}  # where it is", f"arm {arm}"]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "me.asf").write_text(ASF)
    (tmp_path / "me_01_walk_120.amc").write_text(amc())
    return tmp_path


def test_a_skeleton_with_comments_and_a_bone_that_stretches(folder):
    found = positions(read_asf(folder / "me.asf"), read_amc(folder / "me_01_walk_120.amc"))
    for k, row in enumerate(VALUES):
        root = Rotation.from_euler("xyz", row[3:6], degrees=True)  # fixed axes
        arm = root * Rotation.from_euler("xyz", row[6:9], degrees=True)
        elbow = row[:3] + (2.0 + row[9]) * arm.apply([1, 0, 0])
        expected = [row[:3], elbow, elbow + 1.5 * arm.apply([0, 1, 0])]
        np.testing.assert_allclose(found[k], expected, atol=1e-9)


def test_a_pair_of_the_users_own(folder):
    asf, run = folder / "me.asf", folder / "me_01_walk_120.amc"
    found = read(f"{asf},{run}")
    assert found.system.names == ("root", "arm", "hand") and found.system.bonds.tolist() == [
        [0, 1],
        [1, 2],
    ]
    assert (found.frame_step, found.time_unit) == (1 / 120, "s") and has_note(
        found, "120 frames per second"
    )
    np.testing.assert_array_equal(found.positions[:, :, 0], positions(read_asf(asf), read_amc(run)))
    again = folder / "again.amc"
    again.write_text(run.read_text())
    slow = read(f"{asf},{run},{again}", frame_step="0.016667s")
    assert slow.frame_step == 0.016667 and slow.lengths == (8, 8) and not has_note(slow, "assumed")
    for spec, words in [
        (f"{run},{asf}", f"write {asf},{run}"),
        (run, rf"write SKELETON\.asf,{run}"),
        (asf, rf"write {asf},MOTION\.amc"),
    ]:
        with pytest.raises(DataError, match=words):
            read(spec)
    with pytest.raises(DataError, match="read select has no effect"):
        read(f"{asf},{run}", select="name arm")


BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 1.0 2.0 3.0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Left Leg
  {
    OFFSET 0.0 -1.0 0.2
    CHANNELS 3 Yrotation Zrotation Xrotation
    End Site
    {
      OFFSET 0.0 -0.9 0.0
    }
  }
  JOINT Head
  {
    OFFSET 0.0 1.0 0.0
    CHANNELS 6 Zrotation Xrotation Yrotation Xposition Yposition Zposition
  }
}
MOTION
Frames: 5
Frame Time: 0.0083333
"""
MOTION = np.random.default_rng(0).normal(0, 30, (5, 15)).round(4)


def bvh(path, motion=MOTION, text=BVH):
    path.write_text(text + "\n".join(" ".join(map(str, row)) for row in motion) + "\n")
    return path


def test_bvh_is_forward_kinematics(tmp_path):
    found = read(bvh(tmp_path / "a.bvh"))
    assert found.system.names == ("Hips", "Left Leg", "Left Leg_end", "Head")
    assert found.system.bonds.tolist() == [[0, 1], [1, 2], [0, 3]]
    assert (found.frame_step, found.time_unit) == (0.0083333, "s")
    for k, row in enumerate(MOTION):
        hips = Rotation.from_euler("ZXY", row[3:6], degrees=True)  # axes that turn with the body
        leg = hips * Rotation.from_euler("YZX", row[6:9], degrees=True)
        knee = row[:3] + hips.apply([0, -1.0, 0.2])
        head = row[:3] + hips.apply(row[12:15])
        expected = [row[:3], knee, knee + leg.apply([0, -0.9, 0]), head]
        np.testing.assert_allclose(found.positions[k, :, 0], expected, atol=1e-9)


def test_compressed_pairs(folder):
    asf, run = folder / "me.asf", folder / "me_01_walk_120.amc"
    expected = read(f"{asf},{run}").positions
    packed = [path.with_name(f"{path.name}.gz") for path in (asf, run)]
    for path, other in zip((asf, run), packed, strict=True):
        other.write_bytes(gzip.compress(path.read_bytes()))
    found = read(",".join(map(str, packed))).positions
    np.testing.assert_array_equal(found, expected)


def test_braces_may_stand_behind_a_name(tmp_path):
    expected = read(bvh(tmp_path / "a.bvh"))
    text = BVH.replace("\n  {", " {").replace("\n    }\n  }", "} }")
    found = read(bvh(tmp_path / "b.bvh", text=text))
    assert text != BVH and found.system.names == expected.system.names
    np.testing.assert_array_equal(found.positions, expected.positions)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.replace("Frames: 5", "Frames: 6"), "promises 6 frames and holds 5"),
        (lambda s: s[:-60], r"line 28: has \d+ values, the skeleton has 15 channels"),
        (lambda s: s.replace("Frame Time:", "Rate"), "lacks Frames: and Frame Time:"),
        (lambda s: s.replace("CHANNELS 3", "CHANNELS 4"), "line 9: channels"),
        (lambda s: s.replace("    OFFSET 0.0 1.0 0.0\n", ""), "lacks its OFFSET"),
        (lambda s: "\n".join(s.splitlines()[:-1]) + "\n" + "nan " * 15, "no finite number"),
        (lambda s: s.replace("JOINT Head", "SHIN Head"), "'SHIN' is no word"),
    ],
)
def test_bad_bvh(tmp_path, change, words):
    path = bvh(tmp_path / "a.bvh")
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=words) as error:
        read(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_bvh_without_a_rate_takes_the_option(tmp_path):
    path = bvh(tmp_path / "a.bvh", text=BVH.replace("0.0083333", "0"))
    assert read(path).time_unit == "frame"
    given = read(path, frame_step="0.02 s")
    assert (given.frame_step, given.time_unit) == (0.02, "s")


def test_several_bvh_are_runs_of_one_skeleton(tmp_path):
    one, other = bvh(tmp_path / "a.bvh"), bvh(tmp_path / "b.bvh", MOTION[:5][::-1])
    found = read(f"{one},{other}")
    assert found.lengths == (5, 5) and found.run_names == ("a", "b")
    bvh(other, text=BVH.replace("-0.9", "-0.8"))
    with pytest.raises(DataError, match=r"b\.bvh: is not of the skeleton"):
        read(f"{one},{other}")
