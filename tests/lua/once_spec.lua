--- Every row of the state table of work done once, decision by decision.

package.path = "tests/lua/?.lua;" .. package.path
local by_policy = require "lib.made_once"
local made = require "lib.made"
local once = require "konductor.once"
local ttl = require "konductor.ttl"

local after, view, WALL, D = made.after, made.view, made.WALL, made.D
local me, rec, claimed_by_a = by_policy.me, by_policy.rec, by_policy.claimed_by_a
local executed_by_a, failed_by_a, condition = by_policy.executed_by_a, by_policy.failed_by_a, by_policy.condition
local STALE = 15750

describe("an absent record", function()
  it("is created unclaimed first", function()
    local action = once.decide(view(nil), me "a", 0)
    assert.equal("create", action.act)
    assert.is_nil(action.status)
  end)
end)

describe("pending, free work", function()
  it("is claimed by anyone at once, under a fence above revision and former fence", function()
    local m = me "a"
    local action = once.decide(view(rec { fence = 20 }), m, 0)
    assert.same({ "claim", "holder", 21, 1 }, { action.act, action.by, action.fence, action.attempt })
    local s = action.status
    assert.same({ "pod-a", "a", "process", 21, D, m.op, 0 },
      { s.executor, s.session, s.bound, s.fence, s.ttlMs, s.op, s.renewals })
    assert.same({ 1, "1", "Pending", false }, { s.attempts, s.version, s.phase, s.executed })
    assert.equal("True", condition({ status = s }, "Running"))
    assert.equal(11, once.claim(rec(), me "a").fence)
  end)

  it("is claimed for the spec's version by one that names none, else for none", function()
    local m = me "a"
    m.version = nil
    assert.equal("7", once.claim(rec({}, { spec = { version = "7" } }), m).version)
    assert.equal("", once.claim(rec(), m).version)
  end)

  it("keeps fields that nobody here knows, and does not touch the record read", function()
    local r = rec { theirs = { 1 } }
    assert.same({ 1 }, once.claim(r, me "a").theirs)
    assert.same({ theirs = { 1 } }, r.status)
  end)
end)

describe("claimed work", function()
  it("is waited for by the others, who learn by whom, how long, and whose death matters", function()
    local r = claimed_by_a()
    local action = once.decide(view(r, 100), me "b", 850)
    assert.same({ "wait", 100 + STALE, "a" }, { action.act, action.until_ms, action.peer })
    assert.truthy(action.why:find("pod-a", 1, true))
    assert.truthy(action.why:find("15s", 1, true))
  end)

  it("is waited for by one who wants another version too", function()
    assert.equal("wait", once.decide(view((claimed_by_a())), me("b", { version = "2" }), 0).act)
  end)

  it("is kept by a heartbeat that counts, changes the nonce and nothing else of the claim", function()
    local r, m = claimed_by_a()
    m.op = "a:beat"
    local s = assert(once.heartbeat(r, m))
    assert.same({ 1, "a:beat", D }, { s.renewals, s.op, s.ttlMs })
    for _, key in ipairs { "executor", "session", "fence", "version", "attempts", "phase", "conditions" } do
      assert.equal(r.status[key], s[key], key)
    end
    assert.equal(2, once.heartbeat(after(r, s), m).renewals)
  end)

  it("belongs to its executor until executor, session, fence or mark differ", function()
    local r, m = claimed_by_a()
    assert.is_true(once.held(r, m))
    assert.is_false(once.held(nil, m))
    for key, value in pairs { executor = "pod-z", session = "z", fence = 99, executed = true } do
      local changed = after(r, setmetatable({ [key] = value }, { __index = r.status }))
      assert.is_false(once.held(changed, m), key)
      for _, write in ipairs { once.heartbeat, once.complete, once.fail, once.release } do
        local status, code = write(changed, m, {})
        assert.is_nil(status)
        assert.equal("lost", code)
      end
    end
  end)

  it("is confirmed under the same fence after an own write whose answer was lost", function()
    local r = claimed_by_a()
    local m = me "a"
    local action = once.decide(view(r), m, 0)
    assert.same({ "claim", r.status.fence, 1, m.op }, { action.act, action.fence, action.attempt, action.status.op })
  end)

  it("is claimed anew, as another run, when the work ran under that fence before", function()
    local r = claimed_by_a()
    local action = once.decide(view(r), me("a", { ran = r.status.fence }), 0)
    assert.equal("claim", action.act)
    assert.is_true(action.fence > r.status.fence)
    assert.equal(2, action.attempt)
    assert.equal("doubt", once.decide(view(r), me("a", { ran = r.status.fence, mode = "AtMostOnce" }), 0).act)
  end)

  it("is another's though it names our session, once it names another executor", function()
    local r = claimed_by_a()
    r.status.executor = "pod-z"
    assert.equal("wait", once.decide(view(r), me "a", 0).act)
  end)

  it("of another version of the same process is waited for like anybody's", function()
    assert.equal("wait", once.decide(view((claimed_by_a())), me("a", { version = "2" }), 0).act)
  end)
end)

