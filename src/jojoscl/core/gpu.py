"""The stages that take the time, by torch: on a GPU, or on CPU tensors, as the tests run them.

Principal axes, exact neighbors and K-means. What they return differs from the CPU's in the last
digits and in the random numbers: another seed, as it were.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from jojoscl.utils.errors import UserError

if TYPE_CHECKING:  # imports seconds of modules, and a CPU needs none of it
    import torch

TILE = 1 << 26  # distances at a time: 256 MB
STEPS = 300  # of K-means, at most

_device: "ContextVar[torch.device | None]" = ContextVar("_device", default=None)


@contextmanager
def accelerated(accelerator: str) -> Iterator[None]:
    """Run the stages of the block on the GPU that torch finds, or with "cpu" without torch."""
    token = _device.set(find() if accelerator == "gpu" else None)
    try:
        yield
    finally:
        _device.reset(token)


def find() -> "torch.device":
    """Return the GPU; a :class:`UserError` without one."""
    if find_spec("torch") is None:
        raise UserError("accelerator='gpu' needs torch: pip install 'jojoscl[networks]'.")
    import torch

    if not torch.cuda.is_available():  # NVIDIA's or AMD's
        raise UserError("torch finds no GPU of NVIDIA or AMD: leave out accelerator='gpu'.")
    return torch.device("cuda")


def in_use() -> bool:
    """Return whether the stages run by torch."""
    return _device.get() is not None


def axes(x: np.ndarray, n_dims: int, seed: int) -> np.ndarray:
    """Return the principal axes (g, d) of centred cells x (n, g), by a randomised SVD."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        v = torch.svd_lowrank(_tensor(x), q=min(n_dims + 15, *x.shape), niter=5)[2]
    return v[:, :n_dims].cpu().numpy()


def nearest(x: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Return the indices (n, k) of the exact nearest rows of each row of x (n, d), itself first."""
    import torch

    points = _tensor(x)
    points = points - points.mean(0)  # |x|^2 - 2 x'y loses digits far from 0
    squares, found = points.square().sum(1), []
    for rows in torch.arange(len(x), device=points.device).split(max(1, TILE // len(x))):
        distance = squares - 2 * points[rows] @ points.T
        distance.scatter_(1, rows[:, None], -torch.inf)
        found.append(distance.topk(n_neighbors, largest=False).indices.cpu())
    return torch.cat(found).numpy()


def kmeans(
    x: np.ndarray, n_clusters: int, weights: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (n,) and centroids (K, d) by Lloyd's steps from random rows of x (n, d).

    A row counts `weights` (n,) times. A cluster that loses all its rows starts again at the one
    that is farthest from its centroid, as in scikit-learn. One random start is all that the default
    method asks for.
    """
    import torch

    points, counts = _tensor(x), np.ones(len(x)) if weights is None else weights
    w = _tensor(counts)[:, None]
    start = np.random.default_rng(seed).choice(len(x), n_clusters, False, counts / counts.sum())
    centroids, labels = points[torch.as_tensor(start)], torch.full((len(x),), -1)
    for _ in range(STEPS):
        distance, found = (centroids.square().sum(1) - 2 * points @ centroids.T).min(1)
        if torch.equal(found.cpu(), labels):
            break
        labels = found.cpu()
        sizes = torch.zeros_like(centroids[:, :1]).index_add_(0, found, w)
        sums = torch.zeros_like(centroids).index_add_(0, found, w * points)
        centroids = sums / sizes.clamp(min=1e-9)
        empty = (sizes[:, 0] == 0).nonzero()[:, 0]
        far = (distance + points.square().sum(1)).topk(len(empty)).indices
        centroids[empty] = points[far]
    return labels.numpy(), centroids.cpu().numpy()


def _tensor(x: np.ndarray) -> "torch.Tensor":
    import torch

    return torch.as_tensor(np.ascontiguousarray(x, dtype=np.float32), device=_device.get())
