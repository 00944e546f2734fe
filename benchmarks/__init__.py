"""Benchmarks. Each script prints one table.

It compares Fakeprint and a peer, measured alternately in one run, or simulates, or tries other settings of a part.

`make bench` runs all but `audits`, `decisions` (says little on the demo), `ensembles` (needs an ensemble of degraded
images, too), `native_crops` (needs images), `nystroem` (needs the UniBuc data), `scale` (draws 120,000 images) and
`watermark` (needs photographs).
"""
