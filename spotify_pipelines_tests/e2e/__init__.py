"""The product as its users run it: commands, Dagster runs, the UI in a browser."""
