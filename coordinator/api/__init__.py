"""Service requests: who asks, whether they may, and what becomes of it."""
