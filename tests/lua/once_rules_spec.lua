--- The once policy beyond its state table: work at most once, what a person does, records
--- of other programs, and any order of steps.

package.path = "tests/lua/?.lua;" .. package.path
local by_policy = require "lib.made_once"
local made = require "lib.made"
local once = require "konductor.once"

local after, view = made.after, made.view
local me, rec, claimed_by_a = by_policy.me, by_policy.rec, by_policy.claimed_by_a
local executed_by_a, failed_by_a, condition = by_policy.executed_by_a, by_policy.failed_by_a, by_policy.condition
local STALE = 15750

describe("work at most once", function()
  it("is not begun again after another version was claimed in between", function()
    local r = failed_by_a { mode = "AtMostOnce", version = "2" }
    local b = me("b", { mode = "AtMostOnce", version = "1" })
    r = after(r, once.decide(view(r), b, 1e9).status)
    b.fence = r.status.fence
    r = after(r, once.complete(r, b))
    local again = once.decide(view(r), me("c", { mode = "AtMostOnce", version = "2" }), 1e9)
    assert.equal("failed", again.act)
    assert.equal(1, again.attempts)
    assert.equal(3, again.exit_code)
    local _, code = once.claim(r, me("c", { mode = "AtMostOnce", version = "2" }))
    assert.equal("exists", code)
  end)

  it("may be begun again once a person has reset the version that was tried", function()
    local r = failed_by_a { mode = "AtMostOnce", version = "2" }
    local b = me("b", { mode = "AtMostOnce", version = "1" })
    r = after(r, once.decide(view(r), b, 1e9).status)
    b.fence = r.status.fence
    r = after(r, once.complete(r, b))
    r = after(r, once.reset(r, me("person", { version = "2" })))
    assert.is_nil(r.status.tried)
    assert.equal("claim", once.decide(view(r), me("c", { mode = "AtMostOnce", version = "2" }), 1e9).act)
  end)

  it("is in doubt, never taken over, once its executor is gone", function()
    local r = claimed_by_a { mode = "AtMostOnce" }
    local m = me("b", { mode = "AtMostOnce" })
    assert.equal("wait", once.decide(view(r, 0), m, STALE - 1).act)
    for _, v in ipairs { view(r, 0, { gone = true }), view(r, -STALE) } do
      local action = once.decide(v, m, 0)
      assert.same({ "doubt", "in_doubt", "queue", "1" }, { action.act, action.code, action.by, action.version })
      assert.same({ r.status.op, r.status.session, r.status.fence },
        { action.status.op, action.status.session, action.status.fence })
      local marked = after(r, action.status)
      assert.equal("True", condition(marked, "Unknown"))
      action = once.decide(view(marked, 0), m, 0)
      assert.equal("doubt", action.act)
      assert.is_nil(action.status, "it is marked once")
    end
  end)

  it("is so when either the record or the replica says it", function()
    local r = claimed_by_a(nil, { mode = "AtMostOnce" })
    assert.equal("doubt", once.decide(view(r), me("b", { mode = "AtLeastOnce" }), STALE).act)
    r = claimed_by_a()
    assert.equal("doubt", once.decide(view(r), me("b", { mode = "AtMostOnce" }), STALE).act)
  end)

  it("blocks other versions while it is in doubt", function()
    local r = claimed_by_a { mode = "AtMostOnce" }
    assert.equal("doubt", once.decide(view(r), me("b", { mode = "AtMostOnce", version = "2" }), STALE).act)
  end)

  it("is not tried again after a failure, whatever the limit of attempts", function()
    local r, _, final = failed_by_a { mode = "AtMostOnce", max_attempts = 5 }
    assert.is_true(final)
    assert.equal("failed", once.decide(view(r), me("b", { mode = "AtMostOnce", max_attempts = 5 }), 1e9).act)
  end)

  it("may still be completed by an executor that was only thought gone", function()
    local r, m = claimed_by_a { mode = "AtMostOnce" }
    local marked = after(r, once.decide(view(r), me("b", { mode = "AtMostOnce" }), STALE).status)
    local done = after(marked, once.complete(marked, m))
    assert.equal("False", condition(done, "Unknown"))
    assert.equal("done", once.decide(view(done), me "b", 0).act)
  end)

  it("is settled by a person: it ran, or it did not", function()
    local r = claimed_by_a { mode = "AtMostOnce" }
    r = after(r, once.decide(view(r), me("b", { mode = "AtMostOnce" }), STALE).status)
    local ran = after(r, once.resolve(r, me "op", true))
    assert.same({ true, "pod-a", "False" }, { ran.status.executed, ran.status.executor, condition(ran, "Unknown") })
    assert.equal("done", once.decide(view(ran), me "b", 0).act)
    r.status.lastError = "an older one"
    local not_run = after(r, once.resolve(r, me "op", false))
    assert.is_nil(not_run.status.lastError)
    local action = once.decide(view(not_run), me("b", { mode = "AtMostOnce" }), 0)
    assert.same({ "claim", 1 }, { action.act, action.attempt })
    assert.is_nil(not_run.status.ttlMs)
    assert.equal("absent", select(2, once.resolve(not_run, me "op", true)))
  end)

  it("with a ttl is refused, because its record would be forgotten", function()
    local ok, code, sentence = once.validate { mode = "AtMostOnce", keep_ms = 1000 }
    assert.is_nil(ok)
    assert.equal("usage", code)
    assert.truthy(sentence:find("ttl", 1, true))
    assert.is_true(once.validate { mode = "AtMostOnce" })
    assert.is_true(once.validate { mode = "AtLeastOnce", keep_ms = 1000 })
    assert.is_true(once.validate {})
  end)
end)

