--- Waits until somebody else has executed a Once. Claims nothing and writes nothing, so that the right to read it is
--- enough.
---
--- Outcomes of run():
---   "done"        it has been executed; executor tells by whom
---   "failed"      no attempt is left, so nobody will execute it before a person does something
---   "stopped"     asked to stop      "timeout"  not done within the time of the wait
---   "error"       `code` says why: the store, a right, a damaged record

local candidate = require "konductor.candidate"
local once = require "konductor.once"

local M = {}

local KIND = "Once"
--- A watch may lose an event, if rarely; and the end of a ttl is none.
local LOOK_MS = 300000
--- Nothing is held: this only bounds how long one answer of the store is waited for.
local ANSWER_TTL_MS = 15000

---@class konductor.AwaitOptions
---@field name string
---@field version? string     default: the declared one, else the one claimed last
---@field timeout_ms? integer
---@field on_state? fun(state: string, detail: table?)

---@class konductor.AwaitResult
---@field outcome "done"|"failed"|"stopped"|"timeout"|"error"
---@field code? string
---@field detail? string
---@field executor? string

local function wait(c, action)
  c:say(action)
  local at = c.w.now() + LOOK_MS
  c:stand(at)
  if c.w.now() >= at then
    c.view.known = false
  end
end

local function step(c)
  local outcome, code, detail = c:ready()
  if outcome then
    return { outcome = outcome, code = code, detail = detail }
  end
  local action = once.look(c.view, c.o.version)
  if action.act == "wait" then
    return wait(c, action)
  elseif action.act == "done" then
    c:event("skip", { version = action.version, why = "executed" })
    c:log("info", action.why)
    return { outcome = "done", executor = action.executor }
  elseif action.act == "failed" then
    return { outcome = "failed", detail = action.why }
  end
  return { outcome = "error", code = action.code, detail = action.why }
end

--- Waits. *waits*
---@param w konductor.World
---@param o konductor.AwaitOptions
---@return konductor.AwaitResult
function M.run(w, o)
  local c, code, detail = candidate.new(w, KIND, {
    name = o.name, version = o.version, ttl_ms = ANSWER_TTL_MS, timeout_ms = o.timeout_ms, on_state = o.on_state,
  }, {})
  if not c then
    return { outcome = "error", code = code, detail = detail }
  end
  local result
  repeat
    result = step(c)
  until result
  c:close()
  return result
end

return M
