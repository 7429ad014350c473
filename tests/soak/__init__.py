"""Load: the real program on a real pseudo-terminal for an hour, under inputs that a seed draws.

``python -m tests.soak --minutes 60 --seed 1``, or ``make soak``.
"""
