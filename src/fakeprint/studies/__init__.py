"""Studies: a question, its arms and its seeds, run cell by cell and reported with intervals and corrected tests.

`study` is the file, `plan` its arms as parameters, `cells` what has to run, `runners/` how, `results` what came out,
`statistics` and `report` what it says.
"""