describe("a reset", function()
  it("lets failed work be tried again", function()
    local r = failed_by_a { max_attempts = 1 }
    local old = r.status
    r = after(r, once.reset(r, me "op"))
    assert.equal("False", condition(r, "Failed"))
    assert.not_equal(old.op, r.status.op)
    for _, key in ipairs { "exitCode", "lastError", "backoffMs", "executedAt" } do
      assert.is_nil(r.status[key], key)
    end
    local action = once.decide(view(r), me("b", { max_attempts = 1 }), 0)
    assert.same({ "claim", 1 }, { action.act, action.attempt })
    assert.is_true(action.fence > r.status.fence)
  end)

  it("takes the mark of a version back, the current one or one of the past", function()
    local r = executed_by_a()
    assert.equal("claim", once.decide(view(after(r, once.reset(r, me "op"))), me "b", 0).act)
    local b = me("b", { version = "2" })
    r = after(r, once.claim(r, b))
    b.fence = r.status.fence
    r = after(r, once.complete(r, b))
    local past = after(r, once.reset(r, me "op"))
    assert.equal("claim", once.decide(view(past), me "c", 0).act)
    assert.equal("done", once.decide(view(past), me("c", { version = "2" }), 0).act)
    assert.is_nil(past.status.history)
    local c = me("c", { version = "3" })
    r = after(r, once.claim(r, c))
    c.fence = r.status.fence
    r = after(r, once.complete(r, c))
    past = after(r, once.reset(r, me "op"))
    assert.same({ "2" }, { past.status.history[1].version, past.status.history[2] })
  end)

  it("is refused while somebody has the claim", function()
    local status, code, sentence = once.reset(claimed_by_a(), me "op")
    assert.is_nil(status)
    assert.equal("busy", code)
    assert.truthy(sentence:find("pod-a", 1, true))
  end)
end)

