"""The command line; ``cli.main(argv)`` is the ``estag`` command."""

from estag_jax.cli.main import main

__all__ = ["main"]
