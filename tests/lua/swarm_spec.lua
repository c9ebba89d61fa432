--- A few hundred worlds with faults by chance. A failing seed is replayed by its number.

package.path = "tests/lua/?.lua;" .. package.path
local swarm = require "lib.swarm"

local SEEDS = { Lease = 60, Once = 150, Flow = 30, Careful = 60 }

describe("by chance", function()
  for _, kind in ipairs { "Lease", "Once", "Flow", "Careful" } do
    it(("no %s in %d worlds has two runners, a number that falls, or nobody at the end"):format(kind, SEEDS[kind]),
      function()
        local runs = 0
        for seed = 1, SEEDS[kind] do
          local ok, broken = pcall(swarm.play, kind, seed)
          assert(ok, ("%s seed %d: %s"):format(kind, seed, tostring(broken)))
          runs = runs + #broken.runs
        end
        assert.is_true(runs > SEEDS[kind] / 2, "too little happened: " .. runs .. " runs")
      end)
  end

  it("no Lease is ended, kept from everybody or given to two by a queue that somebody garbles", function()
    for seed = 1, 30 do
      local ok, broken = pcall(swarm.play, "Lease", seed, { garbled = true })
      assert(ok, ("seed %d: %s"):format(seed, tostring(broken)))
    end
  end)

  it("a world without faults never ends work that its holder may do", function()
    for seed = 1, 20 do
      local s, faults = swarm.play("Lease", seed, { calm = true })
      for kind, count in pairs(faults.hits) do
        assert.equal(0, count, kind)
      end
      for i, run in ipairs(s.runs) do
        assert.is_true(run.to_us == nil or run.by ~= "deadman", ("seed %d, run %d"):format(seed, i))
      end
    end
  end)

  it("a seed plays the same world again", function()
    local function told(seed)
      local lines = {}
      for i, event in ipairs(swarm.play("Lease", seed).history) do
        lines[i] = event.t_us .. event.event .. event.session .. tostring(event.fence)
      end
      return table.concat(lines, "\n")
    end
    for seed = 1, 5 do
      assert.equal(told(seed), told(seed))
    end
    assert.is_false(told(1) == told(2))
  end)
end)
