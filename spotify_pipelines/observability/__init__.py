"""What operators see besides Dagster: metrics, job history and structured logs."""
