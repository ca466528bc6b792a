"""The command, run in this process."""

from __future__ import annotations

from estag_jax import cli


def estag(capsys, *argv):
    """Runs the command: (exit code, standard output, standard error)."""
    code = 0
    try:
        cli.main([str(a) for a in argv])
    except SystemExit as stop:
        code = stop.code or 0
    return code, *capsys.readouterr()


def one_line(capsys, *argv):
    """The message of a command that must fail with exit code 2 after one line and no output."""
    code, out, err = estag(capsys, *argv)
    assert (code, out) == (2, ""), err
    assert err.startswith("estag: ") and err.count("\n") == 1, err
    return err
