#!/bin/sh
# The usual entrypoint, as found in many images: right for one replica, wrong for five.
set -e
alembic upgrade head
python -m shop seed
python -m shop warm-cache
exec gunicorn --bind "127.0.0.1:$PORT" shop.web:app
