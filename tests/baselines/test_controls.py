"""The controls: the floor, the ceiling, and what costs nothing to try."""

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from jojoscl.baselines.controls import GaussianMixtures, PCAKMeans, RandomLabels, TrueLabels


def test_k_means_finds_types_that_are_easy_to_tell_apart(cells):
    result = PCAKMeans(n_pcs=10).fit_predict(cells, 3, seed=0)
    assert adjusted_rand_score(cells.obs["cell_type"], result.labels) == 1
    assert result.embedding.shape == (120, 10)


def test_a_mixture_takes_the_form_with_the_lowest_bic():
    """Long parallel clusters: one covariance for all is enough, and K-means would cut them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2)) * [1, 20] + np.repeat([[0, 0], [9, 0]], 100, axis=0)
    labels, info = GaussianMixtures().clusters(x.astype(np.float32), 2, seed=0)
    assert adjusted_rand_score(np.repeat([0, 1], 100), labels) > 0.95
    tied = GaussianMixture(2, covariance_type="tied", reg_covar=1e-3, random_state=0).fit(x)
    assert info["bic"] <= tied.bic(x) + 1


def test_random_labels_are_of_equal_size_and_know_nothing(cells):
    labels = RandomLabels().fit_predict(cells, 3, seed=0).labels
    assert np.bincount(labels).tolist() == [40, 40, 40]
    assert abs(adjusted_rand_score(cells.obs["cell_type"], labels)) < 0.1
    assert (labels != RandomLabels().fit_predict(cells, 3, seed=1).labels).any()


def test_true_labels_are_the_ceiling(cells):
    truth = cells.obs["cell_type"].to_numpy()
    result = TrueLabels().fit_predict(cells, None, truth=truth)
    assert adjusted_rand_score(truth, result.labels) == 1
    assert (result.embedding.argmax(1) == result.labels).all()
