local clock = require "konductor.sim.clock"
local heap = require "konductor.sim.heap"
local random = require "konductor.sim.random"
local sim = require "konductor.sim.world"

local function run(s, fn)
  local process = s:start("a", fn)
  assert.is_true(s:run_until(function() return process.done end))
  assert(process.ok, process.value)
  return process.value
end

describe("the order of timers", function()
  it("is by time, then by setting, whatever was removed between", function()
    local chance = random.new(5)
    for _ = 1, 200 do
      local h, timers = heap.new(), {}
      for i = 1, 60 do
        timers[i] = { at = chance:below(20) }
        h:add(timers[i])
      end
      for i = 1, 60, 3 do
        h:remove(timers[i])
        h:remove(timers[i]) -- a second time is harmless
      end
      local last, count = { at = -1, seq = 0 }, 0
      while h:first() do
        local timer = h:first()
        h:remove(timer)
        assert.is_true(last.at < timer.at or last.at == timer.at and last.seq < timer.seq)
        last, count = timer, count + 1
      end
      assert.equal(40, count)
    end
  end)
end)

describe("a simulated clock", function()
  it("shows a time at the first instant that it is reached, at every rate", function()
    for _, ppm in ipairs { 0, 30000, -30000, 1, -999 } do
      local c = { offset_us = 123456789, ppm = ppm }
      for _, ms in ipairs { 123457, 123458, 200000, 86400000, 5000000000 } do
        local t = clock.true_us(ms, c)
        assert.is_true(clock.read_ms(t, c) >= ms)
        assert.is_true(clock.read_ms(t - 1, c) < ms)
      end
    end
  end)

  it("tells dates as RFC 3339 does", function()
    assert.equal("2026-01-01T00:00:00.000000Z", clock.rfc3339(0))
    assert.equal("2026-02-28T23:59:59.999999Z", clock.rfc3339((59 * 86400) * 1000000 - 1))
    assert.equal("2028-02-29T12:00:00.000001Z", clock.rfc3339((365 + 365 + 31 + 28) * 86400000000 + 43200000001))
    assert.equal("2025-12-31T23:00:00.000000Z", clock.rfc3339(-3600000000))
  end)
end)

describe("chance", function()
  it("is the same for a seed and a stream, and another for others", function()
    assert.equal(random.new(1):hex(4), random.new(1):hex(4))
    assert.is_false(random.new(1):hex(4) == random.new(2):hex(4))
    assert.is_false(random.new(1, 1):hex(4) == random.new(1, 2):hex(4))
    assert.is_false(random.new(1):hex(4) == random.new(2 ^ 32 + 1):hex(4))
  end)

  it("stays within its bound and reaches all of it", function()
    local r, seen = random.new(9), {}
    for _ = 1, 1000 do
      local n = r:below(10)
      assert.is_true(n >= 0 and n < 10 and n == math.floor(n))
      seen[n] = true
    end
    for n = 0, 9 do
      assert.is_true(seen[n])
    end
  end)
end)

describe("an inbox", function()
  it("gives events in order, then times out at the time of its replica", function()
    run(sim.new { clocks = { a = { offset_ms = 777, ppm = 10000 } } }, function(w)
      local inbox = w.inbox()
      inbox:post { type = "one" }
      inbox:post { type = "two" }
      assert.equal("one", inbox:wait().type)
      assert.equal("two", inbox:wait(0).type)
      local at = w.now() + 50
      local event, code = inbox:wait(at)
      assert.is_nil(event)
      assert.equal("timeout", code)
      assert.equal(at, w.now())
    end)
  end)

  it("drops what is posted after it was closed, and ends the wait on it", function()
    run(sim.new(), function(w)
      local inbox, done = w.inbox(), w.inbox()
      local code
      w.task(done, function() code = select(2, inbox:wait()) end)
      w.sleep(1)
      inbox:close()
      done:wait()
      assert.equal("cancelled", code)
      inbox:post { type = "late" }
      assert.is_nil((inbox:wait(w.now())))
    end)
  end)

  it("has one waiting task at most", function()
    run(sim.new(), function(w)
      local inbox = w.inbox()
      w.task(nil, function() inbox:wait() end)
      w.sleep(1)
      assert.is_false((pcall(inbox.wait, inbox)))
    end)
  end)
end)

