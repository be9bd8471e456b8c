"""Lightning lives here only."""
