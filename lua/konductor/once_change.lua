--- The writes of the once policy: each takes a record and returns a new status. Pure.
---
--- Whether and when a step is due is once.lua's to decide; here is what it writes. The
--- steps of a holder refuse a claim that is not its own.

local owner = require "konductor.owner"
local record = require "konductor.record"
local text = require "konductor.text"
local ttl = require "konductor.ttl"
local words = require "konductor.once_words"

local M = {}

--- Longest text kept of a failure.
M.ERROR_MAX = 256
--- Where the doubling of the pause after failures ends, unless it began above.
M.BACKOFF_MAX_MS = 360000

---@class konductor.OnceMe           the replica
---@field holder string
---@field session string
---@field op string                  fresh nonce for the write that may follow
---@field wall string                RFC 3339, for people
---@field ttl_ms integer             of the claim
---@field version string?            default: the spec's, else ""
---@field mode "AtLeastOnce"|"AtMostOnce"|nil  the stricter of this and the spec's counts
---@field max_attempts integer?      default: the spec's; neither: no limit
---@field backoff_ms integer?        pause after the first failure; default: the spec's
---@field bound "process"|"time"|nil default "process"
---@field fence integer?             of the claim it has: for held() and the writes of its holder, and as identity when bound to time
---@field ran integer?               the last fence under which its work ran
---@field failed integer?            fence of its last run that failed: lets another replica try first
---@field skew_ms integer?           set: may take over at first sight by the age of the record

-- What applies --------------------------------------------------------------------------

--- The version that the replica works for.
---@param v konductor.OnceView
---@param me konductor.OnceMe
---@return string
function M.version_of(v, me)
  return me.version or v.spec.version or ""
end

--- Whether record or replica ask for the stricter mode.
---@param v konductor.OnceView
---@param me konductor.OnceMe
---@return boolean
function M.at_most_once(v, me)
  return v.spec.mode == record.AT_MOST_ONCE or me.mode == record.AT_MOST_ONCE
end

--- How many runs of a version may be begun.
---@param v konductor.OnceView
---@param me konductor.OnceMe
---@return number
function M.attempts_limit(v, me)
  if M.at_most_once(v, me) then
    return 1
  end
  return me.max_attempts or v.spec.max_attempts or math.huge
end

--- Refuses options that contradict each other.
---@param options {mode: string?, keep_ms: integer?}
---@return boolean? ok
---@return string? code
---@return string? sentence
function M.validate(options)
  if options.mode == record.AT_MOST_ONCE and options.keep_ms then
    return nil, "usage", "AtMostOnce work cannot have a ttl: once its record is collected it would run again"
  end
  return true
end

-- The entry of a version in a list of versions, or nil.
local function entry_of(list, version)
  for i = #list, 1, -1 do
    if list[i].version == version then
      return list[i]
    end
  end
end

--- Who executed a version, or nil when it is not done.
---@param v konductor.OnceView
---@param version string
---@return {version: string, executor: string?, executedAt: string?}?
function M.done(v, version)
  if v.executed and v.version == version then
    return { version = version, executor = v.executor, executedAt = v.executed_at }
  end
  return entry_of(v.history, version)
end

--- What is known of a version that was begun, is not done, and was left for another one.
---@param v konductor.OnceView
---@param version string
---@return konductor.TriedVersion?
function M.tried(v, version)
  return entry_of(v.tried, version)
end

--- Whether the version claimed last has failed for good.
---@param rec konductor.Record
---@return boolean
function M.gave_up(rec)
  local conditions = rec.status.conditions
  return record.condition(conditions, "Failed") == "True" and record.condition(conditions, "Ready") == "False"
end

--- Whether a claim names this replica, whether it knows of it or not.
---@param v konductor.OnceView
---@param me konductor.OnceMe
---@return boolean
function M.is_mine(v, me)
  return v.claimed and v.executor == me.holder and owner.is_mine(v, me)
end

--- Whether the claim that the replica has, known by `me.fence`, is still its own.
---@param rec konductor.Record?
---@param me konductor.OnceMe
---@return boolean
function M.held(rec, me)
  local s = rec and rec.status
  return s ~= nil and not s.executed and s.executor == me.holder and owner.keeps(s, me)
end

-- Transitions ----------------------------------------------------------------------------

local function set(s, kind, status, reason, wall)
  s.conditions = record.set_condition(s.conditions, kind, status, reason, wall, words.message(kind, status, reason, s))
end

-- Conditions that are not there yet need not be denied.
local function clear(s, kind, reason, wall)
  if record.condition(s.conditions, kind) then
    set(s, kind, "False", reason, wall)
  end
end

