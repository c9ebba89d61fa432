--- What a process that wants something does between decisions, for leases and for work
--- done once alike: look, wait, write, say what it waits for, and be stopped.
---
--- elect.lua and claim.lua ask their policy what to do and carry it out through this. A
--- call to the store may take seconds when the store is in trouble, so each is bounded,
--- and between two of them a wish to stop is heard.

local cas = require "konductor.cas"
local hold = require "konductor.hold"
local observe = require "konductor.observe"
local patience = require "konductor.patience"
local ttl = require "konductor.ttl"

local M = {}

--- Longest time in one exchange with the store.
local EXCHANGE_MS = 5000
--- What one who was asked to stop still spends on leaving things in order.
local FAREWELL_MS = 5000

M.GRACE_MS = 3000
M.STOP_GRACE_MS = 25000

---@class konductor.Candidate
---@field w konductor.World
---@field view konductor.View
---@field inbox konductor.Inbox
---@field me table             what the policy knows of us
---@field stopped? integer     the signal that asked us to stop
---@field give_up_at? number    boot clock: end of the wait
---@field patience konductor.Patience
---@field declared? table      spec of the record, should it have to be made, in place of that of the options
---@field on_gone? fun(session: string)  told of the end of sessions, in place of the view
local Candidate = {}
Candidate.__index = Candidate

---@class konductor.CandidateOptions
---@field name string
---@field ttl_ms integer
---@field work konductor.SpawnSpec|fun(hold: konductor.Hold): any
---@field wait? boolean            default true; false: what cannot be had now is not waited for
---@field skew_ms? integer         with wait = false: a record that has stood longer than its ttl, on servers whose clocks are so
---  far apart, is watched. Who asks again and again without it never finds out that a holder has vanished
---@field timeout_ms? integer      of the wait
---@field run_timeout_ms? integer  of the work
---@field grace_ms? integer        before the deadman's kill
---@field stop_grace_ms? integer   for a wished stop
---@field spec? table              of the record, should it have to be made
---@field env? table<string, string>  for every command under the hold
---@field fields? table            added to the events start and stop
---@field seen? konductor.View     what the caller knows of the record already
---@field patience? konductor.Patience  of the caller, when this is a part of its wait
---@field on_state? fun(state: string, detail: table?)  waiting, holding, free: for probes and live lines

-- What this process does and did with each record, by kind and name. The last fence under
-- which it worked: a hold that is found to be ours may be of an earlier call, and what ran
-- under it must not run under it again. And whether it is at it now: two candidates of one
-- session would take each other's hold for their own. The nonce function stands for the
-- process; worlds that wrap another share it.
local PROCESSES = setmetatable({}, { __mode = "k" })

local function affairs_of(w, kind, name)
  local process = PROCESSES[w.nonce] or {}
  PROCESSES[w.nonce] = process
  local key = kind .. "/" .. name
  process[key] = process[key] or { active = false }
  return process[key]
end

---@param w konductor.World
---@param kind string
---@param o konductor.CandidateOptions
---@param me table
---@return konductor.Candidate?, string?, string?
function M.new(w, kind, o, me)
  local affairs = affairs_of(w, kind, o.name)
  if affairs.active then
    return nil, "usage", ("this process holds %s %s already, or waits for it"):format(kind, o.name)
  end
  local inbox = w.inbox()
  local limit_ms = ttl.answer_ms(o.ttl_ms)
  -- Who signs as owner.lua does, and so may leave to others what is theirs.
  local first = me.bound and w.session or nil
  local view, code, detail = observe.open(w, inbox, kind, o.name, { limit_ms = limit_ms, first = first })
  if not view then
    inbox:close()
    return nil, code, detail
  end
  if o.seen then
    view:adopt(o.seen)
  end
  me.holder, me.session, me.ttl_ms = w.holder, w.session, o.ttl_ms
  me.ran = affairs.ran
  affairs.active = true
  local self = setmetatable({
    w = w, kind = kind, o = o, me = me, inbox = inbox, view = view, affairs = affairs, limit_ms = limit_ms,
  }, Candidate)
  self.patience = o.patience or patience.new(w, function(level, text) self:log(level, text) end, o.wait == false)
  self.stop_watch = w.stop(inbox)
  self.give_up_at = o.timeout_ms and w.now() + o.timeout_ms
  return self
