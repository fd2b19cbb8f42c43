"""What every distributed job shares: its settings, its Ray session, the checks before it starts, its metrics."""
