-- Runs $INIT once for each $IMAGE_TAG, by one replica, before the command; the others wait for it.
--
--   INIT="flyway migrate" IMAGE_TAG=1.4.2 konductor run @once-per-version -- gunicorn shop.wsgi
--
-- APP (default "app") names the record; RETRIES (3) and TIMEOUT (1h) bound the runs.
local k = require "konductor"

k.flow(k.env("APP", "app")) {
  k.stage "init" {
    run = { "sh", "-c", k.env "INIT" },
    version = k.env "IMAGE_TAG",
    retries = assert(tonumber(k.env("RETRIES", "3")), "RETRIES is not a number"),
    timeout = k.env("TIMEOUT", "1h"),
  },
  k.main(),
}
