"""Release 2: prices become cents.

A data migration as one writes it for a big table that is in use: in small steps, each committed by itself, with a pause
between them, so that the live shop is never locked out for long.  Run by two at once it multiplies twice.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
BATCH = 10
PAUSE_S = 0.025


def upgrade():
    with op.get_context().autocommit_block():
        bind = op.get_bind()
        last = bind.scalar(sa.text("SELECT max(id) FROM products")) or 0
        for start in range(1, last + 1, BATCH):
            bind.execute(
                sa.text("UPDATE products SET price = price * 100 WHERE id BETWEEN :first AND :last"),
                {"first": start, "last": start + BATCH - 1},
            )
            time.sleep(PAUSE_S)


def downgrade():
    op.execute("UPDATE products SET price = price / 100")
