package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local history = require "konductor.history"
local konductor = require "konductor.init"
local script = require "konductor.script"
local sim = require "konductor.sim.world"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local SOURCE = read "scripts/semaphore.lua"

--- Starts scripts/semaphore.lua as a replica of the simulated world. Gives the process, whose value
--- is what the script raised, or nil. `source` is another script.
local function start(s, name, env, source)
  local environ = { PERMITS = "2", SEMAPHORE = "gpu" }
  for key, value in pairs(env or {}) do
    environ[key] = value
  end
  return s:start(name, function(w)
    local context = {
      world = w, environ = environ, command = { "work" }, json = {}, make = konductor.new, chunkname = "@semaphore.lua",
      planning = false, grace_ms = 25000, read_file = function() end, exit_code = function() return 70 end,
      signal = function() return 15 end, stop_signal_now = function() return 15 end,
    }
    local loaded = script.load(context, source or SOURCE)
    if loaded.mistakes then
      return table.concat(loaded.mistakes, "\n")
    end
    return loaded.failure and loaded.failure.sentence
  end)
end

local function start_many(s, count, env)
  local replicas = {}
  for i = 1, count do
    replicas[i] = start(s, "r" .. i, env)
  end
  return replicas
end

--- The most commands that really ran at the same time.
local function most_at_once(s)
  local most = 0
  for _, run in ipairs(s.runs) do
    local count = 0
    for _, other in ipairs(s.runs) do
      if other.from_us <= run.from_us and (other.to_us or math.huge) > run.from_us then
        count = count + 1
      end
    end
    most = math.max(most, count)
  end
  return most
end

local function judge(s, permits, is_open)
  local found = history.check(s.history, { capacity = { ["Semaphore/gpu"] = permits }, open = is_open })
  assert.same({}, found.violations)
  assert.is_true(most_at_once(s) <= permits)
end

local function holders(s)
  local record = assert(s.store:get("Semaphore", "gpu"))
  return #record.status.holders
end

