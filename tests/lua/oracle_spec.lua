--- The oracle of the simulator, on worlds made by hand: each rule finds what it is there for, and nothing else.

local oracle = require "konductor.sim.oracle"

local function run(replica, from, to, more)
  local made = { replica = replica, session = replica, from_us = from, to_us = to, code = 0, argv = { "x" },
    env = { KONDUCTOR_ONCE = "job", KONDUCTOR_TOKEN = "1" } }
  for key, value in pairs(more or {}) do
    made[key] = value
  end
  return made
end

local function lease(number)
  return { env = { KONDUCTOR_LEASE = "boss", KONDUCTOR_TOKEN = tostring(number) } }
end

local function world(...)
  return { runs = { ... }, history = {}, t_us = 0 }
end

local function rules(found)
  local list = {}
  for i, finding in ipairs(found) do
    list[i] = finding.rule
  end
  return table.concat(list, " ")
end

local function judged(s, deleted)
  local found = {}
  oracle.judge_runs(s, found, deleted)
  return found
end

describe("who works when", function()
  it("is well when one begins after the other", function()
    assert.same({}, judged(world(run("a", 0, 10, lease(1)), run("b", 10, 20, lease(2)))))
  end)

  it("is an overlap when two work at once, and it says who and when", function()
    local found = judged(world(run("a", 0, 2000000, lease(1)), run("b", 1500000, 3000000, lease(2))))
    assert.equal("OVERLAP", rules(found))
    assert.equal(1500000, found[1].at_us)
    assert.equal("Lease/boss: b works from 1.500 s on, and a until 2.000 s", found[1].text)
  end)

  it("is an overlap too when the first never ends", function()
    local endless = lease(1)
    local first = run("a", 0, nil, endless)
    first.to_us = nil
    assert.equal("OVERLAP", rules(judged(world(first, run("b", 5, 6, lease(2))))))
  end)

  it("does not count the time in which one stood still", function()
    local frozen = lease(1)
    frozen.pauses = { { from_us = 5, to_us = 30 } }
    assert.same({}, judged(world(run("a", 0, 30, frozen), run("b", 10, 20, lease(2)))))
  end)

  it("counts what it does after it went on", function()
    local frozen = lease(1)
    frozen.pauses = { { from_us = 5, to_us = 15 } }
    assert.equal("OVERLAP", rules(judged(world(run("a", 0, 30, frozen), run("b", 10, 20, lease(2))))))
  end)

  it("is asked of each object by itself", function()
    assert.same({}, judged(world(run("a", 0, 10, lease(1)), run("b", 0, 10))))
  end)

  it("is not asked where records were deleted", function()
    assert.same({}, judged(world(run("a", 0, 20, lease(1)), run("b", 10, 30, lease(1))), true))
  end)
end)

describe("numbers", function()
  it("grow from run to run, and a hold may have many commands", function()
    assert.same({}, judged(world(run("a", 0, 5, lease(1)), run("a", 5, 9, lease(1)), run("b", 10, 20, lease(2)))))
  end)

  it("that come twice or fall are found", function()
    for _, number in ipairs { 1, 2 } do
      local found = judged(world(run("a", 0, 5, lease(2)), run("b", 10, 20, lease(number))))
      assert.equal("FENCE", rules(found))
      assert.equal(10, found[1].at_us)
    end
  end)

  it("are watched in the store, over a deletion", function()
    local found, s = {}, { t_us = 7, store = { listeners = {} } }
    oracle.guard_fences(s, found)
    local function write(number)
      s.store.listeners[1] { verb = "replace", kind = "Lease", name = "x", object = { status = { fence = number } } }
    end
    write(3)
    s.store.listeners[1] { verb = "delete", kind = "Lease", name = "x" }
    write(3)
    assert.same({}, found)
    write(2)
    assert.equal("FENCE", rules(found))
    assert.equal("Lease/x: number 2 is written after 3", found[1].text)
  end)
end)

describe("the order of stages", function()
  local FLOW = { { name = "shop", stages = { { name = "a", object = "shop.a", after = {} },
    { name = "b", object = "shop.b", after = { "a" } } } } }

  local function stage(name, from, to, code)
    local made = run("r1", from, to, { env = { KONDUCTOR_ONCE = "shop." .. name, KONDUCTOR_TOKEN = "1" } })
    made.code = code or 0
    return made
  end

  local function ordered(s)
    local found = {}
    oracle.judge_order(s, FLOW, found)
    return found
  end

  it("is kept when the one before has ended well", function()
    assert.same({}, ordered(world(stage("a", 0, 5, 1), stage("a", 6, 9), stage("b", 9, 12))))
  end)

  it("is kept when a first try was frozen and ends late", function()
    assert.same({}, ordered(world(stage("a", 0, 50), stage("a", 6, 9), stage("b", 9, 12))))
  end)

  it("knows when a function was done, which is no command", function()
    local stages = { { name = "a", object = "shop.a", after = {}, fn = print }, FLOW[1].stages[2] }
    local flow = { { name = "shop", stages = stages } }
    local s, found = world(stage("b", 9, 12)), {}
    s.history = {
      { event = "start", kind = "Once", name = "shop.a", session = "r1", fence = 1, holder = "r1", t_us = 0 },
      { event = "stop", kind = "Once", name = "shop.a", session = "r1", fence = 1, holder = "r1", t_us = 9, code = 0 },
    }
    oracle.judge_order(s, flow, found)
    assert.same({}, found)
    s.history[2].code = 1
    oracle.judge_order(s, flow, found)
    assert.equal("ORDER", rules(found))
  end)

  it("is broken by one that begins too early, or after a failure", function()
    assert.equal("ORDER", rules(ordered(world(stage("a", 0, 5), stage("b", 4, 12)))))
    local found = ordered(world(stage("a", 0, 5, 1), stage("b", 6, 12)))
    assert.equal("r1 starts stage b at 0.000 s, and a is done at no time", found[1].text)
  end)

  it("is broken by a main before the last stage", function()
    local s = world(stage("a", 0, 5), stage("b", 6, 12))
    s.history = { { event = "main", phase = "start", flow = "shop", holder = "r2", t_us = 11 } }
    assert.equal("r2 starts its main at 0.000 s, and stage b is not done", ordered(s)[1].text)
    s.history[1].t_us = 12
    assert.same({}, ordered(s))
  end)
end)

describe("work that is at most once", function()
  it("begins once", function()
    local found = {}
    oracle.judge_at_most_once(world(run("a", 0, 5), run("a", 5, 9)), { ["Once/job"] = true }, found)
    assert.same({}, found)
  end)

  it("is found when it begins twice, where that was promised", function()
    local found, s = {}, world(run("a", 0, 5), run("a", 5, 6), run("b", 9, 12))
    s.runs[3].env = { KONDUCTOR_ONCE = "job", KONDUCTOR_TOKEN = "2" }
    oracle.judge_at_most_once(s, {}, found)
    assert.same({}, found)
    oracle.judge_at_most_once(s, { ["Once/job"] = true }, found)
    assert.equal("TWICE", rules(found))
  end)
end)
