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
