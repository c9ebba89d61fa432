--- The store of the simulated world: an API server in memory (apiserver.lua), the records in it
--- (kube_store.lua), and no network around them. Calls are answered at once; what may happen to a
--- call on its way is the business of link.lua.

local apiserver = require "konductor.sim.apiserver"
local kube_store = require "konductor.sim.kube_store"

local M = {}

--- The world's watches are link.lua's: all that the server's own memory of events serves is stale reads.
local WINDOW = 32

---@class konductor.sim.Store
---@field server konductor.sim.ApiServer
---@field listeners fun(change: table)[]  told each commit: verb, kind, name, rev, by, object; the object
---  is the server's own and not to be changed, nil when it was deleted
local Store = {}
Store.__index = Store

local VERBS = { ADDED = "create", MODIFIED = "replace", DELETED = "delete" }

local function tell(self, event)
  local kind, name = kube_store.identify(event.object)
  local change = {
    verb = VERBS[event.type], kind = kind, name = name, rev = event.rev, by = kube_store.by(event.manager),
    object = event.type ~= "DELETED" and event.object or nil,
  }
  for i = 1, #self.listeners do
    self.listeners[i](change)
  end
end

---@param options {now_ms: (fun(): integer), hex: fun(): string}
---@return konductor.sim.Store
function M.new(options)
  local server = apiserver.new { now_ms = options.now_ms, uid = options.hex, window = WINDOW }
  local self = setmetatable({ server = server, kube = kube_store.new(server), listeners = {} }, Store)
  server.listeners[1] = function(event) tell(self, event) end
  return self
end

--- The record that an object is, as of now.
---@return konductor.Record
function Store:record(object)
  return kube_store.record(object, self.server:date())
end

---@return konductor.Record?, string?, string?
function Store:get(kind, name)
  return self.kube:get(kind, name)
end

local STALE = { stale = true }

--- What a server that lags behind would answer: the state before the last write of that record.
---@return konductor.Record?, string?, string?
function Store:get_stale(kind, name)
  return self.kube:get(kind, name, STALE)
end

---@return konductor.Record[]?, string?, string?
function Store:list(kind)
  return self.kube:list(kind)
end

---@return konductor.Record?, string?, string?
function Store:create(kind, name, spec)
  return self.kube:create(kind, name, kube_store.copy(spec))
end

---@param record {kind: string, name: string, uid: string, rev: integer}
---@param status table
---@param how? {by?: string}
---@return konductor.Record?, string?, string?
function Store:replace(record, status, how)
  return self.kube:replace(record, kube_store.copy(status), how)
end

---@return boolean?, string?, string?
function Store:delete(record)
  return self.kube:delete(record)
end

M.copy = kube_store.copy

return M
