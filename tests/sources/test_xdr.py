"""XTC and TRR: every byte belongs to a frame."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.files import CARBONS, random_walk, read, write_frames, write_pdb

from estag_jax.data.system import DataError
from estag_jax.sources.files.xdr import examine


@pytest.mark.parametrize("suffix", ["xtc", "trr"])
@pytest.mark.parametrize("atoms", [3, 9, 10, 50])
def test_every_cut_within_a_frame_is_found(tmp_path, suffix, atoms):
    frames = random_walk(5, atoms)
    data = write_frames(tmp_path / f"a.{suffix}", frames).read_bytes()
    one = len(write_frames(tmp_path / f"b.{suffix}", frames[:1]).read_bytes())
    path = tmp_path / f"c.{suffix}"
    for count in (1, 40, one - 1, one + 1, one + 60, len(data) - 4, len(data) - 1):
        path.write_bytes(data[:count])
        frame = 0 if count < one else 1 if count < 2 * one - 8 else 4
        with pytest.raises(
            DataError, match=rf"c\.{suffix}: is cut short within frame {frame} .*{frame} whole"
        ):
            examine(path)
    for content, count in ((data, 5), (data[:one], 1)):
        path.write_bytes(content)
        assert f"ends after {count} whole frames" in examine(path)[0]
    path.write_bytes(data + b"\x00\x00\x00\x01" * 20)
    with pytest.raises(DataError, match="frame 5 .*does not begin with the number"):
        examine(path)


def test_frames_without_positions(tmp_path):
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile

    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    frames, box = random_walk() / 10, np.eye(3, dtype=np.float32) * 3
    with TRRFile(str(tmp_path / "a.trr"), "w") as file:
        for k, frame in enumerate(frames):
            file.write(
                None if k == 2 else frame, np.ones((3, 3), np.float32), None, box, k, k, 0.0, 3
            )
    with pytest.raises(DataError, match=r"a\.trr: frame 2 .*holds no positions.*trjconv"):
        read(f"{top},{tmp_path / 'a.trr'}")


def test_nothing_is_left_beside_the_file(tmp_path):
    top = write_pdb(tmp_path / "a.pdb", CARBONS)
    run = write_frames(tmp_path / "a.xtc", random_walk())
    read(f"{top},{run}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdb", "a.xtc"]
