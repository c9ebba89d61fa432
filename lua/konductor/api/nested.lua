--- A hold inside a hold: what runs under the inner one must also die with the outer one.
---
--- The inner driver is given a world whose commands carry the earlier of both deadlines, and
--- are listed with the outer hold, which moves its own deadline with each of its renewals,
--- stops them when it ends, and is not released before they are gone.

local M = {}

local function earlier(a, b)
  if a and b then
    return math.min(a, b)
  end
  return a or b
end

-- Hands on what the command tells: all of it to the inner driver, its end to the outer hold.
local function relay(source, inbox, inner, outer_hold, outer)
  while true do
    local event = source:wait()
    if not event then
      return
    end
    event.child = inner
    local is_empty = event.type == "empty"
    local sure = event.sure
    inbox:post(event)
    if is_empty then
      outer_hold.inbox:post { type = "empty", child = outer, sure = sure }
      source:close()
      return
    end
  end
end

--- The two handles of one command: each arms its own deadline, the earlier one counts.
local function handles(child, inner_at, outer_at)
  local function arm()
    child:arm(earlier(inner_at.term, outer_at.term), earlier(inner_at.kill, outer_at.kill))
  end
  local function handle(at)
    local proxy = {}
    function proxy.arm(_, term_at, kill_at)
      at.term, at.kill = term_at, kill_at
      arm()
    end
    function proxy.stop(_, grace_ms)
      child:stop(grace_ms)
    end
    function proxy.signal(_, signal)
      child:signal(signal)
    end
    return proxy
  end
  return handle(inner_at), handle(outer_at)
end

local function spawn(hold, inbox, spec)
  local w = hold.w
  if not hold.inbox or w.now() >= hold.term_at then
    return nil, "lost", "the outer hold has ended"
  end
  local inner_at = { term = spec.term_at, kill = spec.kill_at }
  local outer_at = { term = hold.term_at, kill = hold.kill_at }
  local copy = {}
  for key, value in pairs(spec) do
    copy[key] = value
  end
  copy.term_at, copy.kill_at = earlier(inner_at.term, outer_at.term), earlier(inner_at.kill, outer_at.kill)
  local source, sink = w.inbox(), w.inbox()
  sink:close()
  local child, code, detail = w.spawn(source, copy)
  if not child then
    source:close()
    return nil, code, detail
  end
  local inner, outer = handles(child, inner_at, outer_at)
  hold.children[#hold.children + 1] = { child = outer, inbox = sink }
  w.task(nil, relay, source, inbox, inner, hold, outer)
  return inner
end

--- The world for a driver that a script calls: that of the hold it is called under, if any.
---@param context konductor.ScriptContext
---@param current? { hold: konductor.Hold }
---@return konductor.World
function M.world(context, current)
  if not current then
    return context.world
  end
  local hold = current.hold
  return setmetatable({
    spawn = function(inbox, spec)
      return spawn(hold, inbox, spec)
    end,
  }, { __index = hold.w })
end

return M
