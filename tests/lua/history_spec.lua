local history = require "konductor.history"

--- A log in the making. Each line is "time session event key=value...", time in milliseconds;
--- numbers are decoded; kind and name come from a field `on=Kind/name`.
local function events_of(text)
  local events, seq = {}, {}
  for line in text:gmatch("[^\n]+") do
    local t, session, name, rest = line:match("^%s*(%d+)%s+(%S+)%s+(%S+)%s*(.*)$")
    if t then
      local event = { t_us = tonumber(t) * 1000, event = name }
      if session ~= "-" then
        seq[session] = (seq[session] or 0) + 1
        event.session, event.holder, event.seq = session, "pod-" .. session, seq[session]
      end
      for key, value in rest:gmatch("([%w_]+)=(%S+)") do
        if key == "on" then
          event.kind, event.name = value:match("^(%a+)/(.+)$")
        elseif key == "stages" then
          event.stages = {}
          for stage, version, after in value:gmatch("([%w-]+):([%w.]*):([%w-]*)") do
            event.stages[#event.stages + 1] = {
              stage = stage, object = event.flow .. "." .. stage, version = version ~= "" and version or nil,
              after = after ~= "" and { after } or {},
            }
          end
        else
          event[key] = tonumber(value) or value
        end
      end
      if name == "killed" then
        event.seq, seq[session] = nil, seq[session] - 1
      end
      events[#events + 1] = event
    end
  end
  return events
end

local function rules_broken(text, opts)
  local found, seen = {}, {}
  for _, violation in ipairs(history.check(events_of(text), opts).violations) do
    if not seen[violation.rule] then
      seen[violation.rule] = true
      found[#found + 1] = violation.rule
    end
  end
  table.sort(found)
  return table.concat(found, " ")
end

local function holds(claim, text, opts)
  it("accepts " .. claim, function()
    assert.same({}, history.check(events_of(text), opts).violations)
  end)
end

local function breaks(rules, claim, text, opts)
  it(("finds %s: %s"):format(rules, claim), function()
    assert.equal(rules, rules_broken(text, opts))
  end)
end

describe("a Lease", function()
  holds("a hand-over: release, grant, accept", [[
    10 a claim on=Lease/boss fence=1 rev=2 base=9 ttl=15000
    11 a start on=Lease/boss fence=1
    20 b join on=Lease/boss
    30 a stop on=Lease/boss fence=1 code=0
    31 a release on=Lease/boss fence=1 rev=4 to=b
    31 a grant on=Lease/boss fence=5 rev=4 to=b
    33 b accept on=Lease/boss fence=5 rev=5
    34 b start on=Lease/boss fence=5
    50 b renew on=Lease/boss fence=5 rev=6
    60 b stop on=Lease/boss fence=5 code=0
    61 b release on=Lease/boss fence=5 rev=7
  ]])

  holds("a takeover after a kill, told by the driver of the test", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    20 a killed
    21 b claim on=Lease/boss fence=3 rev=3 takeover=true
    22 b start on=Lease/boss fence=3
    40 b stop on=Lease/boss fence=3 code=0
    41 b release on=Lease/boss fence=3 rev=4
  ]])

  holds("several commands in one hold", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    12 a start on=Lease/boss fence=1
    13 a stop on=Lease/boss fence=1 code=0
    14 a stop on=Lease/boss fence=1 code=0
    15 a release on=Lease/boss fence=1 rev=3
  ]])

  holds("lines of two processes in another order than the writes they tell of", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    12 a stop on=Lease/boss fence=1 code=0
    20 b claim on=Lease/boss fence=4 rev=4
    21 a release on=Lease/boss fence=1 rev=3
  ]])

  holds("a stop written late by a konductor that was frozen, if its guard ended the child in time", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    40 b claim on=Lease/boss fence=3 rev=3 takeover=true
    41 b start on=Lease/boss fence=3
    50 b stop on=Lease/boss fence=3 code=0
    90 a stop on=Lease/boss fence=1 code=137 by=deadman ended_us=35000
  ]])

  breaks("L1", "two runners at once", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    20 b claim on=Lease/boss fence=3 rev=3
    21 b start on=Lease/boss fence=3
    22 a stop on=Lease/boss fence=1 code=0
    23 b stop on=Lease/boss fence=3 code=0
  ]])

  breaks("L1", "a runner inside a longer one, behind a short one", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    12 b claim on=Lease/boss fence=3 rev=3
    13 b start on=Lease/boss fence=3
    14 b stop on=Lease/boss fence=3 code=0
    20 c claim on=Lease/boss fence=5 rev=5
    21 c start on=Lease/boss fence=5
    22 c stop on=Lease/boss fence=5 code=0
    30 a stop on=Lease/boss fence=1 code=0
  ]])

  it("counts every runner that overlaps with a longer one", function()
    local found = history.check(events_of [[
      10 a claim on=Lease/boss fence=1 rev=2
      11 a start on=Lease/boss fence=1
      12 b claim on=Lease/boss fence=3 rev=3
      13 b start on=Lease/boss fence=3
      14 b stop on=Lease/boss fence=3 code=0
      20 c claim on=Lease/boss fence=5 rev=5
      21 c start on=Lease/boss fence=5
      22 c stop on=Lease/boss fence=5 code=0
      30 a stop on=Lease/boss fence=1 code=0
    ]]).violations
    assert.equal(2, #found)
    assert.same({ rule = "L1", at = 13000, events = { 2, 4, 9 }, text = "pod-b (fence 3) started on Lease/boss at "
      .. "0.003000 s while pod-a (fence 1) ran there until 0.020000 s" }, found[1])
  end)

  breaks("H2 L1", "a start while a run without an end goes on", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    20 b claim on=Lease/boss fence=3 rev=3
    21 b start on=Lease/boss fence=3
    23 b stop on=Lease/boss fence=3 code=0
  ]])

  breaks("L1", "a start before the death of the one that was killed", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    20 b claim on=Lease/boss fence=3 rev=3
    21 b start on=Lease/boss fence=3
    23 b stop on=Lease/boss fence=3 code=0
  ]], { dead = { a = 22000 } })

  breaks("L1", "two runners under one fence", [[
    10 a claim on=Lease/boss fence=3 rev=2
    11 a start on=Lease/boss fence=3
    11 b accept on=Lease/boss fence=3
    12 b start on=Lease/boss fence=3
    13 a stop on=Lease/boss fence=3 code=0
    14 b stop on=Lease/boss fence=3 code=0
  ]])

  local thaw = [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    20 b claim on=Lease/boss fence=3 rev=3
    21 b start on=Lease/boss fence=3
    24 a stop on=Lease/boss fence=1 code=137
    29 b stop on=Lease/boss fence=3 code=0
  ]]
  holds("an overlap within the tolerance after a thaw", thaw, { tolerance_us = 3000 })
  breaks("L1", "an overlap above the tolerance", thaw, { tolerance_us = 2999 })

  local deleted = [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    %d - delete on=Lease/boss
    2000 b claim on=Lease/boss fence=3 rev=3
    2001 b start on=Lease/boss fence=3
    2400 a stop on=Lease/boss fence=1 code=137
    2500 b stop on=Lease/boss fence=3 code=0
  ]]
  holds("an overlap after the object was deleted by hand", deleted:format(1500))
  breaks("L1", "an overlap on an object that was deleted before", deleted:format(5))

  local based = [[
    10 a claim on=Lease/boss fence=1 rev=2 base=4 uid=%s
    11 a start on=Lease/boss fence=1
    %d - delete on=Lease/boss until_us=%d
    2000 b claim on=Lease/boss fence=3 rev=3 base=1990 uid=%s
    2001 b start on=Lease/boss fence=3
    2400 a stop on=Lease/boss fence=1 code=137
    2500 b stop on=Lease/boss fence=3 code=0
  ]]
  holds("an overlap when the object was deleted between the claim and the start", based:format("x", 5, 6000, "y"))
  holds("an overlap when nobody knows when within a time the object was deleted", based:format("x", 1, 9000000, "y"))
  breaks("L1", "an overlap on an object that was deleted before the claim", based:format("x", 2, 3999, "y"))
  breaks("L1", "an overlap on one object, whatever was deleted meanwhile", based:format("x", 1500, 1600000, "x"))

  holds("one who starts late, under the fence of an object that was deleted meanwhile", [[
    10 a claim on=Lease/boss fence=1 rev=2 base=4 uid=x
    11 - delete on=Lease/boss
    20 b claim on=Lease/boss fence=3 rev=3 base=15 uid=y
    21 b start on=Lease/boss fence=3
    25 a start on=Lease/boss fence=1
    30 a stop on=Lease/boss fence=1 code=137
    40 b stop on=Lease/boss fence=3 code=0
  ]])

  local frozen = [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    12 - frozen session=a until_us=%d
    20 b claim on=Lease/boss fence=3 rev=3
    21 b start on=Lease/boss fence=3
    400 a stop on=Lease/boss fence=1 code=137
    500 b stop on=Lease/boss fence=3 code=0
  ]]
  holds("an overlap with a tree that was frozen whole and died when it thawed", frozen:format(399000))
  breaks("L1", "work that went on after a thaw", frozen:format(299999))
  breaks("L1", "work that had begun before another's was frozen", (frozen:format(399000):gsub("12 %- ", "22 - ")))

  breaks("L2", "a fence that does not grow", [[
    10 a claim on=Lease/boss fence=5 rev=2
    11 a release on=Lease/boss fence=5 rev=3
    12 b claim on=Lease/boss fence=5 rev=4
  ]])

  breaks("L2", "a fence that restarts after a deletion", [[
    10 a claim on=Lease/boss fence=5 rev=6
    11 - delete on=Lease/boss
    12 b claim on=Lease/boss fence=1 rev=9
  ]])

  breaks("L2", "a hand-over under a lower fence", [[
    10 a claim on=Lease/boss fence=5 rev=6
    11 a grant on=Lease/boss fence=4 rev=7 to=b
  ]])

  breaks("L3", "a release before the stop", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    12 a release on=Lease/boss fence=1 rev=3
    13 a stop on=Lease/boss fence=1 code=0
  ]])

  breaks("L3", "a hand-over before the stop", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
    12 a grant on=Lease/boss fence=4 rev=3 to=b
    13 a stop on=Lease/boss fence=1 code=0
  ]])

  breaks("L4", "a renewal by one who is no longer the holder", [[
    10 a claim on=Lease/boss fence=1 rev=2
    20 b claim on=Lease/boss fence=4 rev=3
    21 a renew on=Lease/boss fence=1 rev=4
  ]])

  breaks("L4", "a release by one who is no longer the holder", [[
    10 a claim on=Lease/boss fence=1 rev=2
    20 b claim on=Lease/boss fence=4 rev=3
    21 a release on=Lease/boss fence=1 rev=4
  ]])

  breaks("L4", "a grant accepted by another than the grantee", [[
    10 a claim on=Lease/boss fence=1 rev=2
    20 a grant on=Lease/boss fence=4 rev=3 to=b
    21 c accept on=Lease/boss fence=4 rev=4
  ]])

  holds("an accept whose granter was killed before it wrote its line", [[
    10 a claim on=Lease/boss fence=1 rev=2
    21 b accept on=Lease/boss fence=4 rev=4
    22 b renew on=Lease/boss fence=4 rev=5
  ]])

  breaks("H1", "a start on a grant that was not accepted", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a grant on=Lease/boss fence=4 rev=3 to=b
    12 b start on=Lease/boss fence=4
    13 b accept on=Lease/boss fence=4 rev=5
    14 b stop on=Lease/boss fence=4 code=0
  ]])
