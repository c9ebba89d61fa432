--- What `once run` and `lease run` have in common: a command under a hold that is renewed while it runs, by the same
--- drivers as a script's, and the exit code that comes of it.

local ledger = require "konductor.ledger"
local oneshot = require "konductor.oneshot"
local options_of = require "koncli.options"
local wait = require "koncli.wait"

local M = {}

local SIGTERM = 15

function M.describe(parser)
  options_of.holder(parser)
  parser:option("--run-timeout"):argname("DURATION")
    :description("Of the command: then it is ended, and the exit code is 124. Default: none.")
end

--- To be called last: what stands behind "--" is no argument of the parser's.
function M.describe_command(parser)
  parser:usage(parser:get_usage() .. " -- COMMAND...")
end

---@param options table
---@return string? sentence
function M.check(options)
  if not options.command or not options.command[1] then
    return 'the command to run is missing: it stands behind "--"'
  elseif options.command[1] == "" then
    return "the program of the command is empty"
  end
end

--- Options of the driver that both kinds share.
---@param command koncli.Command  `started` is set when its work begins
---@param more table  the others
---@return table
function M.options(command, more)
  local options = command.options
  more.name, more.work = options.name, { argv = options.command, foreground = true }
  more.wait, more.run_timeout_ms = options.wait, options.run_timeout_ms
  more.timeout_ms = options.wait and options.timeout_ms or nil
  more.skew_ms = command:skew_ms()
  more.patience = oneshot.patience(command.world, more)
  local shown = wait.shown(command, function() command.started = true end)
  more.on_state = function(state, detail)
    command.answered = command.answered or state ~= "free" -- it waits for what it has read, or holds it
    shown(state, detail)
  end
  return more
end

--- Runs a driver. What it leaves open keeps the store open, so that others learn of our end from the kernel.
---@param command koncli.Command
---@param driver fun(w: konductor.World, o: table): table
---@param options table
---@return table result
function M.run(command, driver, options)
  local made, book = command.made, ledger.new()
  made.control.listeners[1] = function(name, fields) book:take(name, fields) end
  made.control:take_signals()
  local result = driver(command.world, options)
  made.log:hide()
  command.keeps_store = not book:is_empty()
  return result
end

local WORDS = {
  timeout = "timeout", busy = "claimed", lost = "lost", superseded = "lost", doubt = "claimed", failed = "failed",
}

--- The exit code of what did not end as the command did.
---@param command koncli.Command
---@param result table
---@return integer exit_code
function M.refuse(command, result)
  local outcome, name = result.outcome, command.options.name
  local detail = result.detail
  if outcome == "stopped" then
    return 128 + (command:signal() or SIGTERM)
  elseif outcome == "timeout" and not command.answered then
    return command:fail("store", "the store did not answer within " .. command.options.timeout)
  elseif outcome == "timeout" then
    detail = "not available within " .. command.options.timeout
  elseif outcome == "failed" then
    detail = ("%s; when mended: koncli once reset %s"):format(detail, name)
  elseif outcome == "doubt" then
    detail = ("%s: koncli once resolve %s --ran or --not-run"):format(detail, name)
  elseif outcome == "lost" then
    detail = "the hold was lost, and the command stopped: " .. tostring(detail or "it made way for another")
  end
  return command:fail(WORDS[outcome] or result.code, detail)
end

return M
