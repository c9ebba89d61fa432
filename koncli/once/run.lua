--- `koncli once run NAME -- COMMAND...`: claim, run, record.

local claim = require "konductor.claim"
local exit = require "koncli.exit"
local options_of = require "koncli.options"
local spec = require "konductor.spec"
local supervise = require "koncli.supervise"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {
  summary = "Runs a command unless it has been executed; waits while another runs it, and then has nothing to do.",
  names = true,
  runs = true,
  formats = { "text" },
  environment = { timeout = true },
  examples = [[
  koncli once run db-init -- alembic upgrade head
  koncli once run db-init --version $TAG --timeout 10m -- alembic upgrade head
  koncli once run db-init --no-wait -- alembic upgrade head    exit code 5: another is at it]],
}

function M.describe(parser)
  supervise.describe(parser)
  options_of.version(parser, "Of the work. Default: the declared one, else none.")
  options_of.ttl(parser, "How long the record of a Once that is made here is kept. Default: for ever.")
  options_of.timeout(parser, "How long to wait for another. Default: $KONDUCTOR_TIMEOUT, else for ever.")
  parser:flag("--no-wait"):description("Does not wait for another.")
  supervise.describe_command(parser)
end

function M.check(options)
  options.wait = not options.no_wait and options.wait ~= false
  return supervise.check(options)
end

-- Our own last attempt tells its exit code; that of another is none of ours.
local function code_of(command, result)
  if result.outcome == "ran" or result.outcome == "retry" then
    return result.code
  elseif result.outcome == "failed" and command.started and result.exit_code then
    return result.exit_code
  end
end

function M.run(command, options)
  local warning = ttl.latest_warning(options.version)
  if warning then
    command:remark("koncli once run: " .. warning)
  end
  local result = supervise.run(command, claim.run, supervise.options(command, {
    ttl_ms = spec.CLAIM_TTL_MS, version = options.version, spec = { ttl = options.ttl }, again = false,
  }))
  if result.outcome == "skipped" then
    local by = result.executor and result.executor ~= "" and " by " .. result.executor or ""
    command:remark(("Once %s has been executed%s: nothing to do"):format(text.quote(options.name), by))
    return exit.OK
  end
  return code_of(command, result) or supervise.refuse(command, result)
end

return M
