"""The endpoints, one file per subject: each has a `router`."""
