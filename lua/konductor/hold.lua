--- Keeps a granted hold alive while its work runs, and ends the work before the hold can
--- lapse. Once and Lease share it; it knows neither.
---
--- Two tasks: this one follows the work and its deadlines, the keeper talks to the store,
--- so that an answer that does not come delays nothing here. In order:
---   1. the deadman is armed before the work starts, and counts from when the granting
---      write was sent; each confirmed renewal moves it;
---   2. a renewal that cannot be confirmed is tried until the deadman strikes;
---   3. a hold that is no longer ours kills the work at once, and nothing is released;
---   4. a wish to stop, or a timeout, asks the work to end while the hold is renewed on;
---   5. the result is handed back only when the last descendant is gone.

local cas = require "konductor.cas"
local exits = require "konductor.exits"
local ttl = require "konductor.ttl"

local M = {}

local POKE_MS = 1000
local SHORT_GRACE_MS = 5000

---@class konductor.HoldOptions
---@field kind string
---@field name string
---@field view konductor.View      of the object; its record is the one that the grant made
---@field inbox konductor.Inbox    the view's
---@field base number              boot clock: when the granting write was sent
---@field ttl_ms integer
---@field fence integer
---@field grace_ms integer         before the deadman's kill, see ttl.term_at
---@field stop_grace_ms integer    for a wished stop
---@field timeout_ms? integer      of the work; its code is then 124
---@field renewable boolean
---@field renew fun(record: konductor.Record): table  the status that renews
---@field mine fun(record: konductor.Record): boolean
---@field asked? fun(record: konductor.Record): string?  who wants us to make way, for people
---@field fields? table            added to the event start
---@field env? table<string, string>  added to that of every command

---@class konductor.HoldResult
---@field code integer        of the work: 0-255, 128+n, 124, 126, 127; a function that raised: 1
---@field signal? integer
---@field by? string          who ended a command: own, stopped, deadman
---@field value? any          what a function returned
---@field error? any          what it raised; or why a command could not be started
---@field failed? string      word: the command was never started
---@field lost? "deadline"|"taken"|"deleted"|"rolled_back"  why the hold ended before the work
---@field detail? string
---@field stopped boolean     by a wish from outside
---@field yielded boolean     made way for a higher priority
---@field timed_out boolean
---@field sure boolean        no descendant is left; false: do not release

---@class konductor.Hold
---@field token integer       the fencing number
local Hold = {}
Hold.__index = Hold

---@param w konductor.World
---@param options konductor.HoldOptions
---@return konductor.Hold
function M.new(w, options)
  local self = setmetatable({ w = w, o = options, token = options.fence, children = {} }, Hold)
  self:count_from(options.base)
  return self
end

function Hold:count_from(base)
  local o = self.o
  self.base = base
  self.kill_at = ttl.kill_at(base, o.ttl_ms)
  self.term_at = ttl.term_at(base, o.ttl_ms, o.grace_ms)
  self.renew_at = ttl.renew_at(base, o.ttl_ms)
end

--- When the store's record lapses for good: from then on only expiry can free it.
function Hold:lapse_at()
  return self.base + self.o.ttl_ms
end

function Hold:event(name, fields)
  local o = self.o
  fields.kind, fields.name, fields.fence = o.kind, o.name, o.fence
  self.w.event(name, fields)
end

--- One line of the log about an object.
---@param w konductor.World
---@param level "error"|"warn"|"info"|"debug"
---@param kind string
---@param name string
---@param words string
---@param more? table  fields
function M.say(w, level, kind, name, words, more)
  local fields = { kind = kind, name = name }
  for key, value in pairs(more or {}) do
    fields[key] = value
  end
  w.log(level, name .. ": " .. words, fields)
end

function Hold:log(level, words, more)
  M.say(self.w, level, self.o.kind, self.o.name, words, more)
end

-- The keeper --------------------------------------------------------------------------

local function lose(self, why, detail)
  self.inbox:post { type = "lost", why = why, detail = detail }
  return false
end

--- Is it still ours, as far as is known? Tells the other task what matters to it.
local function still_mine(self)
  local record = self.o.view.record
  if not record then
    return lose(self, "deleted", "the record was deleted")
  elseif not self.o.mine(record) then
    local status = record.status
    local whom = status.holder or status.executor
    return lose(self, "taken", whom and whom ~= "" and "it is with " .. tostring(whom) or "it is no longer ours")
  end
  local by = self.o.asked and self.o.asked(record)
  if by and not self.asked then
    self.asked = true
    self.inbox:post { type = "yield", detail = by }
  end
  return true
end