describe("a task", function()
  it("that is cancelled ends its wait, or its next one, once", function()
    run(sim.new(), function(w)
      local done, codes = w.inbox(), {}
      local task = w.task(done, function()
        codes[1] = select(2, w.sleep(1000))
        codes[2] = select(2, w.sleep(10))
      end)
      w.sleep(5)
      task:cancel()
      done:wait()
      assert.same({ "cancelled" }, codes)
      local early = w.task(done, function() return select(2, w.inbox():wait(w.now() + 10)) end)
      early:cancel()
      assert.equal("cancelled", done:wait().value)
    end)
  end)

  it("tells its end, its value or its error", function()
    run(sim.new(), function(w)
      local done = w.inbox()
      local good = w.task(done, function(x) return x + 1 end, 41)
      local event = done:wait()
      assert.same({ "done", true, 42 }, { event.type, event.ok, event.value })
      assert.equal(good, event.task)
      w.task(done, function() error("broken", 0) end)
      event = done:wait()
      assert.same({ "done", false, "broken" }, { event.type, event.ok, event.value })
    end)
  end)

  it("that never waits for time is found out", function()
    local s = sim.new()
    s:start("a", function(w)
      while true do
        w.get("Once", "x")
      end
    end)
    local ok, sentence = pcall(s.run_until, s, 1000)
    assert.is_false(ok)
    assert.is_truthy(sentence:find("never waits", 1, true))
  end)
end)

