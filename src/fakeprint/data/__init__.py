"""Sources, the manifest, duplicates, audits, arrays and the demo's generators."""
