--- `koncli once claim NAME`: claims work for a time that outlives this process.

local grant = require "koncli.grant"
local oneshot = require "konductor.oneshot"
local options_of = require "koncli.options"
local ttl = require "konductor.ttl"

local M = {
  summary = "Claims work that is to be done once, and prints the fencing number of the claim, the token.",
  names = true,
  examples = [[
  koncli once claim db-init && init-database && koncli once done db-init
  koncli once claim db-init --hold 1h --version v2    exit code 5: it has been executed, or another has
                                                      the claim; koncli once check says which]],
}

function M.describe(parser)
  options_of.holder(parser)
  parser:option("--hold"):argname("DURATION")
    :description("How long the claim lasts: then another may do the work. Default: 10m.")
  options_of.version(parser, "Of the work. Default: the declared one, else none.")
end

local HOLD_MS = 600000

function M.run(command, options)
  local warning = ttl.latest_warning(options.version)
  if warning then
    command:remark("koncli once claim: " .. warning)
  end
  return grant.take(command, oneshot.claim, {
    ttl_ms = options.hold_ms, default_ttl_ms = HOLD_MS, spec = {}, version = options.version,
  }, "claimed")
end

return M