end

function Candidate:close()
  self:tell "free"
  self.affairs.active = false
  self.view:close()
  self.stop_watch:close()
  self.inbox:close()
end

function Candidate:tell(state, detail)
  if self.o.on_state and (state == "waiting" or self.state ~= state) then
    self.state = state
    self.o.on_state(state, detail)
  end
end

function Candidate:log(level, text, fields)
  hold.say(self.w, level, self.kind, self.o.name, text, fields)
end

--- A line of the event log about the object.
function Candidate:event(name, fields)
  fields.kind, fields.name = self.kind, self.o.name
  self.w.event(name, fields)
end

--- Says what it waits for; again only when that has changed.
function Candidate:say(action)
  local status = self.view.record and self.view.record.status or {}
  local about = tostring(status.session) .. tostring(status.fence)
  if about ~= self.said then
    self.said = about
    self:log("info", action.why, { until_ms = action.until_ms })
  end
  self:tell("waiting", action)
end

--- A fresh mark and time for the write that the next decision may ask for.
function Candidate:fresh()
  self.me.op, self.me.wall = self.w.nonce(), self.w.wall()
  return self.me
end

-- Until when the next exchange may last, and each answer in it: no longer than the wait.
local function exchange(self)
  local now, limit_ms = self.w.now(), self.limit_ms
  local at = now + EXCHANGE_MS
  if self.give_up_at and self.give_up_at < at then
    at = self.give_up_at
    limit_ms = math.max(1, math.min(limit_ms, math.ceil(at - now)))
  end
  self.view.how.limit_ms = limit_ms
  return at
end

-- Takes a failure of the store in; a code when it is not worth another try.
local function trouble(self, verb, code, detail)
  if code == "cancelled" or detail == "cancelled" then
    self.stopped = self.stopped or 15
    return
  elseif self.leaving then
    return code, detail
  end
  return self.patience:failed(verb, code, detail)
end

-- Until another try. A store that was silent and now tells news answers again; a refusal does
-- not end by them.
local function rest(self)
  local at = self.patience.again_at
  while not self:over() and self.w.now() < at do
    self:pause(at)
    if not self.patience.refused then
      return
    end
  end
end

--- Takes in that a request failed, and rests when it is worth another try.
---@return string? code    why it is not
---@return string? detail
function Candidate:failed(verb, code, detail)
  code, detail = trouble(self, verb, code, detail)
  if code then
    return code, detail
  end
  rest(self)
end

--- Makes sure that the object has been read.
---@return string? code    why it can not be
---@return string? detail
function Candidate:read()
  while not self.view.known and not self:over() do
    local ok, code, detail = self.view:refresh(exchange(self))
    if ok then
      self.patience:well "get"
      return
    end
    code, detail = self:failed("get", code, detail)
    if code then
      return code, detail
    end
  end
end

--- Was it asked to stop, or is its time over?
---@return "stopped"|"timeout"|nil
function Candidate:over()
  if self.stopped then
    return "stopped"
  elseif self.give_up_at and self.w.now() >= self.give_up_at then
    return "timeout"
  end
end

--- Before each decision: the object has been read, and there is time left.
---@return "error"|"stopped"|"timeout"|nil outcome  why there is nothing more to decide
---@return string? code
---@return string? detail
function Candidate:ready()
  local code, detail = self:read()
  if code then
    return "error", code, detail
  end
  return self:over()
end

-- When a time has come, what the store has put off comes first: nothing is decided upon less than this process was told.
local function next_event(self, at)
  local event, code = self.inbox:wait(at)
  if code == "timeout" and self.view:catch_up() then
    return self.inbox:wait(self.w.now())
  end
  return event, code
