"""What tests of Chappe stand on; nothing in production imports it."""
