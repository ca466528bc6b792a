"""Motion capture: files against a naive parser, kinematics by hand and against scipy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.mocap import AMC, ASF, write
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from estag_jax.data.system import DataError
from estag_jax.sources.mocap import positions, read_amc, read_asf


def pose(folder, asf=ASF, amc=AMC):
    asf, amc = write(folder, asf, amc)
    return positions(read_asf(asf), read_amc(amc))


def test_pose_worked_by_hand(tmp_path):
    skeleton = read_asf(write(tmp_path)[0])
    assert skeleton.names == ("root", "lower", "upper") and skeleton.inch == 0.45
    np.testing.assert_array_equal(skeleton.edges, [[2, 1], [0, 2]])
    # upper: C turns x into y, so that rx = 90 turns about y: R = Ry(90), which sends its direction
    # x to -z: the joint is 2 below the root. lower: C turns z into -y, so that rz = 180 turns by
    # -180 about y: R = Ry(90) Ry(-180) = Ry(-90), which sends z to -x: 3 to the left of upper.
    # Frame 8 turns all of that about z by 90: -3 x becomes -3 y.
    # Frame 9 turns about x and then about y: -2 z goes to +2 y and stays, -3 x stays and goes to +3 z.
    expected = [
        [[1, 2, 3], [-2, 2, 1], [1, 2, 1]],
        [[0, 0, 5], [0, -3, 3], [0, 0, 3]],
        [[0, 0, 0], [0, 2, 3], [0, 2, 0]],
    ]
    found = pose(tmp_path)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_radians(tmp_path):
    in_radians = AMC.replace("90", repr(np.pi / 2)).replace("180", repr(np.pi))
    header = in_radians.replace(":DEGREES", ":RADIANS")
    np.testing.assert_allclose(pose(tmp_path, amc=header), pose(tmp_path), atol=1e-12)
    # Without a header of the motion's own, the skeleton's unit holds.
    asf = ASF.replace("angle deg", "angle rad").replace("90", repr(np.pi / 2))
    bare = in_radians.replace(":DEGREES\n", "")
    np.testing.assert_allclose(pose(tmp_path, asf, bare), pose(tmp_path), atol=1e-12)


def test_unusual_but_valid(tmp_path):
    plain = pose(tmp_path)
    windows = AMC.replace("\n", "\r\n").replace("lower 180", "lower   1.8e+002  ")
    np.testing.assert_allclose(pose(tmp_path, amc=windows), plain, atol=1e-12)
    # The channels of the root go by their names.
    turned = ASF.replace("order TX TY TZ RX RY RZ", "order RX RY RZ TZ TY TX")
    amc = AMC.replace("1 2 3 0 0 0", "0 0 0 3 2 1")
    np.testing.assert_allclose(pose(tmp_path, turned, amc)[0], plain[0], atol=1e-12)


# --- an independent, naive walk ---


def walk(bones, frame, degrees):
    """Joint by joint with scipy's rotations; lower-case letters are fixed axes there too."""
    where, turns = {"root": np.array(frame["root"][:3])}, {}
    turns["root"] = Rotation.from_euler("xyz", frame["root"][3:], degrees=degrees)
    for name, bone in bones.items():
        c = Rotation.from_euler(bone["order"].lower(), bone["axis"], degrees=degrees)
        values = dict(zip(bone["dof"], frame.get(name, ()), strict=True))
        angles = [values.get(f"r{letter.lower()}", 0.0) for letter in bone["order"]]
        m = Rotation.from_euler(bone["order"].lower(), angles, degrees=degrees)
        turns[name] = turns[bone["parent"]] * c * m * c.inv()
        step = turns[name].apply(bone["length"] * np.array(bone["direction"]))
        where[name] = where[bone["parent"]] + step
    return where


numbers = st.floats(-200, 200, allow_nan=False).map(lambda x: round(x, 4))
triples = st.tuples(numbers, numbers, numbers)
orders = st.permutations("XYZ").map("".join)