end

--- Waits for one event or for a time, whichever comes first; over() tells the rest.
---@param until_ms? number
function Candidate:pause(until_ms)
  local at = self.give_up_at
  if until_ms and (not at or until_ms < at) then
    at = until_ms
  end
  local event, code = next_event(self, at)
  if not event then
    if code == "cancelled" then
      self.stopped = self.stopped or 15
    end
  elseif event.type == "stop" then
    self.stopped = event.signal or 15
  elseif event.type == "gone" and self.on_gone then
    self.on_gone(event.session)
  else
    local mine, why, detail = self.view:take(event, exchange(self))
    if why then
      trouble(self, "get", why, detail)
      self.view.known = false
    elseif mine and event.type == "changed" then
      self.patience:well "get"
    end
  end
end

--- Waits for its turn: by now the store has given all that it needs.
---@param until_ms? number
function Candidate:stand(until_ms)
  self.patience:stands()
  self:pause(until_ms)
end

--- Makes the record, unheld.
---@return string? code
---@return string? detail
function Candidate:create()
  local record, code, detail = self.w.create(self.kind, self.o.name, self.declared or self.o.spec or {})
  if record then
    self.patience:well "create"
    self.view:see(record)
    return
  elseif code == "exists" then
    self.patience:well "create"
  elseif not cas.PASSING[code] then
    return self:failed("create", code, detail)
  end
  -- it stands already, perhaps by our own lost request: either way it is unheld or another's
  local ok, why, more = self.view:refresh(exchange(self))
  if not ok then
    return self:failed("get", why, more)
  elseif code ~= "exists" and not self.view.record then
    return self:failed("create", code, detail)
  end
  self.patience:well "get"
end

--- Writes what a decision asks for.
---@param action {status: table, by?: string, first?: string}
---@param landed? fun(status: table, sent: table): boolean
---@return boolean ok
---@return any t0_or_code   true: when it was sent; false: why it is hopeless, nil when it is not
---@return string? detail
function Candidate:write(action, landed)
  local view = self.view
  local outcome, value, extra = cas.replace(self.w, view.record, action.status,
    { by = action.by, first = action.first, landed = landed, give_up_at = exchange(self),
      limit_ms = view.how.limit_ms })
  view:settle(outcome, value)
  if outcome == "ok" then
    self.patience:well "replace"
    return true, extra
  elseif outcome == "lost" then
    self.patience:well "replace"
    return false
  end
  view.known = false
  if outcome == "fatal" then
    return false, self:failed("replace", value, extra)
  end
  return false, trouble(self, "replace", "unknown", value)
end

-- Until another try of a write that may have landed: a wish to stop is heard, and the record is taken in where the
-- store sends it along, because our mark may stand in it. Other news are read again when they are needed.
local function hear_stop(self, until_ms)
  local at = math.max(until_ms, self.w.now())
  local event, code
  repeat
    event, code = self.inbox:wait(at)
    if event and event.type == "stop" then
      self.stopped = event.signal or 15
    elseif event then
      self.view.known = false
      if event.record and event.kind == self.kind and event.name == self.o.name then
        self.view:see(event.record)
      end
      at = self.patience.refused and at or self.w.now() -- it tells news, so it answers again
    end
  until not event or self.stopped
  if code == "cancelled" then
    self.stopped = self.stopped or 15
  end
end

-- What comes of a write back that is not known to stand, nor to be lost: nothing when it is worth another try.
local function open_end(self, outcome, value, extra, until_ms)
  local refused = outcome == "fatal"
  local word, detail = refused and value or "unknown", refused and extra or value
  local now = self.w.now()
  local code = trouble(self, "replace", word, detail)
  hear_stop(self, code and now or math.min(self.patience.again_at, until_ms or math.huge))
  if code or self.stopped or until_ms and self.w.now() >= until_ms then
    return outcome, refused and word or code or word, detail
  end
end

