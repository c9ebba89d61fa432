--- A hold around a function; around a command it is proved in elect_spec and claim_spec.

package.path = "tests/lua/?.lua;" .. package.path
local elect = require "konductor.elect"
local play = require "lib.play"
local sim = require "konductor.sim.world"

local COMMANDS = {
  long = { run_ms = 3600000, term_ms = 100 },
  brief = { run_ms = 2000, output = "hello\n" },
  stubborn = { run_ms = 3600000, term_ms = false },
}

local function holder(fn, options)
  local o = { name = "x", spec = { ttl = "15s" }, ttl_ms = 15000, stop_grace_ms = 10000 }
  for key, value in pairs(options or {}) do
    o[key] = value
  end
  return function(w)
    o.work = function(hold) return fn(hold, w) end
    return elect.run(w, o)
  end
end

local function world(options)
  options = options or {}
  options.commands = COMMANDS
  return sim.new(options)
end

local function status(s)
  return s.store:get("Lease", "x").status
end

--- Runs a command under the hold and waits for all of it to end.
local function exec(w, hold, argv, more)
  local inbox = w.inbox()
  local spec = more or {}
  spec.argv = argv
  local child, code, detail = hold:spawn(inbox, spec)
  if not child then
    return nil, code, detail
  end
  local exit
  while true do
    local event, why = inbox:wait()
    if not event then
      child:stop(5000)
      exit = exit or { code = why }
    elseif event.type == "exit" then
      exit = event
    elseif event.type == "empty" then
      return exit
    end
  end
end

