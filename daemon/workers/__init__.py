"""The processes that do the work: `executor` gives it to them, in a `pool`, each `killable` and with some `patience`.

Light: the warm parent imports what is `preloaded`, and each worker just what it needs itself.
"""
