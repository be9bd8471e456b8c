"""What is done with clusters: splits, markers, the tree, results in an AnnData."""
