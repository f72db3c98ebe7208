"""PostgreSQL, the truth: tables, migrations, bulk upserts, queues, leases and the queries that others share.

SQLAlchemy is imported here only (use cases may name its ``Session``). No decision is made in this room.
"""
