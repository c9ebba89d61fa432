--- What chunks of tests/e2e/kube/test_store*.py begin with: a store of the environment's server, a world on it, and
--- show(), which prints its arguments as one line of JSON.

package.path = "tests/lua/?.lua;" .. package.path
local core = require "konductor.core"
local real = require "konductor.real"

local M = { core = core, env = core.environ(), LIMIT_MS = 20000 }
local env = M.env

function M.show(...)
  local list = core.json.array {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    list[i] = value == nil and "nil" or value
  end
  core.write(1, assert(core.json.encode(list)) .. "\n")
end

--- A store of the environment's server, changed by the options; false takes one away.
function M.open(options)
  local all = {
    dialect = "kube", session = core.random_hex(16), server = env.KUBE_SERVER, ca = env.KUBE_CA, token = env.KUBE_TOKEN,
    namespace = env.KUBE_NAMESPACE,
  }
  for key, value in pairs(options or {}) do
    all[key] = value or nil
  end
  if all.ca == "" then
    all.ca = nil
  end
  return core.kube(all)
end

function M.world(options)
  local store = assert(M.open(options))
  local world = real.new {
    session = core.random_hex(16), holder = "test", log = { log = function() end },
    open_store = function() return store end,
  }
  return world, store
end

--- Waits for the answer of a method of a store itself.
function M.answer(value, ...)
  if value ~= core.pending then
    return value, ...
  end
  local inbox = ...
  local event = assert(inbox:wait(core.now() + M.LIMIT_MS))
  if event.code then
    return nil, event.code, event.detail
  end
  return event.value
end

--- The next event of a type, others are dropped.
function M.await(inbox, want)
  local limit = core.now() + M.LIMIT_MS
  while true do
    local event, code = inbox:wait(limit)
    if not event then
      error("no " .. want .. ": " .. tostring(code), 2)
    elseif event.type == want then
      return event
    end
  end
end

return M
