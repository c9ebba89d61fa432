--- Grants that outlive the process which asks for them: one who wants something, as elect.lua and claim.lua drive it,
--- that stops where its work would begin.
---
--- Such a grant is bound to time, and known by holder and fence. Another process of the same holder name may ask at the
--- same time and would write the same fence, so a grant is taken for one's own by the mark of the write alone.
---
--- Outcomes:
---   "granted"  `record`, `fence`, `base` (when the granting write was sent), `ttl_ms`
---   "busy"     not to be had without waiting     "timeout"  not had within its time
---   "done"     a Once: executed already          "failed"   a Once: no attempt is left
---   "doubt"    a Once: may or may not have run   "stopped"  asked to stop while it waited
---   "error"    `code` says why: the store, a right, a damaged record

local candidate = require "konductor.candidate"
local cas = require "konductor.cas"
local duration = require "konductor.duration"
local lease = require "konductor.lease"
local moment = require "konductor.moment"
local once = require "konductor.once"
local patience = require "konductor.patience"
local ttl = require "konductor.ttl"

local M = {}

--- How long one who does not wait bears with a store that does not answer.
M.PATIENCE_MS = 10000

---@class konductor.OneshotOptions
---@field name string
---@field ttl_ms? integer       of the grant
---@field default_ttl_ms integer  of the grant, when neither it nor the record says one
---@field min_ttl_ms? integer   the shortest that the store grants
---@field spec? table           of the record, should it have to be made
---@field wait boolean
---@field timeout_ms? integer   of the wait
---@field skew_ms integer       how far the store's servers may be apart; 0 on one machine
---@field version? string       of a Once
---@field priority? integer     of a Lease
---@field on_state? fun(state: string, detail: table?)

---@class konductor.OneshotResult
---@field outcome "granted"|"busy"|"timeout"|"done"|"failed"|"doubt"|"stopped"|"error"
---@field record? konductor.Record
---@field fence? integer
---@field base? number
---@field ttl_ms? integer
---@field code? string
---@field detail? string

--- One who waits does so whatever the store does; its time alone ends that. A refusal at the start is told all the same.
---@param w konductor.World
---@param o {name: string, wait: boolean}
---@return konductor.Patience
function M.patience(w, o)
  return patience.new(w, function(level, text) w.log(level, o.name .. ": " .. text) end, not o.wait,
    o.wait and math.huge or M.PATIENCE_MS)
end

-- Notes each write that grants, so that it is known again.
local function note_writes(c)
  local write = c.write
  c.sent = {}
  function c:write(action, landed)
    if action.fence then
      self.sent[self.me.op], self.open_rev = self.w.now(), self.view.rev
    end
    return write(self, action, landed)
  end
end

-- One who tries once wants no news: on a server they would cost a list and a watch.
local function without_news(w)
  local function watch()
    return { close = function() end }
  end
  return setmetatable({ watch = watch }, { __index = w })
end

local function new(w, kind, o, me)
  me.bound, me.skew_ms = "time", o.skew_ms
  local options = { patience = M.patience(w, o), ttl_ms = o.ttl_ms or o.default_ttl_ms }
  for _, key in ipairs { "name", "spec", "wait", "timeout_ms", "version", "on_state" } do
    options[key] = o[key]
  end
  local c, code, detail = candidate.new(o.wait and w or without_news(w), kind, options, me)
  if c then
    note_writes(c)
  end
  return c, code, detail
end

-- The grant that this process wrote, though no answer said so: its mark stands in the record.
local function found_own(c)
  local status = c.view.known and c.view.record and c.view.record.status or {}
  local sent = status.bound == "time" and c.sent[status.op]
  if sent and (status.holder or status.executor) == c.me.holder and not status.executed then
    return { base = sent, fence = status.fence }
  end
end

-- A write of which nothing is known can land for as long as the record stands as it was then.
local function may_land(c)
  return c.open_rev ~= nil and not (c.view.known and c.view.rev > c.open_rev)
end

-- A step of the policy, unless an earlier one is found to have been granted.
local function step(c, policy)
  local outcome, code, detail = c:ready()
  if outcome then
    return nil, { outcome = outcome, code = code, detail = detail }
  end
  local own = found_own(c)
  if own then
    return own
  end
  policy.prepare(c)
  return policy.step(c)
end

