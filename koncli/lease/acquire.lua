--- `koncli lease acquire NAME`: takes a hold that outlives this process.

local grant = require "koncli.grant"
local oneshot = require "konductor.oneshot"
local options_of = require "koncli.options"

local M = {
  summary = "Takes a Lease for a time and prints its fencing number, the token.",
  names = true,
  environment = { timeout = true },
  examples = [[
  koncli lease acquire db-migration --ttl 10m            tries once: exit code 5 when another holds it
  koncli lease acquire db-migration --wait --timeout 5m  waits: exit code 3 when that was too short
  TOKEN=$(koncli lease acquire db-migration)             for renew and release: --token $TOKEN]],
}

function M.describe(parser)
  options_of.holder(parser)
  options_of.ttl(parser, "How long it lasts unless renewed. Default: that of the Lease; one that is not there is made, "
    .. "with 10m.")
  options_of.priority(parser, "Among those who wait. Default: that of the Lease.")
  options_of.wait(parser)
end

--- Time to live of a Lease that nobody gave one.
M.TTL, M.TTL_MS = "10m", 600000

function M.run(command, options)
  return grant.take(command, oneshot.acquire, {
    ttl_ms = options.ttl_ms, default_ttl_ms = M.TTL_MS, spec = { ttl = options.ttl or M.TTL },
    priority = options.priority,
  }, "acquired")
end

return M
