--- The policy of work that is done once per version, durably. Pure.
---
--- decide() looks at one view of the record and says what a replica does now; the other
--- functions return the status that a step writes. A replica claims the record, works
--- while it renews the claim, and marks the version executed only after the work ended
--- well. Nobody clears a mark or another's claim; the one who lost its claim while it
--- worked is superseded and overwrites nothing.
---
--- One record holds all versions of a name: its status speaks of the version claimed
--- last, `history` keeps the last ones done. So two versions never run at once.
---
--- AtLeastOnce (default): work whose executor vanished runs again, so after a crash,
--- a pause or a partition it may run twice; maxAttempts bounds it. AtMostOnce: at most
--- one start ever; work whose executor vanished stays in doubt until a person resolves
--- it. Exactly-once effects are impossible here: work and mark are two systems.

local change = require "konductor.once_change"
local duration = require "konductor.duration"
local record = require "konductor.record"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {}

-- The writes are part of the policy's interface.
M.validate = change.validate
M.done = change.done
M.held = change.held
M.claim = change.claim
M.takeover = change.takeover
M.heartbeat = change.heartbeat
M.complete = change.complete
M.fail = change.fail
M.release = change.release
M.resolve = change.resolve
M.reset = change.reset

---@class konductor.OnceAction
---@field act "create"|"claim"|"takeover"|"abandon"|"wait"|"done"|"failed"|"doubt"|"collect"|"fail"
---@field why string          for people
---@field status table?       claim, takeover, abandon, doubt: what to write
---@field by "holder"|"queue"|nil  as whom
---@field fence integer?      claim, takeover: of the claim
---@field attempt integer?    claim, takeover: number of the run
---@field version string?     done, failed, doubt: of what
---@field executor string?    done: who did it, where known
---@field until_ms integer?   wait: decide again then at the latest; nil: only after an event
---@field peer string?        session whose death would change the decision
---@field attempts integer?   failed
---@field exit_code integer?  failed
---@field last_error string?  failed
---@field code string?        fail, doubt

-- Decisions ------------------------------------------------------------------------------

local function claiming(act, status, why)
  return { act = act, status = status, by = "holder", why = why, fence = status.fence, attempt = status.attempts }
end

local function expired(v, me)
  return not change.at_most_once(v, me) and ttl.collect_due(v.executed, v.age_ms, v.spec.keep_ms)
end

local function name_of(version)
  return version == "" and "it" or "version " .. text.quote(version)
end

local function decide_done(done)
  local who = done.executor and done.executor ~= "" and " by " .. done.executor or ""
  return {
    act = "done", version = done.version, executor = done.executor,
    why = ("%s has been executed%s"):format(name_of(done.version), who),
  }
end

-- A record that is being deleted takes no more work in: what runs goes on to its end, is recorded, and what is
-- done counts as done for as long as the record is there. After it everything begins anew.
local function decide_deleted(done)
  if done then
    return decide_done(done)
  end
  return { act = "wait", why = "its record is being deleted; nobody begins it any more" }
end

local function decide_doubt(view, v, me)
  local action = {
    act = "doubt", code = "in_doubt", version = v.version,
    why = ("executor %s is gone; %s may or may not have run"):format(v.executor, name_of(v.version)),
  }
  if not v.doubt then
    action.status, action.by = change.in_doubt(view.record, me), "queue"
  end
  return action
end

-- Our own claim that no run of ours belongs to any more, found again after an unclear
-- answer: confirmed with a new base before anything starts.
local function decide_mine(view, v, me)
  local rec = view.record
  if not me.ran or me.ran < v.fence then
    return claiming("claim", change.claim_as(rec, v, me, v.fence, v.attempts), "claimed already")
  elseif change.at_most_once(v, me) then
    return decide_doubt(view, v, me)
  end
  return claiming("claim", change.claim(rec, me), "claimed already, under another run")
end

