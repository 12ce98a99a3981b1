"""What the commands do, one module for those that go together. Each command returns its exit code.

0 fine, 1 the data has problems, 2 usage or configuration, 3 could not do the work. What a command says goes to
stdout, as text or with `--json` as one JSON value; what is wrong with the call is raised and told by `cli`.
"""
