"""For those who watch: an `endpoint` that tells of `health`, and in an `exposition` how things are `standing`.

Light: what it takes to answer is imported only where the settings ask for it (`observed`).
"""
