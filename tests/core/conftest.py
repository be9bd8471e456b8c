"""The cells and the methods that several rooms test with."""

from tests.small import bare, cells, method, quiet

__all__ = ["bare", "cells", "method", "quiet"]