describe("a simulated command", function()
  local function play(behaviour, act)
    local s = sim.new { commands = { cmd = behaviour } }
    local events, ended = {}, nil
    run(s, function(w)
      local inbox = w.inbox()
      local child = assert(w.spawn(inbox, { argv = { "cmd" }, term_at = 9000, kill_at = 10000, capture = true }))
      if act then
        act(child, w)
      end
      repeat
        local event = inbox:wait()
        events[#events + 1] = event.type
        ended = event.type == "exit" and event or ended
      until event.type == "empty"
    end)
    return table.concat(events, " "), ended, s:time_ms(), s
  end

  it("starts, exits with its code and its output, and is gone", function()
    local events, exit, t = play { run_ms = 300, code = 7, output = "out" }
    assert.equal("started exit empty", events)
    assert.same({ 7, "own", "out", 300 }, { exit.code, exit.by, exit.output, t })
  end)

  it("that cannot be started says why", function()
    assert.equal("failed empty", (play { fails = "not_found" }))
  end)

  it("is not gone before its descendants", function()
    local _, exit, t = play { run_ms = 100, descendants = { { run_ms = 700 }, { run_ms = 400 } } }
    assert.same({ 0, 700 }, { exit.code, t })
  end)

  it("gets TERM, then KILL, from its deadman", function()
    local _, exit, t = play { run_ms = 60000, term_ms = 50 }
    assert.same({ 143, "deadman", 9050 }, { exit.code, exit.by, t })
    _, exit, t = play { run_ms = 60000, term_ms = false }
    assert.same({ 137, "deadman", 10000 }, { exit.code, exit.by, t })
  end)

  it("dies later when the deadman is moved, and not at all when it is disarmed", function()
    local _, _, t = play({ run_ms = 60000, term_ms = false }, function(child) child:arm(19000, 20000) end)
    assert.equal(20000, t)
    local _, exit = play({ run_ms = 60000 }, function(child) child:arm() end)
    assert.equal("own", exit.by)
  end)

  it("is stopped with a grace that may only be shortened", function()
    local _, exit, t = play({ run_ms = 60000, term_ms = false }, function(child, w)
      w.sleep(100)
      child:stop(500)
      child:stop(8000)
    end)
    assert.same({ 137, "stopped", 600 }, { exit.code, exit.by, t })
  end)

  it("is not started past its deadline", function()
    run(sim.new { commands = { cmd = {} } }, function(w)
      w.sleep(100)
      local child, code = w.spawn(w.inbox(), { argv = { "cmd" }, kill_at = 100 })
      assert.is_nil(child)
      assert.equal("lost", code)
    end)
  end)

  it("dies with its konductor, at once, with all its descendants", function()
    local s = sim.new { commands = { cmd = { run_ms = 60000, term_ms = false, descendants = { { run_ms = 90000 } } } } }
    local a = s:start("a", function(w)
      w.spawn(w.inbox(), { argv = { "cmd" } })
      w.sleep(60000)
    end)
    s:run_until(1000)
    a:crash()
    s:run_until(1000)
    assert.equal(1000000, s.runs[1].to_us)
    assert.is_true(a.gone)
    assert.equal("killed", s.history[#s.history].event)
  end)
end)

describe("a frozen process", function()
  it("does nothing, and all that was due at its thaw", function()
    local s = sim.new { commands = { cmd = { run_ms = 300 } } }
    local woke
    local a = s:start("a", function(w)
      local inbox = w.inbox()
      w.spawn(inbox, { argv = { "cmd" } })
      w.sleep(100)
      woke = w.now()
      w.sleep(10000)
    end)
    s:run_until(50)
    a:freeze "all"
    s:run_until(5000)
    assert.is_nil(woke)
    assert.is_nil(s.runs[1].to_us)
    a:thaw()
    s:run_for(0)
    assert.equal(5000, woke)
    assert.equal(5000000, s.runs[1].to_us)
  end)

  it("above its guard only, has its commands obey their deadline", function()
    local s = sim.new { commands = { cmd = { run_ms = 60000, term_ms = false } } }
    local a = s:start("a", function(w)
      w.spawn(w.inbox(), { argv = { "cmd" }, kill_at = 2000 })
      w.sleep(60000)
    end)
    s:run_until(50)
    a:freeze "supervisor"
    s:run_until(5000)
    assert.equal(2000000, s.runs[1].to_us)
  end)
end)

describe("the way to the store", function()
  local function once_with(fault)
    local n = 0
    return sim.new { latency_ms = 5, fault = function(op)
      if op.verb == "replace" then
        n = n + 1
        return n == 1 and fault or nil
      end
    end }
  end

  local function result_of(fault)
    local s = once_with(fault)
    return run(s, function(w)
      local record = assert(w.create("Once", "x", {}))
      local t = w.now()
      local value, code = w.replace(record, { op = "a" })
      local took = w.now() - t
      w.sleep(20000)
      return { value and value.rev, code, took, s.store:get("Once", "x").rev }
    end)
  end

  it("takes its latency twice", function()
    assert.same({ 3, nil, 10, 3 }, result_of {})
  end)

  it("may lose the request, or only the answer", function()
    assert.same({ nil, "unknown", 3000, 2 }, result_of { lose = "request" })
    assert.same({ nil, "unknown", 3000, 3 }, result_of { lose = "answer" })
  end)

  it("may deliver late, when the caller has given up", function()
    assert.same({ nil, "unknown", 3000, 3 }, result_of { late_ms = 10000 })
  end)

  it("may deliver twice, and then brings the second answer", function()
    assert.same({ nil, "conflict", 10, 3 }, result_of { twice = true })
  end)

  it("may be refused", function()
    assert.same({ nil, "busy", 10, 2 }, result_of { code = "busy" })
  end)

  it("carries what was sent, whatever the sender does to it afterwards", function()
    local s = once_with { late_ms = 1000 }
    run(s, function(w)
      local record = assert(w.create("Once", "x", {}))
      local status = { op = "a" }
      w.replace(record, status)
      status.op = "b"
      w.sleep(20000)
    end)
    assert.equal("a", s.store:get("Once", "x").status.op)
  end)

  it("is cut by a partition, and watches start anew when it heals", function()
    local s = sim.new()
    local seen
    local a = s:start("a", function(w)
      local inbox = w.inbox()
      w.watch(inbox, "Once", "x")
      seen = inbox:wait()
    end)
    s:run_until(10)
    a:partition "both"
    s.store:create("Once", "x", {})
    s:run_until(1000)
    assert.is_nil(seen)
    a:partition(nil)
    s:run_until(1001)
    assert.equal("changed", seen.type)
  end)
end)

describe("a world", function()
  it("refuses an option that it does not know, at the caller's line", function()
    local ok, sentence = pcall(sim.new, { sed = 1 })
    assert.is_false(ok)
    assert.is_truthy(sentence:find("sed", 1, true))
  end)
end)
