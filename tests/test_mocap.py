"""Motion capture: files against a naive parser, kinematics by hand and against scipy's rotations."""

from __future__ import annotations

import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from estag_jax.data import sources
from estag_jax.data.mocap import positions, read_amc, read_asf
from estag_jax.data.sources import cmu
from estag_jax.data.trajectory import DataError

# "lower" goes before its parent on purpose; line numbers in messages count from ":version" as 1.
ASF = """:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 2
    name lower
    direction 0 0 1
    length 3.0
    axis 90 0 0 XYZ
    dof rz
    limits (-170.0 190.0)
  end
  begin
    id 1
    name upper
    direction 1 0 0
    length 2.0
    axis 0 0 90 XYZ
    dof rx
    limits (-160.0 20.0)
  end
:hierarchy
  begin
    root upper
    upper lower
  end
"""
AMC = """#!OML:ASF x.ASF
:FULLY-SPECIFIED
:DEGREES
7
root 1 2 3 0 0 0
upper 90
lower 180
8
root 0 0 5 0 0 90
upper 90
lower 180
9
root 0 0 0 90 90 0
upper 90
lower 180
"""


def write(folder, asf=ASF, amc=AMC):
    (folder / "a.asf").write_text(asf)
    (folder / "a.amc").write_text(amc)
    return folder / "a.asf", folder / "a.amc"


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


@pytest.fixture(scope="module")
def walks(shared_data):
    return cmu.read("walk", shared_data / "cmu_mocap")


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


@pytest.mark.data
def test_walk(shared_data, walks):
    assert walks.positions.shape == (7766, 31, 1, 3) and walks.positions.dtype == np.float64
    assert len(walks.lengths) == 20 and walks.run_names[:2] == ("35_01", "35_02")
    assert walks.lengths[0] == 224 and max(walks.lengths) == 497
    assert walks.frame_step == pytest.approx(1 / 120) and walks.time_unit == "s"
    assert walks.length_unit == "asf unit" and "5.64 cm" in walks.provenance
    assert walks.bonds.shape == (30, 2)
    assert any("trials 3, 4, 6 of walk are not in" in note for note in walks.notes)
    assert walks.published is None and walks.topology is None
    # Bones are rigid; directions in the asf have six digits.
    skeleton = read_asf(shared_data / "cmu_mocap" / "35" / "35.asf")
    parents, children = walks.bonds.T
    bones = np.linalg.norm(walks.positions[:, children, 0] - walks.positions[:, parents, 0], axis=2)
    np.testing.assert_allclose(bones, np.tile(skeleton.lengths[1:], (7766, 1)), rtol=1e-6)
    assert np.ptp(bones, axis=0).max() < 1e-10
    whole = cmu.read("35", shared_data / "cmu_mocap")
    np.testing.assert_array_equal(whole.positions, walks.positions)


@pytest.mark.data
def test_last_frame_error_is_the_published_one(walks):
    # Published: 0.383, on other windows of these trials; a wrong scale or order is far off.
    runs = np.split(walks.positions[:, :, 0], np.cumsum(walks.lengths)[:-1])
    runs = [run[:350] for run in runs if len(run) >= 352]
    assert len(runs) == 17
    errors = [np.mean((run[45:345] - run[50:350]) ** 2) for run in runs]  # past 10, delta 5
    assert 0.37 < np.mean(errors) < 0.385


# --- the CMU source on small files ---


def trial(frames, offset=0.0):
    lines = [":DEGREES"]
    for i in range(frames):
        lines += [str(i + 5), f"root {i * i + offset} 2 3 0 {i} 0", "upper 10", "lower 20"]
    return "\n".join(lines)


def subject(folder, name, trials):
    base = folder / name
    base.mkdir()
    (base / f"{name}.asf").write_text(ASF)
    for number in trials:
        (base / f"{name}_{number:02d}.amc").write_text(trial(20 + number, number))
    return folder


def test_complete_set_has_its_published_split(tmp_path):
    # Written out of order; the twelfth trial is no part of the set.
    found = cmu.read("run", subject(tmp_path, "09", [12, 10, 11, *range(1, 10)]))
    assert found.published is cmu.SETS["run"].published
    assert found.run_names == tuple(f"09_{i:02d}" for i in range(1, 12))
    assert found.lengths == (*range(21, 30), 24, 31)  # trial 10 without its first 6 frames
    assert any("first 6 frames of trial 10 left out" in note for note in found.notes)
    assert any("numbers trials in an order that is not known" in note for note in found.notes)
    raw = positions(read_asf(tmp_path / "09" / "09.asf"), read_amc(tmp_path / "09" / "09_10.amc"))[
        6:
    ]
    begin = sum(found.lengths[:9])
    np.testing.assert_array_equal(found.positions[begin : begin + 24, :, 0], raw)
    np.testing.assert_array_equal(found.node_features, np.ones((3, 1)))
    everything = cmu.read("9", tmp_path)
    assert len(everything.lengths) == 12 and everything.lengths[9] == 30
    assert everything.published is None


