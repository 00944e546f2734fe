"""Benchmarks: a script prints one table: this pipeline against a peer, measured in turn in one run, or a simulation.

`make bench` runs all but `audits`, `nystroem` (needs the UniBuc data) and `scale` (draws 120,000 images).
"""