local function decide_claimed(view, v, me, now)
  local gone = view.gone and v.bound == "process"
  local at = gone and now or ttl.takeover_at(view.since or now, v.ttl_ms)
  local stale = v.doubt or now >= at or (me.skew_ms and ttl.oneshot_expired(v.age_ms, v.ttl_ms, me.skew_ms))
  if not stale then
    return {
      act = "wait", until_ms = at, peer = v.bound == "process" and v.session or nil,
      why = ("%s is being run by %s, fence %d; free within %s unless renewed"):format(
        name_of(v.version), v.executor, v.fence, duration.format(at - now)),
    }
  elseif v.doubt or change.at_most_once(v, me) then
    return decide_doubt(view, v, me)
  end
  local why = gone and ("executor %s is dead"):format(v.executor) or ("the time of %s is over"):format(v.executor)
  if v.version == change.version_of(v, me) and v.attempts >= change.attempts_limit(v, me) then
    why = why .. " and no attempt is left"
    return { act = "abandon", status = change.abandon(view.record, v, me), by = "holder", why = why }
  end
  return claiming("takeover", change.takeover(view.record, me), why)
end

local function decide_failed(version, attempts, exit_code, last_error)
  return {
    act = "failed", version = version, attempts = attempts, exit_code = exit_code, last_error = last_error,
    why = ("%s has failed for good after %d %s%s"):format(name_of(version), attempts,
      attempts == 1 and "attempt" or "attempts", last_error and ": " .. last_error or ""),
  }
end

local function decide_free(view, v, me, now)
  local version = change.version_of(v, me)
  if v.version == version and not v.executed and v.attempts > 0 then
    if v.attempts >= change.attempts_limit(v, me) then
      return decide_failed(version, v.attempts, v.exit_code, v.last_error)
    end
    local at = (view.since or now) + v.backoff_ms
    if me.failed and me.failed == v.fence then
      at = at + ttl.STAGGER_MS
    end
    if now < at then
      return {
        act = "wait", until_ms = at,
        why = ("%s failed, attempt %d; next in %s"):format(name_of(version), v.attempts, duration.format(at - now)),
      }
    end
  end
  local tried = change.at_most_once(v, me) and change.tried(v, version)
  if tried then
    return decide_failed(version, tried.attempts or 1, tried.exitCode, tried.lastError)
  end
  return claiming("claim", change.claim(view.record, me), "free")
end

--- What the replica does now.
---@param view konductor.Seen
---@param me konductor.OnceMe
---@param now integer  boot ms
---@return konductor.OnceAction
function M.decide(view, me, now)
  local rec = view.record
  if not rec then
    return { act = "create", why = "there is no record yet" }
  end
  local v, code, sentence = record.once(rec)
  if not v then
    return { act = "fail", code = code, why = sentence or "the record is damaged" }
  end
  local done = change.done(v, change.version_of(v, me))
  if rec.deleting then
    return decide_deleted(done)
  elseif expired(v, me) then
    return { act = "collect", why = "its ttl is over" }
  elseif done then
    return decide_done(done)
  elseif change.is_mine(v, me) and v.version == change.version_of(v, me) then
    return decide_mine(view, v, me)
  elseif v.claimed then
    return decide_claimed(view, v, me, now)
  end
  return decide_free(view, v, me, now)
end

-- What an onlooker waits for, of a version that is neither done nor given up.
local function pending(v, version)
  if v.doubt then
    return ("executor %s is gone; whether %s has run a person has to say: koncli once resolve"):format(v.executor,
      name_of(v.version))
  elseif v.claimed then
    return ("%s is being run by %s, fence %d"):format(name_of(v.version), v.executor, v.fence)
  elseif v.version == version and v.attempts > 0 then
    return ("%s failed, attempt %d"):format(name_of(version), v.attempts)
  end
  return ("%s has not been executed"):format(name_of(version))
end

--- What an onlooker sees, who wants it done and does nothing for it: done, failed for good, or something to wait for.
---@param view konductor.Seen
---@param given? string  the version that it wants; default: the declared one, else the one claimed last
---@return konductor.OnceAction  done, failed, wait or fail
function M.look(view, given)
  local rec = view.record
  if not rec then
    return { act = "wait", why = "there is no record yet" }
  end
  local v, code, sentence = record.once(rec)
  if not v then
    return { act = "fail", code = code, why = sentence or "the record is damaged" }
  end
  local version = given or v.spec.version or v.version
  local done = not expired(v, {}) and change.done(v, version)
  if done then
    return decide_done(done)
  elseif v.version == version and change.gave_up(rec) then
    return decide_failed(version, v.attempts, v.exit_code, v.last_error)
  end
  return { act = "wait", why = pending(v, version) }
end

return M
