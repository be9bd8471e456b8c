"""Random numbers by seed and epoch alone: a resumed run draws what an unbroken one would."""

import numpy as np


def derived_seed(*parts: int) -> int:
    """Return one 63-bit seed from several integers, such as (seed, epoch, rank)."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def at_most(x: np.ndarray, limit: int, *, seed: int) -> np.ndarray:
    """Return x, or above `limit` rows a random subset of `limit` rows in their order."""
    if len(x) <= limit:
        return x
    return x[np.sort(np.random.default_rng(seed).choice(len(x), limit, replace=False))]
