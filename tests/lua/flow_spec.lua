local flow = require "konductor.flow"

local function names(stages)
  local list = {}
  for i, stage in ipairs(stages) do
    list[i] = stage.name
  end
  return table.concat(list, " ")
end

local function stage(name, after, more)
  local given = more or {}
  given.name, given.after = name, after
  return given
end

--- The flow of most tests: a diamond with a stage on its own.
---      a -> b -> d
---      a -> c -> d      e
local function diamond(main)
  return assert(flow.define("shop", {
    stage("a"), stage("b", "a"), stage("c", "a"), stage("d", { "b", "c" }), stage("e"),
  }, main))
end

local function states_of(text)
  local short = { d = "done", f = "free", h = "held", x = "failed", q = "doubt" }
  local states = {}
  for name, state in text:gmatch("(%w)=(%w)") do
    states[name] = { state = assert(short[state]) }
  end
  return states
end

describe("define", function()
  it("names the objects of stages after the flow, unless the stage names its own", function()
    local shop = assert(flow.define("shop", { stage("init"), stage("seed", nil, { object = "common-seed" }) }))
    assert.equal("shop.init", shop.by_name.init.object)
    assert.equal("common-seed", shop.by_name.seed.object)
  end)

  it("turns after into a list and keeps everything else that the script said", function()
    local given = stage("b", "a", { timeout = 5 })
    local shop = assert(flow.define("shop", { stage("a"), given }))
    assert.same({ "a" }, shop.by_name.b.after)
    assert.same({}, shop.by_name.a.after)
    assert.equal(5, shop.by_name.b.timeout)
    assert.equal("a", given.after)
  end)

  it("accepts a flow of nothing but a main", function()
    assert.equal("run", assert(flow.define("shop", {}, "run")).main)
  end)

  local refused = {
    { "an empty flow", {}, 'flow "shop" has neither a stage nor a main' },
    { "two stages of one name", { stage("a"), stage("b"), stage("a") },
      'flow "shop" has two stages named "a"', 3 },
    { "two stages with one object", { stage("a"), stage("b", nil, { object = "shop.a" }) },
      'stages "a" and "b" share the object "shop.a": the one that runs second would count as done', 2 },
    { "a stage that waits for itself", { stage("a", "a") }, 'stage "a" waits for itself', 1 },
    { "a misspelt stage, with the nearest name", { stage("migrate"), stage("seed", "migrat") },
      'stage "seed" waits for "migrat", which is no stage of flow "shop"; did you mean "migrate"?', 2 },
    { "an unknown stage, with the names there are", { stage("a"), stage("b"), stage("c", { "a", "warm-cache" }) },
      'stage "c" waits for "warm-cache", which is no stage of flow "shop"; the other stages are "a", "b"', 3 },
    { "an unknown stage in a flow of one", { stage("a", "before") },
      'stage "a" waits for "before", which is no stage of flow "shop"; it is the only stage', 1 },
    { "an empty list", { stage("a"), stage("b", {}) },
      'stage "b": after names no stage; leave it out if the stage waits for none', 2 },
    { "a name twice in one list", { stage("a"), stage("b", { "a", "a" }) }, 'stage "b": after names "a" twice', 2 },
    { "a number", { stage("a", 1) },
      'stage "a": after must be the name of a stage or a list of names, not a number', 1 },
    { "a number in the list", { stage("a"), stage("b", { "a", 7 }) },
      'stage "b": after[2] must be the name of a stage, not a number', 2 },
    { "a cycle of two", { stage("a", "b"), stage("b", "a") },
      "stages wait for each other in a circle: a -> b -> a", 1 },
    { "a cycle that others lead to and from", { stage("z"), stage("y", { "z", "c" }), stage("a", { "z", "b" }),
      stage("b", "c"), stage("c", "a") },
      "stages wait for each other in a circle: c -> a -> b -> c", 5 },
  }
  for _, case in ipairs(refused) do
    it("refuses " .. case[1], function()
      local made, mistake, index = flow.define("shop", case[2])
      assert.is_nil(made)
      assert.equal(case[3], mistake)
      assert.equal(case[4], index)
    end)
  end

  it("refuses an object whose name is longer than Kubernetes allows", function()
    local made, mistake, index = flow.define(("f"):rep(200), { stage(("s"):rep(53)) })
    assert.is_nil(made)
    assert.truthy(mistake:find("is 254 bytes long; at most 253 are allowed", 1, true))
    assert.equal(1, index)
    assert(flow.define(("f"):rep(200), { stage(("s"):rep(52)) }))
  end)
end)

