"""The same jobs on Ray: copies of the model on the devices of a cluster, one of which answers what is looked at, all of
which share sweeps.

``bench`` is the engine's bench: it sends each job to the first worker and hands what comes back to the engine, so that
what runs, what is stopped and what is kept is decided as it is on one machine. ``sweep``: the batches of a sweep go to
whichever worker is free, and come back in their order, so that no number depends on who was first. ``lane`` is a worker
as the bench sees it, ``worker`` what runs in the cluster, ``orders`` what they say to each other, ``values`` what may
travel, ``joining`` how a cluster is found or started.

Only ``joining`` and ``lane`` know Ray, which serialises what is sent; nothing here opens a port or a file.
"""
