"""From an embedding to labels, and from labels to scores."""