describe("a claim bound to time", function()
  it("is known again by holder and fence, and by nothing less", function()
    local r = claimed_by_a { bound = "time" }
    local action = once.decide(view(r), me("a", { bound = "time", fence = r.status.fence }), 0)
    assert.same({ "claim", r.status.fence, 1 }, { action.act, action.fence, action.attempt })
    assert.equal("wait", once.decide(view(r), me("a", { bound = "time" }), 0).act)
    assert.equal("wait", once.decide(view(r), me("a", { bound = "time", fence = 1 }), 0).act)
    assert.equal("wait", once.decide(view(r), me("a", { fence = r.status.fence }), 0).act)
  end)

  it("is completed by another process of the same holder with the same fence", function()
    local r = claimed_by_a { bound = "time" }
    local later = me("later", { holder = "pod-a", bound = "time", fence = r.status.fence })
    assert.is_true(once.complete(r, later).executed)
    later.fence = 1
    assert.equal("lost", select(2, once.complete(r, later)))
    later.fence, later.holder = r.status.fence, "pod-b"
    assert.equal("lost", select(2, once.complete(r, later)))
    assert.equal("lost", select(2, once.complete(r, me("a", { fence = r.status.fence }))))
  end)
end)

describe("a record that another program wrote", function()
  local damaged = {
    ["a mark that is no boolean"] = { executed = "yes" },
    ["an executor that is no text"] = { executor = {} },
    ["a history that is no list"] = { history = { [2] = {} } },
    ["a history without version"] = { history = { {} } },
    ["a version that is no text"] = { version = 3 },
    ["attempts below 0"] = { attempts = -1 },
    ["attempts that are no number"] = { attempts = "1" },
    ["a broken backoff"] = { backoffMs = 0.5 },
    ["a claim without ttl"] = { session = "z", executor = "z" },
    ["a claim bound to nothing known"] = { session = "z", bound = "x", ttlMs = 1 },
    ["conditions that are no list"] = { session = "z", ttlMs = 1, conditions = "x" },
    ["conditions of nothing claimed that are no list"] = { conditions = 5 },
    ["a fence that none can follow"] = { fence = 2 ^ 53 },
  }
  for what, status in pairs(damaged) do
    it("is refused when it has " .. what, function()
      local action = once.decide(view(rec(status)), me "a", 0)
      assert.same({ "fail", "corrupt" }, { action.act, action.code })
      assert.truthy(action.why:find("^Once x: status%."), action.why)
      assert.equal("corrupt", select(2, once.claim(rec(status), me "a")))
    end)
  end

  it("is refused when its spec cannot be read", function()
    for _, spec in ipairs {
      { ttl = "soon" }, { mode = "Maybe" }, { maxAttempts = 0 }, { backoff = 5 }, { version = 1 },
    } do
      local action = once.decide(view(rec({}, { spec = spec })), me "a", 0)
      assert.same({ "fail", "corrupt" }, { action.act, action.code })
    end
  end)

  it("is read as it was meant when it is only a mark", function()
    assert.equal("done", once.decide(view(rec { executed = true }), me("a", { version = "" }), 0).act)
  end)
end)

describe("any order of steps", function()
  it("never runs a done version, never clears a mark, and lets the fence grow", function()
    local seed = 4711
    local function random(n)
      seed = (seed * 16807) % 2147483647
      return seed % n
    end
    local r, top, runs, done = rec(), 0, 0, {}
    for now = 0, 3000000, 1000 do
      local m = me(("abcdef"):sub(1 + random(6)):sub(1, 1), {
        version = "v" .. (1 + math.floor(now / 100000)) - random(3), fence = r.status.fence, max_attempts = 3,
      })
      local status
      if once.held(r, m) and random(3) > 0 then
        local pick = random(4)
        status = pick == 0 and once.complete(r, m) or pick == 1 and once.release(r, m, true)
          or pick == 2 and once.fail(r, m, {}) or once.heartbeat(r, m)
      else
        local action = once.decide(view(r, now - random(20000)), m, now)
        status = action.status
        assert.equal(done[m.version] == true, action.act == "done")
        if action.act == "claim" or action.act == "takeover" then
          assert.is_nil(done[status.version])
          runs = runs + 1
        end
      end
      if status then
        assert.is_true(status.fence >= top)
        top = status.fence
        if status.executed then
          done[status.version] = true
        end
        r = after(r, status)
      end
    end
    assert.is_true(runs > 50)
  end)
end)
