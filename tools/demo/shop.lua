-- The entrypoint of the demo's five replicas: what must be done once for a release, and then the web server.
local k = require "konductor"
local tag = k.env("IMAGE_TAG", "dev")

local function chore(name)
  return { "python", "-m", "shop", name }
end

k.flow "shop" {
  k.stage "migrate" { run = { "alembic", "upgrade", "head" }, version = tag, timeout = "10m", retries = 3 },
  k.stage "seed" { after = "migrate", run = chore "seed", version = tag },
  k.stage "warm-cache" { after = "migrate", run = chore "warm-cache", version = tag, ttl = "24h" },
  k.main { "gunicorn", "--bind", "127.0.0.1:" .. k.env("PORT", "8000"), "shop.web:app" },
}
