"""The V2 rewards of Meta-World 3.1.1, a function a task, in Meta-World's own order of operations.

A function here takes a `State` and gives an `Outcome`; the table of `mtrl_conic.envs.metaworld.fast.tasks` says which
task has which. Where Meta-World's code does something else than it seems to mean, so do these.
"""
