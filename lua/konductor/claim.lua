--- Carries the policy of work done once out: claims, works, records; or waits until
--- another has, and skips.
---
--- Outcomes of run():
---   "ran"         this process did it, and it is recorded
---   "skipped"     it is done for this version
---   "failed"      no attempt is left; attempts, exit_code and last_error tell
---   "retry"       only with wait or again = false: our attempt failed, and others are left
---   "superseded"  another took over while the work ran: it may be done twice
---   "doubt"       at-most-once work may or may not have run
---   "stopped"     asked to stop      "timeout"  not done within the time of the wait
---   "busy"        only with wait = false: another does it, or it pauses after a failure
---   "error"       `code` says why: the store, a right, a damaged record

local candidate = require "konductor.candidate"
local duration = require "konductor.duration"
local moment = require "konductor.moment"
local once = require "konductor.once"
local record_of = require "konductor.record"
local spec_of = require "konductor.spec"

local M = {}

local KIND = "Once"

---@class konductor.ClaimOptions: konductor.CandidateOptions
---@field version? string       default: the record's spec, else ""
---@field mode? "AtLeastOnce"|"AtMostOnce"
---@field max_attempts? integer
---@field backoff_ms? integer
---@field again? boolean         default true; false: a failed attempt of its own ends it, though it waits for others

---@class konductor.ClaimResult
---@field outcome "ran"|"skipped"|"failed"|"retry"|"superseded"|"doubt"|"stopped"|"timeout"|"busy"|"error"
---@field version? string
---@field code? integer|string   ran, retry, stopped: exit code of the work; error: the word
---@field detail? string
---@field attempts? integer      failed, retry
---@field exit_code? integer     failed, retry
---@field last_error? string     failed, retry
---@field executor? string       skipped: who did it; busy: who does it
---@field until_ms? number       busy: worth another look then
---@field work? konductor.HoldResult
---@field token? integer
---@field record? konductor.Record  ran: as it was written

local function take(c, action)
  local ok, base, detail = c:write(action)
  if not ok then
    return nil, base, detail
  end
  local status = c.view.record.status
  c:event("claim", {
    version = status.version, fence = action.fence, rev = c.view.record.rev, base = base, ttl_ms = c.me.ttl_ms,
    uid = c.view.record.uid, takeover = action.act == "takeover" or nil, attempt = action.attempt,
    mode = c.mode == record_of.AT_MOST_ONCE and c.mode or nil,
  })
  c:log("info", ("claimed, fence %d, attempt %d (%s)"):format(action.fence, action.attempt, action.why))
  return { base = base, fence = action.fence, attempt = action.attempt, version = status.version }
end

-- Writes down that an executor vanished in the last allowed attempt.
local function abandon(c, action)
  local ok, code, detail = c:write(action)
  if not ok then
    return code, detail
  end
  c:event("abandon", { rev = c.view.record.rev })
  c:log("warn", action.why)
end

-- What stands for the record that is made next: collecting forgets what was done, not what was declared, but for what
-- its maker says itself.
local function keep_declared(c, declared)
  local spec = record_of.copy(declared)
  for key, value in pairs(c.o.spec or {}) do
    spec[key] = value
  end
  c.declared = spec
end

-- The record of finished work that has been kept for as long as its ttl asked.
local function collect(c, action)
  local rec = c.view.record
  local ok, code, detail = c.w.delete(rec)
  if ok then
    c.patience:well "delete"
    c:event("collect", { rev = rec.rev })
    c:log("info", "record collected: " .. action.why)
    keep_declared(c, rec.spec)
    c.view:see_absent()
    return
  end
  c.view.known = false
  if code ~= "conflict" and code ~= "absent" then
    return c:failed("delete", code, detail)
  end
end

local function doubt(c, action)
  if action.status then
    c:write(action, function(status)
      return record_of.condition(status.conditions, "Unknown") == "True"
    end)
  end
  return { outcome = "doubt", code = "in_doubt", version = action.version, detail = action.why }
end

local function settled(c, action)
  local act = action.act
  if act == "done" then
    c:event("skip", { version = action.version, why = "executed" })
    c:log("info", action.why .. "; nothing to do")
    return { outcome = "skipped", version = action.version, executor = action.executor }
  elseif act == "failed" then
    return {
      outcome = "failed", version = action.version, attempts = action.attempts, exit_code = action.exit_code,
      last_error = action.last_error, detail = action.why,
    }
  elseif act == "doubt" then
    return doubt(c, action)
  elseif act == "fail" then
    return { outcome = "error", code = action.code, detail = action.why }
  end
end

local function wait(c, action)
  if c.o.wait == false then
    local status = c.view.record.status
    return { outcome = "busy", detail = action.why, until_ms = action.until_ms, executor = status.executor }
  end
  c:say(action)
  c:stand(action.until_ms)
end

-- Says once in a process that the object is older than what is asked of it.
local function compare(c)
  local rec = c.view.record
  if rec and not c.affairs.compared then
    c.affairs.compared = true
    local sentence = spec_of.kept_otherwise(c.o.spec and c.o.spec.ttl, rec)
    if sentence then
      c:log("warn", sentence)
    end
  end
end

-- One step: a grant, or the result that ends the wait.
local function step(c)
  local outcome, code, detail = c:ready()
  if outcome then
    return nil, { outcome = outcome, code = code or outcome == "timeout" and outcome or nil, detail = detail }
  end
  compare(c)
  local action = once.decide(c.view, c:fresh(), c.w.now())
  local act = action.act
  local grant
  if act == "create" then
    code, detail = c:create()
  elseif act == "claim" or act == "takeover" then
    grant, code, detail = take(c, action)
  elseif act == "abandon" then
    code, detail = abandon(c, action)
  elseif act == "collect" then
    code, detail = collect(c, action)
  elseif act == "wait" then
    return nil, wait(c, action)
  else
    return nil, settled(c, action)
  end
  if code then
    return nil, { outcome = "error", code = code, detail = detail }
  end
  return grant
