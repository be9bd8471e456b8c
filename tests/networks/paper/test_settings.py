"""What the paper's networks can be set to."""

from __future__ import annotations

import pytest

from jojoscl.networks.paper.settings import PaperSettings
from jojoscl.utils.errors import UserError


def test_layers_without_a_width_are_refused() -> None:
    for name in ("encoder_dims", "instance_dims"):
        with pytest.raises(UserError, match="one or more numbers"):
            PaperSettings(**{name: []})
    PaperSettings(cluster_dims=[])
