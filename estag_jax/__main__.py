"""``python -m estag_jax`` is the ``estag`` command."""

from estag_jax.cli.main import main

if __name__ == "__main__":
    main()