describe("order", function()
  it("puts each stage after all that it waits for", function()
    local shop = assert(flow.define("shop", {
      stage("d", { "b", "c" }), stage("b", "a"), stage("c", "a"), stage("a"),
    }))
    assert.equal("a b c d", names(shop.order))
  end)

  it("keeps the declared order where nothing else decides", function()
    local shop = assert(flow.define("shop", { stage("z"), stage("m", "z"), stage("a"), stage("k") }))
    assert.equal("z m a k", names(shop.order))
  end)

  it("copes with five hundred stages in a row, declared backwards", function()
    local stages = {}
    for i = 1, 500 do
      stages[i] = stage("s" .. i, i < 500 and "s" .. (i + 1) or nil)
    end
    local shop = assert(flow.define("shop", stages))
    assert.equal("s500", shop.order[1].name)
    assert.equal("s1", shop.order[500].name)
  end)
end)

describe("ready", function()
  local shop = diamond()

  it("names what has all its upstreams done", function()
    assert.equal("a e", names(flow.ready(shop, states_of "a=f b=f c=f d=f e=f", 0)))
    assert.equal("b c e", names(flow.ready(shop, states_of "a=d b=f c=f d=f e=f", 0)))
    assert.equal("e", names(flow.ready(shop, states_of "a=d b=d c=h d=f e=f", 0)))
    assert.equal("d", names(flow.ready(shop, states_of "a=d b=d c=d d=f e=d", 0)))
  end)

  it("does not re-run what comes after an upstream whose record was collected", function()
    assert.equal("a", names(flow.ready(shop, states_of "a=f b=d c=d d=d e=d", 0)))
  end)

  it("leaves out a stage until its backoff has passed", function()
    local states = states_of "a=f b=f c=f d=f e=d"
    states.a.until_ms = 100
    assert.equal("", names(flow.ready(shop, states, 99)))
    assert.equal("a", names(flow.ready(shop, states, 100)))
  end)
end)

