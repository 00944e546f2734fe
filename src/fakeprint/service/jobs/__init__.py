"""Fits as jobs: a table with leases, work folders in which the project's own pipeline runs, and workers.

`store` says which job is whose, `work_folder` makes what `dvc repro` needs, `worker` runs it and `progress` follows it.
"""
