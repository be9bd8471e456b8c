"""Seeds derived from seeds, and samples of rows."""

import itertools

import numpy as np

from jojoscl.utils.seeding import at_most, derived_seed


def test_derived_seeds_differ_in_every_part():
    seeds = [derived_seed(*parts) for parts in itertools.product(range(3), range(3), range(2))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(0, 1) == derived_seed(0, 1) != derived_seed(1, 0)


def test_at_most_keeps_order_and_takes_all_where_they_are_few():
    x = np.arange(20)
    np.testing.assert_array_equal(at_most(x, 20, seed=0), x)
    some = at_most(x, 7, seed=0)
    assert len(some) == 7
    assert (np.diff(some) > 0).all()
    np.testing.assert_array_equal(some, at_most(x, 7, seed=0))
    assert list(some) != list(at_most(x, 7, seed=1))