-- A list of versions with one more at its end, within its limit.
local function with_version(list, entry)
  local new = {}
  for _, old in ipairs(list) do
    if old.version ~= entry.version then
      new[#new + 1] = old
    end
  end
  new[#new + 1] = entry
  while #new > record.HISTORY_MAX do
    table.remove(new, 1)
  end
  return new
end

local function without(list, version)
  local new = {}
  for _, entry in ipairs(list) do
    if entry.version ~= version then
      new[#new + 1] = entry
    end
  end
  return new[1] and new or nil
end

-- Leaves a version for another: a finished one goes into the history. One that was begun and is not done
-- begins anew if it comes back, unless it must not start twice: for that, it is kept that it was tried.
local function turn_from(s, v)
  if v.executed then
    s.history = with_version(v.history, { version = v.version, executor = s.executor, executedAt = s.executedAt })
  elseif v.attempts > 0 then
    s.tried = with_version(v.tried, {
      version = v.version, attempts = v.attempts, exitCode = v.exit_code, lastError = v.last_error,
    })
  end
  s.attempts = 0
  s.backoffMs, s.exitCode, s.lastError, s.executedAt = nil, nil, nil, nil
end

--- The claim under a given fence; counts a run unless the number of runs is given.
---@param rec konductor.Record
---@param v konductor.OnceView
---@param me konductor.OnceMe
---@param fence integer
---@param attempts integer?
---@return table status
function M.claim_as(rec, v, me, fence, attempts)
  local s = record.successor(rec)
  local version = M.version_of(v, me)
  if v.executed or v.version ~= version then
    turn_from(s, v)
    s.tried = s.tried and without(s.tried, version)
  end
  owner.sign(s, me, fence)
  s.executed, s.phase = false, "Pending"
  s.executor, s.version = me.holder, version
  s.attempts = attempts or (s.attempts or 0) + 1
  set(s, "Ready", "True", "OnceReady", me.wall)
  set(s, "Running", "True", "Claimed", me.wall)
  clear(s, "Failed", "Retrying", me.wall)
  clear(s, "Unknown", "Claimed", me.wall)
  return s
end

--- Claims a free record, or one whose executor's time is over, and counts a run.
--- Refuses a version that is done, and at-most-once work that was begun before, with "exists".
---@param rec konductor.Record
---@param me konductor.OnceMe
---@return table? status
---@return string? code
---@return string? sentence
function M.claim(rec, me)
  local v, code, sentence = record.once(rec)
  if not v then
    return nil, code, sentence
  elseif M.done(v, M.version_of(v, me)) then
    return nil, "exists", "it has been executed"
  elseif M.at_most_once(v, me) and M.tried(v, M.version_of(v, me)) then
    return nil, "exists", "it was started before, and must not start again"
  end
  return M.claim_as(rec, v, me, ttl.next_fence(v.fence, rec.rev))
end

--- Taking over writes the same as claiming; whether it is allowed is decide()'s.
M.takeover = M.claim

--- Makes the claim last for another time to live.
---@param rec konductor.Record
---@param me konductor.OnceMe
---@return table? status
---@return string? code  "lost" when the claim is not ours
---@return string? sentence
function M.heartbeat(rec, me)
  if not M.held(rec, me) then
    return nil, "lost", "the claim is not ours"
  end
  local s = record.successor(rec)
  s.renewals = (s.renewals or 0) + 1
  s.ttlMs, s.op = me.ttl_ms, me.op
  return s
end

-- The status when nobody has the claim any more, before the outcome is filled in.
local function without_claim(rec, me)
  local s = record.successor(rec)
  s.session, s.bound, s.op = "", "process", me.op
  s.ttlMs = nil
  return s
end

-- The same after the end of our own claim.
local function ended(rec, me)
  if not M.held(rec, me) then
    return nil, nil, "lost", "the claim is not ours"
  end
  local v, code, sentence = record.once(rec)
  if not v then
    return nil, nil, code, sentence
  end
  return without_claim(rec, me), v
end

-- Nothing runs, has failed or is in doubt.
local function settled(s, reason, wall)
  set(s, "Ready", "True", "OnceReady", wall)
  set(s, "Running", "False", reason, wall)
  clear(s, "Failed", reason, wall)
  clear(s, "Unknown", reason, wall)
end

local function executed(s, holder, wall)
  s.executed, s.phase = true, "Executed"
  s.executor, s.executedAt = holder, wall
  s.exitCode, s.lastError, s.backoffMs = 0, nil, nil
  settled(s, "Executed", wall)
end

-- As if it had never been begun.
local function begun_anew(s, reason, wall)
  s.executed, s.executor, s.phase, s.attempts = false, "", "Pending", 0
  s.executedAt, s.exitCode, s.lastError, s.backoffMs = nil, nil, nil, nil
  settled(s, reason, wall)
end

--- Marks the version executed. Only after the work ended well, its descendants included.
---@param rec konductor.Record
---@param me konductor.OnceMe
---@return table? status
---@return string? code  "lost" when the claim is not ours
---@return string? sentence
function M.complete(rec, me)
  local s, v, code, sentence = ended(rec, me)
  if not s or not v then
    return nil, code, sentence
  end
  executed(s, me.holder, me.wall)
  return s
end

-- The pause after this many failures: doubles from the base.
local function backoff(base_ms, attempts)
  local most = math.max(base_ms, M.BACKOFF_MAX_MS)
  return math.min(base_ms * 2 ^ math.min(attempts - 1, 30), most)
end

local function failed(s, v, me, outcome)
  s.executor, s.phase, s.executed = "", "Pending", false
  s.exitCode = outcome.exit_code
  s.lastError = outcome.error and text.clip(outcome.error, M.ERROR_MAX) or nil
  local final = v.attempts >= M.attempts_limit(v, me)
  s.backoffMs = not final and backoff(me.backoff_ms or v.spec.backoff_ms, v.attempts) or nil
  set(s, "Running", "False", "Failed", me.wall)
  set(s, "Failed", "True", final and "Exhausted" or "Retrying", me.wall)
  set(s, "Ready", final and "False" or "True", final and "Failed" or "OnceReady", me.wall)
  return final
end

--- Gives the claim back after a run that failed: the next replica tries, after a pause.
---@param rec konductor.Record
---@param me konductor.OnceMe
---@param outcome {exit_code: integer?, error: string?}  the error: no environment, no arguments
---@return table? status
---@return boolean|string|nil final  no attempt is left; without status: a code
---@return string? sentence
function M.fail(rec, me, outcome)
  local s, v, code, sentence = ended(rec, me)
  if not s or not v then
    return nil, code, sentence
  end
  local final = failed(s, v, me, outcome)
  return s, final
end

--- Gives the claim back because this process was asked to stop, not because the work
--- failed: the run is not counted and nobody waits. AtMostOnce work that was started is
--- a failed run all the same, because it must not start again.
---@param rec konductor.Record
---@param me konductor.OnceMe
---@param started boolean  the work was started
---@return table? status
---@return boolean|string|nil final  as of fail()
---@return string? sentence
function M.release(rec, me, started)
  local s, v, code, sentence = ended(rec, me)
  if not s or not v then
    return nil, code, sentence
  elseif started and M.at_most_once(v, me) then
    local final = failed(s, v, me, { error = "stopped after it had started" })
    return s, final
  end
  s.executor, s.phase, s.executed = "", "Pending", false
  s.attempts = math.max(v.attempts - 1, 0)
  s.backoffMs = nil
  set(s, "Running", "False", "Stopped", me.wall)
  return s, false
end

--- Ends a claim whose executor vanished in its last allowed run.
---@param rec konductor.Record
---@param v konductor.OnceView
---@param me konductor.OnceMe
---@return table status
function M.abandon(rec, v, me)
  local s = without_claim(rec, me)
  failed(s, v, me, { error = ("executor %s vanished in run %d"):format(v.executor, v.attempts) })
  return s
end

--- Says in the record that at-most-once work may or may not have run; the claim stays.
---@param rec konductor.Record
---@param me konductor.OnceMe
---@return table status
function M.in_doubt(rec, me)
  local s = record.successor(rec)
  set(s, "Unknown", "True", "ExecutorGone", me.wall)
  set(s, "Ready", "False", "InDoubt", me.wall)
  return s
end

--- Settles work that is in doubt, or any claim, by the word of a person.
---@param rec konductor.Record
---@param me konductor.OnceMe  who says so
---@param ran boolean          it did run: executed; it did not: free, nothing counted
---@return table? status
---@return string? code  "absent" when there is no claim to settle
---@return string? sentence
function M.resolve(rec, me, ran)
  local v, code, sentence = record.once(rec)
  if not v then
    return nil, code, sentence
  elseif not v.claimed then
    return nil, "absent", "there is no claim to settle"
  end
  local s = without_claim(rec, me)
  if ran then
    executed(s, v.executor, me.wall)
    return s
  end
  begun_anew(s, "Resolved", me.wall)
  return s
end

--- Makes a version count as not executed and not failed, so that it may run again. The
--- one way, besides its ttl, to take a mark back; only a person asks for it.
---@param rec konductor.Record
---@param me konductor.OnceMe  its version, or the one claimed last
---@return table? status
---@return string? code  "busy" while the record is claimed
---@return string? sentence
function M.reset(rec, me)
  local v, code, sentence = record.once(rec)
  if not v then
    return nil, code, sentence
  elseif v.claimed then
    return nil, "busy", ("it is claimed by %s"):format(v.executor)
  end
  local s = record.successor(rec)
  local version = me.version or v.version
  s.op = me.op
  s.history, s.tried = without(v.history, version), without(v.tried, version)
  if v.version ~= version then
    return s
  end
  begun_anew(s, "Reset", me.wall)
  return s
end

return M
