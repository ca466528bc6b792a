"""Help that is kept: the same text at once, and never that of another state."""

import io
import os
import subprocess
import sys

import pytest
from helpers.command import estag

import estag_jax
from estag_jax.cli import kept_help


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The folder in which help is kept, which it is not in other tests."""
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")
    monkeypatch.setenv("ESTAG_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "help"


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A folder that stands for the package's."""
    folder = tmp_path / "package"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "egnn.py").write_text("hidden = 16\n")
    monkeypatch.setattr(estag_jax, "__file__", str(folder / "__init__.py"))
    return folder


def asked(*argv, command="train"):
    return kept_help.file_of(command, argv or ["--help"])


def test_the_second_call_loads_no_jax_and_prints_the_same(kept):
    def run():
        argv = [sys.executable, "-X", "importtime", "-m", "estag_jax", "train", "--help"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return done.stdout, {line.split("|")[-1].strip() for line in done.stderr.splitlines()}

    (first, loaded), (second, few) = run(), run()
    assert {"jax", "flax", "tyro"} <= loaded and not {"jax", "numpy", "tyro"} & few
    assert "estag_jax.cli.main" in few and len(list(kept.iterdir())) == 1
    assert first == second and "--model.hidden" in first and "--preset released" in first


def touched(package, monkeypatch):
    path = package / "models" / "egnn.py"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def other_size(package, monkeypatch):
    path = package / "models" / "egnn.py"
    before = path.stat().st_mtime_ns
    path.write_text("hidden = 128\n")
    os.utime(path, ns=(before, before))


def added(package, monkeypatch):
    (package / "models" / "new.py").touch()


def installed(package, monkeypatch):
    site = package.parent / "site-packages"
    (site / "tyro-2.dist-info").mkdir()
    os.utime(site, ns=(0, 1))


def ascii_terminal(package, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))


def coloured(package, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def variable(name, value):
    return lambda package, monkeypatch: monkeypatch.setenv(name, value)


CHANGES = {
    "source touched": touched,
    "source of another size": other_size,
    "source added": added,
    "package installed": installed,
    "other letters": ascii_terminal,
    "colours": coloured,
    "width": variable("COLUMNS", "70"),
    "terminal": variable("TERM", "dumb"),
    "no colour": variable("NO_COLOR", "1"),
    "setting of tyro": variable("PYTHON_TYRO_UTF8_BOXES", "False"),
    "Python": lambda package, monkeypatch: monkeypatch.setattr(sys, "version", "4.0"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_help_of_another_state_is_not_shown(change, kept, package, capsys, monkeypatch):
    site = package.parent / "site-packages"
    site.mkdir()
    os.utime(site, ns=(0, 0))
    monkeypatch.syspath_prepend(site)
    before = asked(command="info")
    (package / "models" / "__pycache__").mkdir()
    (package / "models" / "__pycache__" / "egnn.pyc").touch()
    assert before == asked(command="info")
    kept_help.keep(before, "what was kept\n")
    assert estag(capsys, "info", "--help") == (0, "what was kept\n", "")
    change(package, monkeypatch)
    assert asked(command="info") != before
    assert kept_help.read(asked(command="info")) is None


def test_arguments_have_their_own_help(kept):
    ways = [["-h"], ["--help"], ["--model", "EqMotion", "--help"], ["--preset", "paper", "--help"]]
    files = {asked(*argv, command=command) for command in ("train", "plan") for argv in ways}
    assert len(files) == 8 and None not in files


@pytest.mark.parametrize(
    "argv",
    [
        ("runs/a", "--help"),
        ("--data", "a.npz", "--help"),
        ("--model", "EqMotion", "--data", "a.npz", "--help"),
        ("--help", "--model"),
        ("--model", "EqMotion"),
    ],
)
def test_help_that_depends_on_files_and_no_help_are_not_kept(argv, kept):
    assert asked(*argv, command="plan") is None


def test_errors_are_not_kept(kept, capsys):
    assert estag(capsys, "train", "--model", "--help")[0] == 2
    assert asked("--model", "--help") is not None and not kept.exists()


def test_the_switch_of_compiled_programs_is_that_of_help(kept, monkeypatch):
    assert asked() is not None
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "False")
    assert asked() is None


@pytest.mark.parametrize("damage", ["cut", "bytes", "empty", "folder", "no folder"])
def test_a_damaged_cache_changes_nothing(damage, kept, capsys):
    plain = estag(capsys, "info", "--help")
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    if damage == "cut":
        file.write_bytes(whole[:-10])
    elif damage == "bytes":
        file.write_bytes(b"\xff\xfe" + whole)
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.unlink()
        if damage == "folder":
            file.mkdir()
        else:
            kept.rmdir()
            kept.touch()
    assert estag(capsys, "info", "--help") == plain == estag(capsys, "info", "--help")
    assert damage in ("folder", "no folder") or file.read_bytes() == whole


def test_the_oldest_help_goes(kept):
    files = [kept / f"{i}.txt" for i in range(kept_help.MOST + 5)]
    for i, file in enumerate(files):
        kept_help.keep(file, "text")
        os.utime(file, ns=(0, i + 1))
    assert {*kept.iterdir()} == {*files[5:]}
