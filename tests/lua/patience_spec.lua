package.path = "tests/lua/?.lua;" .. package.path
local cast = require "lib.cast"
local claim = require "konductor.claim"
local elect = require "konductor.elect"
local flow = require "konductor.flow"
local play = require "lib.play"
local runner = require "konductor.runner"

local COMMANDS = {
  serve = { run_ms = 3600000, term_ms = 100 },
  migrate = { run_ms = 20000, term_ms = 100 },
}

local candidate = cast.replica_of(elect.run, function()
  return { name = "x", spec = { ttl = "15s" }, ttl_ms = 15000, work = { argv = { "serve" } }, stop_grace_ms = 10000 }
end)
local worker = cast.replica_of(claim.run, function()
  return { name = "x", version = "v1", ttl_ms = 15000, work = { argv = { "migrate" } }, stop_grace_ms = 10000 }
end)
local world, stored = cast.world_of(COMMANDS), cast.stored_of "Lease"
local running, until_running, line_up = cast.running, cast.until_running, cast.line_up_of(candidate)

-- A world that refuses, by verb, while `refused` is set; what was logged; and when "b" asked.
local function refusing(verbs, code)
  local fault = { said = {}, asked = {} }
  fault.world = world {
    peers = false,
    fault = function(op)
      if fault.refused and (not verbs or verbs[op.verb]) then
        if op.process == "b" then
          fault.asked[#fault.asked + 1] = op.t_ms
        end
        return { code = code or "denied", detail = "needs update on leases" }
      end
    end,
    on_log = function(process, level, text)
      if process.name == "b" then
        fault.said[#fault.said + 1] = level .. " " .. text
      end
    end,
  }
  function fault.count(line)
    local n = 0
    for _, said in ipairs(fault.said) do
      n = n + (said == line and 1 or 0)
    end
    return n
  end
  return fault, fault.world
end

describe("a refusal to a candidate", function()
  for code, what in pairs { denied = "of a right", config = "because its kind is gone" } do
    for _, verb in ipairs { "get", "create", "replace" } do
      it(("%s to %s at the start ends the candidate at once with its sentence"):format(what, verb), function()
        local fault, s = refusing({ [verb] = true }, code)
        fault.refused = true
        local result = play.finish(s, s:start("b", candidate()))
        assert.same({ "error", code, "needs update on leases", 0 },
          { result.outcome, result.code, result.detail, s:time_ms() })
      end)
    end

    it(what .. " to one who waits is borne, said once, and does not end its wait", function()
      local fault, s = refusing(nil, code)
      line_up(s, "a")
      local b = s:start("b", candidate())
      s:run_for(20000)
      fault.refused = true
      s:run_for(600000)
      assert.is_nil(running(s)) -- the holder ran to its deadline
      assert.is_false(b.done)
      fault.refused = false
      s:run_for(15000)
      assert.is_truthy(running(s))
      assert.equal(1, fault.count "warn x: the store refuses: needs update on leases; trying again")
      assert.equal(1, fault.count "info x: the store no longer refuses")
      play.judge(s, { open = true })
    end)
  end

  it("that lasts is asked about ever more seldom, at no fixed time", function()
    local fault, s = refusing()
    line_up(s, "a")
    s:start("b", candidate())
    s:run_for(20000)
    fault.refused = true
    s:run_for(300000)
    local asked, gaps = fault.asked, {}
    assert.is_true(#asked > 300 / 10 and #asked < 300 / 5 + 10, #asked .. " requests in 300 s")
    for i = 8, #asked do
      local gap = asked[i] - asked[i - 1]
      assert.is_true(gap >= 5000 and gap <= 10000, gap .. " ms between two")
      gaps[gap] = true
    end
    assert.is_truthy(next(gaps, next(gaps))) -- not all alike
  end)

  it("of writes alone is not forgotten because reads are answered, nor hurried by what others write", function()
    local fault, s = refusing { replace = true }
    local record = s.store:create("Lease", "x", { ttl = "15s" })
    s.store:replace(record, { fence = 1, holder = "gone", session = "0", bound = "process", ttlMs = 15000, op = "o",
      accepted = true, waiters = {} })
    local b = s:start("b", candidate())
    s:run_for(1000) -- it has joined and waits
    fault.refused = true
    for i = 1, 600 do
      local now = stored(s)
      now.status.note = tostring(i)
      s.store:replace(now, now.status)
      s:run_for(100)
    end
    assert.is_false(b.done)
    assert.is_true(#fault.asked <= 12, #fault.asked .. " writes in 60 s")
    assert.equal(1, fault.count "warn x: the store refuses: needs update on leases; trying again")
    assert.equal(0, fault.count "info x: the store no longer refuses")
    fault.refused = false
    until_running(s, "b")
    assert.equal(1, fault.count "info x: the store no longer refuses")
  end)

  it("does not make a wait longer than was asked", function()
    local fault, s = refusing()
    line_up(s, "a")
    local from_ms = s:time_ms()
    local b = s:start("b", candidate { timeout_ms = 47123 })
    s:run_for(20000)
    fault.refused = true
    local result = play.finish(s, b)
    assert.same({ "timeout", 47123 }, { result.outcome, s:time_ms() - from_ms })
  end)

  it("to one who waits does not hide a wish to stop", function()
    local fault, s = refusing()
    line_up(s, "a")
    local b = s:start("b", candidate())
    s:run_for(20000)
    fault.refused = true
    s:run_for(100000)
    local from_ms = s:time_ms()
    b:stop()
    assert.equal("stopped", play.finish(s, b).outcome)
    assert.equal(from_ms, s:time_ms())
  end)

  it("to one who waited for a program that reads no queue, and so has written nothing yet, is borne too", function()
    local fault, s = refusing { replace = true }
    local record = s.store:create("Lease", "x", { ttl = "15s" })
    s.store:replace(record, { holder = "them", session = "", bound = "process", op = "foreign:them:t:1", ttlMs = 15000,
      fence = 1, foreign = true })
    local b = s:start("b", candidate())
    s:run_for(1000)
    fault.refused = true
    s:run_for(60000)
    assert.is_false(b.done)
    assert.equal(1, fault.count "warn x: the store refuses: needs update on leases; trying again")
    fault.refused = false
    until_running(s, "b")
  end)

  it("to one who does not want to wait ends it", function()
    local fault, s = refusing { replace = true }
    local record = s.store:create("Lease", "x", { ttl = "15s" })
    fault.refused = record ~= nil
    local result = play.finish(s, s:start("b", candidate { wait = false }))
    assert.same({ "error", "denied" }, { result.outcome, result.code })
  end)

  it("of renewals lets the holder run to its deadline, and it stands by afterwards", function()
    local fault, s = refusing()
    local b = s:start("b", candidate { again = true })
    until_running(s, "b")
    fault.refused = true
    s:run_until(function() return s.runs[1].to_us end)
    assert.equal(14250 - 3000 + 100, s.runs[1].to_us / 1000)
    s:run_for(600000)
    assert.is_false(b.done)
    fault.refused = false
    until_running(s, "b", 10000)
    play.judge(s, { open = true })
  end)
end)

describe("a candidate whose rights are taken away whole, watches included", function()
  it("goes on when they are given back, in its place in the queue or as its holder", function()
    local s = world { peers = false }
    local processes = {}
    for i, name in ipairs { "a", "b", "c" } do
      processes[i] = s:start(name, candidate { again = true })
      s:run_for(1000)
    end
    for round = 1, 6 do
      local process = processes[(round - 1) % 3 + 1]
      process:partition "refused"
      s:run_for(60000)
      process:partition(nil)
      s:run_for(20000)
      assert.is_false(process.done)
    end
    assert.is_true(s:run_until(function() return running(s) end, 20000))
    play.judge(s, { open = true })
  end)
end)

describe("a store that is silent for ten minutes", function()
  it("is borne by those who wait, who go on by themselves, and say both once", function()
    local said = {}
    local s = world { peers = false, on_log = function(process, level, text)
      said[#said + 1] = process.name .. " " .. level .. " " .. text
    end }
    local a = s:start("a", candidate { again = true })
    until_running(s, "a")
    local b = s:start("b", candidate { again = true })
    s:run_for(1000)
    a:partition "both"
    b:partition "both"
    s:run_for(600000)
    assert.is_nil(running(s))
    a:partition(nil)
    b:partition(nil)
    assert.is_true(s:run_until(function() return running(s) end, 10000))
    s:run_for(10000)
    local n = { 0, 0 }
    for _, line in ipairs(said) do
      n[1] = n[1] + (line:find("b warn x: the store does not answer", 1, true) and 1 or 0)
      n[2] = n[2] + (line == "b info x: the store answers again" and 1 or 0)
    end
    assert.same({ 1, 1 }, n)
    play.judge(s, { open = true })
  end)

  it("does not make a wait longer than was asked", function()
    local s = world { peers = false }
    line_up(s, "a")
    local from_ms = s:time_ms()
    local b = s:start("b", candidate { timeout_ms = 100001 })
    s:run_for(1000)
    b:partition "both"
    assert.equal("timeout", play.finish(s, b).outcome)
    assert.equal(100001, s:time_ms() - from_ms)
  end)
end)

describe("a refusal to one whose work is done once", function()
  it("while it waits for another's is borne, and the work is taken over when it has passed", function()
    local refused = false
    local s = world { peers = false, fault = function(op)
      return refused and op.process == "b" and { code = "denied", detail = "no" } or nil
    end }
    local a = s:start("a", worker())
    s:run_until(function() return #s.runs == 1 end)
    local b = s:start("b", worker())
    s:run_for(100)
    refused = true
    a:crash()
    s:run_for(600000)
    assert.is_false(b.done)
    refused = false
    assert.equal("ran", play.finish(s, b).outcome)
  end)

  it("of the mark of work that is done is borne, so that it is not done again", function()
    local refused = true
    local s = world { fault = function(op)
      return refused and op.status and op.status.executed and { code = "denied", detail = "no" } or nil
    end }
    local a = s:start("a", worker())
    s:run_until(function() return s.runs[1] and s.runs[1].to_us end)
    s:run_for(300000)
    assert.is_false(a.done)
    refused = false
    assert.equal("ran", play.finish(s, a).outcome)
    assert.equal(1, #s.runs)
  end)

  it("that keeps it from seeing that its mark has landed does not make its success another's", function()
    local function late() return { delay_ms = 3500 } end -- after the answer is missed
    for _, sends in ipairs { true, false } do
      local refused = false
      local s = world { watch_sends_record = sends, watch_fault = late, fault = function(op)
        if op.verb == "replace" and op.status.executed and not refused then
          refused = true
          return { lose = "answer" }
        end
        return refused and op.t_ms < 60000 and { code = "denied", detail = "no" } or nil
      end }
      assert.equal("ran", play.finish(s, s:start("a", worker())).outcome)
      assert.equal(1, #s.runs)
    end
  end)

  it("of the mark of work that is done ends with a stop, and says that it is not recorded", function()
    local s = world { fault = function(op)
      return op.status and op.status.executed and { code = "denied", detail = "no" } or nil
    end }
    local a = s:start("a", worker())
    s:run_until(function() return s.runs[1] and s.runs[1].to_us end)
    s:run_for(100000)
    a:stop()
    local result = play.finish(s, a)
    assert.same({ "error", "denied" }, { result.outcome, result.code })
    assert.is_truthy(result.detail:find("could not be recorded", 1, true))
  end)
end)

-- A flow of two stages, run by the runner; its value is the exit code.
local function flow_of()
  local stages = {}
  for i, after in ipairs { false, { "s1" } } do
    stages[i] = { name = "s" .. i, after = after or nil, version = "v1", argv = { "migrate" }, grace = 3000 }
  end
  local defined = assert(flow.define("x", stages))
  return function(w)
    return runner.run {
      world = w, grace_ms = 3000, program = { items = { { type = "flow", name = "x", flow = defined } } },
      json = { array = function(list) return list end },
      exit_code = function(word) return ({ denied = 78, store = 74 })[word] end,
      signal = function() return nil end,
    }
  end
end

describe("a flow", function()
  for _, verb in ipairs { "get", "create", "replace" } do
    it(("that is refused a %s at its start ends at once"):format(verb), function()
      local s = world { fault = function(op)
        return op.verb == verb and { code = "denied", detail = "no" } or nil
      end }
      assert.equal(78, play.finish(s, s:start("b", flow_of())))
      assert.equal(0, s:time_ms())
    end)
  end

  it("that finds a silent store at its start ends after a minute", function()
    local s = world()
    local b = s:boot "b"
    b:partition "both"
    b.main = s:task(b, nil, flow_of(), b.world)
    assert.equal(74, play.finish(s, b))
    assert.is_true(s:time_ms() >= 60000 and s:time_ms() < 75000, s:time_ms())
  end)

  for what, fault in pairs { ["is refused everything"] = { code = "denied", detail = "no" },
    ["finds the store silent"] = { lose = "request" } } do
    it(("that waits for another's stage and %s for ten minutes goes on by itself"):format(what), function()
      local cut, said = false, {}
      local s = world {
        peers = false,
        fault = function(op) return cut and op.process == "b" and fault or nil end,
        on_log = function(process, level, text)
          if process.name == "b" and level == "warn" then
            said[#said + 1] = text
          end
        end,
      }
      local a = s:start("a", flow_of())
      s:run_until(function() return #s.runs == 1 end)
      local b = s:start("b", flow_of())
      s:run_for(1000)
      cut = true
      a:crash()
      s:run_for(600000)
      assert.is_false(b.done)
      assert.equal(1, #said)
      cut = false
      assert.equal(0, play.finish(s, b))
      assert.equal("a b b", play.runners(s))
      play.judge(s)
    end)
  end

  it("that is refused to claim its second stage bears it: its first was claimed", function()
    local cut = false
    local s = world { fault = function(op)
      return cut and op.verb == "replace" and op.name == "x.s2" and { code = "denied", detail = "no" } or nil
    end }
    cut = true
    local b = s:start("b", flow_of())
    s:run_for(600000)
    assert.is_false(b.done)
    cut = false
    assert.equal(0, play.finish(s, b))
  end)
end)