end)

describe("a Once", function()
  local clean = [[
    10 a claim on=Once/db version=v1 fence=1 rev=2
    11 a start on=Once/db version=v1 fence=1
    20 a stop on=Once/db fence=1 code=0
    21 a complete on=Once/db version=v1 fence=1 rev=3
  ]]
  holds("a run that is recorded and skipped by others", clean .. "22 b skip on=Once/db version=v1")
  holds("a skip whose line comes before that of the record",
    clean:gsub("21 a", "25 a") .. "22 b skip on=Once/db version=v1")
  holds("another version after the first", clean .. [[
    30 b claim on=Once/db version=v2 fence=4 rev=4
    31 b start on=Once/db version=v2 fence=4
    40 b stop on=Once/db fence=4 code=0
    41 b complete on=Once/db version=v2 fence=4 rev=5
    42 a skip on=Once/db version=v1
  ]])
  holds("a failure, then another attempt", [[
    10 a claim on=Once/db version=v1 fence=1 rev=2
    11 a start on=Once/db version=v1 fence=1
    20 a stop on=Once/db fence=1 code=3
    21 a fail on=Once/db version=v1 fence=1 rev=3 attempts=1 code=3
  ]] .. clean:gsub("fence=1", "fence=5"):gsub("rev=3", "rev=8"):gsub("rev=2", "rev=7"):gsub("(%d+) a", "1%1 b"))

  breaks("O1", "done after a run that failed", (clean:gsub("code=0", "code=1")))
  breaks("O1", "done without a run", "10 a claim on=Once/db version=v1 fence=1 rev=2\n"
    .. "11 a complete on=Once/db version=v1 fence=1 rev=3")
  breaks("L3 O1", "done before the run has ended", [[
    10 a claim on=Once/db version=v1 fence=1 rev=2
    11 a start on=Once/db version=v1 fence=1
    19 a complete on=Once/db version=v1 fence=1 rev=3
    20 a stop on=Once/db fence=1 code=0
  ]])
  breaks("O1", "another version done than the one that ran", (clean:gsub("complete on=Once/db version=v1",
    "complete on=Once/db version=v2")))
  breaks("L3", "a claim given back before the run has ended", [[
    10 a claim on=Once/db version=v1 fence=1 rev=2
    11 a start on=Once/db version=v1 fence=1
    19 a fail on=Once/db version=v1 fence=1 rev=3 code=1
    20 a stop on=Once/db fence=1 code=1
  ]])

  breaks("O2", "two versions that run at once", [[
    10 a claim on=Once/db version=v1 fence=1 rev=2
    11 a start on=Once/db version=v1 fence=1
    12 b claim on=Once/db version=v2 fence=4 rev=3
    13 b start on=Once/db version=v2 fence=4
    20 a stop on=Once/db fence=1 code=1
    21 b stop on=Once/db fence=4 code=1
  ]])

  local again = clean .. [[
    30 b claim on=Once/db version=v1 fence=4 rev=4
    31 b start on=Once/db version=v1 fence=4
    40 b stop on=Once/db fence=4 code=1
  ]]
  breaks("O3", "a run after it was done", again)
  breaks("O3", "a run under the same fence after it was done", clean .. [[
    30 a start on=Once/db version=v1 fence=1
    31 a stop on=Once/db fence=1 code=0
  ]])
  holds("a run after the record was collected", again .. "25 c collect on=Once/db")
  holds("a run after the record was reset", again .. "25 - reset on=Once/db")
  holds("a run after a record was deleted whose line came later than that",
    again:gsub("21 a complete", "24 a complete") .. "22 - delete on=Once/db")
  breaks("O3", "a run, the record collected before it was done last", again .. "5 c collect on=Once/db")
  breaks("O3", "a run, another object collected", again .. "25 c collect on=Once/other")

  local twice = [[
    10 a claim on=Once/db version=v1 fence=1 rev=2 mode=AtMostOnce
    11 a start on=Once/db version=v1 fence=1
    20 a stop on=Once/db fence=1 code=1
    30 b claim on=Once/db version=v1 fence=4 rev=4
    31 b start on=Once/db version=v1 fence=4
    40 b stop on=Once/db fence=4 code=1
  ]]
  breaks("O4", "a second start of at-most-once work", twice)
  holds("a second start of at-least-once work", (twice:gsub("mode=AtMostOnce", "")))
  breaks("O4", "a second start of work that the caller knows as at-most-once", (twice:gsub("mode=AtMostOnce", "")),
    { at_most_once = { db = true } })
  holds("a second start of at-most-once work whose record was deleted between the claim and the start",
    twice:gsub("rev=2", "rev=2 base=8") .. "9 - delete on=Once/db")
  breaks("O4", "a second start of at-most-once work whose record was deleted before the claim",
    twice:gsub("rev=2", "rev=2 base=8") .. "7 - delete on=Once/db")
  holds("one start for each version of at-most-once work", (twice:gsub("(3%d b %a+ on=Once/db) version=v1",
    "%1 version=v2")))

  breaks("F1", "a skip before the run has ended", clean .. "19 b skip on=Once/db version=v1")
  breaks("F1", "a skip after a run that failed", clean:gsub("code=0", "code=1"):gsub("21 a[^\n]*\n", "")
    .. "30 b skip on=Once/db version=v1")
  breaks("F1", "a skip of another version than the one that ran", clean .. "30 b skip on=Once/db version=v2")
  breaks("F1", "a skip after a success that was never recorded", clean:gsub("21 a[^\n]*\n", "")
    .. "30 b skip on=Once/db version=v1")
  holds("a skip after a success whose process was killed before it wrote the line",
    clean:gsub("21 a[^\n]*\n", "") .. "21 a killed\n30 b skip on=Once/db version=v1")

  local foreign = "30 b skip on=Once/db version=v0"
  breaks("F1", "a skip of what nobody ran", foreign)
  holds("a skip of what was done before the history began", foreign, { partial = true })
  breaks("F1", "a skip of what failed in a partial history",
    clean:gsub("code=0", "code=1"):gsub("21 a[^\n]*\n", "") .. "30 b skip on=Once/db version=v1", { partial = true })

  breaks("H1", "a start without a claim", [[
    11 a start on=Once/db version=v1 fence=1
    12 a stop on=Once/db fence=1 code=0
  ]])
  breaks("H1", "a start on the claim of another", [[
    10 a claim on=Once/db version=v1 fence=1 rev=2
    11 b start on=Once/db version=v1 fence=1
    12 b stop on=Once/db fence=1 code=0
  ]])
end)

