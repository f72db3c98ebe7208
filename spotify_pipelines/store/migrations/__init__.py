"""Alembic's environment and the revisions, oldest first; ``store.migrate`` runs them."""