def test_trials_that_are_absent_are_told(tmp_path):
    found = cmu.read("run", subject(tmp_path, "09", [2, 5]))
    assert found.run_names == ("09_02", "09_05") and found.published is None
    assert any("trials 1, 3, 4, 6, 7, 8, 9, 10, 11 of run are not in" in n for n in found.notes)


@pytest.mark.parametrize("name", ["walk", "run"])
def test_published_split_takes_each_trial_once(name):
    chosen = cmu.SETS[name]
    parts = (chosen.published.train, chosen.published.validation, chosen.published.test)
    assert sorted(sum(parts, ())) == list(range(len(chosen.trials)))
    assert name != "walk" or list(map(len, parts)) == [11, 6, 6]


@pytest.fixture
def database(tmp_path, monkeypatch):
    """A server of subject 7 with trials 1, 2 and 4; yields the folder that is served and the asked."""
    served, asked = tmp_path / "served", []
    served.mkdir()
    subject(served, "07", [1, 2, 4])

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=served)

        def log_message(self, *args):
            asked.append(self.path)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setattr(cmu, "URL", f"http://127.0.0.1:{server.server_port}/{{path}}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield served, asked
        server.shutdown()
        thread.join()


def test_a_subject_is_downloaded_trial_by_trial_once(database, tmp_path, monkeypatch):
    served, asked = database
    monkeypatch.setenv("ESTAG_DATA", str(tmp_path / "cache"))
    found = sources.load("cmu:7")
    assert found.run_names == ("07_01", "07_02", "07_04") and found.topology.num_edges == 6
    assert sum("07_0" in path for path in asked) >= 7  # 5, 6 and 7 were asked for in vain
    asked.clear()
    again = sources.load("cmu:7")
    assert not asked and again.fingerprint == found.fingerprint
    np.testing.assert_array_equal(
        sources.load("cmu:7", read=sources.ReadConfig(folder=str(served))).positions,
        found.positions,
    )


def test_a_subject_that_is_not_there(database, tmp_path, monkeypatch):
    monkeypatch.setenv("ESTAG_DATA", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"08.asf cannot be downloaded.* 404 .*--read.folder"):
        sources.load("cmu:8")


@pytest.mark.parametrize("name", ["jump", "0", "-3", "35_01", "../35", "٣"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(DataError, match="there is no such set; known are walk, run, basketball"):
        cmu.read(name, tmp_path)


def test_folders_without_the_files(tmp_path):
    with pytest.raises(DataError, match=r"35.asf: cannot be read \(No such file"):
        cmu.read("walk", tmp_path)
    with pytest.raises(DataError, match=r"has no 09_NN.amc of run; download .* --read.folder"):
        cmu.read("run", subject(tmp_path, "09", [12]))
    (tmp_path / "09" / "09_01.amc").write_text(trial(1))
    with pytest.raises(DataError, match=r"09_01.amc: has 1 frame\(s\), too few"):
        cmu.read("run", tmp_path)


# --- files that are wrong ---

SKELETONS = {
    "empty": (ASF, "", "a.asf: is empty; get it anew"),
    "motion for skeleton": (ASF, AMC, "a.asf: is not a whole .asf file, :bonedata has no entries"),
    "cut short": (ASF[ASF.index(":hier") :], "", "a.asf: is not a whole .asf file, :hierarchy has"),
    "unit": ("angle deg", "angle grad", "line 5: angles are in 'grad', expected deg or rad"),
    "order of root": ("TX TY", "TX TX", "line 7: the dof of joint 'root' are 'tx tx tz rx ry rz'"),
    "axis of root": ("  axis XYZ", "  axis XXZ", "line 8: the axes of joint 'root' are 'XXZ'"),
    "unknown parent": ("  upper lower", "  uper lower", "line 33: the parent 'uper' in :hierarchy"),
    "unknown child": ("  upper lower", "  upper lowr", "line 33: the child 'lowr' in :hierarchy"),
    "two parents": (
        "root upper",
        "root upper lower",
        "line 33: joint 'lower' is the root or has a",
    ),
    "cycle": ("root upper", "lower upper", "joint 'lower' is not connected to the root in :hier"),
    "unconnected": ("    upper lower\n", "", "joint 'lower' is not connected to the root"),
    "twice": ("name upper", "name lower", "a.asf: there are two joints 'lower'; rename or delete"),
    "no length": ("    length 3.0\n", "", "line 12: joint 'lower' has no length; add it"),
    "no direction": ("    direction 1 0 0\n", "", "line 21: joint 'upper' has no direction; add"),
    "no axis": ("    axis 0 0 90 XYZ\n", "", "line 21: joint 'upper' has no axis; add it"),
    "no name": ("    name upper\n", "", "line 21: joint 'without a name' has no name; add it"),
    "length": (
        "length 3.0",
        "length 3,0",
        "line 16: the length of joint 'lower' is '3,0', expected",
    ),
    "direction": (
        "n 1 0 0",
        "n 1 0",
        "line 24: the direction of joint 'upper' is '1 0', expected 3",
    ),
    "axis": (
        "axis 90 0 0 XYZ",
        "axis 90 0 nan XYZ",
        "the axis of joint 'lower' is '90 0 nan', exp",
    ),
    "order": ("90 0 0 XYZ", "90 0 0 XYW", "line 17: the axes of joint 'lower' are 'XYW', expected"),
    "dof": ("dof rz", "dof rw", "line 18: the dof of joint 'lower' are 'rw', expected some of rx"),
}

MOTIONS = {
    "empty": (AMC, " \n", "a.amc: is empty; get it anew"),
    "no frames": (AMC[AMC.index("7") :], "", "a.amc: has no frames; get it anew"),
    "skeleton for motion": (
        AMC,
        ASF,
        "line 3: 'mass' stands where the first frame's number should",
    ),
    "missing joint": (
        "upper 90\nlower 180\n9",
        "lower 180\n9",
        "line 10: frame 8 has joint 'lower' where the first frame has joint 'upper'; all frames",
    ),
    "missing last joint": (
        "lower 180\n9",
        "9",
        "line 11: frame 8 ends where the first frame has joint 'lower'; all frames need the same",
    ),
    "unknown joint later": (
        "lower 180\n9",
        "lowr 180\n9",
        "line 11: frame 8 has joint 'lowr' where the first frame has joint 'lower'",
    ),
    "one too many": (
        "lower 180\n9",
        "lower 180\nhat 1\n9",
        "line 12: frame 8 has joint 'hat' where the first frame ends",
    ),
    "twice": (
        "lower 180\n8",
        "lower 180\nupper 9\n8",
        "line 8: frame 7 has joint 'upper' where the first frame ends; all frames need the same "
        "joints, each once",
    ),
    "number of values": (
        "5 0 0 90",
        "5 0 90",
        "line 9: joint 'root' of frame 8 has 5 value(s), 6 in the first; correct it",
    ),
    "not a number": ("5 0 0 90", "5 0 O 90", "line 9: joint 'root' is '0 0 5 0 O 90', expected 6"),
    "nan": (
        "5 0 0 90",
        "5 0 nan 90",
        "line 9: joint 'root' is '0 0 5 0 nan 90', expected 6 finite",
    ),
    "infinite": ("5 0 0 90", "5 0 0 1e999", "line 9: joint 'root' is '0 0 5 0 0 1e999', expected"),
    "truncated": (
        AMC,
        AMC[: AMC.rindex("upper")],
        "a.amc: the last frame, 9, is cut short before joint 'upper'; delete its lines or get the",
    ),
    "truncated to its number": (
        AMC[AMC.rindex("root") :],
        "",
        "last frame, 9, is cut short before",
    ),
    "gap": ("\n9\n", "\n10\n", "line 12: frame 10 follows frame 8, expected 9; sort them, or make"),
    "repeated": ("\n8\n", "\n7\n", "line 8: frame 7 follows frame 7, expected 8; sort them"),
    "joint of another skeleton": (
        "lower",
        "thumb",
        "a.amc, line 7: joint 'thumb' is not in {asf}; take the subject's .asf",
    ),
    "joint without values": (
        "lower 180\n",
        "",
        "a.amc: joint 'lower' of {asf} is in no frame; take the subject's .asf",
    ),
    "values of another skeleton": (
        "lower 180",
        "lower 180 0",
        "a.amc, line 7: joint 'lower' has 2 value(s) and in {asf} 1 dof; take the subject's .asf",
    ),
}


@pytest.mark.parametrize("case", SKELETONS)
def test_bad_skeleton(tmp_path, case):
    old, new, message = SKELETONS[case]
    assert old in ASF
    with pytest.raises(DataError) as error:
        read_asf(write(tmp_path, asf=ASF.replace(old, new))[0])
    assert message in str(error.value) and "a.asf" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", MOTIONS)
def test_bad_motion(tmp_path, case):
    old, new, message = MOTIONS[case]
    assert old in AMC
    asf, amc = write(tmp_path, amc=AMC.replace(old, new))
    with pytest.raises(DataError) as error:
        positions(read_asf(asf), read_amc(amc))
    assert message.format(asf=asf) in str(error.value) and "a.amc" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    for read in (read_asf, read_amc):
        with pytest.raises(DataError, match=r"none: cannot be read \(No such file or directory\)"):
            read(tmp_path / "none")
