"""The mathematics: pure functions on tensors, one module a quantity. No threads, no screen."""
