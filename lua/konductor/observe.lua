--- What one task knows of one object, and since when.
---
--- A view takes the answers to writes, reads and events of a watch in any order, drops
--- what is older than it knows, and remembers since when the hold has stood unchanged: the
--- time from which a waiter counts. Joins, annotations and foreign edits move the revision
--- and not that time. While another session holds, the view listens for that session's end.
---
--- No decision waits for the watch: whoever uses a view wakes on a timer of its own.

local cas = require "konductor.cas"

local M = {}

---@class konductor.View
---@field record? konductor.Record  nil: absent
---@field known boolean      it has been read at least once
---@field since number       boot clock: when the hold was first seen as it is
---@field gone boolean       the process that holds is dead, its descendants included
---@field gone_at? number    boot clock: when that became known
---@field changes integer    grows with each change of what is known
---@field how? {limit_ms?: integer, first?: string}  of its reads and its watch
local View = {}
View.__index = View

--- Opens a view and subscribes to changes, which arrive in the inbox; nothing is read yet.
---@param w konductor.World
---@param inbox konductor.Inbox
---@param kind string
---@param name string
---@param how? {limit_ms?: integer, first?: string}  of its reads and its watch, as world.get and world.watch take it
---@return konductor.View?, string?, string?
function M.open(w, inbox, kind, name, how)
  local watch, code, detail = w.watch(inbox, kind, name, how)
  if not watch then
    return nil, code, detail
  end
  return setmetatable({
    w = w, inbox = inbox, kind = kind, name = name, watch = watch,
    how = how, known = false, since = w.now(), gone = false, changes = 0, rev = 0,
  }, View)
end

local function same_hold(a, b)
  local x, y = a.status, b.status
  return a.uid == b.uid and x.session == y.session and x.fence == y.fence and x.op == y.op and x.ttlMs == y.ttlMs
end

local function follow_holder(view)
  local status = view.record and view.record.status
  local session = status and status.bound ~= "time" and status.session
  if type(session) ~= "string" then
    session = ""
  end
  if session == view.peer_session then
    return
  end
  if view.peer then
    view.peer:close()
    view.peer = nil
  end
  view.peer_session, view.gone, view.gone_at = session, false, nil
  if session ~= "" and session ~= view.w.session then
    view.peer = view.w.peer(view.inbox, session)
  end
end

--- Takes in a record, from wherever it comes. Older than what is known: dropped.
---@param record konductor.Record
---@return boolean news
function View:see(record)
  if record.rev <= self.rev then
    return false
  end
  local old = self.record
  if not old or not same_hold(old, record) then
    self.since = record.came_at or self.w.now()
  end
  self.record, self.rev, self.known = record, record.rev, true
  self.changes = self.changes + 1
  follow_holder(self)
  return true
end

--- Takes in that there is no record. Revisions up to the last one seen stay buried.
---@return boolean news
function View:see_absent()
  local news = self.record ~= nil or not self.known
  self.record, self.known = nil, true
  if news then
    self.since = self.w.now()
    self.changes = self.changes + 1
    follow_holder(self)
  end
  return news
end

--- Begins where another view of the same object stands: its wait goes on, not anew, and a
--- holder that it knows to be dead is dead here too.
---@param other konductor.View
function View:adopt(other)
  if not other.known then
    return
  end
  self.record, self.rev, self.known = other.record, other.rev, true
  self.changes = self.changes + 1
  follow_holder(self)
  self.since, self.gone, self.gone_at = other.since, other.gone, other.gone_at
end

--- Takes in the outcome of a compare-and-swap.
---@param outcome "ok"|"lost"|"unknown"|"fatal"
---@param record? konductor.Record
function View:settle(outcome, record)
  if outcome == "ok" or outcome == "lost" and record then
    self:see(record --[[@as konductor.Record]])
  elseif outcome == "lost" then
    self:see_absent()
  end
end

--- Reads the object. *waits*
---@param give_up_at? number
---@return boolean? ok
---@return string? code
---@return string? detail
function View:refresh(give_up_at)
  while true do
    local before = self.rev
    -- what was seen to be deleted does not come back as it was
    local min_rev = self.record and before or before + 1
    local record, code, detail = cas.get(self.w, self.kind, self.name, give_up_at, min_rev, self.how)
    if record then
      self:see(record)
      if self.record then
        return true
      end
    elseif code ~= "absent" then
      return nil, code, detail
    elseif self.rev == before then
      self:see_absent()
      return true
    end
    -- something newer came in while that answer travelled: it may be older than that
  end
end

--- Takes in an event of its inbox.
---@param event konductor.Event
---@return boolean mine     it spoke of this object or of its holder
---@return string? code     the read that it made necessary failed
---@return string? detail
function View:take(event, give_up_at)
  if event.type == "gone" then
    if event.session ~= self.peer_session then
      return false
    end
    self.gone, self.gone_at = true, self.w.now()
    self.changes = self.changes + 1
    -- what it wrote last may not have been told yet: it may have given the hold to another
  elseif event.type ~= "changed" or event.kind ~= self.kind or event.name and event.name ~= self.name then
    return false
  end
  if event.record then
    self:see(event.record)
    return true
  end
  local ok, code, detail = self:refresh(give_up_at)
  if not ok then
    return true, code, detail
  end
  return true
end

--- Lets the event come that the store has put off for others' sake.
---@return boolean came
function View:catch_up()
  local watch = self.watch
  return watch.catch_up ~= nil and watch:catch_up()
end

--- Ends its subscriptions.
function View:close()
  self.watch:close()
  if self.peer then
    self.peer:close()
    self.peer = nil
  end
end

return M
