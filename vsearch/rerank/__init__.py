"""Re-ranking."""
