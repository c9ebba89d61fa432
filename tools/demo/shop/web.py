"""The web server: what gunicorn runs on every replica."""

import json
import os

import sqlalchemy as sa
from flask import Flask, jsonify

from shop.db import coupons, engine, products

app = Flask(__name__)
database = engine()
with open(os.environ["SHOP_CACHE"], encoding="utf-8") as cache:
    bestsellers = json.load(cache)


@app.get("/")
def index():
    return jsonify(bestsellers=bestsellers)


@app.get("/products/<int:number>")
def product(number):
    with database.connect() as connection:
        row = connection.execute(sa.select(products).where(products.c.id == number)).mappings().first()
    return jsonify(dict(row)) if row else (jsonify(error="no such product"), 404)


@app.get("/coupons")
def all_coupons():
    with database.connect() as connection:
        return jsonify([dict(row) for row in connection.execute(sa.select(coupons)).mappings()])
