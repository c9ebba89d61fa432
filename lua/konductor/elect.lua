--- Carries the policy of leases out: waits for its turn, works while it holds, hands over.
---
--- Outcomes of run():
---   "ran"      the work ended; the hold was released, or left to expire if `lost` says so
---   "lost"     the hold was lost, or given to a higher priority, before the work had ended
---   "stopped"  asked to stop, while it waited or while it worked
---   "timeout"  not had within its time       "busy"  not to be had without waiting
---   "error"    `code` says why: the store, a right, a damaged record

local candidate = require "konductor.candidate"
local exits = require "konductor.exits"
local lease = require "konductor.lease"
local moment = require "konductor.moment"
local priority = require "konductor.priority"
local record_of = require "konductor.record"
local ttl = require "konductor.ttl"

local M = {}

local KIND = "Lease"
local JITTER_MS, JITTER_MAX_MS = 80, 4000
-- How much later one joins who has found the queue full.
local CROWD = 64

---@class konductor.ElectOptions: konductor.CandidateOptions
---@field priority? integer    default: the spec's
---@field preempt? boolean     asks lower priorities to make way
---@field reelect_after_ms? integer  makes way for whoever waits when it has led that long
---@field again? boolean       stands by again when the hold was lost or given away

---@class konductor.ElectResult
---@field outcome "ran"|"lost"|"stopped"|"timeout"|"busy"|"error"
---@field code? integer|string   ran, lost, stopped: exit code of the work, nil when it never began; error: the word
---@field detail? string
---@field work? konductor.HoldResult
---@field token? integer         fence of the last hold

local function landed_in_queue(me)
  return function(status, sent)
    if not priority.place(record_of.waiters(status), me.session) then
      return false
    end
    return not sent.preempt or sent.preempt.session ~= me.session
      or status.preempt ~= nil and status.preempt.session == me.session
  end
end

-- One who is in the queue no more because it was given the hold has not left: the hold is to be passed on.
local function left_the_queue(me)
  return function(status)
    return status.session ~= me.session and not priority.place(record_of.waiters(status), me.session)
  end
end

-- The queue as far as it can be read; somebody has edited the rest of it.
local function queue_of(c)
  local waiters, is_garbled = record_of.waiters(c.view.record.status)
  if is_garbled and not c.has_complained then
    c.has_complained = true
    c:log("warn", "status.waiters has in it what is no waiter: that is passed over, and goes with the next write")
  end
  return waiters
end

-- Joins at different times, and later after each conflict, so that a crowd does not fight
-- over one record. Outside of a full queue there may be any number of others, and no hurry to
-- take a place that becomes free; that comes back as the queue gets shorter.
local function own_time(c, now)
  local count = #queue_of(c)
  if not c.join_at or count < c.join_among / 2 then
    c.join_at = now + c.w.random(JITTER_MS * count * (c.crowd or 1) + 1)
    c.join_among = count
  end
  return c.join_at
end

-- There is nothing to do but wait: in the queue, or outside.
local function settle(c)
  local waiters = queue_of(c)
  if waiters[1] and not priority.place(waiters, c.me.session) then
    c.crowd = CROWD
  end
  c.join_at = nil
end

-- From when on a join does not come in between a renewal that is due and the store: where answers take
-- long, a crowd that joins would keep the holder from renewing until its hold lapses. Whoever came later than the last
-- renewal sees it late by as much as a third, so the holder has the last third for itself.
local function clear_of_renewal(view, now)
  local ttl_ms = view.record.status.ttlMs
  if type(ttl_ms) ~= "number" or view.record.status.bound == "time" then
    return now
  end
  local due_at, overdue_at = ttl.renew_at(view.since, ttl_ms), ttl.renew_at(view.since, 2 * ttl_ms)
  return now >= due_at and now < overdue_at and overdue_at or now
end

-- From when on it may join, as the record is now; never before a change of it: math.huge.
local function join_time(c, now)
  if c.view.record.status.accepted == false then
    return math.huge -- a join would come in between the grant and its acceptance
  end
  local at = clear_of_renewal(c.view, now)
  return at > now and at or own_time(c, now)
end

local function join(c, action, now)
  local at = action.act == "join" and join_time(c, now) or now
  if now < at then
    at = math.min(at, action.until_ms or math.huge)
    c:pause(at < math.huge and at or nil)
    return
  end
  local ok, code, detail = c:write(action, landed_in_queue(c.me))
  if ok then
    c.join_backoff, c.join_at, c.crowd = nil, nil, nil
    c:event(action.act == "join" and "join" or "preempt", { rev = c.view.record.rev })
    return
  end
  c.join_backoff = math.min((c.join_backoff or JITTER_MS) * 2, JITTER_MAX_MS)
  c.join_at, c.join_among = c.w.now() + c.w.random(c.join_backoff), 0
  return code, detail
end

local function take(c, action)
  local ok, base, detail = c:write(action)
  if not ok then
    return nil, base, detail
  end
  local name = action.act == "accept" and "accept" or "claim"
  c:event(name, {
    fence = action.fence, rev = c.view.record.rev, base = base, ttl_ms = c.me.ttl_ms, uid = c.view.record.uid,
    takeover = action.act == "takeover" or nil,
  })
  c:log("info", ("held, fence %d (%s)"):format(action.fence, action.why))
  return { base = base, fence = action.fence }
