"""One class for each choice of `method=` that trains no network."""
