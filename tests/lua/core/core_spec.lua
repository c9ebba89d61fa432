-- The C core as Lua sees it, on the real loop.
local core = require "konductor.core"

local PATIENCE_MS = 120000 -- to tell a hang from a slow machine

local function environment(extra)
  local list = {}
  for name, value in pairs(core.environ()) do
    list[#list + 1] = name .. "=" .. value
  end
  for _, entry in ipairs(extra or {}) do
    list[#list + 1] = entry
  end
  return list
end

--- Runs argv to its end: its exit event and the names of all. Killed in spec.within milliseconds,
--- if given; nothing when they were over before it could start.
local function run(argv, spec)
  local inbox = core.inbox()
  spec = spec or {}
  spec.argv, spec.env = argv, environment(spec.env)
  if spec.within then
    spec.kill_at = core.now() + spec.within
    spec.term_at, spec.within = spec.kill_at, nil
  end
  local child, code, detail = core.spawn(inbox, spec)
  if code == "lost" then
    return nil
  end
  assert(child, detail)
  local seen, exit = {}, nil
  repeat
    local event = assert(inbox:wait(core.now() + PATIENCE_MS))
    assert.equal(child, event.child)
    seen[#seen + 1] = event.type
    exit = (event.type == "exit" or event.type == "failed") and event or exit
  until event.type == "empty"
  if exit.type == "failed" and exit.code == "lost" then
    return nil
  end
  return exit, table.concat(seen, " ")
end

--- Gives try(ms) more and more time until it answers; how much this machine needs nobody knows.
local function patiently(try)
  local ms, answer = 200
  repeat
    answer = try(ms)
    ms = ms * 4
  until answer or ms > PATIENCE_MS
  return assert(answer, "not even with a long time")
end

describe("core.spawn", function()
  it("tells of start, exit and the end of the last descendant, in this order", function()
    local exit, order = run { "sh", "-c", "exit 3" }
    assert.equal("started exit empty", order)
    assert.equal(3, exit.code)
    assert.equal("own", exit.by)
  end)

  it("gives 128+n and the signal for a command that a signal ended", function()
    local exit = run { "sh", "-c", "kill -KILL $$" }
    assert.equal(137, exit.code)
    assert.equal(9, exit.signal)
  end)

  it("captures output, all of it, and cuts it at one MiB", function()
    local exit = run({ "echo", "hello" }, { capture = true })
    assert.equal("hello\n", exit.output)
    exit = run({ "head", "-c", "2000000", "/dev/zero" }, { capture = true })
    assert.equal(0, exit.code)
    assert.equal(1048576, #exit.output)
  end)

  it("gives input to the command", function()
    local text = ("x"):rep(200000)
    local exit = run({ "wc", "-c" }, { capture = true, input = text })
    assert.equal(200000, tonumber(exit.output))
  end)

  it("uses the given environment and directory", function()
    local exit = run({ "sh", "-c", "echo $WORD; pwd" }, { capture = true, env = { "WORD=abc" }, cwd = "/" })
    assert.equal("abc\n/\n", exit.output)
  end)

  it("tells a missing command from one that cannot be executed", function()
    local failed, order = run { "/nonexistent/command" }
    assert.equal("failed empty", order)
    assert.equal("not_found", failed.code)
    assert.equal("not_executable", (run { "/etc" }).code)
  end)

  it("stops a tree whose deadline passes and says that the deadman did", function()
    local kill_at
    local exit = patiently(function(ms)
      kill_at = core.now() + ms
      return (run({ "sh", "-c", "trap '' TERM; while :; do sleep 0.01; done" }, { within = ms }))
    end)
    assert.equal("deadman", exit.by)
    assert.equal(9, exit.signal)
    assert.is_true(core.now() >= kill_at)
  end)

  it("refuses to start when the deadline has passed", function()
    local child, code = core.spawn(core.inbox(), { argv = { "true" }, env = {}, term_at = 1, kill_at = 1 })
    assert.is_nil(child)
    assert.equal("lost", code)
  end)

  it("raises on arguments that are no strings", function()
    assert.has_error(function() core.spawn(core.inbox(), { argv = { "a", 1 }, env = {} }) end)
    assert.has_error(function() core.spawn(core.inbox(), { argv = {}, env = {} }) end)
    assert.has_error(function() core.spawn(core.inbox(), { argv = { "a\0b" }, env = {} }) end)
  end)

  it("takes math.huge for a time that never comes", function()
    local exit = run({ "sh", "-c", "exit 4" }, { term_at = math.huge, kill_at = math.huge })
    assert.equal(4, exit.code)
    assert.error_matches(function() run({ "true" }, { kill_at = 0 / 0 }) end, "NaN")
  end)

  it("is not held up by a command that writes faster than it is read", function()
    patiently(function(ms)
      local exit = run({ "sh", "-c", "yes & yes & yes" }, { capture = true, within = ms })
      assert.equal("deadman", exit and exit.by or "deadman")
      return exit and #exit.output == 1048576
    end)
    local inbox = core.inbox()
    local child = assert(core.spawn(inbox,
      { argv = { "sh", "-c", "yes & yes & yes" }, env = environment(), capture = true }))
    assert.equal("started", assert(inbox:wait(core.now() + PATIENCE_MS)).type)
    assert.same({ nil, "timeout" }, { inbox:wait(core.now() + 100) })
    child:stop(0)
    repeat
      local event = assert(inbox:wait(core.now() + PATIENCE_MS))
    until event.type == "empty"
  end)

  it("refuses what is no inbox before anything runs", function()
    local path = os.tmpname()
    os.remove(path)
    assert.error(function() core.spawn({}, { argv = { "touch", path }, env = environment() }) end)
    run { "true" } -- one that was started after it has ended
    assert.is_nil(io.open(path))
  end)

  it("refuses more descriptors to keep than there is room for", function()
    assert.error_matches(function()
      core.spawn(core.inbox(), { argv = { "true" }, env = environment(), keep = { 1, 1, 1, 1, 1, 1, 1, 1, 1 } })
    end, "at most 8")
  end)

  it("survives the loss of its inbox", function()
    local inbox = core.inbox()
    local child = assert(core.spawn(inbox, { argv = { "sleep", "30" }, env = environment() }))
    inbox:close()
    child:stop(0)
    inbox, child = nil, nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.equal(0, (run { "true" }).code)
  end)
end)

describe("core.inbox and core.task", function()
  it("refuse a wait under a function of C, and the inbox is as it was", function()
    local inbox = core.inbox()
    local ok, why = pcall(string.gsub, "x", "x", function() inbox:wait(core.now() + 60000) end)
    assert.is_false(ok)
    assert.matches("within a function of C", why)
    assert.same({ nil, "timeout" }, { inbox:wait(core.now() + 1) })
    inbox:post { type = "word" }
    assert.equal("word", inbox:wait(core.now() + PATIENCE_MS).type)
  end)

  it("wait until any time but one that is no number", function()
    local inbox = core.inbox()
    assert.error_matches(function() inbox:wait(0 / 0) end, "NaN")
    assert.same({ nil, "timeout" }, { inbox:wait(-math.huge) })
    assert.same({ nil, "timeout" }, { inbox:wait(-1e300) })
    local done = core.inbox()
    for _, never in ipairs { math.huge, 1e300 } do
      core.task(done, function() return inbox:wait(never) end)
      core.task(nil, function() inbox:post { type = "word" } end)
      assert.equal("word", done:wait(core.now() + PATIENCE_MS).value.type)
    end
  end)

  it("take hundreds of arguments", function()
    local done, many = core.inbox(), {}
    for i = 1, 5000 do
      many[i] = i
    end
    core.task(done, function(...) return select("#", ...) + select(5000, ...) end, unpack(many))
    assert.equal(10000, assert(done:wait(core.now() + PATIENCE_MS)).value)
  end)

  it("free an event that nobody has taken with the Lua state, though a task still waits", function()
    local left, never = core.inbox(), core.inbox()
    core.task(left, function() never:wait() end)
    left:post { type = "left" } -- the sanitizers would notice at the end of this program
    assert.equal("left", left:wait(core.now() + PATIENCE_MS).type)
    left:post { type = "left again" }
  end)
end)

describe("core.signals", function()
  it("turns signals into events, and stops when closed", function()
    local inbox = core.inbox()
    local signals = core.signals(inbox, { "USR1", "USR2" })
    run { "sh", "-c", "kill -USR1 " .. core.pid() .. "; kill -USR2 " .. core.pid() }
    local got = { inbox:wait(core.now() + PATIENCE_MS).signal, inbox:wait(core.now() + PATIENCE_MS).signal }
    table.sort(got)
    assert.same({ 10, 12 }, got)
    signals:close()
  end)
end)

describe("files", function()
  it("tells an absent file from one that may not be read", function()
    local _, code, detail = core.read_file("/nonexistent/file")
    assert.equal("absent", code)
    assert.matches("/nonexistent/file", detail, 1, true)
    _, code = core.read_file("/")
    assert.equal("system", code)
  end)

  it("keeps lines of several writers whole", function()
    local path = os.tmpname()
    local a, b = core.open_append(path), core.open_append(path)
    for i = 1, 100 do
      a:write("a" .. i .. "\n")
      b:write("b" .. i .. "\n")
    end
    a:close()
    local count = select(2, core.read_file(path):gsub("[ab]%d+\n", ""))
    os.remove(path)
    assert.equal(200, count)
  end)

  it("does not wait for the reader of a named pipe", function()
    local path = os.tmpname()
    os.remove(path)
    assert.equal(0, run({ "mkfifo", path }).code)
    local file, code = core.open_append(path)
    os.remove(path)
    assert.is_nil(file)
    assert.equal("system", code)
  end)

  it("drops what a log that nobody reads cannot take, instead of waiting", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write [[
      local core, ok, code = require "konductor.core", nil, nil
      repeat
        ok, code = core.write(2, ("x"):rep(9999))
      until not ok
      return code == "busy" and 7 or 1]]
    file:close()
    local full = 'mkfifo "$1.pipe"; exec 9<>"$1.pipe"; "$2" "$1" 2>&9'
    local exit = run({ "sh", "-c", full, "sh", path, "/proc/" .. core.pid() .. "/exe" },
      { kill_at = core.now() + PATIENCE_MS })
    os.remove(path)
    os.remove(path .. ".pipe")
    assert.equal(7, exit.code)
  end)

  it("gives an error, and no signal, for a reader that has gone", function()
    local exit = run({ "sh", "-c", "exit 0" }, { capture = true })
    assert.equal(0, exit.code)
    assert.is_nil((core.write(99, "text")))
  end)
end)
