--- Whole scripts in worlds of chance: what ships holds, what is broken is found, and a seed is the same world again.

local child = require "konductor.sim.child"
local konductor = require "konductor.init"
local replica = require "konductor.sim.replica"
local report = require "konductor.sim.report"
local seed_of = require "konductor.sim.seed"
local sim = require "konductor.sim.world"

local CODES = { script = 65, stuck = 70, store = 74, timeout = 75, superseded = 76, in_doubt = 77, lost = 75 }

local function script_of(source, more)
  local script = {
    text = 'local k = require "konductor"\n' .. source, chunkname = "@init.lua", environ = {},
    json = { array = function(list) return list end }, read_file = function() end, make = konductor.new,
    exit_code = function(word) return CODES[word] end,
  }
  for key, value in pairs(more or {}) do
    script[key] = value
  end
  return script
end

local function play_all(script, seeds, options)
  local totals = report.totals(1)
  for seed = 1, seeds do
    local result = seed_of.play(script, seed, options)
    assert.is_nil(result.mistakes, table.concat(result.mistakes or {}, "\n"))
    report.add(totals, result)
  end
  return totals
end

local function first_found(totals)
  local broken = totals.broken[1]
  return broken and ("seed %d: %s"):format(broken.seed, report.line(broken.found[1]))
end

local SHIPPED = {
  flow = [[
    k.flow "shop" {
      k.stage "migrate" { run = { "migrate" }, version = "1" },
      k.stage "index" { run = { "index" }, version = "1", after = "migrate" },
      k.stage "warm" { run = { "warm" }, version = "1", after = "migrate", mode = "AtMostOnce" },
      k.main { "serve" },
    }]],
  lease = 'k.lease "boss" { main = { "serve" } }',
  ["once with a function"] = 'k.once("job"):run({ version = "1" }, function(ctx) ctx:exec { "work" } end)',
  ["hold around a function"] = 'k.lease("lock"):with({}, function(hold) hold:exec { "work" } end)',
}

describe("in worlds of chance", function()
  for name, source in require("konductor.text").spairs(SHIPPED) do
    it("a " .. name .. " holds, and something was done and every kind of fault met", function()
      local totals = play_all(script_of(source), 40)
      assert.is_nil(first_found(totals))
      assert.is_true(totals.runs >= 40)
      for _, kind in ipairs { "crash", "freeze", "partition", "lose_answer", "late", "watch_loss" } do
        assert.is_true(totals.hits[kind] > 0, kind)
      end
    end)
  end

  it("without faults nothing is met, and a flow is done once by each stage's first run", function()
    local totals = play_all(script_of(SHIPPED.flow), 5, { only = {}, replicas = 3 })
    assert.is_nil(first_found(totals))
    for kind, count in pairs(totals.hits) do
      assert.equal(0, count, kind)
    end
    assert.equal(5 * (3 + 3), totals.runs) -- three stages, and the main of each replica
  end)
end)

describe("what is broken", function()
  it("is found when children have no deadman: two work at once", function()
    local spawn = child.spawn
    finally(function() child.spawn = spawn end)
    package.loaded["konductor.sim.process"] = nil
    package.loaded["konductor.sim.world"] = nil
    package.loaded["konductor.sim.seed"] = nil
    child.spawn = function(process, inbox, spec)
      spec.term_at, spec.kill_at = nil, nil
      local made, code, detail = spawn(process, inbox, spec)
      if made then
        made.arm = function() end
      end
      return made, code, detail
    end
    local broken_seed_of = require "konductor.sim.seed"
    local found
    for seed = 1, 40 do
      local result = broken_seed_of.play(script_of(SHIPPED.lease), seed)
      found = found or result.found[1]
    end
    package.loaded["konductor.sim.process"] = nil
    package.loaded["konductor.sim.world"] = nil
    package.loaded["konductor.sim.seed"] = nil
    assert.is_table(found)
    assert.equal("OVERLAP", found.rule)
  end)

  it("is found when nobody comes to an end", function()
    local result = seed_of.play(script_of [[k.once("nobody-does-this"):wait()]], 1, { only = {} })
    assert.equal("DEAD", result.found[1].rule)
  end)

  it("is told of a script before it is played", function()
    local result = seed_of.play(script_of [[k.flow "a" { k.stag "b" { run = { "x" } } }]], 1)
    assert.matches('init.lua:2: .*did you mean "k.stage"', table.concat(result.mistakes, "\n"))
  end)
end)

describe("a script in a simulation", function()
  local function mistakes_of(source)
    return table.concat(seed_of.play(script_of(source), 1).mistakes or {}, "\n")
  end

  it("reaches no clock, file or environment of the machine, and is told what to use", function()
    assert.equal("init.lua:2: os.time is not available in a simulation; use k.now", mistakes_of "local t = os.time()")
    assert.equal("init.lua:2: os.getenv is not available in a simulation; use k.env",
      mistakes_of 'local t = os.getenv "HOME"')
    assert.matches("io.open is not available in a simulation", mistakes_of 'io.open("/etc/passwd")')
    assert.matches("os.remove is not available", mistakes_of 'os.remove("x")')
    assert.matches("os.execute is not available in a simulation; use k.exec", mistakes_of 'os.execute("x")')
  end)

  it("finds the variables that it is given, and no others", function()
    local source = 'k.once "job" { version = k.env "TAG", run = { "work" } }'
    assert.matches("the environment variable TAG is not set", mistakes_of(source))
    assert.is_nil(first_found(play_all(script_of(source, { environ = { TAG = "1" } }), 3)))
  end)

  it("draws its chance from the seed, and what it prints is logged", function()
    local function printed()
      local lines = {}
      local options = { only = {}, replicas = 1, on_log = function(_, _, line) lines[#lines + 1] = line end }
      seed_of.play(script_of [[
        print("drawn", math.random(1000000), math.random() < 1, math.random(5, 5))
        k.once "job" { run = { "work" } }]], 7, options)
      return lines[1]
    end
    assert.matches("^drawn\t%d+\ttrue\t5$", printed())
    assert.equal(printed(), printed())
  end)
end)

describe("a seed", function()
  local function told(seed)
    local lines = {}
    for i, event in ipairs(seed_of.play(script_of(SHIPPED.lease), seed).history) do
      lines[i] = table.concat({ event.t_us, event.event, event.session, tostring(event.fence) }, " ")
    end
    return table.concat(lines, "\n")
  end

  it("is the same world again, and another one another", function()
    for seed = 1, 5 do
      assert.equal(told(seed), told(seed))
    end
    assert.is_false(told(1) == told(2))
  end)
end)

describe("a replica", function()
  it("ends with the exit code that the script would have", function()
    local s = sim.new { commands = { work = { run_ms = 5, code = 3 } } }
    local process
    process = s:start("a", replica.main(script_of 'k.exec { "work" }', function() return process end, {}))
    s:run_until(function() return process.done end)
    assert.equal(3, process.value)
  end)
end)
