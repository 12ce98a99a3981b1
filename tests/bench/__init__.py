"""How fast and how large: blobdrop beside what people would use instead. `make bench`, or `python -m tests.bench`.

Nothing here is asserted about time: the figures depend on the machine, the ratios of one run far less.
"""
