--- Carries out a policy of the user's own: one record of a kind of its own, decided upon by
--- pure functions, held while work runs. scripts/semaphore.lua is an example and
--- docs/writing-a-policy.md explains it.
---
--- The policy decides and says what to write. This file does what every policy needs: read
--- and watch the record, resolve each write, renew, kill the work before the hold can lapse,
--- release after its last descendant. What one policy can get wrong is only its own rule.

local candidate = require "konductor.candidate"
local moment = require "konductor.moment"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {}

---@class konductor.Policy
---@field kind string
---@field decide fun(record: konductor.Record, me: konductor.PolicyMe, now: integer): konductor.PolicyAction
---@field renew fun(record: konductor.Record, me: konductor.PolicyMe): table    status of a renewal
---@field held fun(record: konductor.Record, me: konductor.PolicyMe): boolean   is the hold with me.fence still ours?
---@field release fun(record: konductor.Record, me: konductor.PolicyMe): table  status without our hold

---@class konductor.PolicyMe
---@field holder string         name for people
---@field session string        identity: new with each start of a process
---@field op string             new for each write; put it into status.op, by it the write is recognised
---@field wall string           RFC 3339, for people
---@field ttl_ms integer
---@field next_fence integer    fencing number for a grant that is written now; keep it in status.fence
---@field fence? integer        of the hold that we have
---@field lapses_at fun(holder: { session: string, op: string, ttlMs: integer }): integer
---  when that holder may be passed over, unless its op changes before: not sooner than 105 % of its
---  time after this process first saw it so; at once when its process is known to be dead

---@class konductor.PolicyAction
---@field act "take"|"wait"
---@field status? table         take: what to write
---@field until_ms? integer     wait: decide again then at the latest; every change decides again too
---@field peers? string[]       wait: sessions whose death would change the decision
---@field why string            for people

---@class konductor.PolicyResult
---@field outcome "ran"|"busy"|"timeout"|"stopped"|"lost"|"error"
---@field code? integer|string
---@field detail? any
---@field work? konductor.HoldResult
---@field token? integer

--- Since when each holder has stood as it is. Those that are not asked for again are forgotten.
local function new_memory(c)
  local memory = { last = {}, now = {}, gone = {}, ttl_ms = 0 }
  function c.me.lapses_at(holder)
    memory.ttl_ms = math.max(memory.ttl_ms, holder.ttlMs)
    local key = holder.session .. " " .. holder.op
    local since = memory.last[key] or memory.now[key] or c.w.now()
    memory.now[key] = since
    return memory.gone[holder.session] and 0 or ttl.takeover_at(since, holder.ttlMs)
  end
  return memory
end

--- A mistake of the policy: without this a wrong answer would be a wait without end, or a hold that
--- nobody gives up.
local function refuse(policy, verb, value, expected)
  local shown = type(value) == "string" and text.quote(value) or tostring(value)
  error(("k.policy %s: %s gave %s; %s is expected"):format(policy.kind, verb, shown, expected), 0)
end

local function status_of(policy, verb, status)
  if type(status) ~= "table" then
    refuse(policy, verb, status, "the whole new status, a table,")
  end
  return status
end

local function checked_action(policy, action)
  if type(action) ~= "table" then
    refuse(policy, "decide", action, 'a table { act = "take" or "wait", ... }')
  elseif action.act == "take" then
    status_of(policy, "decide: status", action.status)
  elseif action.act ~= "wait" then
    refuse(policy, "decide: act", action.act, '"take" or "wait"')
  end
  return action
end

local function decide(c, policy)
  local record, me = c.view.record, c:fresh()
  local fence = record.status.fence
  me.next_fence = ttl.next_fence(type(fence) == "number" and fence or 0, record.rev)
  local memory = c.memory
  memory.ttl_ms = 0 -- the longest that is asked about
  local action = checked_action(policy, policy.decide(record, me, c.w.now()))
  memory.last, memory.now = memory.now, {}
  return action, me.next_fence
end

--- Listens for the end of these sessions, and of no others.
local function listen(c, sessions)
  local wanted = {}
  for _, session in ipairs(sessions or {}) do
    if session ~= c.me.session then
      wanted[session] = c.peers[session] or c.w.peer(c.inbox, session)
    end
  end
  for session, peer in pairs(c.peers) do
    if not wanted[session] then
      peer:close()
    end
  end
  c.peers = wanted
end

--- One step: a grant; or an outcome that ends the wait; or neither.
local function step(c, policy)
  local outcome, code, detail = c:ready()
  if outcome then
    return nil, outcome, code, detail
  end
  if not c.view.record then
    code, detail = c:create()
    return nil, code and "error", code, detail
  end
  local action, fence = decide(c, policy)
  if action.act == "take" then
    local ok, base, why = c:write(action)
    if ok then
      c:event("claim", { fence = fence, rev = c.view.record.rev, base = base, ttl_ms = c.o.ttl_ms,
        uid = c.view.record.uid })
      c:log("info", ("held, fence %d (%s)"):format(fence, action.why))
      return { fence = fence, base = base }
    end
    return nil, base and "error", base, why
  end
  listen(c, action.peers)
  if c.o.wait == false then
    local at = moment.more(c, action.until_ms, c.memory.ttl_ms)
    if not at then
      return nil, "busy", nil, action.why
    end
    c:pause(at)
    return
  end
  c:say(action)
  c:stand(action.until_ms)
end

local function release(c, policy, h)
  local outcome, record, detail = c:write_back(function(rec)
    return policy.held(rec, c.me) and status_of(policy, "release", policy.release(rec, c.me)) or nil
  end, h:lapse_at())
  if outcome == "ok" then
    c:event("release", { fence = h.token, rev = record.rev })
    c:log("info", "released")
  elseif outcome ~= "lost" then
    c:log("warn", "could not be released and is left to expire: " .. tostring(detail or record))
  end
end

local function work(c, policy, grant)
  listen(c, nil)
  c.give_up_at = nil
  local function renew(record, me)
    return status_of(policy, "renew", policy.renew(record, me))
  end
  local result, h = c:run({ renew = renew, held = policy.held, renewable = true }, grant.base, grant.fence, {})
  if not result.sure then
    c:log("error", "a descendant of the work may still run; the hold is left to expire")
  elseif not result.lost or result.lost == "deadline" then
    release(c, policy, h)
  end
  local outcome = result.stopped and "stopped" or result.lost and "lost" or "ran"
  return {
    outcome = outcome, code = result.code, detail = result.detail or result.error, work = result, token = grant.fence,
  }
end

local function carry_out(c, policy)
  local grant, outcome, code, detail
  repeat
    grant, outcome, code, detail = step(c, policy)
  until grant or outcome
  return grant and work(c, policy, grant) or { outcome = outcome, code = code, detail = detail }
end

--- Waits until the policy grants a hold and runs the work under it. Raises what the policy raises. *waits*
---@param w konductor.World
---@param policy konductor.Policy
---@param o konductor.CandidateOptions
---@return konductor.PolicyResult
function M.run(w, policy, o)
  local c, code, detail = candidate.new(w, policy.kind, o, {})
  if not c then
    return { outcome = "error", code = code, detail = detail }
  end
  c.peers, c.memory = {}, new_memory(c)
  function c.on_gone(session)
    c.memory.gone[session] = true
  end
  local ok, result = pcall(carry_out, c, policy)
  listen(c, nil)
  c:close()
  if not ok then
    error(result, 0) -- the script may catch it, and try again
  end
  return result
end

return M
