"""The commands of `mtrl-conic`, one module each: `add_arguments(parser)` and `run(arguments) -> exit code`."""