describe("the semaphore", function()
  it("runs as many at once as it has permits, and everybody in the end", function()
    local s = sim.new { seed = 3, commands = { work = { run_ms = 2000 } }, latency_ms = 2 }
    local replicas = start_many(s, 7)
    assert.is_true(s:run_until(cast.all_over(replicas), 60000))
    for _, replica in ipairs(replicas) do
      assert.is_true(replica.ok, replica.value)
      assert.is_nil(replica.value)
    end
    assert.equal(7, #s.runs)
    assert.equal(2, most_at_once(s))
    assert.equal(0, holders(s))
    judge(s, 2)
  end)

  it("lets work outlast the time to live of a permit, which is renewed", function()
    local s = sim.new { seed = 4, commands = { work = { run_ms = 100000 } } }
    local replicas = start_many(s, 3)
    assert.is_true(s:run_until(cast.all_over(replicas), 300000))
    assert.equal(3, #s.runs)
    for _, run in ipairs(s.runs) do
      assert.equal(100000000, run.to_us - run.from_us)
    end
    judge(s, 2)
  end)

  it("gives the permit of a process that is known to be dead to another at once", function()
    local s = sim.new { seed = 5, commands = { work = { run_ms = 60000 } } }
    local first = start_many(s, 2)
    s:run_until(function() return #s.runs == 2 end)
    local waiting = start(s, "late")
    s:run_for(1000)
    assert.equal(2, #s.runs)
    first[1]:crash()
    s:run_for(1000)
    assert.equal(3, #s.runs)
    assert.equal("late", s.runs[3].replica)
    assert.is_true(s:run_until(cast.all_over { first[2], waiting }, 200000))
    judge(s, 2)
  end)

  it("waits for the permit to lapse where the store cannot know who is dead", function()
    local s = sim.new { seed = 6, peers = false, commands = { work = { run_ms = 200000 } } }
    local first = start_many(s, 2)
    s:run_until(function() return #s.runs == 2 end)
    start(s, "late")
    s:run_for(1000)
    local crashed_at = s:time_ms()
    first[1]:crash()
    s:run_until(function() return #s.runs == 3 end)
    local waited = s:time_ms() - crashed_at
    assert.equal(15750 - 1000, waited)
    judge(s, 2, true)
  end)

  it("kills the work of a holder that cannot renew before another gets its permit", function()
    local cut = {}
    local s = sim.new { seed = 7, peers = false, commands = { work = { run_ms = 200000 } },
      fault = function(op) return cut[op.process] and { lose = "request" } or nil end }
    start_many(s, 2)
    s:run_until(function() return #s.runs == 2 end)
    start(s, "late")
    s:run_for(1000)
    cut.r1 = true
    assert.is_true(s:run_until(function() return #s.runs == 3 end, 60000))
    assert.equal("deadman", s.runs[1].by)
    judge(s, 2, true)
  end)

  it("kills the work of a frozen holder before another gets its permit", function()
    local s = sim.new { seed = 8, peers = false, commands = { work = { run_ms = 200000 } } }
    local first = start_many(s, 2)
    s:run_until(function() return #s.runs == 2 end)
    start(s, "late")
    s:run_for(1000)
    first[2]:freeze()
    assert.is_true(s:run_until(function() return #s.runs == 3 end, 60000))
    assert.is_true(s.runs[2].to_us < s.runs[3].from_us)
    first[2]:thaw()
    s:run_for(5000)
    assert.is_true(most_at_once(s) <= 2)
  end)

  it("gives its permit back when it is asked to stop", function()
    local s = sim.new { seed = 9, commands = { work = { run_ms = 60000, term_ms = 500 } } }
    local first = start_many(s, 2)
    s:run_until(function() return #s.runs == 2 end)
    local waiting = start(s, "late")
    s:run_for(1000)
    first[1]:stop()
    s:run_for(2000)
    assert.equal(3, #s.runs)
    assert.is_true(s:run_until(cast.all_over { first[2], waiting }, 200000))
    judge(s, 2)
  end)

  it("leaves without a trace when it is asked to stop while it waits", function()
    local s = sim.new { seed = 10, commands = { work = { run_ms = 5000 } } }
    local first = start_many(s, 2)
    s:run_until(function() return #s.runs == 2 end)
    local waiting = start(s, "late")
    s:run_for(1000)
    waiting:stop()
    assert.is_true(s:run_until(function() return waiting.done end, 1000))
    assert.is_true(s:run_until(cast.all_over(first), 60000))
    assert.equal(2, #s.runs)
    assert.equal(0, holders(s))
  end)

  it("ends with the exit code of a command that failed, and gives the permit back", function()
    local s = sim.new { seed = 11, commands = { work = { run_ms = 100, code = 3 } } }
    local replica = start(s, "a")
    assert.is_true(s:run_until(function() return replica.done end, 10000))
    assert.truthy(replica.value:find("work exited with 3", 1, true))
    assert.equal(0, holders(s))
  end)

  it("keeps a permit until it lapses when a descendant of the work may still run", function()
    local s = sim.new { seed = 13, commands = { work = { run_ms = 1000 } } }
    local replica = start(s, "a")
    s:run_until(function() return #s.runs == 1 end)
    for _, child in ipairs(replica.children) do
      child.unsure = true -- as when the guard itself was killed
    end
    assert.is_true(s:run_until(function() return replica.done end, 10000))
    assert.equal(1, holders(s))
  end)

  it("follows the record where replicas name different numbers of permits", function()
    local s = sim.new { seed = 12, commands = { work = { run_ms = 1000 } } }
    local one = start(s, "one", { PERMITS = "1" })
    s:run_for(10)
    local replicas = start_many(s, 4, { PERMITS = "3" })
    replicas[5] = one
    assert.is_true(s:run_until(cast.all_over(replicas), 60000))
    assert.equal(1, most_at_once(s))
    judge(s, 1)
  end)

  it("refuses a number of permits that is none", function()
    local s = sim.new {}
    local replica = start(s, "a", { PERMITS = "many" })
    assert.is_true(s:run_until(function() return replica.done end, 1000))
    assert.truthy(replica.value:find("PERMITS is not a number", 1, true))
  end)

  it("never gives out more than its permits while replicas crash and answers get lost", function()
    for seed = 1, 60 do
      local s
      s = sim.new { seed = seed, latency_ms = 5, peers = seed % 2 == 0, commands = { work = { run_ms = 4000 } },
        fault = function()
          local dice = s.chance:below(20)
          return dice == 0 and { lose = "answer" } or dice == 1 and { lose = "request" } or nil
        end }
      local replicas = start_many(s, 6)
      s:run_for(3000 + seed * 37)
      local victim = replicas[1 + seed % 6]
      if not victim.done then
        victim:crash()
      end
      assert.is_true(s:run_until(cast.all_over(replicas), 600000), "seed " .. seed)
      assert.is_true(#s.runs >= 5)
      judge(s, 2)
    end
  end)
end)

describe("k.policy", function()
  local function mistakes_of(source)
    local s = sim.new {}
    local process = s:start("a", function(w)
      local context = {
        world = w, environ = {}, json = {}, make = konductor.new, chunkname = "@x.lua", planning = false, grace_ms = 1,
        read_file = function() end, exit_code = function() return 65 end, signal = function() end,
      }
      return table.concat(script.load(context, 'local k = require "konductor"\n' .. source).mistakes or {}, "\n")
    end)
    s:run_until(function() return process.done end)
    assert(process.ok, process.value)
    return process.value
  end
  local RULES = "decide = print, held = print, renew = print, release = print"

  it("accepts a kind of one's own", function()
    assert.equal("", mistakes_of('k.policy { kind = "Gate", ' .. RULES .. ' }\nk.exec { "true" }'))
  end)

  for claim, case in pairs {
    ["a kind that is konductor's own"] = { 'kind = "Lease", ' .. RULES, "Lease is konductor's own" },
    ["a kind that is no word"] = { 'kind = "gate keeper", ' .. RULES, "gate keeper" },
    ["a function that is missing"] = { 'kind = "Gate", decide = print, held = print, renew = print', "release" },
    ["an unknown option, with the nearest"] = { 'kind = "Gate", relase = print, ' .. RULES, "release" },
  } do
    it("refuses " .. claim .. ", with file and line", function()
      local found = mistakes_of("k.policy { " .. case[1] .. " }")
      assert.truthy(found:find("x.lua:2: ", 1, true), found)
      assert.truthy(found:find(case[2], 1, true), found)
    end)
  end

  for claim, case in pairs {
    ["an act that there is not"] = { 'act = "take"', 'act = "grab"', 'decide: act gave "grab"; "take" or "wait" is' },
    ["a grant without a status"] = { 'act = "take", status = ', 'act = "take", stats = ', "decide: status gave nil" },
    ["no status to release with"] = { "return with_holders(others(record, me), me,", "return nil, (", "release gave" },
    ["no status to renew with"] = { "return with_holders(holders, me, record", "return nil, (record", "renew gave" },
  } do
    it("tells of " .. claim .. " instead of waiting or holding on in silence", function()
      local from, to = SOURCE:find(case[1], 1, true)
      local source = SOURCE:sub(1, from - 1) .. case[2] .. SOURCE:sub(to + 1)
      local s = sim.new { seed = 1, commands = { work = { run_ms = 20000 } } }
      local replica = start(s, "a", nil, source)
      s:run_until(function() return replica.done end, 60000)
      local told = tostring(replica.value)
      assert.truthy(told:find("k.policy Semaphore: " .. case[3], 1, true), told)
    end)
  end
end)
