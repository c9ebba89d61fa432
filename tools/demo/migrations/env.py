"""Alembic's entry: connects to DATABASE_URL and runs the revisions that the database lacks."""

from alembic import context
from shop.db import engine

with engine().connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
