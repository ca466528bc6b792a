"""Where ``estag_jax.load_trajectory`` was before version 0.2."""

from estag_jax.moved import moved

__getattr__ = moved(__name__, {"load": "estag_jax.load_trajectory"})
