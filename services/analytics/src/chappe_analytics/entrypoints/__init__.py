"""What drives the service: batches of records, and HTTP."""
