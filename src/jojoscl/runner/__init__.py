"""Hydra lives here only: from a command to a run folder to a table."""