@st.composite
def bodies(draw):
    """Bones by name, each below an earlier one, and frames."""
    bones = {}
    for i in range(draw(st.integers(1, 5))):
        bones[f"j{i}"] = {
            "parent": draw(st.sampled_from(["root", *bones])),
            "direction": draw(triples),
            "length": abs(draw(numbers)),
            "axis": draw(triples),
            "order": draw(orders),
            "dof": draw(st.lists(st.sampled_from(["rx", "ry", "rz"]), unique=True)),
        }
    widths = {"root": 6} | {name: len(bone["dof"]) for name, bone in bones.items() if bone["dof"]}
    frame = st.fixed_dictionaries(
        {name: st.lists(numbers, min_size=n, max_size=n) for name, n in widths.items()}
    )
    return bones, draw(st.lists(frame, min_size=1, max_size=3)), draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(bodies())
def test_any_skeleton_against_scipy(tmp_path_factory, body):
    bones, frames, degrees = body
    lines = [":units", f"angle {'deg' if degrees else 'rad'}", ":root", "order TX TY TZ RX RY RZ"]
    lines += ["axis XYZ", ":bonedata"]
    for name, bone in bones.items():
        lines += ["begin", f"name {name}", f"length {bone['length']}"]
        lines += ["direction " + " ".join(map(str, bone["direction"]))]
        lines += ["axis " + " ".join(map(str, bone["axis"])) + f" {bone['order']}"]
        lines += ["dof " + " ".join(bone["dof"])] if bone["dof"] else []
        lines += ["end"]
    lines += [":hierarchy", "begin", *(f"{b['parent']} {n}" for n, b in bones.items()), "end"]
    amc = []
    for i, frame in enumerate(frames, 1):
        amc += [str(i), *(f"{name} " + " ".join(map(str, frame[name])) for name in frames[0])]
    found = pose(tmp_path_factory.mktemp("body"), "\n".join(lines), "\n".join(amc))
    expected = [list(walk(bones, frame, degrees).values()) for frame in frames]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7)


# --- CMU's own files ---


def naive_asf(path):
    """Bones by name from CMU's asf, whose lines stand in a fixed order."""
    bones, bone, hierarchy = {}, {}, False
    for line in path.read_text().splitlines():
        key, *words = line.split()
        if hierarchy and key not in ("begin", "end"):
            for word in words:
                bones[word]["parent"] = key
        elif key == "name" and words != ["VICON"]:
            bone = bones[words[0]] = {"dof": []}
        elif key == "direction":
            bone[key] = [float(word) for word in words]
        elif key == "length" and bone:
            bone[key] = float(words[0])
        elif key == "axis" and bone:
            bone[key], bone["order"] = [float(word) for word in words[:3]], words[3]
        elif key == "dof":
            bone[key] = words
        hierarchy = hierarchy or key == ":hierarchy"
    return bones


def naive_amc(path):
    frames = []
    for line in path.read_text().splitlines()[3:]:
        key, *words = line.split()
        if words:
            frames[-1][key] = [float(word) for word in words]
        else:
            frames.append({})
    return frames


@pytest.mark.data
def test_files_against_the_naive_walk(shared_data):
    folder = shared_data / "cmu_mocap" / "35"
    skeleton, bones = read_asf(folder / "35.asf"), naive_asf(folder / "35.asf")
    assert skeleton.names == ("root", *bones) and len(skeleton.names) == 31
    for trial in ("02", "29"):
        frames = naive_amc(folder / f"35_{trial}.amc")
        found = positions(skeleton, read_amc(folder / f"35_{trial}.amc"))
        assert found.shape == (len(frames), 31, 3)
        for i in (0, 100, len(frames) - 1):
            where = walk(bones, frames[i], degrees=True)
            np.testing.assert_allclose(found[i], [where[n] for n in skeleton.names], atol=1e-10)


# --- files that are wrong ---

