"""A feed's business days: their `bounds`, the `counts` of their rows, their `closing`, and the `figures` it brings.

Light: who asks when a day ends imports nothing of what computes one.
"""
