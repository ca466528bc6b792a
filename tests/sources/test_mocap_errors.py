"""Motion capture: files that are wrong, and what is said about them."""

from __future__ import annotations

import pytest
from helpers.mocap import AMC, ASF, write

from estag_jax.data.trajectory import DataError
from estag_jax.sources.mocap import positions, read_amc, read_asf

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
