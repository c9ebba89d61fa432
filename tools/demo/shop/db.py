"""The database: DATABASE_URL, and what the tables are called."""

import os

import sqlalchemy as sa

metadata = sa.MetaData()
products = sa.Table(
    "products",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(80), nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
)
coupons = sa.Table(
    "coupons",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("code", sa.String(20), nullable=False),
    sa.Column("percent", sa.Integer, nullable=False),
)


def engine():
    return sa.create_engine(os.environ["DATABASE_URL"], connect_args={"timeout": 30})
