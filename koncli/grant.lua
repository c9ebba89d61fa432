--- Taking a grant that is bound to time, and one's own grant as a process sees it that did not take it itself: known by
--- holder and fence.

local core = require "konductor.core"
local duration = require "konductor.duration"
local exit = require "koncli.exit"
local record = require "konductor.record"
local text = require "konductor.text"
local wait = require "koncli.wait"

local M = {}

-- Taking ---------------------------------------------------------------------------------

-- What oneshot.lua wants to know.
local function options_of(command, more)
  local options = command.options
  more.name, more.skew_ms, more.min_ttl_ms = options.name, command:skew_ms(), command:min_ttl_ms()
  more.wait, more.timeout_ms = options.wait == true, options.wait and options.timeout_ms or nil
  more.on_state = wait.shown(command)
  return more
end

-- Writes the token of a new grant, and tells a person of it. One that nobody learns of is to be given back: false.
local function announce(command, result, done)
  command.made.log:hide()
  if command:signal() then
    return false
  elseif command:answer_object(result.record, ("%.0f\n"):format(result.fence)) ~= exit.OK then
    return false
  end
  command:remark(("%s %s %s by %s, %s"):format(command.kind, text.quote(command.options.name), done,
    command.world.holder, M.until_when(result.record)))
  return true
end

-- Tells why there is no grant.
local function refuse(command, result)
  local outcome = result.outcome
  if command:signal() then
    return 128 + command:signal()
  elseif outcome == "failed" then
    return command:fail("failed", ("%s; when mended: koncli once reset %s"):format(result.detail, command.options.name))
  elseif outcome == "doubt" then
    return command:fail("claimed", ("%s: koncli once resolve %s --ran or --not-run"):format(
      result.detail, command.options.name))
  elseif outcome == "done" then
    local by = result.executor and result.executor ~= "" and " by " .. result.executor or ""
    return command:fail("claimed", ("it has been executed%s: there is nothing to claim"):format(by))
  elseif outcome == "timeout" then
    return command:fail("timeout", "not available within " .. command.options.timeout)
  end
  return command:fail(outcome == "busy" and "claimed" or result.code, result.detail)
end

--- Takes a grant and prints its token.
---@param command koncli.Command
---@param take fun(w: konductor.World, o: konductor.OneshotOptions, use: function): konductor.OneshotResult
---@param more table   what is the verb's own of the options
---@param done string  "acquired", "claimed"
---@return integer exit_code
function M.take(command, take, more, done)
  command.made.control:take_signals()
  local kept
  local result = take(command.world, options_of(command, more), function(result)
    kept = announce(command, result, done)
    return kept
  end)
  if result.outcome ~= "granted" then
    return refuse(command, result)
  elseif kept then
    return exit.OK
  end
  return command:signal() and 128 + command:signal() or exit.ERROR
end

-- One's own ------------------------------------------------------------------------------

--- Who asks: the holder of the grant that the record names, or of the one that the token does.
---@param command koncli.Command
---@param rec konductor.Record
---@return table
function M.me(command, rec)
  local world = command.world
  return {
    holder = world.holder, session = world.session, bound = "time", fence = command.options.token or rec.status.fence,
    op = world.nonce(), wall = world.wall(), ttl_ms = command.options.ttl_ms or command.options.hold_ms
      or rec.status.ttlMs,
  }
end

--- Why a grant is not, or no longer, one's own.
---@param command koncli.Command
---@param who string       who has it now
---@param view {fence: integer, bound: string, foreign?: boolean}
---@param is_free boolean
---@return string word
---@return string sentence
function M.lost(command, who, view, is_free)
  local me, token = text.quote(command.world.holder), command.options.token
  if is_free then
    return "lost", ("nobody holds it; %s no longer does"):format(me)
  elseif view.foreign then
    return "lost", ("it is held by %s, which is another program's"):format(text.quote(who))
  elseif who ~= command.world.holder then
    return "lost", ("it is held by %s, fence %.0f, and not by %s"):format(text.quote(who), view.fence, me)
  elseif view.bound ~= "time" then
    return "lost", ("it is held by a process of the name %s, fence %.0f, which renews and releases it itself"):format(
      me, view.fence)
  end
  return "lost", ("%s holds it under the token %.0f, not %.0f"):format(me, view.fence, token or 0)
end

--- When a grant ends unless it is renewed, for people.
---@param rec konductor.Record
---@return string
function M.until_when(rec)
  local status = rec.status
  local span = duration.format(status.ttlMs)
  local at = status.expires or record.later(core.wall(), status.ttlMs)
  return at and ("until %sZ (%s)"):format(at:sub(1, 19), span) or "for " .. span
end

return M
