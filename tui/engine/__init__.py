"""What can be asked (jobs), who answers (run) and when (engine)."""
