"""The subcommands of `runbook`, one module each."""