describe("a flow", function()
  local flow = "flow=shop stages=init:v1:,seed:v1:init"
  local function run(stage, fence, t)
    return (([[
      T0 a claim on=Once/shop.X version=v1 fence=F rev=F
      T1 a start on=Once/shop.X version=v1 fence=F
      T2 a stop on=Once/shop.X fence=F code=0
      T3 a complete on=Once/shop.X version=v1 fence=F rev=1F
    ]]):gsub("X", stage):gsub("F", fence):gsub("T", t))
  end
  local a, b = "5 a flow " .. flow .. "\n", "6 b flow " .. flow .. "\n"

  holds("a main after its stages", a .. b .. run("init", 1, 1) .. run("seed", 2, 2)
    .. "30 a main phase=start flow=shop\n31 b main phase=start flow=shop\n90 b main phase=stop flow=shop")
  breaks("F2", "a main before its last stage is done", a .. b .. run("init", 1, 1) .. run("seed", 2, 2)
    .. "21 b main phase=start flow=shop")
  breaks("F2", "a main whose stages never ran", b .. "21 b main phase=start flow=shop")
  breaks("F2", "a main that names stages itself", "21 b main phase=start " .. flow)
  holds("a main whose stages were done before the history began", b .. "21 b main phase=start flow=shop",
    { partial = true })
  holds("a main whose stages take their version from the record", a:gsub(":v1:", "::") .. run("init", 1, 1)
    .. run("seed", 2, 2) .. "30 a main phase=start flow=shop")
  breaks("F2", "a main after another version of its stages", b:gsub("seed:v1", "seed:v2") .. run("init", 1, 1)
    .. run("seed", 2, 2) .. "30 b main phase=start flow=shop")

  breaks("F3", "a stage before the one it waits for", a .. run("seed", 1, 1) .. run("init", 2, 2))
  breaks("F3", "a stage while the one it waits for still runs", a .. [[
    10 a claim on=Once/shop.init version=v1 fence=1 rev=2
    11 a start on=Once/shop.init version=v1 fence=1
    12 a claim on=Once/shop.seed version=v1 fence=3 rev=3
    13 a start on=Once/shop.seed version=v1 fence=3
    20 a stop on=Once/shop.init fence=1 code=0
    21 a complete on=Once/shop.init version=v1 fence=1 rev=4
    22 a stop on=Once/shop.seed fence=3 code=0
    23 a complete on=Once/shop.seed version=v1 fence=3 rev=5
  ]])
  holds("stages that do not wait for each other, in any order", a:gsub("seed:v1:init", "seed:v1:")
    .. run("seed", 1, 1) .. run("init", 2, 2))
end)

