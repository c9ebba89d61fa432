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

  -- Writes a status as others do, and reads it back as those do who wait.
  local function pair(kind, name)
    local theirs, ours = assert(open()), assert(open())
    local record = assert(theirs:create(kind, name, {}))
    return function(status)
      record = assert(theirs:replace(record, status))
      return assert(ours:get(kind, name)).status
    end, function()
      theirs:close()
      ours:close()
    end
  end

  local function versions(count, at)
    local list = core.json.array {}
    for i = 1, count do
      list[i] = { version = "v" .. i, executor = ("host-%d"):format(i), executedAt = at or "2026-01-01T00:00:00Z" }
    end
    return list
  end

  for kind, list in pairs { Once = "history", Lease = "waiters" } do
    it("reads the " .. list .. " of a " .. kind .. " anew when any byte of it has changed, and only then", function()
      local exchange, close = pair(kind, "a")
      local first = exchange { n = 1, [list] = versions(20) }
      local second = exchange { n = 2, text = list .. "[", [list] = versions(20) }
      assert.same({ n = 2, text = list .. "[", [list] = versions(20) }, second)
      assert.equal(first[list], second[list], "the same table")
      local escaped = { text = '"' .. list .. '":[', [list] = versions(20) }
      assert.same(escaped, exchange(escaped))
      for _, changed in ipairs { versions(20, "2026-01-01T00:00:01Z"), versions(19), versions(21), versions(1), {},
        "none", 0 } do
        assert.same({ [list] = changed }, exchange { [list] = changed })
        assert.same({ n = 3, [list] = versions(20) }, exchange { n = 3, [list] = versions(20) })
      end
      assert.same({ n = 4 }, exchange { n = 4 })
      assert.same({ below = { [list] = versions(20) } }, exchange { below = { [list] = versions(20) } })
      close()
    end)
  end

  it("gives the policies of users another table than the one they wrote", function()
    local store = assert(open())
    local status = { n = 1 }
    local record = assert(store:replace(assert(store:create("Record", "a", {})), status))
    status.n = 2
    assert.equal(1, record.status.n)
    store:close()
  end)

  it("gives the policies of users tables of their own", function()
    local exchange, close = pair("Record", "a")
    local first = exchange { n = 1, history = versions(20), waiters = versions(20) }
    first.history[1].version, first.waiters[21] = "changed in place", {}
    assert.same({ n = 2, history = versions(20), waiters = versions(20) },
      exchange { n = 2, history = versions(20), waiters = versions(20) })
    close()
  end)

  -- Puts a status there as it is, whatever the text.
  local function put(status)
    local file = assert(io.open(dir .. "/broken.sql", "w"))
    file:write(("UPDATE records SET status = '%s', rev = rev + 1;"):format(status))
    file:close()
    shell(("python3 -c 'import sqlite3; db = sqlite3.connect(\"%s/state.db\"); " ..
      "db.executescript(open(\"%s/broken.sql\").read())'"):format(dir, dir))
  end

  it("reads a list that stands there twice as the last one says", function()
    local store = assert(open())
    assert(store:create("Once", "a", {}))
    local one, other = core.json.encode(versions(20)), core.json.encode(versions(19))
    put(('{"history":%s,"history":%s}'):format(one, other))
    assert.equal(19, #store:get("Once", "a").status.history)
    put(('{"history":%s}'):format(one))
    assert.equal(20, #store:get("Once", "a").status.history)
    store:close()
  end)

  it("says of a damaged status what is wrong, though its list is known", function()
    local exchange, close = pair("Once", "a")
    exchange { n = 1, history = versions(20) }
    local text = core.json.encode { history = versions(20) }
    local reader = assert(open())
    for broken, words in pairs {
      [text:sub(1, -2)] = "incomplete", [text .. "}"] = "follows", ["[" .. text .. "]"] = "no JSON object",
      [text:sub(1, -2) .. ",]}"] = "wrong or incomplete",
    } do
      put(broken)
      local record, code, detail = reader:get("Once", "a")
      assert.is_nil(record)
      assert.equal("corrupt", code)
      assert.matches(words, detail, 1, true)
    end
    reader:close()
    close()
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
