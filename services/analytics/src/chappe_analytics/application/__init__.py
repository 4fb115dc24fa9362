"""One batch from the streams into counts and timelines, and who watches it happen."""