describe("decide", function()
  local shop = diamond("run")

  local function decide(text, me, now)
    return flow.decide(shop, states_of(text), me or {}, now or 0)
  end

  it("claims the first ready stage", function()
    assert.same({ act = "claim", stage = "a" }, decide "a=f b=f c=f d=f e=f")
  end)

  it("passes over a stage that another holds and claims an independent one", function()
    assert.same({ act = "claim", stage = "e" }, decide "a=h b=f c=f d=f e=f")
    assert.same({ act = "claim", stage = "c" }, decide "a=d b=h c=f d=f e=d")
  end)

  it("works on one stage at a time", function()
    local action = decide("a=h b=f c=f d=f e=f", { working = "a" })
    assert.equal("wait", action.act)
    assert.equal('working on "a"', action.why)
  end)

  it("waits, naming the holder, when all that is ready is held by others", function()
    local states = states_of "a=h b=f c=f d=f e=h"
    states.a.by, states.a.until_ms = "pod-2", 900
    states.e.by, states.e.until_ms = "pod-7", 800
    local action = flow.decide(shop, states, {}, 0)
    assert.same({ act = "wait", until_ms = 800,
      why = '"a" is being worked on by pod-2; "e" is being worked on by pod-7' }, action)
  end)

  it("waits for the end of a backoff", function()
    local states = states_of "a=f b=f c=f d=f e=d"
    states.a.until_ms = 100
    assert.same({ act = "wait", until_ms = 100, why = '"a" failed and is tried again soon' },
      flow.decide(shop, states, {}, 50))
    assert.same({ act = "claim", stage = "a" }, flow.decide(shop, states, {}, 100))
  end)

  it("goes on to main when every stage is done", function()
    assert.same({ act = "main" }, decide "a=d b=d c=d d=d e=d")
  end)

  it("goes on to main at once when there is no stage", function()
    assert.same({ act = "main" }, flow.decide(assert(flow.define("shop", {}, "run")), {}, {}, 0))
  end)

  it("still runs what does not depend on a failed stage", function()
    assert.same({ act = "claim", stage = "e" }, decide "a=x b=f c=f d=f e=f")
    assert.same({ act = "claim", stage = "c" }, decide "a=d b=x c=f d=f e=d")
  end)

  it("waits for independent work of others before it fails", function()
    assert.equal("wait", decide("a=x b=f c=f d=f e=h").act)
  end)

  it("never goes on to main past a failed stage", function()
    assert.equal("fail", decide("a=d b=d c=d d=d e=x").act)
  end)

  it("fails naming stage, attempts, last error, what was not run, and the way out", function()
    local states = states_of "a=d b=x c=d d=f e=d"
    states.b.attempts, states.b.error = 3, "exit code 4"
    assert.same({
      act = "fail", stage = "b", exit = 1,
      because = 'flow "shop": stage "b" failed for good after 3 attempts: exit code 4; when mended: '
        .. 'koncli once reset shop.b; not run: "d" (waits for "b")',
    }, flow.decide(shop, states, {}, 0))
  end)

  it("names the failed stage, not the one between, to all that wait for it", function()
    local action = decide "a=x b=f c=f d=f e=d"
    local victims = '"b" (waits for "a"), "c" (waits for "a"), "d" (waits for "a")'
    assert.truthy(action.because:find("not run: " .. victims, 1, true))
  end)

  it("tells of every failed stage", function()
    local action = decide "a=d b=x c=x d=f e=x"
    for _, object in ipairs { "shop.b", "shop.c", "shop.e" } do
      assert.truthy(action.because:find("koncli once reset " .. object, 1, true))
    end
  end)

  it("does not re-run an at-most-once stage in doubt, and exits 77", function()
    local action = decide "a=q b=f c=f d=f e=d"
    assert.equal("fail", action.act)
    assert.equal(77, action.exit)
    assert.truthy(action.because:find("koncli once resolve shop.a --ran or --not-run", 1, true))
  end)

  it("takes a reset stage up again", function()
    assert.equal("fail", decide("a=x b=f c=f d=f e=d").act)
    assert.same({ act = "claim", stage = "a" }, decide "a=f b=f c=f d=f e=d")
  end)

  it("lets the holder of a stage finish whose upstream was collected meanwhile", function()
    assert.same({ act = "claim", stage = "a" }, decide "a=f b=h c=d d=f e=d")
    assert.equal("wait", decide("a=h b=h c=d d=f e=d").act)
    assert.equal("wait", decide("a=x b=h c=d d=f e=d").act)
  end)

  it("ends in main or fail, whatever the outcome of each stage", function()
    -- Every combination of outcomes, each stage run by this replica as soon as decide says so.
    local outcomes = { "done", "failed", "doubt" }
    for code = 0, 3 ^ 5 - 1 do
      local states = states_of "a=f b=f c=f d=f e=f"
      local rest, outcome = code, {}
      for _, each in ipairs(shop.stages) do
        outcome[each.name] = outcomes[rest % 3 + 1]
        rest = math.floor(rest / 3)
      end
      local action = flow.decide(shop, states, {}, 0)
      local claims = 0
      while action.act == "claim" do
        claims = claims + 1
        for _, upstream in ipairs(shop.by_name[action.stage].after) do
          assert.equal("done", states[upstream].state)
        end
        states[action.stage].state = outcome[action.stage]
        action = flow.decide(shop, states, {}, 0)
      end
      assert.equal(code == 0 and "main" or "fail", action.act)
      assert.is_true(claims <= 5)
    end
  end)
end)
