--- Scripts in the in-memory world: what is found before anything runs, what runs when, and
--- whole scripts on several replicas.

package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local konductor = require "konductor.init"
local runner = require "konductor.runner"
local script = require "konductor.script"
local sim = require "konductor.sim.world"

local CODES = { script = 65, stuck = 70, timeout = 75, superseded = 76, in_doubt = 77, lost = 75 }
local HEAD = 'local k = require "konductor"\n'
local json = { array = function(list) return list end }

local function context_of(w, more)
  local context = {
    world = w, environ = {}, json = json, make = konductor.new, chunkname = "@init.lua", planning = false,
    grace_ms = 25000, read_file = function() end, exit_code = function(word) return CODES[word] end,
    signal = function() end,
  }
  for key, value in pairs(more or {}) do
    context[key] = value
  end
  return context
end

--- Starts a script as a replica. Its value: the exit code, or the text of its mistakes.
local function start(s, name, source, more)
  return s:start(name, function(w)
    local context = context_of(w, more)
    local loaded = script.load(context, HEAD .. source)
    if loaded.mistakes then
      return table.concat(loaded.mistakes, "\n")
    elseif loaded.failure then
      return loaded.failure.sentence
    end
    return runner.run(context)
  end)
end

local function new(options)
  options = options or {}
  local logged = {}
  options.on_log = function(process, level, text)
    logged[#logged + 1] = ("%s %s: %s"):format(process.name, level, text)
  end
  return sim.new(options), logged
end

local function commands(s)
  local list = {}
  for i, run in ipairs(s.runs) do
    list[i] = run.argv[1]
  end
  return table.concat(list, " ")
end

--- Runs one script alone; its value, the commands that ran, and what it logged.
local function run(source, more)
  local s, logged = new { commands = { step = { run_ms = 5 }, forever = { run_ms = 3600000 } } }
  local process = start(s, "a", source, more)
  s:run_until(function() return process.done end)
  assert.is_true(process.done)
  return process.value, commands(s), table.concat(logged, "\n"), s
end

describe("before anything runs", function()
  it("finds the mistakes behind waiting calls, and makes none of these", function()
    local value, ran = run [[
      k.exec { "migrate" }
      k.lease("db"):with({ ttl = "1m" }, function() k.exec { "backup" } end)
      k.sleep "10"
      k.flow "shop" { k.stage "init" { rum = { "x" } } }
    ]]
    assert.equal("", ran)
    assert.truthy(value:find('init.lua:4: k.sleep: bad duration "10"', 1, true))
    assert.truthy(value:find('init.lua:5: k.stage "init": unknown option "rum"; did you mean "run"?', 1, true))
    assert.truthy(value:find('init.lua:5: k.stage "init": option "run" is missing', 1, true))
  end)

  it("looks through a loop that waits only once", function()
    local value, ran, logged = run [[
      local left = 3
      while left > 0 do
        k.exec { "step" }
        left = left - 1
        k.log("left " .. left)
      end
    ]]
    assert.equal(0, value)
    assert.equal("step step step", ran)
    assert.equal("a info: left 2\na info: left 1\na info: left 0", logged)
  end)

  it("cannot be held up by a pcall around a waiting call in an endless loop", function()
    local value = run [[
      k.lease "a" { mian = {} }
      while true do pcall(k.exec, { "step" }) end
    ]]
    assert.truthy(value:find('unknown option "mian"; did you mean "main"?', 1, true))
  end)

  it("does not run a script again that has written something by then", function()
    local value, ran, logged = run [[
      k.log "once"
      os.remove "/nonexistent/file"
      k.exec { "step" }
      k.log "after"
    ]]
    assert.equal(0, value)
    assert.equal("step", ran)
    assert.equal("a info: once\na info: after", logged)
  end)

  it("stops before the first waiting call of a script that has written something and has a mistake", function()
    local value, ran = run [[
      k.lease "A" { main = { "x" } }
      os.remove "/nonexistent/file"
      k.exec { "step" }
    ]]
    assert.truthy(value:find('init.lua:2: k.lease: bad name "A"', 1, true))
    assert.equal("", ran)
  end)

  it("finds unknown globals in functions that are not called", function()
    local value = run [[
      function helper() return undefined_name end
      k.once "x" { run = function() helper() end }
    ]]
    assert.equal('init.lua:2: there is no global "undefined_name"', value)
  end)

  it("lets functions of the script refer to globals of its own", function()
    local value, ran = run [[
      function step() k.exec { "step" } end
      k.once "x" { run = function() step() end }
    ]]
    assert.equal(0, value)
    assert.equal("step", ran)
  end)

  it("tells of a mistake once", function()
    local value = run [[ for _ = 1, 3 do k.lease("a"):wiht() end ]]
    assert.equal(1, select(2, value:gsub("did you mean", "")))
  end)

  it("refuses declarations in functions that run later", function()
    local value, ran, logged = run [[
      k.once "x" { retries = 0, run = function() k.flow "late" {} end }
    ]]
    assert.equal(1, value)
    assert.equal("", ran)
    assert.truthy(logged:find("init.lua:2: k.flow declares; it belongs to the script's own level", 1, true))
  end)

  it("compiles nothing but text", function()
    local s = new()
    local process = s:start("a", function(w)
      return script.load(context_of(w), string.dump(function() end)).mistakes[1]
    end)
    s:run_until(function() return process.done end)
    assert.equal("init.lua: this is bytecode; a script is text", process.value)
  end)
end)

describe("planning", function()
  it("records the waiting calls at the script's own level", function()
    local s = new()
    local process = s:start("a", function(w)
      local loaded = script.load(context_of(w, { planning = true }), HEAD .. [[
        os.remove "/nonexistent/file"
        k.exec { "step" }
        k.lease("db"):with({}, function() end)
        while true do k.sleep "1s" end
      ]])
      return loaded.program.steps
    end)
    s:run_until(function() return process.done end)
    assert.same({
      { what = "k.exec step", place = "init.lua:3" },
      { what = 'k.lease("db"):with', place = "init.lua:4" },
      { what = "k.sleep", place = "init.lua:5" },
    }, process.value)
  end)
end)

local SHOP = [[
k.flow "shop" {
  k.stage "migrate" { run = { "migrate" }, version = "1" },
  k.stage "seed" { after = "migrate", version = "1", run = function(ctx) ctx:exec { "seed" } end },
  k.stage "warm" { after = "migrate", version = "1", run = { "warm" } },
  k.main { "web" },
}
]]

local function count(s, word)
  local n = 0
  for _, each in ipairs(s.runs) do
    n = n + (each.argv[1] == word and 1 or 0)
  end
  return n
end

describe("a flow on five replicas", function()
  local COMMANDS = {
    migrate = { run_ms = 2000 }, seed = { run_ms = 700 }, warm = { run_ms = 500 }, web = { run_ms = 10 },
  }

  local function play(options, act)
    options.commands = COMMANDS
    local s, logged = new(options)
    local replicas = {}
    for i = 1, 5 do
      replicas[i] = start(s, "r" .. i, SHOP)
    end
    if act then
      act(s, replicas)
    end
    assert.is_true(s:run_until(cast.all_over(replicas)), table.concat(logged, "\n"))
    return s, replicas
  end

  it("runs each stage once, then main everywhere", function()
    local s, replicas = play {}
    for _, word in ipairs { "migrate", "seed", "warm" } do
      assert.equal(1, count(s, word))
    end
    assert.equal(5, count(s, "web"))
    for _, replica in ipairs(replicas) do
      assert.equal(0, replica.value)
    end
  end)

  it("works on independent stages side by side", function()
    local s = play {}
    local replica_of = {}
    for _, each in ipairs(s.runs) do
      replica_of[each.argv[1]] = each.replica
    end
    assert.not_equal(replica_of.seed, replica_of.warm)
  end)

  it("goes on when the one who migrates is killed, whether or not its peers hear of it", function()
    for _, peers in ipairs { true, false } do
      local s = play({ peers = peers }, function(s, replicas)
        s:run_until(function() return count(s, "migrate") == 1 end)
        for _, replica in ipairs(replicas) do
          if replica.name == s.runs[1].replica then
            replica:crash { silent = not peers }
          end
        end
      end)
      assert.equal(2, count(s, "migrate"))
      assert.equal(1, count(s, "seed"))
      assert.equal(4, count(s, "web"))
    end
  end)

  it("hands a stage on when its replica is asked to stop, and counts no attempt", function()
    local s = play({}, function(s, replicas)
      s:run_until(function() return count(s, "migrate") == 1 end)
      for _, replica in ipairs(replicas) do
        if replica.name == s.runs[1].replica then
          replica:stop(15)
        end
      end
    end)
    assert.equal(2, count(s, "migrate"))
    assert.equal(4, count(s, "web"))
    local attempts = {}
    for _, event in ipairs(s.history) do
      if event.event == "claim" and event.name == "shop.migrate" then
        attempts[#attempts + 1] = event.attempt
      end
    end
    assert.same({ 1, 1 }, attempts)
  end)
end)

describe("a hold around a function", function()
  it("ends a function that takes longer than its run_timeout, and says so", function()
    local value, ran, _, s = run [[
      local ok, failure = pcall(function()
        k.lease("db"):with({ run_timeout = "2s" }, function() k.exec { "forever" } end)
      end)
      k.exec { "step" }
      error(failure.code .. " " .. tostring(failure.exit) .. " " .. tostring(failure), 0)
    ]]
    assert.equal("forever step", ran)
    assert.equal('timeout 124 init.lua:3: k.lease("db"):with: the function took too long and was ended', value)
    assert.equal("stopped", s.runs[1].by)
  end)

  it("raises lost when the hold is lost, after its commands are dead", function()
    local s = new { commands = { forever = { run_ms = 3600000 } } }
    local process = start(s, "a", [[
      local ok, failure = pcall(function()
        k.lease("db"):with({ ttl = "9s" }, function() k.exec { "forever" } end)
      end)
      error(failure.code, 0)
    ]])
    s:run_until(function() return count(s, "forever") == 1 end)
    process:partition "both"
    s:run_until(function() return process.done end)
    assert.equal("lost", process.value)
    assert.is_truthy(s.runs[1].to_us)
  end)

  it("tells a function that was asked to end so, at its waiting call", function()
    local s, logged = new()
    local process = start(s, "a", [[
      k.lease("db"):with({}, function()
        local ok, failure = pcall(k.sleep, "1h")
        k.log("woken: " .. failure.code)
      end)
      k.log "never said"
    ]], { signal = function() return 15 end })
    s:run_for(1000)
    process:stop(15)
    s:run_until(function() return process.done end)
    local text = table.concat(logged, "\n")
    assert.truthy(text:find("woken: cancelled", 1, true))
    assert.is_nil(text:find("never said", 1, true))
  end)
end)

describe("a hold in a hold", function()
  it("takes its commands with it when the outer one is lost, however long its own ttl", function()
    local s = new { commands = { work = { run_ms = 3600000 } } }
    local process = start(s, "a", [[
      k.lease("out"):with({ ttl = "9s" }, function()
        k.lease("in"):with({ ttl = "10m" }, function() k.exec { "work" } end)
      end)
    ]])
    s:run_until(function() return count(s, "work") == 1 end)
    s:run_for(20000)
    assert.is_nil(s.runs[1].to_us, "renewals of the outer hold let it run on")
    process:partition "both"
    local cut_us = s.t_us
    s:run_until(function() return s.runs[1].to_us end)
    assert.is_true(s.runs[1].to_us - cut_us <= 9000000)
  end)
end)

describe("a hold that is too short for the store", function()
  local function kube() return 3000, "kube:shop at https://kube.test" end
  local SHORT = "is too short for the store kube:shop at https://kube.test; the shortest is 3s"

  for _, case in ipairs {
    { 'k.lease "boss" { ttl = "2s", main = { "step" } }', 'init.lua:2: k.lease "boss": ttl: 2s ' },
    { 'k.once "seed" { hold = "2999ms", run = { "step" } }', 'init.lua:2: k.once "seed": hold: 2.999s ' },
    { 'k.flow "f" {\n  k.stage "s" { hold = "1s", run = { "step" } },\n}', 'init.lua:3: k.stage "s": hold: 1s ' },
    { 'k.flow "f" {\n  hold = "1s",\n  k.stage "s" { run = { "step" } },\n}', 'k.flow "f": hold: 1s ' },
    { 'k.exec { "step" }\nk.lease("boss"):with({ ttl = "1s" }, function() end)', 'k.lease("boss"):with: ttl: 1s ' },
    { 'k.once("seed"):run({ hold = "1s" }, function() end)', 'k.once("seed"):run: hold: 1s ' },
  } do
    it(("is found before anything runs: %s"):format(case[2]), function()
      local value, ran = run(case[1], { shortest_hold = kube })
      assert.is_truthy(tostring(value):find(case[2] .. SHORT, 1, true), value)
      assert.is_truthy(tostring(value):find("^init.lua:%d"), value)
      assert.equal("", ran)
    end)
  end

  it("is none where the store grants any, and the store is not asked for where it is long enough", function()
    local source = 'k.lease "boss" { ttl = "%s", main = { "step" } }'
    assert.equal(0, (run(source:format "1s", { shortest_hold = function() end })))
    assert.equal(0, (run(source:format "3s", { shortest_hold = function() error "asked" end })))
  end)

  it("within a function raises at the line of the call, before anything of it runs", function()
    local value, ran = run([[
      k.once("seed"):run({}, function()
        k.exec { "step" }
        k.lease("boss"):with({ ttl = "1s" }, function() k.exec { "forever" } end)
      end)
    ]], { shortest_hold = kube })
    assert.is_truthy(tostring(value):find('init.lua:4: k.lease("boss"):with: ttl: 1s ' .. SHORT, 1, true), value)
    assert.equal("step step step step", ran) -- it failed, and was tried as often as such work is
  end)
end)
