"""A small shop: Flask for the pages, SQLAlchemy for the database, Alembic for its migrations."""