SKELETONS = {  # what is replaced by what, and what the message must name
    "empty": (ASF, "", ["empty"]),
    "motion for skeleton": (ASF, AMC, [":bonedata"]),
    "cut short": (ASF[ASF.index(":hier") :], "", [":hierarchy"]),
    "unit": ("angle deg", "angle grad", ["line 5", "'grad'"]),
    "order of root": ("TX TY", "TX TX", ["line 7", "'root'", "tx tx tz"]),
    "axis of root": ("  axis XYZ", "  axis XXZ", ["line 8", "'root'", "'XXZ'"]),
    "unknown parent": ("  upper lower", "  uper lower", ["line 33", "'uper'"]),
    "unknown child": ("  upper lower", "  upper lowr", ["line 33", "'lowr'"]),
    "two parents": ("root upper", "root upper lower", ["line 33", "'lower'"]),
    "cycle": ("root upper", "lower upper", ["'lower'", "not connected"]),
    "unconnected": ("    upper lower\n", "", ["'lower'", "not connected"]),
    "twice": ("name upper", "name lower", ["two joints 'lower'"]),
    "no length": ("    length 3.0\n", "", ["line 12", "'lower'", "length"]),
    "no direction": ("    direction 1 0 0\n", "", ["line 21", "'upper'", "direction"]),
    "no axis": ("    axis 0 0 90 XYZ\n", "", ["line 21", "'upper'", "axis"]),
    "no name": ("    name upper\n", "", ["line 21", "no name"]),
    "length": ("length 3.0", "length 3,0", ["line 16", "'lower'", "'3,0'"]),
    "direction": ("n 1 0 0", "n 1 0", ["line 24", "'upper'", "'1 0'", "3"]),
    "axis": ("axis 90 0 0 XYZ", "axis 90 0 nan XYZ", ["line 17", "'lower'", "'90 0 nan'"]),
    "order": ("90 0 0 XYZ", "90 0 0 XYW", ["line 17", "'lower'", "'XYW'"]),
    "dof": ("dof rz", "dof rw", ["line 18", "'lower'", "rw", "rx"]),
}
MOTIONS = {
    "empty": (AMC, " \n", ["empty"]),
    "no frames": (AMC[AMC.index("7") :], "", ["no frames"]),
    "skeleton for motion": (AMC, ASF, ["line 3", "'mass'", "frame"]),
    "missing joint": ("upper 90\nlower 180\n9", "lower 180\n9", ["line 10", "frame 8", "'upper'"]),
    "missing last joint": ("lower 180\n9", "9", ["line 11", "frame 8", "'lower'"]),
    "unknown joint later": ("lower 180\n9", "lowr 180\n9", ["line 11", "frame 8", "'lowr'"]),
    "one too many": ("lower 180\n9", "lower 180\nhat 1\n9", ["line 12", "frame 8", "'hat'"]),
    "twice": ("lower 180\n8", "lower 180\nupper 9\n8", ["line 8", "frame 7", "'upper'", "once"]),
    "number of values": ("5 0 0 90", "5 0 90", ["line 9", "'root'", "frame 8", "5", "6"]),
    "not a number": ("5 0 0 90", "5 0 O 90", ["line 9", "'root'", "'0 0 5 0 O 90'"]),
    "nan": ("5 0 0 90", "5 0 nan 90", ["line 9", "'root'", "nan", "finite"]),
    "infinite": ("5 0 0 90", "5 0 0 1e999", ["line 9", "'root'", "1e999"]),
    "truncated": (AMC, AMC[: AMC.rindex("upper")], ["last frame, 9", "'upper'"]),
    "truncated to its number": (AMC[AMC.rindex("root") :], "", ["last frame, 9"]),
    "gap": ("\n9\n", "\n10\n", ["line 12", "frame 10", "frame 8"]),
    "repeated": ("\n8\n", "\n7\n", ["line 8", "frame 7 follows frame 7"]),
    "joint of another skeleton": ("lower", "thumb", ["line 7", "'thumb'", "a.asf", "take"]),
    "joint without values": ("lower 180\n", "", ["'lower'", "a.asf", "no frame", "take"]),
    "values of another skeleton": ("lower 180", "lower 180 0", ["line 7", "'lower'", "2", "a.asf"]),
}


WRONG = [("asf", ASF, *case) for case in SKELETONS.values()]
WRONG += [("amc", AMC, *case) for case in MOTIONS.values()]


@pytest.mark.parametrize(
    ("kind", "whole", "old", "new", "facts"), WRONG, ids=[*SKELETONS, *MOTIONS]
)
def test_bad_files(tmp_path, kind, whole, old, new, facts):
    assert old in whole
    with pytest.raises(DataError) as error:
        pose(tmp_path, **{kind: whole.replace(old, new)})
    message = str(error.value)
    assert all(fact in message for fact in [f"a.{kind}", *facts]) and "\n" not in message, message


def test_missing_file(tmp_path):
    for read in (read_asf, read_amc):
        with pytest.raises(DataError, match="none: .*No such file"):
            read(tmp_path / "none")
