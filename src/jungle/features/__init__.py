"""Run a backbone over clips once and keep what it saw: the feature store."""
