"""The method: positives, contrast, shrinkage and consensus."""
