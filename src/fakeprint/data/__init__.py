"""Sources, the manifest, checks, arrays and the demo's generators."""