describe("a kind of a user's own", function()
  local crowd = [[
    10 a claim on=Semaphore/gpu fence=1 rev=2
    11 a start on=Semaphore/gpu fence=1
    12 b claim on=Semaphore/gpu fence=3 rev=3
    13 b start on=Semaphore/gpu fence=3
    14 a renew on=Semaphore/gpu fence=1 rev=4
    20 a stop on=Semaphore/gpu fence=1 code=0
    21 c claim on=Semaphore/gpu fence=5 rev=5
    22 c start on=Semaphore/gpu fence=5
    30 b stop on=Semaphore/gpu fence=3 code=0
    31 c stop on=Semaphore/gpu fence=5 code=0
  ]]
  holds("any number of runners where no limit is known", crowd)
  holds("as many runners as its limit", crowd, { capacity = { ["Semaphore/gpu"] = 2 } })
  breaks("L1", "more runners than its limit", crowd, { capacity = { ["Semaphore/gpu"] = 1 } })
  breaks("L2", "a fence that does not grow", (crowd:gsub("fence=5", "fence=2")))
end)

describe("the log itself", function()
  breaks("H2", "a stop without a start", [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a stop on=Lease/boss fence=1 code=0
  ]])

  local endless = [[
    10 a claim on=Lease/boss fence=1 rev=2
    11 a start on=Lease/boss fence=1
  ]]
  breaks("H2", "a start without an end", endless)
  holds("a start without an end while the process still runs", endless, { open = true })
  holds("a start without an end of a process that was killed", endless, { dead = { a = 20000 } })

  it("finds H3: a line is missing", function()
    local events = events_of "1 a join on=Lease/x\n2 a renew on=Lease/x\n3 a leave on=Lease/x"
    table.remove(events, 2)
    local found = history.check(events).violations
    assert.equal("H3", found[1].rule)
    assert.equal("the log of pod-a goes from line 1 to line 3", found[1].text)
    assert.equal(1, #found)
  end)

  it("finds H3: the first lines are missing", function()
    local events = events_of "1 a join on=Lease/x\n2 a renew on=Lease/x"
    table.remove(events, 1)
    assert.equal("the log of pod-a begins with line 2", history.check(events).violations[1].text)
  end)

  it("finds H3: the clock of one process went back", function()
    local events = events_of "5 a join on=Lease/x\n2 a leave on=Lease/x"
    assert.equal("H3", history.check(events).violations[1].rule)
  end)

  it("merges logs on the boot clock, whatever the order of the files", function()
    local events = events_of [[
      10 a claim on=Lease/boss fence=1 rev=2
      11 a start on=Lease/boss fence=1
      12 a stop on=Lease/boss fence=1 code=0
      12 b join on=Lease/boss
      14 a release on=Lease/boss fence=1 rev=4
    ]]
    local backwards = {}
    for i = #events, 1, -1 do
      backwards[#backwards + 1] = events[i]
    end
    local result = history.check(backwards)
    assert.same({}, result.violations)
    assert.same(events, result.events)
  end)

  it("counts what it saw", function()
    local counts = history.check(events_of [[
      10 a claim on=Once/db version=v1 fence=1 rev=2
      11 a start on=Once/db version=v1 fence=1
      20 a stop on=Once/db fence=1 code=0
      21 a complete on=Once/db version=v1 fence=1 rev=3
      22 b skip on=Once/db version=v1
    ]]).counts
    assert.same({ events = 5, sessions = 2, objects = 1, runs = 1, claim = 1, start = 1, stop = 1, complete = 1,
      skip = 1 }, counts)
  end)

  it("accepts an empty history", function()
    assert.same({}, history.check({}).violations)
  end)
end)

describe("read", function()
  --- Knows one line of JSON, enough to tell a whole line from a torn one.
  local function decode(line)
    assert(line:match("^{.*}$"), "torn")
    return { event = line:match('"event":"(%a+)"'), t_us = tonumber(line:match('"t_us":(%d+)')) }
  end

  it("decodes line by line", function()
    local events = assert(history.read('{"event":"join","t_us":1}\n{"event":"leave","t_us":2}\n', decode))
    assert.same({ { event = "join", t_us = 1 }, { event = "leave", t_us = 2 } }, events)
  end)

  it("leaves out a torn last line", function()
    assert.equal(1, #assert(history.read('{"event":"join","t_us":1}\n{"event":"lea', decode)))
  end)

  it("keeps a whole last line without its newline", function()
    assert.equal(2, #assert(history.read('{"event":"join","t_us":1}\n{"event":"leave","t_us":2}', decode)))
  end)

  it("refuses a torn line in the middle", function()
    local events, mistake = history.read('{"event":"jo\n{"event":"leave","t_us":2}\n', decode)
    assert.is_nil(events)
    assert.equal('line 1 is no event: {"event":"jo', mistake)
  end)

  it("refuses a line that is no event", function()
    local _, mistake = history.read('{"event":"join","t_us":1}\n{"t_us":2}\n', decode)
    assert.equal('line 2 is no event: {"t_us":2}', mistake)
  end)
end)