-- Not confirmed within a part of the time: says so once, and tries again with a new write, at
-- once where the answer was missing, later where it was a refusal.
local function unconfirmed(self, outcome, value, extra)
  local o, w = self.o, self.w
  if outcome == "fatal" or not self.in_trouble then
    local left_ms = math.max(0, self.kill_at - w.now())
    self:log(outcome == "fatal" and "error" or "warn", ("cannot renew: %s; the work is killed in %d.%d s unless that "
      .. "passes"):format(extra or value or "no answer", left_ms / 1000, left_ms % 1000 / 100),
      { code = outcome == "fatal" and value or "unknown", left_ms = left_ms })
  end
  self.in_trouble = true
  if outcome == "fatal" then
    self.renew_at = math.min(w.now() + math.ceil(o.ttl_ms / 6), self.kill_at)
  end
  return w.now() < self.kill_at
end

local function renew(self)
  local o, w = self.o, self.w
  local give_up_at = math.min(self.kill_at, w.now() + math.ceil(o.ttl_ms / 6))
  local outcome, value, extra = cas.replace(w, o.view.record, o.renew(o.view.record),
    { give_up_at = give_up_at, first = w.session, -- nobody is in a hurry to know
      limit_ms = ttl.answer_ms(o.ttl_ms) })
  o.view:settle(outcome, value)
  if outcome == "ok" then
    self.in_trouble = nil
    self:count_from(extra)
    for i = 1, #self.children do
      self.children[i].child:arm(self.term_at, self.kill_at)
    end
    self:event("renew", { rev = value.rev, renewals = value.status.renewals })
    return still_mine(self)
  elseif outcome == "lost" then
    -- a join or a foreign edit moved the revision: if it is ours still, the loop renews at once
    return still_mine(self)
  elseif value == "rolled_back" then
    return lose(self, "rolled_back", extra)
  end
  return unconfirmed(self, outcome, value, extra)
end

local function keep(self)
  local o = self.o
  while not self.over do
    local event, code = o.inbox:wait(o.renewable and self.renew_at or nil)
    if event then
      if event.type == "stop" then
        self.stop_seen = true
      else
        -- one try: a read that fails tells nothing, and must not delay the renewal, which will tell
        local ours = o.view:take(event, self.w.now())
        if ours and not still_mine(self) then
          return
        end
      end
    elseif code ~= "timeout" or not renew(self) then
      return
    end
  end
end

-- The work ----------------------------------------------------------------------------

--- The command with the deadman set, and with what it has to know of its hold.
function Hold:armed(spec)
  local armed, env = {}, {}
  for key, value in pairs(spec) do
    armed[key] = value
  end
  for _, from in ipairs { self.o.env or {}, spec.env or {} } do
    for key, value in pairs(from) do
      env[key] = value
    end
  end
  armed.env, armed.term_at, armed.kill_at = env, self.term_at, self.kill_at
  return armed
end

