"""The mathematics: tensors and arrays only."""
