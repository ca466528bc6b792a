"""Flax building blocks that the networks share; their mathematics is in estag_jax.ops."""
