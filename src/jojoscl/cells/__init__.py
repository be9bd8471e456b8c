"""Cells from counts to the matrix that a method takes."""
