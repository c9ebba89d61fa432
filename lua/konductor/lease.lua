--- The policy of a lease: one holder at a time, the others queue. Pure.
---
--- decide() looks at one view of the record and says what a candidate does now; the
--- other functions return the status that a step writes. Every write is conditional on
--- the revision of the record it was made from, so a decision on an old view costs a
--- conflict and never a second holder.
---
--- Guaranteed, as long as clock rates differ by less than 5 % (konductor.ttl): one
--- holder at a time, a fencing number that grows with every grant, and that nobody but
--- the holder makes a hold longer or shorter. Not guaranteed: that a paused holder which
--- wakes up has noticed; only a resource that checks the fence is safe from that.
---
--- A process has at most one candidate for a lease; two of them would take each other's
--- hold for their own. The driver sees to it.

local duration = require "konductor.duration"
local owner = require "konductor.owner"
local priority = require "konductor.priority"
local record = require "konductor.record"
local ttl = require "konductor.ttl"

local M = {}

---@class konductor.LeaseMe        the candidate
---@field holder string
---@field session string
---@field op string                fresh nonce for the write that may follow
---@field wall string              RFC 3339, for people
---@field ttl_ms integer           of the hold it wants
---@field priority integer?        default: the spec's
---@field bound "process"|"time"?  default "process"
---@field queue boolean?           joins the queue when it has to wait
---@field preempt boolean?         asks lower priorities to make way, also if the spec does not
---@field fence integer?           of the hold it has: for held(), renew(), release(), and as identity when bound to time
---@field ran integer?             the last fence under which its work ran
---@field skew_ms integer?         set: may take over at first sight by the age of the record

---@class konductor.Seen       what the decision is made from (observe.lua fills it)
---@field record konductor.Record?
---@field since integer?   boot ms when the hold was first seen as it is
---@field gone boolean?    the holder's process is known to be dead
---@field gone_at integer? boot ms when that became known

---@class konductor.LeaseAction
---@field act "create"|"acquire"|"accept"|"join"|"preempt"|"takeover"|"wait"|"run"|"fail"
---@field why string         for people
---@field status table?      what to write
---@field by "holder"|"queue"|nil  as whom
---@field first string?      session to wake first
---@field fence integer?     acquire, accept, takeover, run: of the hold
---@field until_ms integer?  wait: decide again then at the latest; nil: only after an event
---@field peer string?       session whose death would change the decision
---@field code string?       fail

-- Whose --------------------------------------------------------------------------------

local function prio_of(v, me)
  return me.priority or v.spec.prio
end

-- A hold that names this candidate, whether it knows of it or not.
local function is_mine(v, me)
  return v.holder ~= "" and v.holder == me.holder and owner.is_mine(v, me)
end

--- Whether the hold that the candidate has, known by `me.fence`, is still its own.
---@param rec konductor.Record?
---@param me konductor.LeaseMe
---@return boolean
function M.held(rec, me)
  local s = rec and rec.status
  return s ~= nil and s.holder ~= "" and s.holder == me.holder and owner.keeps(s, me)
end

-- How many have their turn before it. A queue that somebody made longer than it may be costs no more time than a full one.
local function ahead_of(v, me)
  return math.min(priority.ahead(v.waiters, me.session, prio_of(v, me)), v.spec.queue_max)
end

-- The queue, or nil when nobody is in it: an empty list has no place in a record.
local function queue_of(v)
  return v.waiters[1] and v.waiters or nil
end

-- Transitions --------------------------------------------------------------------------

-- Who writes for another reason leaves the queue as it is, unless somebody has spoilt it: not all that can be read from a
-- text can be written into one.
local function mend_queue(s)
  local waiters, is_garbled = record.waiters(s)
  if is_garbled then
    s.waiters = waiters[1] and waiters or nil
  end
  return s
end

-- The status in which `me` holds with a confirmed time to live.
local function hold(rec, v, me, fence)
  local s = record.successor(rec)
  owner.sign(s, me, fence)
  s.holder, s.accepted, s.phase = me.holder, true, "Held"
  s.prio = prio_of(v, me)
  s.acquired, s.expires = me.wall, record.later(me.wall, me.ttl_ms)
  s.preempt, s.foreign = nil, nil
  s.conditions = record.set_condition(s.conditions, "Ready", "True", "LeaseReady", me.wall, "candidates reach it")
  return s
