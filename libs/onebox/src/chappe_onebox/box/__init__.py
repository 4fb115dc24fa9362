"""All of Chappe in one process, or some of it: who opens what, in which order, and closes it."""