-- A grant that is over before it is known is none: its holder would start with no time left.
local function in_time(c, grant)
  return c.w.now() < ttl.kill_at(grant.base, c.me.ttl_ms)
end

-- What ended the wait, said for what it is when the store is the cause.
local function explained(c, result)
  local is_silent = result.outcome == "timeout" or result.outcome == "stopped" or cas.PASSING[result.code]
  if is_silent and may_land(c) then
    local why = result.detail and ": " .. tostring(result.detail) or ""
    local sentence = "the store did not answer, so it may or may not be granted"
    return { outcome = "error", code = "unknown", detail = sentence .. why }
  elseif result.outcome == "timeout" and not c.view.known then
    return { outcome = "error", code = "store", detail = "the store did not answer within the time of the wait" }
  end
  return result
end

local function granted(c, grant, policy)
  c.me.fence = grant.fence
  if not in_time(c, grant) then
    M.give_back(c, policy)
    local sentence = "granted, but its time was over before the store's answer came"
    return { outcome = "error", code = "store", detail = sentence }
  end
  return {
    outcome = "granted", record = c.view.record, fence = grant.fence, base = grant.base, ttl_ms = c.me.ttl_ms,
  }
end

local function run(c, policy)
  while true do
    local grant, result = step(c, policy)
    if grant then
      return granted(c, grant, policy)
    elseif result then
      local at = result.outcome == "busy" and moment.more(c, result.until_ms)
      if not at then
        return explained(c, result)
      end
      c:pause(at)
    end
  end
end

--- Gives a grant back that nobody was told of.
---@param c konductor.Candidate
---@param policy {release: fun(record: konductor.Record, me: table): table?}
function M.give_back(c, policy)
  c:write_back(function(rec) return policy.release(rec, c.me) end, c.w.now() + M.PATIENCE_MS)
end

local LEASE = { release = lease.release }

--- How long a hold lasts for which nobody says so: as its Lease says. Other programs leave a second behind when they
--- release one; that is no time to hold.
---@param rec konductor.Record?
---@param min_ms integer?      the shortest that the store grants
---@param default_ms integer
---@return integer
function M.ttl_of(rec, min_ms, default_ms)
  local ms = duration.parse(rec and rec.spec.ttl or "")
  return ms and ms >= (min_ms or 1) and ms or default_ms
end

function LEASE.prepare(c)
  c.me.ttl_ms = c.asked.ttl_ms or M.ttl_of(c.view.record, c.asked.min_ttl_ms, c.asked.default_ttl_ms)
end

function LEASE.step(c)
  local grant, outcome, code, detail, until_ms = require("konductor.elect").step(c)
  return grant, outcome and { outcome = outcome, code = code, detail = detail, until_ms = until_ms }
end

local ONCE = { prepare = function() end }

function ONCE.release(rec, me)
  return (once.release(rec, me, false))
end

local OUTCOMES = { skipped = "done" }

function ONCE.step(c)
  local grant, result = require("konductor.claim").step(c)
  if result then
    result.outcome = OUTCOMES[result.outcome] or result.outcome
  end
  return grant, result
end

-- Runs a candidate to its outcome; `use` gets a grant before the candidate is closed, and says whether it is kept.
local function carry_out(c, policy, use)
  local result = run(c, policy)
  if result.outcome == "granted" then
    if not use(result) then
      M.give_back(c, policy)
    end
  elseif policy == LEASE then
    require("konductor.elect").withdraw(c)
  end
  c:close()
  return result
end

--- Takes a Lease. *waits*
---@param w konductor.World
---@param o konductor.OneshotOptions
---@param use fun(result: konductor.OneshotResult): boolean  is told of the grant; false: it is given back at once
---@return konductor.OneshotResult
function M.acquire(w, o, use)
  local c, code, detail = new(w, "Lease", o, { priority = o.priority, queue = o.wait })
  if not c then
    return { outcome = "error", code = code, detail = detail }
  end
  c.asked = o
  return carry_out(c, LEASE, use)
end

--- Claims a Once. *waits*
---@param w konductor.World
---@param o konductor.OneshotOptions
---@param use fun(result: konductor.OneshotResult): boolean
---@return konductor.OneshotResult
function M.claim(w, o, use)
  local c, code, detail = new(w, "Once", o, { version = o.version })
  if not c then
    return { outcome = "error", code = code, detail = detail }
  end
  return carry_out(c, ONCE, use)
end

return M
