--- Opens the store of a Kubernetes connection, and keeps its credentials fresh.
---
--- A token in a file is read again by the store itself. An exec plugin runs again before what it gave ends, and when the
--- server refuses it; certificates in files are read again when the server refuses them.

local core = require "konductor.core"

local M = {}

local FIRST_RETRY_MS, LAST_RETRY_MS = 1000, 30000
-- A plugin that gives what the server refuses must not run all the time.
local MIN_PAUSE_MS = 1000
local SHARE_LEFT, MAX_LEFT_MS = 0.2, 300000

--- When credentials that end in some time are asked for again: when a fifth of it is left, at most five minutes.
---@param expires_in_ms? number
---@return number? after_ms
function M.refresh_after(expires_in_ms)
  if not expires_in_ms then
    return nil
  end
  return math.max(MIN_PAUSE_MS, expires_in_ms - math.min(expires_in_ms * SHARE_LEFT, MAX_LEFT_MS))
end

-- Certificate and key, if one of them comes from a file and is another one now.
local function read_pair(connection, last)
  local pair = { cert = connection.cert, key = connection.key }
  for what, path in pairs { cert = connection.cert_file, key = connection.key_file } do
    local text, code, detail = core.read_file(path)
    if not text then
      return nil, code, detail
    end
    pair[what] = text
  end
  if pair.cert == last.cert and pair.key == last.key then
    return nil, "denied", ("the certificate of %s is still the one that was refused"):format(connection.from)
  end
  return pair
end

-- Asks for other credentials than the last ones.
local function ask(connection, last, world)
  if connection.exec then
    return require("konductor.kube.exec_plugin").run(connection.exec, connection, world)
  elseif connection.cert_file or connection.key_file then
    return read_pair(connection, last)
  end
  return nil, "denied", connection.from .. " has no others"
end

---@class konductor.Keeper     what keeps the credentials of a store fresh
---@field store userdata
---@field connection konductor.KubeConnection
---@field world konductor.World
---@field last table           what the store has
---@field asked_at number
---@field due_at? number       when it is asked again without being told
---@field pause number         after the next failure
local Keeper = {}
Keeper.__index = Keeper

function Keeper:take(identity)
  local after = M.refresh_after(identity.expires_in_ms)
  self.last, self.due_at, self.pause = identity, after and self.asked_at + after, FIRST_RETRY_MS
end

-- A timer that finds nothing tries again; a refusal is told to whoever waits, and the next one asks again.
function Keeper:miss(detail, is_due)
  if is_due then
    self.due_at = self.asked_at + self.pause
    self.pause = math.min(self.pause * 2, LAST_RETRY_MS)
    self.world.log("warn", ("no fresh credentials, trying again: %s"):format(detail))
  end
end

function Keeper:renew(is_due)
  local wait = self.asked_at + MIN_PAUSE_MS - self.world.now()
  if wait > 0 and not self.world.sleep(wait) then
    return false
  end
  local identity, code, detail = ask(self.connection, self.last, self.world)
  self.asked_at = self.world.now()
  if identity then
    self:take(identity)
    self.store:credentials { token = identity.token, cert = identity.cert, key = identity.key }
  elseif code == "cancelled" then
    return false
  else
    self:miss(detail, is_due)
    self.store:credentials { failed = detail }
  end
  return true
end

local function keep_fresh(keeper, inbox)
  while true do
    local event, why = inbox:wait(keeper.due_at)
    if not event and why ~= "timeout" then
      return
    elseif event and event.type == "warning" then
      keeper.world.log("warn", event.detail)
    elseif not keeper:renew(event == nil) then
      return
    end
  end
end

---@param choice konductor.StoreChoice
---@param session string
---@param world konductor.World
---@return userdata? store
---@return string? word
---@return string? sentence
function M.open(choice, session, world)
  local connection = choice.connection
  for _, sentence in ipairs(connection.warnings) do
    world.log("warn", sentence)
  end
  local identity, store, word, detail = connection
  local asked_at = world.now()
  if connection.exec then
    identity, word, detail = require("konductor.kube.exec_plugin").run(connection.exec, connection, world,
      { is_opening = true })
    if not identity then
      return nil, word, detail
    end
    asked_at = world.now()
  end
  local cert, key = identity.cert or connection.cert, identity.key or connection.key
  local ok, ended, fault = core.tls_check { cert = cert, key = key }
  if not ok then
    return nil, ended, ("%s: %s"):format(connection.from, fault)
  elseif ended then
    world.log("warn", ("%s: client-certificate has ended at %s; get a new one"):format(connection.from, ended))
  end
  local inbox = core.inbox()
  store, word, detail = core.kube {
    dialect = choice.kind, namespace = choice.namespace, session = session, inbox = inbox,
    origin = connection.from, server = connection.server, ca = connection.ca, insecure = connection.insecure,
    tls_server_name = connection.tls_server_name, proxy = connection.proxy,
    cert = cert, key = key, token = identity.token,
    token_file = connection.token_file, username = connection.username, password = connection.password,
  }
  if not store then
    return nil, word, ("%s: %s"):format(connection.from, detail)
  end
  local keeper = setmetatable({
    store = store, connection = connection, world = world, asked_at = asked_at, pause = FIRST_RETRY_MS,
  }, Keeper)
  keeper:take(identity)
  core.task(nil, keep_fresh, keeper, inbox)
  return store
end

return M
