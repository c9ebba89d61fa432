-- One replica migrates for each image tag, the others wait; then every replica serves.
local k = require "konductor"

k.flow "shop" {
  k.stage "migrate" { run = { "flyway", "migrate" }, version = k.env("IMAGE_TAG", "dev"), timeout = "10m" },
  k.main { "gunicorn", "shop.wsgi" },
}
