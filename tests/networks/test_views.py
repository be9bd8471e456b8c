import pytest
import torch

from jojoscl.networks.views import random_view


def view(x: torch.Tensor, rate: float, sd: float, seed: int = 0) -> torch.Tensor:
    return random_view(x, rate, sd, torch.Generator().manual_seed(seed))


def test_genes_are_masked_at_the_rate_and_the_mean_is_kept(subtests):
    for rate in [0.0, 0.1, 0.5, 0.9]:
        with subtests.test(rate=rate):
            x = torch.full((300, 999), 2.0)  # an odd number of genes
            out = view(x, rate, 0.0)
            assert (out == 0).float().mean() == pytest.approx(rate, abs=0.005)
            torch.testing.assert_close(
                out[out != 0], torch.full_like(out[out != 0], 2 / (1 - rate))
            )
            assert out.mean() == pytest.approx(2, abs=0.05)
            assert (x == 2).all()


def test_masks_of_neighboring_genes_are_independent():
    kept = (view(torch.ones(2000, 64), 0.5, 0.0) > 0).float()
    correlation = torch.corrcoef(kept.T).fill_diagonal_(0)
    assert correlation.abs().max() < 0.12


def test_noise_has_the_sd_and_views_differ_by_draw_and_repeat_by_seed():
    x = torch.zeros(200, 500)
    noise = view(x, 0.9, 0.1)
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert abs(noise.mean()) < 0.001
    assert torch.equal(noise, view(x, 0.9, 0.1))
    g = torch.Generator().manual_seed(0)
    assert not torch.equal(random_view(x, 0.9, 0.1, g), random_view(x, 0.9, 0.1, g))


def test_no_augmentation_leaves_cells_as_they_are():
    x = torch.randn(10, 20)
    assert torch.equal(view(x, 0.0, 0.0), x)
