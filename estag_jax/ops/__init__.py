"""Operations on batches of windows as pure functions of arrays, without parameters and without Flax."""
