--- koncli/object.lua: what people and programs see of a record.

local object = require "koncli.object"
local record = require "konductor.record"

local function condition(kind, status)
  return { type = kind, status = status, reason = "x", lastTransitionTime = "t" }
end

local function make(kind, status, spec, age_ms)
  return {
    kind = kind, name = "n", uid = "u", rev = 7, created = "c", age_ms = age_ms or 0,
    spec = spec or {}, status = status,
  }
end

local function once_state(status, spec, age_ms)
  local rec = make("Once", status, spec, age_ms)
  return object.once_state(rec, assert(record.once(rec)))
end

local function lease_state(status, spec, age_ms)
  return object.lease_state(assert(record.lease(make("Lease", status, spec, age_ms))))
end

local CLAIM = { executor = "a", session = "s", fence = 3, ttlMs = 1000 }

local function claim(more)
  local status = record.copy(CLAIM)
  for key, value in pairs(more or {}) do
    status[key] = value
  end
  return status
end

describe("the state of a once", function()
  it("is Pending before anybody came", function()
    assert.equal("Pending", once_state {})
  end)

  it("is Running until waiters may take over, then Lapsed", function()
    assert.equal("Running", once_state(claim(), nil, 1049))
    assert.equal("Lapsed", once_state(claim(), nil, 1050))
  end)

  it("is InDoubt whatever its age", function()
    local status = claim { conditions = { condition("Unknown", "True") } }
    assert.equal("InDoubt", once_state(status, nil, 0))
    assert.equal("InDoubt", once_state(status, nil, 5000))
  end)

  it("is InDoubt or Lapsed at once when its executor is known to be gone, and no longer told to become free", function()
    for mode, state in pairs { AtMostOnce = "InDoubt", AtLeastOnce = "Lapsed" } do
      local rec = make("Once", claim(), { mode = mode }, 0)
      local view = assert(record.once(rec))
      view.gone = true
      assert.equal(state, object.once_state(rec, view))
      local sheet = object.sheet("x", object.once_lines(rec, view))
      assert.is_nil(sheet:find "free within")
      assert.is_truthy(sheet:find("gone", 1, true))
      assert.equal(mode == "AtMostOnce", sheet:find("koncli once resolve n --ran or --not-run", 1, true) ~= nil)
    end
  end)

  it("tells a failure for good from one that is tried again", function()
    local failed = condition("Failed", "True")
    assert.equal("Failed", once_state { conditions = { failed, condition("Ready", "False") } })
    assert.equal("Retrying", once_state { conditions = { failed, condition("Ready", "True") } })
    assert.equal("Pending", once_state { conditions = { condition("Failed", "False"), condition("Ready", "False") } })
  end)

  it("is Executed until its ttl is over, and for ever when it must not run again", function()
    local done = { executed = true, executor = "a" }
    assert.equal("Executed", once_state(done, { ttl = "1s" }, 999))
    assert.equal("Expired", once_state(done, { ttl = "1s" }, 1000))
    assert.equal("Executed", once_state(done, { ttl = "1s", mode = "AtMostOnce" }, 1000))
    assert.equal("Executed", once_state(done, nil, 1e9))
  end)
end)

describe("whether a once is executed", function()
  local function executed(status, spec, given)
    return object.executed(assert(record.once(make("Once", status, spec))), given)
  end
  local status = {
    executed = true, executor = "b", version = "v2", history = { { version = "v1", executor = "a" } },
  }

  it("is about the version given, the declared one, or the one claimed last", function()
    assert.equal("a", executed(status, nil, "v1").executor)
    assert.equal("a", executed(status, { version = "v1" }).executor)
    assert.equal("b", executed(status, { version = "v1" }, "v2").executor)
    assert.equal("b", executed(status).executor)
    assert.is_nil(executed(status, { version = "v3" }))
    assert.is_nil(executed(status, nil, "v3"))
  end)
end)

describe("the state of a lease", function()
  local held = { holder = "a", session = "s", fence = 3, ttlMs = 1000 }

  it("is Available, Granted, Held or Expired", function()
    assert.equal("Available", lease_state({}, { ttl = "1s" }))
    assert.equal("Held", lease_state(held, nil, 1049))
    assert.equal("Expired", lease_state(held, nil, 1050))
    local granted = record.copy(held)
    granted.accepted = false
    assert.equal("Granted", lease_state(granted))
  end)
end)

describe("a sheet", function()
  local function lines(status, spec, age_ms)
    local rec = make("Once", status, spec, age_ms)
    return object.sheet("Once n", object.once_lines(rec, assert(record.once(rec))))
  end

  it("says how long a claim can last, as waiters count it", function()
    assert.truthy(lines(claim(), nil, 50):find("a, fence 3, free within 1s unless renewed", 1, true))
    assert.truthy(lines(claim(), nil, 9000):find("free within 0s", 1, true))
  end)

  it("shows the versions done before, the newest first", function()
    local text = lines { history = { { version = "v1", executor = "a", executedAt = "t1" }, { version = "v2" } } }
    assert.truthy(text:find("v2 by unknown, time unknown\n.*v1 by a, t1\n"))
  end)

  it("lets no record write control characters to a terminal", function()
    assert.is_nil(lines({ attempts = 1, lastError = "a\27[2Jb" }):find("\27", 1, true))
    assert.is_nil(object.grid({ "A" }, { { "\27[2J" } }):find("\27", 1, true))
  end)
end)

describe("a grid", function()
  it("has columns of one width and a sign for what is empty", function()
    assert.equal("A      B\nlong   -\nx      y\n", object.grid({ "A", "B" }, { { "long", "" }, { "x", "y" } }))
  end)
end)

describe("the object of the api", function()
  it("has a version that is text, however large", function()
    local rec = make("Lease", {})
    rec.rev = 2 ^ 53
    local made = object.api(rec, "prod")
    assert.equal("9007199254740992", made.metadata.resourceVersion)
    assert.equal("prod", made.metadata.namespace)
    assert.equal("lease.konductor.io/n", object.full_name(rec))
  end)
end)
