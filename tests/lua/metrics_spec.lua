local metrics = require "konductor.metrics"

describe("metrics", function()
  local totals

  before_each(function()
    totals = metrics.new "1.2.3"
  end)

  local function has(line)
    assert.truthy(("\n" .. totals:render()):find("\n" .. line .. "\n", 1, true), totals:render())
  end

  it("count events by name", function()
    totals:take("renew", { kind = "Lease", name = "l", fence = 7 })
    totals:take("renew", { kind = "Lease", name = "l", fence = 7 })
    has 'konductor_events_total{event="renew"} 2'
  end)

  it("tell what is held, from the claim to its end", function()
    for _, ending in ipairs { "release", "lost", "superseded" } do
      totals:take("claim", { kind = "Lease", name = "l", fence = 7 })
      has 'konductor_holding{kind="Lease",name="l"} 1'
      has 'konductor_fence{kind="Lease",name="l"} 7'
      totals:take(ending, { kind = "Lease", name = "l", fence = 7 })
      has 'konductor_holding{kind="Lease",name="l"} 0'
    end
  end)

  it("count runs by their exit code", function()
    totals:take("stop", { kind = "Once", name = "x", code = 0 })
    totals:take("stop", { kind = "Once", name = "x", code = 3 })
    totals:take("stop", { kind = "Once", name = "x", code = 3 })
    has 'konductor_runs_total{kind="Once",name="x",code="3"} 2'
  end)

  it("have a help and a type before the values of each name", function()
    totals:take("claim", { kind = "Lease", name = "l", fence = 1 })
    local seen = {}
    for line in totals:render():gmatch "[^\n]+" do
      local name = line:match "^# TYPE ([%w_]+) %l+$"
      if name then
        seen[name] = true
      elseif line:sub(1, 1) ~= "#" then
        assert.is_true(seen[line:match "^([%w_]+){"], line)
      end
    end
    assert.is_true(seen.konductor_info)
  end)
end)
