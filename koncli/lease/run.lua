--- `koncli lease run NAME -- COMMAND...`: acquire, run while renewing, release.

local acquire = require "koncli.lease.acquire"
local elect = require "konductor.elect"
local oneshot = require "konductor.oneshot"
local options_of = require "koncli.options"
local supervise = require "koncli.supervise"

local M = {
  summary = "Runs a command while holding a Lease, which is renewed until the command has ended.",
  names = true,
  runs = true,
  formats = { "text" },
  environment = { timeout = true },
  examples = [[
  koncli lease run daily-report -- generate-report          exit code 5: another holds it
  koncli lease run db-migration --wait -- alembic upgrade head
  koncli lease run leader --ttl 15s --wait -- worker]],
}

function M.describe(parser)
  supervise.describe(parser)
  options_of.ttl(parser, "How long others wait when this machine dies. Default: that of the Lease; one that is not "
    .. "there is made, with 10m.")
  options_of.priority(parser, "Among those who wait. Default: that of the Lease.")
  options_of.wait(parser)
  supervise.describe_command(parser)
end

function M.check(options)
  options.wait = options.wait == true
  return supervise.check(options)
end

-- The hold lasts as the Lease says; one that is not there yet is made by the driver.
local function ttl_of(command, options)
  if options.ttl_ms then
    return options.ttl_ms
  end
  local rec, word, sentence = command:get()
  if not rec and word ~= "absent" then
    return nil, word, sentence
  end
  return oneshot.ttl_of(rec, command:min_ttl_ms(), acquire.TTL_MS)
end

function M.run(command, options)
  local ttl_ms, word, sentence = ttl_of(command, options)
  if not ttl_ms then
    return command:fail(word --[[@as string]], sentence)
  end
  local result = supervise.run(command, elect.run, supervise.options(command, {
    ttl_ms = ttl_ms, priority = options.priority, spec = { ttl = options.ttl or acquire.TTL },
  }))
  if result.outcome == "ran" or result.outcome == "stopped" and type(result.code) == "number" then
    if result.work and result.work.failed then
      command:remark(("koncli lease run: %s"):format(result.detail))
    end
    return result.code --[[@as integer]]
  end
  return supervise.refuse(command, result)
end

return M
