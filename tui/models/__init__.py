"""Models: found, checked, loaded once, and read as plain tensors."""
