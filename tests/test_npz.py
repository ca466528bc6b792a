"""Archives that are damaged, or lie about their sizes."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.io import FileError
from estag_jax.npz import read_npz, write_npz


class OtherError(ValueError):
    pass


ARRAYS = {
    "numbers": np.arange(24.0).reshape(2, 3, 4),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big": np.arange(3, dtype=">f8"),
    "text": np.array(["a", "süß"]),
    "scalar": np.float32(3),
    "none": np.zeros((0, 3)),
    "empty": np.array(""),
}


def fails(path, words, error=FileError, **options):
    with pytest.raises(error, match=words) as caught:
        read_npz(path, error=error, **options)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_come_back_as_numpy_reads_them(tmp_path, compressed):
    path = tmp_path / "new" / "a.npz"
    write_npz(path, ARRAYS, compressed)
    found = read_npz(path, ["numbers"])
    with np.load(path) as expected:
        assert set(found) == set(expected.files) == set(ARRAYS)
        for key, value in found.items():
            assert value.dtype == expected[key].dtype and value.flags.writeable
            np.testing.assert_array_equal(value, expected[key])
    assert set(read_npz(path, ["text"], wanted=("scalar", "other"))) == {"text", "scalar"}
    fails(path, "lacks x, y; it has big, columns, empty", required=["x", "numbers", "y"])


def test_a_bare_array(tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS["big"])
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npy", bare="x")["x"], [0, 1, 2])
    fails(tmp_path / "a.npy", "not an npz file")


def npy(shape="(4,)", descr="'<f8'", data=bytes(32), version=1):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


def archive(content, method=zipfile.ZIP_STORED, name="x.npy"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [bytes, archive, lambda x: archive(x, zipfile.ZIP_DEFLATED)])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            npy("(10**12, 9, 3)".replace("10**12", str(10**12))),
            "claims float64.1000000000000, 9, 3",
        ),
        (npy("(5,)"), "claims float64.5., 40 bytes"),
        (npy("(-4,)"), "claims"),
        (npy("(4,)", "'|O'"), "objects"),
        (npy("(4,)", "[('a', '|O')]"), "objects"),
        (npy(version=3), "version"),
        (npy("'a'"), "shape"),
        (npy()[:20], "cut short"),
        (b"\x93NUMPY", "cut short"),
    ],
)
def test_headers_are_not_believed(tmp_path, pack, content, words):
    path = tmp_path / "a.npz"
    path.write_bytes(pack(content))
    tracemalloc.start()
    fails(path, words, OtherError, bare="x")
    assert tracemalloc.get_traced_memory()[1] < 2**24  # nothing of the claimed size was made
    tracemalloc.stop()
    path.write_bytes(pack(npy()))
    assert read_npz(path, bare="x")["x"].tolist() == [0.0] * 4


def test_an_archive_that_lies_about_a_size_consistently(tmp_path):
    # The directory and the header agree on 80 TB; only the bytes that are there say otherwise.
    content = archive(npy("(10000000000000,)"), zipfile.ZIP_DEFLATED)
    size = len(npy("(10000000000000,)"))
    lie = struct.pack("<I", 2**32 - 2)
    content = content.replace(struct.pack("<I", size), lie)
    assert content.count(lie) == 2
    (tmp_path / "a.npz").write_bytes(content)
    fails(tmp_path / "a.npz", "claims")


def test_what_is_no_archive(tmp_path):
    path = tmp_path / "a.npz"
    for content, words in [
        (b"", "not an npz"),
        (b"text\n", "not an npz"),
        (b"\x80\x04N.", "not an npz"),  # a pickle
        (archive(npy())[:-30], "cut short"),
        (archive(npy() + b"more"), "longer than its header"),
        (archive(npy(), zipfile.ZIP_BZIP2), "method"),
        (archive(b"text"), "cut short"),
    ]:
        path.write_bytes(content)
        fails(path, words)
    path.write_bytes(archive(b"text", name="x.txt"))  # what is no array is no business of ours
    assert read_npz(path) == {}
    fails(path, "lacks x; it has no arrays", required=["x"])
    fails(tmp_path / "none.npz", "no such file")
    fails(tmp_path, "folder")


WHOLE = io.BytesIO()
np.savez_compressed(WHOLE, x=np.arange(100.0), y=np.arange(7))
WHOLE = WHOLE.getvalue()


@settings(deadline=None)
@given(at=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255))
def test_any_damaged_byte_is_an_error_or_harmless(tmp_path_factory, at, value):
    path = tmp_path_factory.getbasetemp() / "flipped.npz"
    path.write_bytes(WHOLE[:at] + bytes([value]) + WHOLE[at + 1 :])
    try:
        found = read_npz(path, ["x"])
    except FileError as error:
        assert "\n" not in str(error)
    else:
        np.testing.assert_array_equal(found["x"], np.arange(100.0))


@settings(deadline=None)
@given(cut=st.integers(0, len(WHOLE) - 1))
def test_any_cut_is_an_error(tmp_path_factory, cut):
    path = tmp_path_factory.getbasetemp() / "cut.npz"
    path.write_bytes(WHOLE[:cut])
    fails(path, "npz|cut short")
