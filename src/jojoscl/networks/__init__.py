"""Lightning lives here only: modules, their training, and methods that train."""
