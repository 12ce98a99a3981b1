"""Bad input, made on the spot by small functions: one for each case, nothing binary in the repository."""
