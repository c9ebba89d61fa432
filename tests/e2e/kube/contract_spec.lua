--- The Kubernetes stores under the contract that every store keeps, on the real API server that
--- test_contract.py has started and named in the environment. lua_tests runs it.

package.path = "tests/lua/?.lua;" .. package.path
local core = require "konductor.core"
local contract = require "contract.store"
local real = require "konductor.real"

local env = core.environ()

local function session()
  return core.random_hex(16)
end

--- A world on a store of its own, as another process would have it.
local function world_on(dialect, id)
  local store = assert(core.kube {
    dialect = dialect, session = id, server = env.KUBE_SERVER, ca = env.KUBE_CA, token = env.KUBE_TOKEN,
    namespace = env.KUBE_NAMESPACE,
  })
  local world = real.new {
    session = id, holder = "test", log = { log = function() end }, open_store = function() return store end,
  }
  return world, store
end

for _, dialect in ipairs { "kube", "kube-lease" } do
  describe("the " .. dialect .. " store", function()
    local names = 0
    local h = {
      grain_ms = 1000, -- API servers write whole seconds
      fresh_name = function()
        names = names + 1
        return "contract-" .. names
      end,
    }
    for _, claim in ipairs(contract) do
      if claim.needs ~= "kill" then -- no API server knows of dead processes
        it(claim.name, function()
          local ids = { session(), session() }
          local one, first = world_on(dialect, ids[1])
          local two, second = world_on(dialect, ids[2])
          claim.run(one, two, h)
          first:close()
          second:close()
        end)
      end
    end
  end)
end
