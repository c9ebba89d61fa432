--- What a resource's watchers are told: its log of events, and cursors into it.
---
--- A watch holds nothing but its place in the log, as a server's watch cache does it; so events
--- are in order, once each, and a place that the log has left behind is answered with 410.

local answers = require "konductor.sim.apiserver.answers"

local M = {}

--- A server tells how far it has come once a minute, and shortly before it ends a watch.
local BOOKMARK_S, BEFORE_END_S = 60, 2

---@class konductor.sim.Log
---@field first integer   number of the oldest event that is kept
---@field last integer
---@field gone_rev integer versions up to this one are told no more
local Log = {}
Log.__index = Log

---@param window integer  how many events are kept
---@param rev integer     the version from which on it knows
function M.log(window, rev)
  return setmetatable({ first = 1, last = 0, gone_rev = rev, window = window, events = {} }, Log)
end

local function forget(log)
  log.gone_rev = log.events[log.first].rev
  log.events[log.first] = nil
  log.first = log.first + 1
end

---@param event {type: string, rev: integer, object: table, before: table?}
function Log:add(event)
  self.last = self.last + 1
  self.events[self.last] = event
  if self.last - self.first >= self.window then
    forget(self)
  end
end

--- Forgets all events up to that version.
function Log:compact(rev)
  while self.first <= self.last and self.events[self.first].rev <= rev do
    forget(self)
  end
  self.gone_rev = math.max(self.gone_rev, rev)
end

--- The number of the first event after that version.
function Log:after(rev)
  local low, high = self.first, self.last + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if self.events[middle].rev > rev then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

---@class konductor.sim.Watch
---@field stalled boolean  the server holds back what it has to say
---@field ended boolean
local Watch = {}
Watch.__index = Watch

-- What went is shown as it was, with the version of its going: so it outlives older events.
local function gone(event)
  local metadata = {}
  for name, value in pairs(event.before.metadata) do
    metadata[name] = value
  end
  metadata.resourceVersion = tostring(event.rev)
  local before = event.before
  return {
    type = "DELETED",
    object = {
      apiVersion = before.apiVersion, kind = before.kind, metadata = metadata, spec = before.spec,
      status = before.status,
    },
  }
end

-- An event as this watch is told it: what does not match any more has gone, for it.
local function told_to(watch, event)
  local before = event.before and watch.matches(event.before)
  local now = event.type ~= "DELETED" and watch.matches(event.object)
  if now then
    return { type = before and "MODIFIED" or "ADDED", object = event.object }
  end
  return before and gone(event) or nil
end

local function bookmark(watch)
  local resource = watch.resource
  return {
    type = "BOOKMARK",
    object = {
      kind = resource.kind, apiVersion = resource.api_version,
      metadata = { resourceVersion = tostring(watch.server.rev) },
    },
  }
end

local function next_bookmark(watch, now_ms)
  local at = now_ms + BOOKMARK_S * 1000
  local before_end = watch.until_ms and watch.until_ms - BEFORE_END_S * 1000
  return before_end and now_ms < before_end and before_end < at and before_end or at
end

local function expired(rev, log)
  local answer = answers.expired(("too old resource version: %d (%d)"):format(rev, log.gone_rev))
  return { type = "ERROR", object = answer.body }
end

--- The next event, or nil: there is none yet, or the watch has ended.
---@return {type: string, object: table}?
function Watch:take()
  if self.ended or self.stalled then
    return nil
  end
  local first = table.remove(self.initial, 1)
  if first then
    self.ended = first.type == "ERROR"
    return first
  end
  local log = self.log
  while self.at <= log.last do
    if self.at < log.first then
      self.ended = true -- it came too late; when it asks again it is told that its version is gone
      return nil
    end
    local told = told_to(self, log.events[self.at])
    self.at = self.at + 1
    if told then
      return told
    end
  end
  local now_ms = self.server.now_ms()
  if self.until_ms and now_ms >= self.until_ms then
    self.ended = true
  elseif self.bookmark_ms and now_ms >= self.bookmark_ms then
    self.bookmark_ms = next_bookmark(self, now_ms)
    return bookmark(self)
  end
  return nil
end

--- Either side has gone.
function Watch:close()
  self.ended = true
end

---@param server konductor.sim.ApiServer
---@param resource konductor.sim.Resource
---@param log konductor.sim.Log
---@param matches fun(object: table): boolean
---@param query table
---@param current table[]  objects that match now, for a watch without a version
---@return konductor.sim.Watch
function M.open(server, resource, log, matches, query, current)
  local now_ms = server.now_ms()
  local rev = tonumber(query.resourceVersion or 0)
  local timeout_s = tonumber(query.timeoutSeconds)
  local watch = setmetatable({
    server = server, resource = resource, log = log, matches = matches, initial = {},
    until_ms = timeout_s and now_ms + timeout_s * 1000, stalled = false, ended = false,
  }, Watch)
  if query.allowWatchBookmarks then
    watch.bookmark_ms = next_bookmark(watch, now_ms)
  end
  if rev == 0 then
    for i, object in ipairs(current) do
      watch.initial[i] = { type = "ADDED", object = object }
    end
    watch.at = log.last + 1
  elseif rev < log.gone_rev then
    watch.initial[1] = expired(rev, log)
  else
    watch.at = log:after(rev)
  end
  return watch
end

return M