end

-- What is left to record when the work has ended ------------------------------------------

local function superseded(c, grant, result)
  local now = c.view.record and c.view.record.status or {}
  c:log("error", ("superseded: worked under fence %d, the record is at fence %s"):format(grant.fence,
    tostring(now.fence)), { fence = grant.fence, theirs = now.fence })
  c:event("superseded", { version = grant.version, fence = grant.fence, theirs = now.fence })
  return {
    outcome = "superseded", code = "superseded", version = grant.version, work = result, token = grant.fence,
    detail = ("another took over (fence %s) while the work ran under fence %d"):format(
      tostring(now.fence), grant.fence),
  }
end

local function unrecorded(grant, result, code, detail)
  return {
    outcome = "error", code = code, detail = detail, version = grant.version, work = result, token = grant.fence,
  }
end

local function complete(c, grant, result)
  local outcome, value, detail = c:write_back(function(rec) return (once.complete(rec, c.me)) end)
  if outcome == "ok" then
    c:event("complete", { version = grant.version, fence = grant.fence, rev = value.rev })
    c:log("info", "done and recorded")
    return {
      outcome = "ran", code = 0, version = grant.version, work = result, token = grant.fence, record = value,
    }
  elseif outcome == "lost" then
    return superseded(c, grant, result)
  end
  c:event("unconfirmed", { version = grant.version, fence = grant.fence })
  return unrecorded(grant, result, value, "the work is done but could not be recorded: " .. tostring(detail or value))
end

local function reason(c, result)
  if result.timed_out then
    return "took longer than " .. duration.format(c.o.run_timeout_ms)
  elseif result.lost then
    return result.detail
  elseif result.error then
    return tostring(result.error)
  elseif result.signal then
    return ("ended by signal %d"):format(result.signal)
  end
  return ("exit code %d"):format(result.code)
end

local function fail(c, grant, result, h)
  local why, final = reason(c, result), nil
  local until_ms = result.lost and h:lapse_at() or nil
  local outcome, value, detail = c:write_back(function(rec)
    local status
    status, final = once.fail(rec, c.me, { exit_code = result.code, error = why })
    return status
  end, until_ms)
  if outcome == "ok" then
    c.me.failed = grant.fence
    c:event("fail", { version = grant.version, fence = grant.fence, rev = value.rev, attempts = value.status.attempts,
      code = result.code, final = final == true })
    c:log("warn", ("attempt %d failed: %s"):format(grant.attempt, why))
  elseif outcome == "fatal" then
    return unrecorded(grant, result, value, detail)
  end
  if (c.o.wait == false or c.o.again == false) and not final then
    return {
      outcome = "retry", code = result.code, version = grant.version, attempts = grant.attempt,
      exit_code = result.code, last_error = why, work = result, token = grant.fence,
    }
  end
end

local function give_back(c, grant, result)
  local outcome, value = c:write_back(function(rec)
    return (once.release(rec, c.me, not result.failed))
  end)
  if outcome == "ok" then
    c:event("release", { version = grant.version, fence = grant.fence, rev = value.rev })
    c:log("info", "stopped; the claim is given back")
  end
  return { outcome = "stopped", code = result.code, version = grant.version, work = result, token = grant.fence }
end

-- A command that ended well by itself did its work, though the time of the claim ran out
-- meanwhile. One that exits 0 after our TERM may only have been interrupted well: it runs
-- again rather than never.
local function succeeded(result)
  return result.code == 0 and (result.by == "own" or result.by == nil and not result.lost)
end

-- The result of the whole, or nothing when it goes on as one of those who wait.
local function after_work(c, grant, result, h)
  if result.lost == "rolled_back" then
    return unrecorded(grant, result, "rolled_back", result.detail)
  elseif result.lost == "taken" then
    return superseded(c, grant, result)
  elseif not result.sure then
    c:log("error", "a descendant of the work may still run; the claim is left to expire")
    return unrecorded(grant, result, "stuck", "a descendant of the work may still run")
  elseif succeeded(result) then
    return complete(c, grant, result)
  elseif result.stopped then
    return give_back(c, grant, result)
  end
  return fail(c, grant, result, h)
end

--- For those whose claim outlives the process (oneshot.lua).
M.step = step

local POLICY = { renew = once.heartbeat, held = once.held, renewable = true }

local function claim(c)
  while true do
    local grant, report = step(c)
    local at = report and report.outcome == "busy" and moment.more(c, report.until_ms)
    if at then
      c:pause(at)
      report = nil
    elseif grant then
      local result, h = c:run(POLICY, grant.base, grant.fence, { attempt = grant.attempt, version = grant.version })
      report = after_work(c, grant, result, h)
    end
    if report then
      return report
    end
  end
end

--- Sees to it that the work is done once for its version. *waits*
---@param w konductor.World
---@param o konductor.ClaimOptions
---@return konductor.ClaimResult
function M.run(w, o)
  local me = {
    version = o.version, mode = o.mode, max_attempts = o.max_attempts, backoff_ms = o.backoff_ms, bound = "process",
  }
  local c, code, detail = candidate.new(w, KIND, o, me)
  if not c then
    return { outcome = "error", code = code, detail = detail }
  end
  c.mode = o.mode
  local result = claim(c)
  c:close()
  return result
end

return M
