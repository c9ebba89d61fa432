local metrics = require "konductor.metrics"

describe("metrics", function()
  local totals, now, unix

  before_each(function()
    now, unix = 5000, 1700000000
    totals = metrics.new("1.2.3", { now = function() return now end, unix = function() return unix end })
  end)

  local function text()
    return "\n" .. totals:render()
  end

  local function has(line)
    assert.truthy(text():find("\n" .. line .. "\n", 1, true), line .. " is not in" .. text())
  end

  local function take(name, fields)
    fields = fields or {}
    fields.kind, fields.name, fields.fence = fields.kind or "Lease", fields.name or "l", 7
    totals:take(name, fields)
  end

  it("count events by name, from zero on", function()
    has 'konductor_events_total{event="renew"} 0'
    take "renew"
    take "renew"
    has 'konductor_events_total{event="renew"} 2'
  end)

  it("know every event of the log", function()
    local file = assert(io.open "docs/reference/events.md")
    local documented = {}
    for row in file:lines() do
      -- | `join`, `leave` | when | fields |: a table of events has three columns
      local names = row:match "^| (`[^|]*) | [^|]* | [^|]* |$"
      for name in (names or ""):gmatch "`(%l+)`" do
        documented[#documented + 1] = name
      end
    end
    file:close()
    assert.is_true(#documented > 15)
    for _, name in ipairs(documented) do
      has(('konductor_events_total{event="%s"} 0'):format(name))
    end
  end)

  it("tell what is held, from the claim to its end", function()
    for _, ending in ipairs { "stop", "lost" } do
      take("claim", { ttl_ms = 15500 })
      has 'konductor_holding{kind="Lease",name="l"} 1'
      has 'konductor_fence{kind="Lease",name="l"} 7'
      has 'konductor_hold_ttl_seconds{kind="Lease",name="l"} 15.500'
      take(ending)
      has 'konductor_holding{kind="Lease",name="l"} 0'
    end
  end)

  it("tell of no hold after work whose release could not be written", function()
    take("claim", { ttl_ms = 15000 })
    take "start"
    take("stop", { code = 0 }) -- and no event release follows
    has 'konductor_holding{kind="Lease",name="l"} 0'
  end)

  it("tell when a hold was renewed last", function()
    take("accept", { ttl_ms = 15000 })
    has 'konductor_hold_renewed_timestamp_seconds{kind="Lease",name="l"} 1700000000'
    unix = 1700000005
    take "renew"
    has 'konductor_hold_renewed_timestamp_seconds{kind="Lease",name="l"} 1700000005'
  end)

  it("show the candidate that waits as one that holds nothing, with its counters at zero", function()
    take "join"
    has 'konductor_holding{kind="Lease",name="l"} 0'
    has 'konductor_holds_lost_total{kind="Lease",name="l"} 0'
    has 'konductor_runs_total{kind="Lease",name="l",result="failure"} 0'
    assert.falsy(text():find("konductor_fence{", 1, true))
  end)

  it("count runs by how they ended, and how long they took", function()
    for _, run in ipairs { { code = 0, by = "own" }, { code = 3 }, { code = 143, by = "stopped" },
      { code = 137, by = "deadman" }, { failed = "absent", code = 127 } } do
      take("start", { kind = "Once", name = "x" })
      now = now + 1500
      run.kind, run.name = "Once", "x"
      take("stop", run)
    end
    for result, count in pairs { success = 1, failure = 2, stopped = 1, killed = 1 } do
      has(('konductor_runs_total{kind="Once",name="x",result="%s"} %d'):format(result, count))
    end
    has 'konductor_run_duration_seconds_sum{kind="Once",name="x"} 7.500'
    has 'konductor_run_duration_seconds_count{kind="Once",name="x"} 5'
    has 'konductor_last_exit_code{kind="Once",name="x"} 127'
  end)

  it("tell whether the process waits, and whether it is initialized", function()
    has "konductor_waiting 0"
    has "konductor_initialized 0"
    totals.is_waiting, totals.is_initialized = true, true
    has "konductor_waiting 1"
    has "konductor_initialized 1"
  end)

  it("have nothing of objects that are only skipped or waited for", function()
    take("skip", { kind = "Once", name = "done" })
    take("wait", { kind = "Once", name = "busy" })
    assert.falsy(text():find('name="', 1, true))
  end)

  it("stay of a size when a process works through ever new names, and keep what is held", function()
    take("claim", { name = "boss" })
    for i = 1, 500 do
      take("claim", { kind = "Once", name = "job-" .. i })
      take("stop", { kind = "Once", name = "job-" .. i, code = 0 })
    end
    has 'konductor_holding{kind="Lease",name="boss"} 1'
    has 'konductor_runs_total{kind="Once",name="job-500",result="success"} 1'
    local _, count = text():gsub("\nkonductor_holding{", "")
    assert.equal(100, count)
  end)

  it("have a help and a type before the values of each name", function()
    take("claim", { ttl_ms = 1 })
    local seen = {}
    for line in totals:render():gmatch "[^\n]+" do
      local name = line:match "^# TYPE ([%w_]+) %l+$"
      if name then
        seen[name] = true
      elseif line:sub(1, 1) ~= "#" then
        local metric = line:match "^[%w_]+"
        assert.is_true(seen[metric] or seen[metric:gsub("_sum$", ""):gsub("_count$", "")], line)
      end
    end
    assert.is_true(seen.konductor_info)
  end)
end)
