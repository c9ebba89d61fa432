--- SQLite under the contract that every store keeps, and what its Lua binding adds to it.

package.path = "tests/lua/?.lua;" .. package.path
local core = require "konductor.core"
local contract = require "contract.store"
local real = require "konductor.real"

local LIMIT_MS = 120000 -- to tell a hang from a slow machine

local dir

local function shell(command)
  assert(os.execute(command) == 0, command)
end

local function session()
  return core.random_hex(16)
end

local function open(options)
  options = options or {}
  return core.sqlite {
    path = options.path or dir .. "/state.db",
    namespace = options.namespace or "default",
    session = options.session or session(),
  }
end

--- A world on the store in box, as another process would have it.
local function world_on(box, id)
  return (real.new {
    session = id, holder = "test", log = { log = function() end }, open_store = function() return box.store end,
  })
end

--- Ends the session as the end of its process does, without a word.
local function crash(box)
  box.store = nil
  collectgarbage()
  collectgarbage()
end

before_each(function()
  dir = os.tmpname()
  os.remove(dir)
  shell("mkdir -m 700 " .. dir)
end)

after_each(function()
  collectgarbage() -- closes the stores
  collectgarbage()
  shell("rm -rf " .. dir)
end)

describe("the SQLite store", function()
  for _, claim in ipairs(contract) do
    it(claim.name, function()
      local names, ids = 0, { session(), session() }
      local boxes = { { store = assert(open { session = ids[1] }) }, { store = assert(open { session = ids[2] }) } }
      local h = {
        kill = function() crash(boxes[2]) end,
        fresh_name = function()
          names = names + 1
          return "contract-" .. names
        end,
      }
      claim.run(world_on(boxes[1], ids[1]), world_on(boxes[2], ids[2]), h)
      crash(boxes[1])
      crash(boxes[2])
    end)
  end

  it("keeps records over a close", function()
    local store = assert(open())
    local made = assert(store:create("Once", "a", { ttl = "1h" }))
    store:close()
    store = assert(open())
    assert.same({ ttl = "1h" }, assert(store:get("Once", "a")).spec)
    assert.equal(made.rev, store:get("Once", "a").rev)
    store:close()
  end)

  it("keeps namespaces apart", function()
    local one, two = assert(open { namespace = "one" }), assert(open { namespace = "two" })
    assert(one:create("Once", "a", {}))
    local record, code = two:get("Once", "a")
    assert.is_nil(record)
    assert.equal("absent", code)
    assert.equal(0, #two:list("Once"))
    one:close()
    two:close()
  end)

  it("says where it is, and has a descriptor to keep", function()
    local store = assert(open())
    assert.equal("sqlite:" .. dir .. "/state.db", store:describe())
    assert.is_true(store:fd() > 2)
    store:close()
  end)

  it("refuses names that Kubernetes would refuse", function()
    local store = assert(open())
    local names = { "", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "a.-b", "a-.b", "a/b", "ä", ("a"):rep(254) }
    for _, name in ipairs(names) do
      local record, code = store:create("Once", name, {})
      assert.is_nil(record, name)
      assert.equal("usage", code, name)
    end
    for _, kind in ipairs { "", "once", "On-ce", "1Once", ("A"):rep(64) } do
      assert.equal("usage", select(2, store:create(kind, "a", {})), kind)
    end
    for _, name in ipairs { "a", "a-b", "a--b", "a.b", "0", ("a"):rep(253) } do
      assert(store:create("Once", name, {}))
    end
    store:close()
    assert.equal("usage", select(2, open { namespace = "No" }))
  end)

  it("refuses what is too big or no JSON, and stores nothing of it", function()
    local store = assert(open())
    local record = assert(store:create("Once", "a", {}))
    assert.equal("too_big", select(2, store:replace(record, { text = ("x"):rep(2 ^ 20) })))
    assert.equal("usage", select(2, store:replace(record, { f = print })))
    assert.equal("usage", select(2, store:replace(record, { text = "\255" })))
    assert.equal(record.rev, store:get("Once", "a").rev)
    store:close()
  end)

  it("raises on misuse", function()
    assert.has_error(function() core.sqlite { path = "x" } end)
    assert.has_error(function() core.sqlite { path = "x", namespace = "a", session = "b", extra = 1 } end)
    local store = assert(open())
    local record = assert(store:create("Once", "a", {}))
    assert.has_error(function() store:replace(record, {}, { by = "nobody" }) end)
    assert.has_error(function() store:replace({}, {}) end)
    for _, rev in ipairs { 0 / 0, -1, 2 ^ 54, math.huge } do
      local strange = { kind = record.kind, name = record.name, uid = record.uid, rev = rev }
      assert.error_matches(function() store:replace(strange, {}) end, "2%^53")
    end
    assert.has_error(function() store:get("a\0b", "c") end)
    store:close()
    store:close()
    assert.has_error(function() store:get("Once", "a") end)
  end)

  it("refuses a session that is none, or is in use", function()
    assert.equal("usage", select(2, open { session = "../../etc/passwd" }))
    local id = session()
    local store = assert(open { session = id })
    assert.equal("store", select(2, open { session = id }))
    store:close()
  end)

  it("merges the events of one record, and names those of a kind up to a limit", function()
    local store = assert(open())
    local one, all = core.inbox(), core.inbox()
    assert(store:watch(one, "Many", "n1"))
    assert(store:watch(all, "Many"))
    local writes = 0
    for i = 1, 300 do
      assert(store:create("Many", "n" .. i, {}))
      writes = writes + 1
      core.inbox():wait(core.now() + 1) -- a turn of the loop
    end
    assert(store:replace(assert(store:get("Many", "n1")), { a = 1 }))
    core.inbox():wait(core.now() + 1)
    assert.equal("n1", one:wait(core.now() + LIMIT_MS).name)
    local events, nameless = 0, 0
    while true do
      local event = all:wait(core.now())
      if not event then
        break
      end
      events = events + 1
      nameless = nameless + (event.name and 0 or 1)
    end
    assert.is_true(events <= 257, events .. " events of " .. writes .. " writes")
    assert.equal(1, nameless)
    one:close()
    all:close()
    store:close()
  end)

  it("lets a store go whose watches are still open", function()
    local store = assert(open())
    local inbox = core.inbox()
    local watch = assert(store:watch(inbox, "Once", "a"))
    assert(store:peer(inbox, session()))
    store:close()
    watch:close()
    inbox:close()
  end)

  it("never says of a bad session name that it is gone", function()
    local store = assert(open())
    for _, id in ipairs { "", "..", ("G"):rep(32), "../live" } do
      local inbox = core.inbox()
      assert(store:peer(inbox, id))
      assert.equal("timeout", select(2, inbox:wait(core.now() + 20)))
    end
    store:close()
  end)

  it("knows a session as gone only when the last command that keeps its descriptor has ended", function()
    local id = session()
    local holder, waiter = { store = assert(open { session = id }) }, assert(open())
    local inbox, child_inbox = core.inbox(), core.inbox()
    local child = assert(core.spawn(child_inbox, {
      argv = { "sleep", "1000" }, env = { "PATH=" .. core.environ().PATH }, keep = { holder.store:fd() },
    }))
    assert.equal("started", child_inbox:wait(core.now() + LIMIT_MS).type)
    crash(holder)
    assert(waiter:peer(inbox, id))
    assert.equal("timeout", select(2, inbox:wait(core.now() + 20)))
    child:stop(0)
    local event = assert(inbox:wait(core.now() + LIMIT_MS))
    assert.equal("gone", event.type)
    assert.equal(id, event.session)
    waiter:close()
  end)
end)