describe("claimed work whose executor vanished", function()
  it("is taken over after 105 % of the record's ttl, as another run under a higher fence", function()
    local r = claimed_by_a { ttl_ms = 60000 }
    assert.equal("wait", once.decide(view(r, 500), me "b", 500 + 62999).act)
    local action = once.decide(view(r, 500), me "b", 500 + 63000)
    assert.same({ "takeover", "holder", 2 }, { action.act, action.by, action.attempt })
    assert.is_true(action.fence > r.status.fence)
    assert.equal("b", action.status.session)
  end)

  it("is taken over at once when the process is known to be dead", function()
    local action = once.decide(view(claimed_by_a(), 0, { gone = true }), me "b", 1)
    assert.equal("takeover", action.act)
  end)

  it("is waited for when the claim is bound to time, dead or not", function()
    local r = claimed_by_a { bound = "time" }
    local action = once.decide(view(r, 0, { gone = true }), me "b", 1)
    assert.equal("wait", action.act)
    assert.is_nil(action.peer)
    assert.equal("takeover", once.decide(view(r, 0), me "b", STALE).act)
  end)

  it("is taken over by a one-shot command by the age of the record only", function()
    local r = claimed_by_a()
    local m = me("b", { skew_ms = 0 })
    r.age_ms = STALE + 2000
    assert.equal("wait", once.decide(view(r), m, 0).act)
    r.age_ms = STALE + 2001
    assert.equal("takeover", once.decide(view(r), m, 0).act)
  end)

  it("is taken over for another version, whose attempts start at one", function()
    local r = claimed_by_a()
    r.status.attempts = 7
    local action = once.decide(view(r, 0), me("b", { version = "2" }), STALE)
    assert.same({ "takeover", 1, "2" }, { action.act, action.attempt, action.status.version })
    assert.is_nil(action.status.history)
  end)

  it("is abandoned, not run again, when no attempt is left", function()
    local r = claimed_by_a()
    local action = once.decide(view(r, 0), me("b", { max_attempts = 1 }), STALE)
    assert.same({ "abandon", "holder" }, { action.act, action.by })
    local s = action.status
    assert.same({ "", "", "Pending", 1 }, { s.executor, s.session, s.phase, s.attempts })
    assert.truthy(s.lastError:find("pod-a vanished in run 1", 1, true))
    assert.is_nil(s.ttlMs)
    action = once.decide(view(after(r, s)), me("b", { max_attempts = 1 }), 0)
    assert.same({ "failed", 1 }, { action.act, action.attempts })
  end)

  it("is not taken over by what the record says of time for people", function()
    local r = claimed_by_a()
    r.age_ms = 10 * D
    assert.equal("wait", once.decide(view(r, 0), me "b", 1000).act)
  end)
end)

