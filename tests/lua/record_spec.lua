local record = require "konductor.record"

local WALL = "2026-01-01T00:00:00.000000Z"

local function lease(status, spec)
  return record.lease { kind = "Lease", name = "x", rev = 3, age_ms = 7, spec = spec or {}, status = status }
end

describe("the view of a record", function()
  it("of a fresh lease has every field in place", function()
    local v = lease({}, { ttl = "15s" })
    assert.same({
      rev = 3, age_ms = 7,
      spec = { ttl_ms = 15000, prio = 0, renewable = true, preempt = false, queue_max = 32 },
      foreign = false, holder = "",
      session = "", bound = "time", fence = 0, ttl_ms = 15000, renewals = 0, op = "", accepted = true,
      prio = 0, waiters = {}, is_garbled = false,
    }, v)
  end)

  it("of a fresh once has every field in place", function()
    local v = record.once { kind = "Once", name = "x", rev = 3, spec = {}, status = {} }
    assert.same({
      rev = 3, spec = { mode = "AtLeastOnce", backoff_ms = 0 }, executed = false, claimed = false, doubt = false,
      executor = "", version = "", history = {}, tried = {}, session = "", bound = "time", fence = 0, renewals = 0,
      op = "",
      attempts = 0, backoff_ms = 0,
    }, v)
  end)

  it("takes a hold with a session for one of a process, and any other for one of time", function()
    assert.equal("process", lease({ holder = "z", session = "s", ttlMs = 1 }).bound)
    assert.equal("time", lease({ holder = "z", ttlMs = 1 }).bound)
    assert.equal("time", lease({ holder = "z", session = "s", bound = "time", ttlMs = 1 }).bound)
  end)

  it("is refused without revision, spec or status that can be read", function()
    for _, rec in ipairs { "text", {}, { rev = "3" }, { rev = 1, spec = 5 }, { rev = 1, status = "x" } } do
      local v, code, sentence = record.lease(rec)
      assert.is_nil(v)
      assert.equal("corrupt", code)
      assert.is_string(sentence)
    end
  end)

  it("is refused with the reason of the store when that could not read it", function()
    local rec = { kind = "Lease", name = "boss", rev = 1, damage = "the status is damaged: not JSON" }
    assert.same({ nil, "corrupt", rec.damage }, { record.lease(rec) })
    assert.same({ nil, "corrupt", rec.damage }, { record.once(rec) })
  end)

  it("survives text of any bytes in the sentence", function()
    local _, _, sentence = lease { fence = "\0\n\255" .. ("x"):rep(100000) }
    assert.falsy(sentence:find("%c"))
    assert.is_true(#sentence < 300)
  end)
end)

describe("the status that a holder begins with", function()
  it("says which version of the spec was seen, where the store counts them", function()
    assert.same({ op = "a", observedGeneration = 4 }, record.successor { generation = 4, status = { op = "a" } })
    assert.same({ observedGeneration = 5 }, record.successor { generation = 5, status = { observedGeneration = 4 } })
    assert.same({ observedGeneration = 4 }, record.successor { status = { observedGeneration = 4 } })
    assert.same({}, record.successor { status = {} })
  end)
end)

describe("a condition", function()
  it("is added with the time of its first transition", function()
    assert.same({ { type = "Ready", status = "True", reason = "R", lastTransitionTime = WALL } },
      record.set_condition(nil, "Ready", "True", "R", WALL))
  end)

  it("that says so already leaves the list as it is, the very same", function()
    local list = record.set_condition(nil, "Ready", "True", "R", WALL)
    assert.equal(list, record.set_condition(list, "Ready", "True", "R", "later"))
  end)

  it("says to people what is so, which may change without a transition", function()
    local list = record.set_condition(nil, "Ready", "True", "R", WALL, "one")
    assert.equal("one", list[1].message)
    assert.equal(list, record.set_condition(list, "Ready", "True", "R", "later", "one"))
    local new = record.set_condition(list, "Ready", "True", "R", "later", "two")
    assert.same({ "two", WALL, "one" }, { new[1].message, new[1].lastTransitionTime, list[1].message })
  end)

  it("moves its time only when its status changes, and keeps what others wrote", function()
    local list = { { type = "Theirs", status = "True" }, { type = "Ready", status = "True", reason = "R",
      lastTransitionTime = WALL, message = "kept" } }
    local new = record.set_condition(list, "Ready", "True", "S", "later")
    assert.same({ "S", WALL, "kept" }, { new[2].reason, new[2].lastTransitionTime, new[2].message })
    new = record.set_condition(list, "Ready", "False", "S", "later")
    assert.same({ "False", "later" }, { new[2].status, new[2].lastTransitionTime })
    assert.equal(list[1], new[1])
    assert.same({ "True", "R" }, { list[2].status, list[2].reason }, "the old list is untouched")
    assert.equal("True", record.condition(new, "Theirs"))
    assert.is_nil(record.condition(new, "None"))
    assert.is_nil(record.condition(nil, "None"))
  end)
end)

describe("a later wall time", function()
  local cases = {
    { "2026-01-01T00:00:00.000000Z", 15000, "2026-01-01T00:00:15.000000Z" },
    { "2026-11-21T23:59:59.500000Z", 600, "2026-11-22T00:00:00.100000Z" },
    { "2024-02-28T23:59:59Z", 1000, "2024-02-29T00:00:00.000000Z" },
    { "2023-02-28T23:59:59Z", 1000, "2023-03-01T00:00:00.000000Z" },
    { "2000-02-29T00:00:00Z", 86400000, "2000-03-01T00:00:00.000000Z" },
    { "2100-02-28T00:00:00Z", 86400000, "2100-03-01T00:00:00.000000Z" },
    { "2025-12-31T23:59:59.999999Z", 1, "2026-01-01T00:00:00.000999Z" },
    { "1970-01-01T00:00:00.1Z", 0, "1970-01-01T00:00:00.100000Z" },
    { "2026-01-01T00:00:00Z", 86400000 * 366, "2027-01-02T00:00:00.000000Z" },
  }
  for _, case in ipairs(cases) do
    it(("than %s by %d ms is %s"):format(case[1], case[2], case[3]), function()
      assert.equal(case[3], record.later(case[1], case[2]))
    end)
  end

  it("is none where the time is no time in UTC", function()
    for _, wall in ipairs { "", "now", "2026-01-01T00:00:00+01:00", "2026-01-01" } do
      assert.is_nil(record.later(wall, 0))
    end
  end)
end)
