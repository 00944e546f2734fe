"""The subcommands of `fakeprint`, one module each."""