describe("a function under a hold", function()
  it("gives its value, and the hold is released after it", function()
    local s = world()
    local result = play.finish(s, s:start("a", holder(function(hold, w)
      assert.equal("a", status(s).holder)
      assert.equal(hold.token, status(s).fence)
      w.sleep(1000)
      return "value"
    end)))
    assert.same({ "ran", 0, "value" }, { result.outcome, result.code, result.work.value })
    assert.equal("", status(s).holder)
    play.judge(s)
  end)

  for ttl_ms, limit_ms in pairs { [15000] = 3000, [5000] = 1000, [60000] = 3000 } do
    it(("of %d s waits at most %d ms for each answer that it depends on"):format(ttl_ms / 1000, limit_ms), function()
      local asked = {}
      local s = world {
        fault = function(op)
          if op.verb == "get" or op.verb == "replace" then
            asked[op.verb .. " " .. tostring(op.limit_ms)] = true
          end
        end,
      }
      play.finish(s, s:start("a", holder(function(_, w) w.sleep(ttl_ms) end, { ttl_ms = ttl_ms })))
      assert.same({ ["get " .. limit_ms] = true, ["replace " .. limit_ms] = true }, asked)
    end)
  end

  it("is renewed for as long as it runs", function()
    local s = world { peers = false }
    s:start("b", function(w)
      w.sleep(1000)
      return elect.run(w, { name = "x", ttl_ms = 15000, work = { argv = { "brief" } } })
    end)
    local a = s:start("a", holder(function(_, w) w.sleep(101000) end))
    play.finish(s, a)
    assert.equal(20, #play.events(s, "renew"))
    play.judge(s, { open = true })
  end)

  it("that raises releases the hold and hands its error on", function()
    local s = world()
    local result = play.finish(s, s:start("a", holder(function() error({ mine = true }) end)))
    assert.same({ "ran", 1 }, { result.outcome, result.code })
    assert.is_true(result.work.error.mine)
    assert.equal("", status(s).holder)
    play.judge(s)
  end)

  it("starts commands under it that know its number, and hears of their end", function()
    local s = world()
    local exit
    local result = play.finish(s, s:start("a", holder(function(hold, w)
      exit = exec(w, hold, { "brief" }, { capture = true, env = { MORE = "1" } })
      return hold.token
    end)))
    assert.same({ 0, "hello\n", "own" }, { exit.code, exit.output, exit.by })
    assert.same({ tostring(result.work.value), "x", "1" },
      { s.runs[1].env.KONDUCTOR_TOKEN, s.runs[1].env.KONDUCTOR_LEASE, s.runs[1].env.MORE })
    play.judge(s)
  end)

  it("that forgets a command of its own has that stopped before the release", function()
    local s = world()
    local result = play.finish(s, s:start("a", holder(function(hold, w)
      assert(hold:spawn(w.inbox(), { argv = { "long" } }))
      w.sleep(10)
    end)))
    assert.equal("ran", result.outcome)
    assert.same({ 10110, "stopped" }, { s.runs[1].to_us / 1000, s.runs[1].by })
    play.judge(s)
  end)

  it("keeps the deadline of each command moving with each renewal, and lets it fall without", function()
    local s = world { peers = false }
    local exit
    local a = s:start("a", holder(function(hold, w)
      exit = exec(w, hold, { "stubborn" })
    end))
    s:run_for(52000) -- renewed at 50 s
    assert.is_nil(s.runs[1].to_us)
    a:partition "both"
    play.finish(s, a)
    assert.same({ "deadman", 50000 + 14250 }, { exit.by, s.runs[1].to_us / 1000 })
  end)

  it("that is asked to stop is cancelled in its wait, and its commands are stopped", function()
    local s = world()
    local waits = {}
    local a = s:start("a", holder(function(hold, w)
      local exit = exec(w, hold, { "long" })
      waits[1] = exit.code
      waits[2] = select(2, w.sleep(100))
      return "cleaned up"
    end))
    s:run_for(3000)
    a:stop()
    local result = play.finish(s, a)
    assert.equal("stopped", result.outcome)
    assert.equal("cleaned up", result.work.value)
    assert.equal(143, waits[1])
    assert.is_nil(waits[2]) -- one wish, one cancelled wait
    assert.equal("", status(s).holder)
    play.judge(s)
  end)

  it("that starts a command after it was asked to stop has that stopped at once", function()
    local s = world()
    local a = s:start("a", holder(function(hold, w)
      w.sleep(60000)
      w.sleep(2000)
      exec(w, hold, { "stubborn" })
    end))
    s:run_for(1000)
    a:stop()
    play.finish(s, a)
    assert.same({ 3000, 0 }, { s:time_ms(), #s.runs })
    play.judge(s)
  end)

  it("that does not mind being cancelled is told again after the grace, while the hold is renewed", function()
    local s = world()
    local cancelled = 0
    local a = s:start("a", holder(function(_, w)
      local limit = w.now() + 30000
      while w.now() < limit do
        if not w.sleep(60000) then
          cancelled = cancelled + 1
        end
      end
    end))
    s:run_for(1000)
    a:stop()
    local result = play.finish(s, a)
    assert.equal("stopped", result.outcome)
    assert.is_true(cancelled > 10)
    assert.equal(6, #play.events(s, "renew")) -- every 5 s until it returned at 31 s
    play.judge(s)
  end)

  it("whose hold was taken away is cancelled, may start nothing more, and releases nothing", function()
    local s = world()
    local told, refused
    local a = s:start("a", holder(function(hold, w)
      told = select(2, w.sleep(60000))
      refused = { hold:spawn(w.inbox(), { argv = { "brief" } }) }
    end))
    s:run_for(1000)
    local record = s.store:get("Lease", "x")
    record.status.holder, record.status.session, record.status.fence = "thief", "another", record.status.fence + 1
    assert(s.store:replace(record, record.status))
    local result = play.finish(s, a)
    assert.same({ "lost", "taken" }, { result.outcome, result.work.lost })
    assert.equal("cancelled", told)
    assert.same({ nil, "lost", "the hold has ended" }, refused)
    assert.equal("thief", status(s).holder)
    assert.equal(0, #play.events(s, "release"))
  end)

  it("that cannot be renewed is cancelled at the grace before its deadline", function()
    local s = world { peers = false }
    local at
    local a = s:start("a", holder(function(_, w)
      w.sleep(3600000)
      at = w.now()
    end))
    s:run_for(1000)
    a:partition "both"
    play.finish(s, a)
    assert.equal(14250 - 3000, at)
  end)

  it("is stopped with 124 at its time limit", function()
    local s = world()
    local result = play.finish(s, s:start("a", holder(function(_, w) w.sleep(3600000) end, { run_timeout_ms = 20000 })))
    assert.same({ "ran", 124 }, { result.outcome, result.code })
    assert.equal(20000, s:time_ms())
    play.judge(s)
  end)

  it("is not begun when the grant took longer than its time to arrive", function()
    local s = world { peers = false, fault = function(op)
      return op.verb == "replace" and op.status.holder == "a" and op.status.renewals == 0
        and { back_ms = 12000 } or nil
    end }
    local began = false
    local a = s:start("a", holder(function() began = true end))
    local result = play.finish(s, a)
    assert.same({ "lost", "deadline" }, { result.outcome, result.work.lost })
    assert.is_false(began)
    play.judge(s)
  end)
end)

describe("the task that holds", function()
  it("ends its work as for a stop when it is cancelled", function()
    local s = world()
    local result
    local p = s:start("a", function(w)
      local inbox = w.inbox()
      local task = w.task(inbox, function()
        result = elect.run(w, { name = "x", ttl_ms = 15000, work = { argv = { "long" } } })
      end)
      w.sleep(3000)
      task:cancel()
      inbox:wait()
    end)
    play.finish(s, p)
    assert.same({ "stopped", 143 }, { result.outcome, result.code })
    assert.equal("", status(s).holder)
    play.judge(s)
  end)
end)
