"""Benchmarks. Each script prints one table: Fakeprint and a peer, measured alternately in one run, or a simulation.

`make bench` runs all but `audits`, `decisions` (says little on the demo), `native_crops` (needs images), `nystroem`
(needs the UniBuc data), `scale` (draws 120,000 images) and `watermark` (needs photographs).
"""
