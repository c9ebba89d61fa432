local ledger = require "konductor.ledger"

local LEASE = { kind = "Lease", name = "a" }
local ONCE = { kind = "Once", name = "a" }

local function after(...)
  local book = ledger.new()
  for _, step in ipairs { ... } do
    book:take(step[1], step[2])
  end
  return book:is_empty()
end

describe("the ledger of a process", function()
  it("is empty before anything and after events that take nothing", function()
    assert.is_true(after())
    assert.is_true(after({ "skip", ONCE }, { "main", {} }, { "wait", ONCE }))
  end)

  it("has an entry from a claim until the hold is given up, whichever way", function()
    for _, way in ipairs { "release", "complete", "fail" } do
      assert.is_false(after { "claim", ONCE })
      assert.is_true(after({ "claim", ONCE }, { way, ONCE }))
    end
  end)

  it("keeps a hold that was lost: it was not we who gave it up", function()
    assert.is_false(after({ "claim", LEASE }, { "lost", LEASE }))
  end)

  it("counts a place in a queue until it is left, or until the hold that came of it ends", function()
    assert.is_false(after { "join", LEASE })
    assert.is_true(after({ "join", LEASE }, { "leave", LEASE }))
    assert.is_false(after({ "join", LEASE }, { "accept", LEASE }))
    assert.is_true(after({ "join", LEASE }, { "accept", LEASE }, { "release", LEASE }))
  end)

  it("tells a lease from a once of the same name", function()
    assert.is_false(after({ "claim", LEASE }, { "release", ONCE }))
  end)
end)
