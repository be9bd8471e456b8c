"""Files to matrices."""
