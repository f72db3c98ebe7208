"""What Alembic runs around each revision: our metadata, on the connection that ``store.migrate`` opened.

Every upgrade is one transaction, waits for locks a bounded time, and can't run twice at once.
"""

from alembic import context
from sqlalchemy import text

from spotify_pipelines.store.tables import Base

# Any constant will do, so long as it stays: two upgrades at once must ask for the same lock.
_ADVISORY_LOCK = 727_100_419

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=Base.metadata, transactional_ddl=True, compare_server_default=True
)
with context.begin_transaction():
    connection.execute(text("SET LOCAL lock_timeout = '15s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    context.run_migrations()