--- Starts a command under this hold: it dies with it. Its events arrive in the inbox.
---@param inbox konductor.Inbox
---@param spec konductor.SpawnSpec
---@return konductor.Child?, string?, string?
function Hold:spawn(inbox, spec)
  if not self.inbox or self.losing or self.w.now() >= self.term_at then
    return nil, "lost", "the hold has ended"
  end
  local child, code, detail = self.w.spawn(self.inbox, self:armed(spec))
  if not child then
    return nil, code, detail
  end
  self.children[#self.children + 1] = { child = child, inbox = inbox }
  if self.stop_at then
    child:stop(math.max(0, self.stop_at - self.w.now()))
  end
  return child
end

local function stop_children(self, grace_ms)
  for i = 1, #self.children do
    self.children[i].child:stop(grace_ms)
  end
end

--- Asks the work to end; again may only shorten the grace.
local function end_work(self, grace_ms)
  local at = self.w.now() + grace_ms
  if self.stop_at and self.stop_at <= at then
    return
  end
  self.stop_at = at
  stop_children(self, grace_ms)
  if self.task then
    self.task:cancel()
    self.poke_at = math.max(at, self.w.now() + POKE_MS)
  end
end

local function lost(self, result, why, detail)
  if not result.lost then
    result.lost, result.detail = why, detail
    self.losing = true
    self:log("error", "the hold is lost: " .. detail, { fence = self.token })
    self:event("lost", { why = why })
  end
  end_work(self, 0)
end

--- What is due now; nil afterwards when nothing is left to do at a time.
local function act_on_time(self, result)
  local now, o = self.w.now(), self.o
  if now >= self.kill_at and not result.lost then
    lost(self, result, "deadline", o.renewable and "it could not be renewed in time" or "its time is over")
  elseif now >= self.term_at and not self.warned then
    self.warned = true
    if self.task then
      self.task:cancel()
    end
  end
  if self.timeout_at and now >= self.timeout_at then
    self.timeout_at = nil
    result.timed_out = true
    self:log("warn", "the work took longer than its limit; stopping it")
    end_work(self, o.stop_grace_ms)
  end
  if self.drain_at and now >= self.drain_at then
    self.drain_at = nil
    self:log("warn", "descendants outlive the work; stopping them")
    stop_children(self, math.min(SHORT_GRACE_MS, o.stop_grace_ms))
  end
  if self.poke_at and now >= self.poke_at then
    self.poke_at = now + POKE_MS
    self.task:cancel()
  end
end

local function sooner(a, b)
  return b and (not a or b < a) and b or a
end

local function next_time(self, result)
  local at = self.drain_at
  at = sooner(at, self.timeout_at)
  at = sooner(at, self.poke_at)
  if not self.warned then
    at = sooner(at, self.term_at)
  end
  if not result.lost then
    at = sooner(at, self.kill_at)
  end
  return at
end

local function main_ended(self)
  self.main_over = true
  self.task, self.poke_at, self.timeout_at = nil, nil, nil
  if #self.children > 0 then
    self.drain_at = self.w.now() + self.o.stop_grace_ms
  end
end

local function find_child(self, child)
  for i = 1, #self.children do
    if self.children[i].child == child then
      return i, self.children[i]
    end
  end
end

local function on_child(self, result, event)
  local i, entry = find_child(self, event.child)
  if not entry then
    return
  end
  if entry.inbox then
    entry.inbox:post(event)
  elseif event.type == "exit" then
    result.code, result.signal, result.by, result.output = event.code, event.signal, event.by, event.output
    if event.by == "deadman" then
      lost(self, result, "deadline", "it could not be renewed in time")
    end
    main_ended(self)
  elseif event.type == "failed" then
    result.failed, result.error = event.code, event.detail
    result.code = exits.of_failure(event.code)
    main_ended(self)
  end
  if event.type == "empty" then
    table.remove(self.children, i)
    self.ended_us = event.ended_us
    result.sure = result.sure and event.sure ~= false
  end
end

local function on_event(self, result, event)
  if event.child then
    on_child(self, result, event)
  elseif event.type == "stop" then
    end_work(self, result.stopped and 0 or self.o.stop_grace_ms)
    result.stopped = true
  elseif event.type == "yield" then
    self:log("info", "making way for " .. event.detail)
    result.yielded = true
    end_work(self, self.o.stop_grace_ms)
  elseif event.type == "lost" then
    lost(self, result, event.why, event.detail)
  elseif event.type == "done" and event.task == self.keeper then
    self.keeper = nil
    if not event.ok then
      lost(self, result, "deadline", "the keeper failed: " .. tostring(event.value))
    end
  elseif event.type == "done" and event.task == self.task then
    result.code = event.ok and 0 or 1
    result.value = event.ok and event.value or nil
    result.error = not event.ok and event.value or nil
    main_ended(self)
  end
end

local function begin(self, result, work)
  if type(work) == "function" then
    self.task = self.w.task(self.inbox, work, self)
    return
  end
  local child, code, detail = self:spawn(nil, work)
  if not child then
    result.failed, result.error, result.code = code, detail, exits.of_failure(code)
    self.main_over = true
    if code == "lost" then
      lost(self, result, "deadline", "its time was over before the work began")
    end
  end
end

local function follow(self, result)
  while not self.main_over or #self.children > 0 do
    local event, code = self.inbox:wait(next_time(self, result))
    if event then
      on_event(self, result, event)
    elseif code == "cancelled" then
      result.stopped = true
      end_work(self, self.o.stop_grace_ms)
    end
    act_on_time(self, result)
  end
end

--- Runs the work, a command or fn(hold), to its end and to that of all its descendants.
---@param work konductor.SpawnSpec|fun(hold: konductor.Hold): any
---@return konductor.HoldResult
function Hold:run(work)
  local w, o = self.w, self.o
  local result = { stopped = false, yielded = false, timed_out = false, sure = true }
  self.inbox = w.inbox()
  local is_function = type(work) == "function"
  if w.now() >= self.term_at then
    lost(self, result, "deadline", "its time was over before the work began")
    self.inbox = nil
    return result
  end
  local stop = w.stop(self.inbox)
  self.timeout_at = o.timeout_ms and w.now() + o.timeout_ms
  local fields = { argv0 = is_function and "function" or work.argv[1] }
  for key, value in pairs(o.fields or {}) do
    fields[key] = value
  end
  self:event("start", fields)
  self.keeper = w.task(self.inbox, keep, self)
  begin(self, result, work)
  follow(self, result)
  if result.timed_out then
    result.code = exits.TIMED_OUT
  end
  self:event("stop", { code = result.code, by = result.by, failed = result.failed, ended_us = self.ended_us })
  stop:close()
  self.over = true
  if self.keeper then
    self.keeper:cancel()
  end
  while self.keeper do
    local event = self.inbox:wait()
    if event then
      on_event(self, result, event)
    end
  end
  result.stopped = result.stopped or self.stop_seen == true
  self.inbox:close()
  self.inbox = nil
  return result
end

return M
