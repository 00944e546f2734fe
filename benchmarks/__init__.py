"""Benchmarks: each script measures this pipeline against a peer, in turn, in one run, and prints one table."""
