"""Where ``estag_jax.Graph`` was before version 0.2."""

from estag_jax.moved import moved

__getattr__ = moved(__name__, {"Topology": "estag_jax.Graph"})
