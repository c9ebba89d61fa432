--- `koncli once resolve NAME --ran|--not-run`: settles work of which nobody but a person
--- can tell whether it ran.
---
--- Work that may still be running is not settled: its executor must be known to be gone,
--- or its time be over.

local executor = require "koncli.executor"
local once = require "konductor.once"
local record = require "konductor.record"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {
  summary = "Settles at-most-once work whose executor is gone, so that it may or may not have run.",
  names = true,
  examples = [[
  koncli once resolve shop.charge --ran        it did run: counts as executed
  koncli once resolve shop.charge --not-run    it did not: the next replica that comes runs it]],
}

function M.describe(parser)
  parser:flag("--ran"):description("It did run.")
  parser:flag("--not-run"):description("It did not run.")
  parser:option("--version"):argname("VERSION"):description("Only if the claim is for this version.")
  parser:option("--token"):argname("NUMBER"):description("Only if the claim has this fencing number.")
end

local function may_run(world, view)
  if view.doubt or ttl.oneshot_expired(view.age_ms, view.ttl_ms, 0) then
    return false
  end
  executor.look(world, view)
  return not view.gone
end

-- Why the claim is not one that can be settled now: word and sentence, or nothing.
local function refusal(world, view, options)
  if not view.claimed then
    return "absent", "there is no claim to settle"
  elseif options.version and options.version ~= view.version then
    return "claimed", ("the claim is for version %s, not %s"):format(
      text.quote(view.version), text.quote(options.version))
  elseif options.token and options.token ~= view.fence then
    return "claimed", ("the claim has the token %.0f, not %.0f"):format(view.fence, options.token)
  elseif may_run(world, view) then
    return "claimed", ("it is being run by %s, fence %.0f; only work whose executor is gone can be settled"):format(
      view.executor, view.fence)
  end
end

function M.check(options)
  if options.ran and options.not_run then
    return "--ran and --not-run cannot be used together"
  elseif not options.ran and not options.not_run then
    return "say what happened: --ran or --not-run"
  end
end

function M.run(command, options)
  local world = command.world
  local rec, word, sentence = command:change(function(rec)
    local view, code, why = record.once(rec)
    if not view then
      return nil, code, why
    end
    code, why = refusal(world, view, options)
    if code then
      return nil, code, why
    end
    return once.resolve(rec, { op = world.nonce(), wall = world.wall() }, options.ran == true)
  end)
  if not rec then
    return command:fail(word, sentence)
  end
  return command:answer_change(rec, ("Once %s resolved: %s"):format(text.quote(options.name),
    options.ran and "it counts as executed" or "the next replica that comes runs it"))
end

return M
