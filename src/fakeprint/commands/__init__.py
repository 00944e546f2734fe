"""The subcommands of `python -m fakeprint`, one module each."""