end

--- Takes a free lease, or one whose holder's time is over. All who stood ahead in the
--- queue had their turn and are dropped.
---@param rec konductor.Record
---@param me konductor.LeaseMe
---@return table? status
---@return string? code
---@return string? sentence
function M.acquire(rec, me)
  local v, code, sentence = record.lease(rec)
  if not v then
    return nil, code, sentence
  end
  local s = hold(rec, v, me, ttl.next_fence(v.fence, rec.rev))
  s.waiters = priority.drop_ahead(queue_of(v), me.session, prio_of(v, me))
  return s
end

--- Taking over writes the same as acquiring; whether the time has come is decide()'s.
M.takeover = M.acquire

--- Confirms a grant that names this candidate, with a full time to live. Work that ran
--- under its fence before starts again under a new one.
---@param rec konductor.Record
---@param me konductor.LeaseMe
---@return table? status
---@return string? code
---@return string? sentence
function M.accept(rec, me)
  local v, code, sentence = record.lease(rec)
  if not v then
    return nil, code, sentence
  elseif not is_mine(v, me) then
    return nil, "lost", "the hold is not ours"
  end
  local fence = v.fence
  if fence == 0 or (me.ran and me.ran >= fence) then
    fence = ttl.next_fence(fence, rec.rev)
  end
  local s = hold(rec, v, me, fence)
  s.waiters = priority.remove(queue_of(v), me.session)
  return s
end

--- Whether the holder may renew at all.
---@param rec konductor.Record
---@return boolean
function M.renewable(rec)
  return not rec.spec or rec.spec.renewable ~= false
end

--- Makes the hold last for another time to live.
---@param rec konductor.Record
---@param me konductor.LeaseMe
---@return table? status
---@return string? code  "lost" when the hold is not ours
---@return string? sentence
function M.renew(rec, me)
  if not M.held(rec, me) then
    return nil, "lost", "the hold is not ours"
  end
  local s = record.successor(rec)
  s.renewals = (s.renewals or 0) + 1
  s.ttlMs, s.op = me.ttl_ms, me.op
  s.expires = record.later(me.wall, me.ttl_ms)
  return mend_queue(s)
end

local function free(s)
  s.holder, s.session, s.phase = "", "", "Available"
  s.bound, s.ttlMs, s.accepted, s.prio = nil, nil, nil, nil
  s.acquired, s.expires = nil, nil
end

-- The head of the queue has ACCEPT_MS to confirm; then the next in rank takes over.
local function grant(s, head, fence, wall)
  s.holder, s.session, s.bound, s.prio = head.id, head.session, "process", head.prio
  s.fence, s.ttlMs, s.renewals = fence, ttl.ACCEPT_MS, 0
  s.accepted, s.phase = false, "Held"
  s.acquired, s.expires = wall, record.later(wall, ttl.ACCEPT_MS)
end

--- Gives the hold up: to the head of the queue in the same write, or to anyone. Only
--- after the last descendant of the work is gone.
---@param rec konductor.Record
---@param me konductor.LeaseMe
---@return table? status
---@return string? first     with a status: the session it was granted to, if any; else a code, "lost" when not ours
---@return string? sentence
function M.release(rec, me)
  if not M.held(rec, me) then
    return nil, "lost", "the hold is not ours"
  end
  local v, code, sentence = record.lease(rec)
  if not v then
    return nil, code, sentence
  end
  local s = record.successor(rec)
  s.op, s.preempt = me.op, nil
  local queue = priority.remove(queue_of(v), me.session)
  local head = queue and queue[1]
  if not head or rec.deleting then
    s.waiters = nil
    free(s)
    return s
  end
  s.waiters = priority.remove(queue, head.session)
  grant(s, head, ttl.next_fence(v.fence, rec.rev), me.wall)
  return s, head.session
end

