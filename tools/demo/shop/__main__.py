"""The shop's chores, each of them meant to be done once for a release: python -m shop CHORE."""

import json
import os
import sys

import sqlalchemy as sa

from shop.db import coupons, engine, products

PRODUCTS = 600
COUPONS = {"WELCOME": 10, "SUMMER": 15, "STAFF": 30}


def catalogue():
    """Release 1's data: what is in the database before the new release comes."""
    with engine().begin() as connection:
        connection.execute(
            sa.insert(products),
            [{"id": n, "name": f"Cup no. {n}", "price": 3 + n % 97} for n in range(1, PRODUCTS + 1)],
        )


def seed():
    with engine().begin() as connection:
        connection.execute(
            sa.insert(coupons), [{"code": code, "percent": percent} for code, percent in COUPONS.items()]
        )


def warm_cache():
    with engine().connect() as connection:
        rows = connection.execute(sa.select(products).order_by(products.c.price.desc()).limit(10)).mappings()
        listing = [dict(row) for row in rows]
    path = os.environ["SHOP_CACHE"]
    with open(path + f".{os.getpid()}", "w", encoding="utf-8") as out:
        json.dump(listing, out)
    os.replace(out.name, path)


def check():
    """Prints what is wrong with the data, a line each; exit code 1 if anything is."""
    wrong = []
    with engine().connect() as connection:
        version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        if version != "0003":
            wrong.append(f"the schema is at revision {version}, not at 0003")
        rows = connection.execute(sa.select(products)).all()
        bad = [row for row in rows if row.price != (3 + row.id % 97) * 100]
        if bad:
            row = max(bad, key=lambda r: r.price)
            wrong.append(
                f"{len(bad)} of {len(rows)} prices are wrong: {row.name} costs {row.price / 100:,.2f} euros "
                f"instead of {3 + row.id % 97:.2f}"
            )
        if sa.inspect(connection).has_table("coupons"):
            count = connection.scalar(sa.select(sa.func.count()).select_from(coupons))
            if count != len(COUPONS):
                wrong.append(f"there are {count} coupons instead of {len(COUPONS)}")
        else:
            wrong.append("the table of coupons is missing")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


CHORES = {"catalogue": catalogue, "seed": seed, "warm-cache": warm_cache, "check": check}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CHORES:
        sys.exit("usage: python -m shop " + "|".join(CHORES))
    sys.exit(CHORES[sys.argv[1]]())