end

-- One step of a candidate: the grant when it has one; or an outcome that ends the wait, when busy with the time from
-- which another look is worth while.
local function step(c)
  local outcome, code, detail = c:ready()
  if outcome then
    return nil, outcome, code, detail
  end
  local now = c.w.now()
  local action = lease.decide(c.view, c:fresh(), now)
  local act = action.act
  if act == "create" then
    code, detail = c:create()
  elseif act == "fail" then
    return nil, "error", action.code, action.why
  elseif act == "acquire" or act == "accept" or act == "takeover" then
    local grant
    grant, code, detail = take(c, action)
    if grant then
      return grant
    end
  elseif c.o.wait == false then
    return nil, "busy", nil, action.why, action.until_ms
  else
    c:say(action)
    if act == "wait" then
      settle(c)
      c:stand(action.until_ms)
    else
      code, detail = join(c, action, now)
    end
  end
  if code then
    return nil, "error", code, detail
  end
end

local function candidacy(c)
  while true do
    local grant, outcome, code, detail, until_ms = step(c)
    local at = outcome == "busy" and moment.more(c, until_ms)
    if at then
      c:pause(at)
    elseif grant or outcome then
      return grant, outcome, code, detail
    end
  end
end

-- Leaves the queue, or passes on what was granted meanwhile.
local function withdraw(c)
  if not c.view.known then
    return
  end
  local left = c:farewell(function()
    local status, by, first = lease.withdraw(c.view.record, c:fresh())
    if status then
      return { status = status, by = by, first = first }, by == "queue" and left_the_queue(c.me) or nil
    end
  end)
  if left then
    c:event("leave", { rev = c.view.record.rev })
  end
end

local function release(c, h)
  local first
  local old = h.token
  local outcome, record, detail = c:write_back(function(rec)
    local status
    status, first = lease.release(rec, c.me)
    return status, first
  end, h:lapse_at())
  if outcome == "ok" then
    c:event("release", { fence = old, rev = record.rev, to = first })
    if first then
      c:event("grant", { fence = record.status.fence, rev = record.rev, to = first })
    end
    c:log("info", first and "released, handed over" or "released")
  elseif outcome == "lost" then
    c:log("warn", "could not be released: it was no longer ours")
  else
    c:log("warn", "could not be released and is left to expire: " .. tostring(detail or record))
  end
end

-- May the hold be given up in the store? Not while anything of it may still run, and not
-- when it is somebody else's.
local function after_work(c, result, h)
  if result.lost and result.lost ~= "deadline" then
    return
  elseif not result.sure then
    c:log("error", "a descendant of the work may still run; the hold is left to expire")
  else
    release(c, h)
  end
end

local POLICY = { renew = lease.renew, held = lease.held, asked = lease.asked }

-- Who wants us to make way. A term that is over ends for somebody who waits, and for nobody.
local function asked_after(c, term_ms)
  local over_at = c.w.now() + term_ms
  return function(record)
    local by = lease.asked(record)
    if not by and c.w.now() >= over_at then
      by = lease.awaited(record)
    end
    return by
  end
end

local function work(c, grant)
  local policy = {
    renew = POLICY.renew, held = POLICY.held,
    renewable = lease.renewable(c.view.record),
    asked = c.o.reelect_after_ms and asked_after(c, c.o.reelect_after_ms) or POLICY.asked,
  }
  local result, h = c:run(policy, grant.base, grant.fence, {})
  if result.lost == "deadline" and not policy.renewable then
    result.lost, result.timed_out, result.code = nil, true, exits.TIMED_OUT
  end
  after_work(c, result, h)
  return result, h
end

local function ended(result, h)
  local report = { code = result.code, detail = result.detail or result.error, work = result, token = h.token }
  if result.lost == "rolled_back" then
    report.outcome, report.code = "error", "rolled_back"
  elseif result.stopped then
    report.outcome = "stopped"
  else
    report.outcome = (result.lost or result.yielded) and "lost" or "ran"
  end
  return report
end

local function elect(c)
  while true do
    local grant, outcome, code, detail = candidacy(c)
    if not grant then
      withdraw(c)
      return { outcome = outcome, code = code, detail = detail }
    end
    c.give_up_at = nil
    local result, h = work(c, grant)
    local report = ended(result, h)
    if report.outcome ~= "lost" or not c.o.again then
      return report
    end
    c:log("info", "standing by again")
  end
end

--- For those whose hold outlives the process (oneshot.lua).
M.step, M.withdraw = step, withdraw

--- Holds the lease while the work runs. *waits*
---@param w konductor.World
---@param o konductor.ElectOptions
---@return konductor.ElectResult
function M.run(w, o)
  local me = { priority = o.priority, preempt = o.preempt, bound = "process", queue = o.wait ~= false }
  local c, code, detail = candidate.new(w, KIND, o, me)
  if not c then
    return { outcome = "error", code = code, detail = detail }
  end
  local result = elect(c)
  c:close()
  return result
end

return M