--- Takes the hold from whoever has it, by the word of a person: the lease is free, and those in the queue come first.
--- The fence grows, so that what the old holder still does can be told from what the next one does.
---@param rec konductor.Record
---@param me {op: string}
---@return table? status
---@return string? code  "absent" when nobody holds it
---@return string? sentence
function M.revoke(rec, me)
  local v, code, sentence = record.lease(rec)
  if not v then
    return nil, code, sentence
  elseif v.holder == "" then
    return nil, "absent", "nobody holds it"
  end
  local s = record.successor(rec)
  free(s)
  s.fence, s.op, s.renewals, s.preempt, s.foreign = ttl.next_fence(v.fence, rec.rev), me.op, 0, nil, nil
  s.waiters = queue_of(v)
  return s
end

-- Whether this candidate may ask the holder to make way. A request of somebody who left
-- the queue no longer counts.
local function may_ask(v, me)
  if not (v.spec.preempt or me.preempt) or not v.accepted then
    return false
  end
  local asked = v.preempt and priority.place(v.waiters, v.preempt.session) and v.preempt.prio or nil
  return priority.may_preempt(prio_of(v, me), v.prio, asked)
end

--- Stands in the queue; asks the holder to make way in the same write where that is
--- allowed. Leaves the hold as it is.
---@param rec konductor.Record
---@param me konductor.LeaseMe
---@return table? status
---@return string? code  "busy" when the queue is full
---@return string? sentence
function M.join(rec, me)
  local v, code, sentence = record.lease(rec)
  if not v then
    return nil, code, sentence
  end
  local prio, limit = prio_of(v, me), v.spec.queue_max
  local queue = priority.remove(queue_of(v), me.session)
  if not priority.has_room(queue, prio, limit) then
    return nil, "busy", "the queue is full"
  end
  local s = record.copy(rec.status)
  s.waiters = priority.insert(queue, { id = me.holder, session = me.session, prio = prio }, limit)
  if v.holder ~= "" and may_ask(v, me) then
    s.preempt = { session = me.session, prio = prio }
  end
  return s
end

--- Leaves the queue; nil when the candidate is not in it.
---@param rec konductor.Record
---@param me konductor.LeaseMe
---@return table? status
function M.leave(rec, me)
  local v = record.lease(rec)
  if not v or not priority.place(v.waiters, me.session) then
    return nil
  end
  local s = record.copy(rec.status)
  s.waiters = priority.remove(v.waiters, me.session)
  if s.preempt and s.preempt.session == me.session then
    s.preempt = nil
  end
  return s
end

--- What a candidate that gives up must write: it leaves the queue, or passes on a grant
--- that it has not accepted. Nil when there is nothing to write.
---@param rec konductor.Record?
---@param me konductor.LeaseMe
---@return table? status
---@return "holder"|"queue"|nil by
---@return string? first
function M.withdraw(rec, me)
  local v = rec and record.lease(rec)
  if not rec or not v then
    return nil
  elseif is_mine(v, me) and v.bound == "process" then
    local granted = record.copy(me)
    granted.fence = v.fence
    local s, first = M.release(rec, granted)
    return s, "holder", first
  end
  local s = M.leave(rec, me)
  return s, s and "queue" or nil
end

--- Asks the holder to make way for a waiter of higher priority.
---@param rec konductor.Record
---@param me konductor.LeaseMe
---@return table? status
---@return string? code  "busy" when it may not ask
---@return string? sentence
function M.request_preempt(rec, me)
  local v, code, sentence = record.lease(rec)
  if not v then
    return nil, code, sentence
  elseif not may_ask(v, me) or not priority.place(v.waiters, me.session) then
    return nil, "busy", "the holder need not make way"
  end
  local s = record.copy(rec.status)
  s.preempt = { session = me.session, prio = prio_of(v, me) }
  return mend_queue(s)
end

--- Why the holder should stop and release, for people; nil when it need not.
---@param rec konductor.Record
---@return string?
function M.asked(rec)
  if rec.deleting then
    return "its deletion"
  end
  return M.preempted(rec) and "a higher priority" or nil
end

--- Who would have the hold if it was given up now, for people; nil when nobody waits.
---@param rec konductor.Record
---@return string?
function M.awaited(rec)
  local v = record.lease(rec)
  local head = v and v.waiters and v.waiters[1]
  return head and ("%s, the term is over"):format(head.id)
end

