"""Postgres, and ingest's public API."""
