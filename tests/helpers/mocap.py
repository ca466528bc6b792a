"""A skeleton of three joints and its motion, in the formats of motion capture."""

from __future__ import annotations

# "lower" precedes its parent on purpose; line numbers in messages count from ":version" as 1.
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