--- Whether a waiter of higher priority asks the holder to stop and release.
---@param rec konductor.Record
---@return boolean
function M.preempted(rec)
  if not rec.status.preempt then
    return false
  end
  local v = record.lease(rec)
  return v ~= nil and v.preempt ~= nil and v.preempt.prio > v.prio
    and priority.place(v.waiters, v.preempt.session) ~= nil
end

-- Decisions ----------------------------------------------------------------------------

local function write(act, status, by, why)
  return { act = act, status = status, by = by, why = why, fence = status.fence }
end

local function decide_mine(view, v, me)
  if v.bound == "time" then
    return { act = "run", fence = v.fence, why = "held already" }
  end
  local why = v.accepted and "held already, under another start of the work" or "granted by the last holder"
  local action = write("accept", M.accept(view.record, me), "holder", why)
  action.first = me.session -- nobody else is in a hurry to know
  return action
end

-- A free lease: the head of the queue, or anybody when there is none, takes it at once;
-- the others only if those ahead of them do not.
local function decide_free(view, v, me, now)
  local ahead = ahead_of(v, me)
  local at = (view.since or now) + ahead * ttl.STAGGER_MS
  if now >= at then
    return write("acquire", M.acquire(view.record, me), "holder", "free")
  end
  return { act = "wait", until_ms = at, why = ("free, but %d ahead in the queue"):format(ahead) }
end

-- When this candidate may take over from another holder.
local function takeover_at(view, v, ahead, now)
  if view.gone and v.bound == "process" then
    return view.gone_at and view.gone_at + ahead * ttl.GONE_STAGGER_MS or now
  end
  return ttl.takeover_at(view.since or now, v.ttl_ms) + ahead * ttl.STAGGER_MS
end

local function wait_text(v, place, at, now)
  local text = ("held by %s, fence %d; free within %s unless renewed"):format(
    v.holder, v.fence, duration.format(math.max(at - now, 0)))
  if place then
    return ("%s; place %d in the queue"):format(text, place)
  end
  return text
end

local function decide_other(view, v, me, now)
  local prio = prio_of(v, me)
  local place = priority.place(v.waiters, me.session)
  local ahead = ahead_of(v, me)
  local at = takeover_at(view, v, ahead, now)
  local gone = view.gone and v.bound == "process"
  if now >= at or (me.skew_ms and ttl.oneshot_expired(v.age_ms, v.ttl_ms + ahead * ttl.STAGGER_MS, me.skew_ms)) then
    local why = gone and ("holder %s is dead"):format(v.holder) or ("the time of %s is over"):format(v.holder)
    return write("takeover", M.takeover(view.record, me), "holder", why)
  end
  local peer = v.bound == "process" and v.session ~= "" and v.session or nil
  local why = wait_text(v, place, at, now)
  local action
  if v.foreign then
    -- it reads no queue: nothing can be handed over, and nobody can be asked to make way
    action = { act = "wait", why = why }
  elseif me.queue and not gone and not place and priority.has_room(v.waiters, prio, v.spec.queue_max) then
    action = write("join", M.join(view.record, me), "queue", why)
  elseif place and not gone and may_ask(v, me) then
    action = write("preempt", M.request_preempt(view.record, me), "queue", why .. "; asking it to make way")
    action.first = v.session
  else
    action = { act = "wait", why = why }
  end
  action.fence, action.until_ms, action.peer = nil, at, peer
  return action
end

--- What the candidate does now.
---@param view konductor.Seen
---@param me konductor.LeaseMe
---@param now integer  boot ms
---@return konductor.LeaseAction
function M.decide(view, me, now)
  local rec = view.record
  if not rec then
    return { act = "create", why = "there is no such lease yet" }
  end
  local v, code, sentence = record.lease(rec)
  if not v then
    return { act = "fail", code = code, why = sentence or "the record is damaged" }
  elseif is_mine(v, me) and not (rec.deleting and not v.accepted) then
    return decide_mine(view, v, me)
  elseif rec.deleting then
    return { act = "wait", why = "it is being deleted; nobody gets it any more" }
  elseif v.holder == "" then
    return decide_free(view, v, me, now)
  end
  return decide_other(view, v, me, now)
end

return M
