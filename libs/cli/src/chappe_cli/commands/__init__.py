"""The command's groups, one module each."""