local function write_until(self, make, until_ms)
  local view = self.view
  self:fresh()
  while true do
    local record = view.record
    if record and record.status.op == self.me.op then
      return "ok", record -- it landed, whatever became of its answer
    end
    local status, first
    if record then
      status, first = make(record)
    end
    if not record or not status then
      return "lost", record
    end
    local give_up_at = math.min(exchange(self), until_ms or math.huge)
    local outcome, value, extra = cas.replace(self.w, record, status, { first = first, give_up_at = give_up_at,
      limit_ms = view.how.limit_ms })
    view:settle(outcome, value)
    if outcome == "ok" then
      self.patience:well "replace"
      return outcome, value, extra
    elseif outcome ~= "lost" then
      local ended, code, detail = open_end(self, outcome, value, extra, until_ms)
      if ended then
        return ended, code, detail
      end
    end
  end
end

--- Ends a hold in the store: the write is repeated until it stands, or until it is known
--- that the hold is no longer ours. One mark for all of them, so that the first that
--- landed is recognised.
---@param make fun(record: konductor.Record): table?, string?  the status, and whom to wake first
---@param until_ms? number  nil: for as long as the store is waited for at all
---@return "ok"|"lost"|"unknown"|"fatal" outcome
---@return any value       the record; or a code
---@return string? detail
function Candidate:write_back(make, until_ms)
  local give_up_at = self.give_up_at
  self.give_up_at = nil -- it is of the wait, and what has been done is to be recorded all the same
  local outcome, value, detail = write_until(self, make, until_ms)
  self.give_up_at = give_up_at
  return outcome, value, detail
end

--- Leaves things in order before it goes: what `make` wants written, within a short time.
---@param make fun(): {status: table, by: string, first?: string}?, (fun(status: table): boolean)?
---@return boolean written
function Candidate:farewell(make)
  local until_ms = self.w.now() + FAREWELL_MS
  self.leaving, self.give_up_at = true, until_ms
  while self.w.now() < until_ms do
    local action, landed = make()
    if not action then
      return false
    end
    local ok, code = self:write(action, landed)
    if ok then
      return true
    elseif code or not self.view.known then
      return false
    end
  end
  return false
end

--- What every command under the hold learns.
local function environment(self, fence)
  local env = { KONDUCTOR_HOLDER = self.w.holder, KONDUCTOR_TOKEN = ("%d"):format(fence) }
  env["KONDUCTOR_" .. self.kind:upper()] = self.o.name
  for key, value in pairs(self.o.env or {}) do
    env[key] = value
  end
  return env
end

--- Runs the work under the hold that has just been written.
---@param policy {renew: function, held: function, asked?: function, renewable: boolean}
---@param base number
---@param fence integer
---@param extra table  fields of the hold that the work may read
---@return konductor.HoldResult
---@return konductor.Hold
function Candidate:run(policy, base, fence, extra)
  local o, me = self.o, self.me
  me.fence, me.ran = fence, fence
  self.affairs.ran = fence
  self.patience:stands()
  self.view.how.limit_ms = self.limit_ms
  local h = hold.new(self.w, {
    kind = self.kind, name = o.name, view = self.view, inbox = self.inbox,
    base = base, ttl_ms = o.ttl_ms, fence = fence,
    grace_ms = o.grace_ms or M.GRACE_MS, stop_grace_ms = o.stop_grace_ms or M.STOP_GRACE_MS,
    timeout_ms = o.run_timeout_ms, renewable = policy.renewable, fields = o.fields, env = environment(self, fence),
    renew = function(record) return (policy.renew(record, self:fresh())) end,
    mine = function(record) return policy.held(record, me) end,
    asked = policy.asked,
  })
  for key, value in pairs(extra) do
    h[key] = value
  end
  self:tell("holding", { fence = fence })
  local result = h:run(o.work)
  self:tell "free"
  if result.stopped then
    self.stopped = self.stopped or 15
  end
  self.said = nil
  return result, h
end

return M
