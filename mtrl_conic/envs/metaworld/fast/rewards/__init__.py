"""The V2 rewards of Meta-World 3.1.1, one function per task, in Meta-World's own order of operations.

Each function takes a `State` and returns an `Outcome`; the table in `mtrl_conic.envs.metaworld.fast.tasks` assigns them
to tasks. Where Meta-World's code differs from its apparent intent, these functions reproduce the code.
"""
