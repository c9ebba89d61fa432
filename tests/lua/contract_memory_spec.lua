--- The in-memory store under the contract that every store keeps.

package.path = "tests/lua/?.lua;" .. package.path
local contract = require "contract.store"
local sim = require "konductor.sim.world"

local shapes = {
  { name = "bare events", options = {} },
  { name = "records in events and latency", options = { watch_sends_record = true, latency_ms = 3 } },
}

for _, shape in ipairs(shapes) do
  describe("the in-memory store with " .. shape.name, function()
    for _, claim in ipairs(contract) do
      it(claim.name, function()
        local s = sim.new(shape.options)
        local other = s:boot("other")
        local names = 0
        local h = {
          kill = function() other:crash() end,
          fresh_name = function()
            names = names + 1
            return "contract-" .. names
          end,
        }
        local process = s:start("one", function(w) claim.run(w, other.world, h) end)
        assert.is_true(s:run_until(function() return process.done end), "it never ended")
        assert(process.ok, process.value)
      end)
    end
  end)
end
