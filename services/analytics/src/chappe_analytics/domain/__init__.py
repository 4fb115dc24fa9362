"""What is counted and told, as pure functions: verdicts, message fates, timelines, reports."""
