"""Release 1: products, with prices in whole euros."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "products",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
    )


def downgrade():
    op.drop_table("products")
