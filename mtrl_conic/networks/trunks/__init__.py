"""The networks of the package, a file for each, called as the network is."""