describe("work that ended well", function()
  it("is marked executed with its version, and nobody runs it again", function()
    local r, m = claimed_by_a()
    m.op = "a:done"
    local s = once.complete(r, m)
    assert.same({ true, "Executed", "pod-a", WALL, "1", "", 0, "a:done", r.status.fence },
      { s.executed, s.phase, s.executor, s.executedAt, s.version, s.session, s.exitCode, s.op, s.fence })
    local action = once.decide(view(after(r, s)), me "b", 1e9)
    assert.same({ "done", "1", "pod-a" }, { action.act, action.version, action.executor })
    assert.truthy(action.why:find("has been executed by pod-a", 1, true))
    local status, code = once.claim(after(r, s), me "b")
    assert.is_nil(status)
    assert.equal("exists", code)
  end)

  it("is marked though its time ran out, as long as nobody took over", function()
    local r, m = claimed_by_a()
    assert.is_true(once.complete(r, m).executed)
    local taken = after(r, once.takeover(r, me "b"))
    assert.equal("lost", select(2, once.complete(taken, m)))
  end)

  it("of one version lets another be claimed, which keeps it in the history", function()
    local r = executed_by_a()
    local action = once.decide(view(r), me("b", { version = "2" }), 0)
    assert.same({ "claim", 1 }, { action.act, action.attempt })
    local s = action.status
    assert.same({ { version = "1", executor = "pod-a", executedAt = WALL } }, s.history)
    assert.same({ false, "2", "Pending" }, { s.executed, s.version, s.phase })
    assert.is_nil(s.executedAt)
    assert.equal("done", once.decide(view(after(r, s)), me "c", 0).act, "while the other version runs")
  end)

  it("is found done after a rollback", function()
    local r = executed_by_a()
    local b = me("b", { version = "2" })
    r = after(r, once.claim(r, b))
    b.fence = r.status.fence
    r = after(r, once.complete(r, b))
    assert.same({ "done", "done" }, {
      once.decide(view(r), me "c", 0).act, once.decide(view(r), me("c", { version = "2" }), 0).act,
    })
    assert.equal("claim", once.decide(view(r), me("c", { version = "3" }), 0).act)
  end)

  it("is remembered for the last 32 versions", function()
    local r = rec()
    for i = 1, 40 do
      local m = me("a", { version = "v" .. i })
      r = after(r, once.claim(r, m))
      m.fence = r.status.fence
      r = after(r, once.complete(r, m))
    end
    assert.equal(32, #r.status.history)
    assert.same({ "v8", "v39", "v40" },
      { r.status.history[1].version, r.status.history[32].version, r.status.version })
    assert.equal("done", once.decide(view(r), me("b", { version = "v8" }), 0).act)
  end)

  it("is done without a version for one that names none", function()
    local m = me "b"
    m.version = nil
    local r = executed_by_a { version = "" }
    assert.equal("done", once.decide(view(r), m, 0).act)
    assert.equal("claim", once.decide(view((executed_by_a())), m, 0).act)
    assert.equal("done", once.decide(view(executed_by_a(nil, { version = "1" })), m, 0).act)
  end)

  it("counts as done when a person marked it while it ran", function()
    local r = claimed_by_a()
    r.status.executed = true
    assert.equal("done", once.decide(view(r), me "b", 0).act)
  end)
end)

describe("the record of finished work", function()
  it("is collected once its ttl is over, by the store's clock, and not before", function()
    local r = executed_by_a(nil, { ttl = "1h" })
    r.age_ms = 3599999
    assert.equal("done", once.decide(view(r), me "b", 0).act)
    r.age_ms = 3600000
    assert.equal("collect", once.decide(view(r), me "b", 0).act)
    assert.equal("collect", once.decide(view(r), me("b", { version = "2" }), 0).act)
  end)

  it("is kept for ever without a ttl, and when the work is at most once", function()
    local r = executed_by_a()
    r.age_ms = 1e12
    assert.equal("done", once.decide(view(r), me "b", 0).act)
    r = executed_by_a(nil, { ttl = "1h", mode = "AtMostOnce" })
    r.age_ms = 1e12
    assert.equal("done", once.decide(view(r), me "b", 0).act)
  end)

  it("is never collected while it is claimed or pending, however old", function()
    local r = claimed_by_a(nil, { ttl = "1s" })
    r.age_ms = 1e12
    assert.equal("wait", once.decide(view(r), me "b", 0).act)
    r = failed_by_a(nil, nil, { ttl = "1s" })
    r.age_ms = 1e12
    assert.equal("claim", once.decide(view(r), me "b", 0).act)
  end)
end)

describe("work that failed", function()
  it("goes back with its exit code and error, for the next replica", function()
    local r, _, final = failed_by_a()
    assert.is_false(final)
    local s = r.status
    assert.same({ "", "", "Pending", 1, 3, "exit code 3", 0, false },
      { s.executor, s.session, s.phase, s.attempts, s.exitCode, s.lastError, s.backoffMs, s.executed })
    assert.is_nil(s.ttlMs)
    assert.same({ "True", "False" }, { condition(r, "Failed"), condition(r, "Running") })
    assert.equal("Retrying", s.conditions[3].reason)
    local action = once.decide(view(r), me "b", 0)
    assert.same({ "claim", 2 }, { action.act, action.attempt })
    assert.equal("False", condition({ status = action.status }, "Failed"))
  end)

  it("pauses from when the failure was seen, twice as long after each, within a limit", function()
    local r = failed_by_a { backoff_ms = 10000 }
    local action = once.decide(view(r, 500), me "b", 600)
    assert.same({ "wait", 10500 }, { action.act, action.until_ms })
    assert.equal("claim", once.decide(view(r, 500), me "b", 10500).act)
    local pauses = {}
    for _ = 2, 8 do
      local m = me("b", { backoff_ms = 10000 })
      r = after(r, once.claim(r, m))
      m.fence = r.status.fence
      r = after(r, once.fail(r, m, {}))
      pauses[#pauses + 1] = r.status.backoffMs
    end
    assert.same({ 20000, 40000, 80000, 160000, 320000, 360000, 360000 }, pauses)
    assert.equal(600000, failed_by_a { backoff_ms = 600000 }.status.backoffMs)
    assert.equal(2000, failed_by_a(nil, nil, { backoff = "2s" }).status.backoffMs)
  end)

  it("leaves the one that failed behind the others", function()
    local r = failed_by_a()
    local action = once.decide(view(r, 500), me("a", { failed = r.status.fence }), 500)
    assert.same({ "wait", 500 + ttl.STAGGER_MS }, { action.act, action.until_ms })
    assert.equal("claim", once.decide(view(r, 500), me("a", { failed = 1 }), 500).act)
  end)

  it("has failed for good after its last attempt, with the reason", function()
    local r, _, final = failed_by_a { max_attempts = 1 }
    assert.is_true(final)
    assert.is_nil(r.status.backoffMs)
    assert.equal("False", condition(r, "Ready"))
    assert.equal("Exhausted", r.status.conditions[3].reason)
    local action = once.decide(view(r), me("b", { max_attempts = 1 }), 1e9)
    assert.same({ "failed", "1", 1, 3, "exit code 3" },
      { action.act, action.version, action.attempts, action.exit_code, action.last_error })
    assert.truthy(action.why:find("after 1 attempt: exit code 3", 1, true))
    r.spec.maxAttempts = 1
    assert.equal("failed", once.decide(view(r), me "b", 0).act)
    assert.equal("claim", once.decide(view(r), me("b", { max_attempts = 2 }), 0).act, "one's own limit counts first")
  end)

  it("may still be done in another version, whose attempts start at one", function()
    local r = failed_by_a { max_attempts = 1 }
    local action = once.decide(view(r), me("b", { version = "2", max_attempts = 1 }), 0)
    assert.same({ "claim", 1 }, { action.act, action.attempt })
    local s = action.status
    assert.is_nil(s.lastError)
    assert.is_nil(s.exitCode)
    assert.is_nil(s.history, "what is not done is not remembered")
  end)

  it("keeps at most 256 printable bytes of the error", function()
    local r = failed_by_a(nil, { error = ("\195\169"):rep(300) .. "\n" })
    assert.equal(256, #r.status.lastError)
    assert.equal("a b?", failed_by_a(nil, { error = "a\nb\0" }).status.lastError)
  end)
end)

describe("work that was stopped from outside", function()
  it("is given back without counting the run, and may be claimed at once", function()
    for _, started in ipairs { true, false } do
      local r, m = claimed_by_a { backoff_ms = 10000 }
      r.status.backoffMs = 10000
      local status, final = once.release(r, m, started)
      assert.is_false(final)
      assert.same({ "", "", 0, "Pending" }, { status.executor, status.session, status.attempts, status.phase })
      assert.is_nil(status.lastError)
      assert.is_nil(status.backoffMs)
      local action = once.decide(view(after(r, status)), me("b", { max_attempts = 1 }), 0)
      assert.same({ "claim", 1 }, { action.act, action.attempt })
    end
  end)

  it("counts as failed for good when it had started and may do so at most once", function()
    local r, m = claimed_by_a { mode = "AtMostOnce" }
    local status, final = once.release(r, m, true)
    assert.is_true(final)
    assert.equal("failed", once.decide(view(after(r, status)), me("b", { mode = "AtMostOnce" }), 0).act)
    assert.is_false(select(2, once.release(r, m, false)))
    local action = once.decide(view(after(r, (once.release(r, m, false)))), me("b", { mode = "AtMostOnce" }), 0)
    assert.equal("claim", action.act)
  end)
end)
