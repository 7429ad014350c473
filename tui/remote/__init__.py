"""The engine on another machine: the screen here and the model there, over ``ssh`` and its two pipes.

``frames``: bytes; ``talk``: what is said in them; ``coding``: jobs and results as plain values and arrays; ``mail``:
what waits to be sent; ``line``: one connection. On this side ``reach``: the first word; ``far``: what stands in the
engine's place; ``asking``: the same for the export. On the other ``bridge``: what ssh starts; ``place``: where the
``keeper`` is found, the process that keeps the model while the line is cut; ``room``: one screen's engine in it.
"""
