"""One file a stage: read params, call fakeprint, write outputs."""
