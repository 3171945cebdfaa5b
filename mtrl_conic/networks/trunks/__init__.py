"""The networks of the package, each in a file of its name."""
