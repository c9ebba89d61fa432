--- Loads a policy script: compiles it, gives it its environment, runs it, and collects every
--- mistake before anything else runs.
---
--- A script may wait at its own level (k.exec, k.sleep, a hold around a function). Then it is
--- run twice: the first time, from the first such call on, these calls do nothing and give
--- plausible answers, until the script ends or comes to the same call again. That finds the
--- mistakes behind them. If it has none, it is run again and this time for real. A script
--- that has written something by then is never run twice: it just goes on.
---
--- Phases: "load" the first run; "look" the first run behind a waiting call; "real".

local globals = require "konductor.globals"
local program = require "konductor.program"
local text = require "konductor.text"

local M = {}

-- What a script finds in its environment. os.execute, io.popen and os.exit are missing: what
-- they do would escape the supervision.
local BASICS = {
  "assert", "bit", "collectgarbage", "coroutine", "error", "getmetatable", "ipairs", "math", "next", "pairs", "pcall",
  "rawequal", "rawget", "rawset", "select", "setmetatable", "string", "table", "tonumber", "tostring", "type", "unpack",
  "xpcall",
}
local OS = { "clock", "date", "difftime", "getenv", "time" }
local OS_TOUCHING = { "remove", "rename", "tmpname" }
local IO = { "lines", "type", "stdin", "stdout", "stderr" }
local IO_TOUCHING = { "open", "write", "output", "input", "read" }
local MISSING = {
  ["os.execute"] = "use k.exec, which supervises what it starts",
  ["io.popen"] = "use k.exec with capture = true, which supervises what it starts",
  ["os.exit"] = "raise an error, or let the script end",
}

-- The same where nothing of the machine may be reached.
local SEALED = {
  ["os.clock"] = "use k.now", ["os.date"] = "use k.now", ["os.time"] = "use k.now", ["os.getenv"] = "use k.env",
  ["os.difftime"] = "subtract",
}

---@class konductor.ScriptContext
---@field world konductor.World
---@field environ table<string, string>
---@field command? string[]       what stood behind "--"
---@field json table              encode and decode
---@field read_file fun(path: string): string?, string?, string?
---@field dir? string             where the script lies: its modules are searched there
---@field make fun(context: konductor.ScriptContext): table   makes the library for this run
---@field planning boolean        nothing is to be run: waiting calls are only recorded
---@field sealed? boolean         nothing of the machine is to be reached: the simulator's
---@field shortest_hold? fun(): integer?, string?   ms that the store grants at least, and its name; nil: any
---@field preflight? fun(program: konductor.Program): konductor.Failure?   asked before anything runs
---@field program konductor.Program
---@field phase "load"|"look"|"real"

local function touching(context, fn)
  return function(...)
    if context.phase == "look" then
      context.park()
    end
    context.touched = true
    return fn(...)
  end
end

local function guarded(context, name, from, plain, with_effects)
  local library = {}
  for _, key in ipairs(context.sealed and {} or plain) do
    library[key] = from[key]
  end
  for _, key in ipairs(context.sealed and {} or with_effects) do
    library[key] = touching(context, from[key])
  end
  return setmetatable(library, {
    __index = function(_, key)
      local path = ("%s.%s"):format(name, tostring(key))
      local instead = MISSING[path] or context.sealed and SEALED[path]
      error(("%s is not available in %s%s"):format(path, context.sealed and "a simulation" or "a script",
        instead and "; " .. instead or ""), 2)
    end,
  })
end

local function copy_of(library)
  local copy = {}
  for key, value in pairs(library) do
    copy[key] = value
  end
  return copy
end

-- Chance of the replica's own, so that a seed plays the same world again.
local function sealed_math(w)
  local library = copy_of(math)
  library.randomseed = function() end
  library.random = function(from, to)
    if not from then
      return w.random(0x100000000) / 0x100000000
    elseif not to then
      from, to = 1, from
    end
    return from + w.random(to - from + 1)
  end
  return library
end

local function say_as_log(context)
  return function(...)
    local words = {}
    for i = 1, select("#", ...) do
      words[i] = tostring((select(i, ...)))
    end
    context.world.log("info", table.concat(words, "\t"))
  end
end

-- What differs from process to process, or would tell one replica of another: chance, the order of pairs, standard output,
-- tables of libraries.
local function seal(context, env)
  for _, name in ipairs { "bit", "coroutine", "string", "table" } do
    env[name] = copy_of(env[name])
  end
  env.math, env.pairs, env.print = sealed_math(context.world), text.spairs, say_as_log(context)
end

local function names_in(env)
  local names = {}
  for name in text.spairs(env) do
    names[#names + 1] = name
  end
  return names
end

--- A sentence about a name that is not known here.
local function unknown_global(context, name, is_set)
  if is_set then
    return ('assignment to the unknown global "%s"; write "local %s"'):format(name, name)
  end
  local nearest = text.nearest(name, names_in(context.environment))
  return ('there is no global "%s"%s'):format(name, nearest and ('; did you mean "%s"?'):format(nearest) or "")
end

local function new_environment(context, library)
  local env = {}
  for _, name in ipairs(BASICS) do
    env[name] = _G[name] or require(name)
  end
  env.k = library
  env._G, env._VERSION = env, _VERSION
  env.print = touching(context, print)
  if context.sealed then
    seal(context, env)
  end
  env.os = guarded(context, "os", os, OS, OS_TOUCHING)
  env.io = guarded(context, "io", io, IO, IO_TOUCHING)
  return setmetatable(env, {
    __index = function(_, name)
      error(unknown_global(context, tostring(name), false), 2)
    end,
    __newindex = function(_, name, value)
      if debug.getinfo(2, "S").what ~= "main" then
        error(unknown_global(context, tostring(name), true), 2)
      end
      rawset(env, name, value)
    end,
  })
end

--- Compiles a chunk of the user's into the environment. Records its unknown globals.
local function compile(context, source, chunkname)
  if source:sub(1, 1) == "\27" then
    return nil, ("%s: this is bytecode; a script is text"):format(chunkname:sub(2))
  end
  local chunk, mistake = loadstring(source:gsub("^#[^\n]*", "", 1), chunkname)
  if not chunk then
    return nil, mistake
  end
  context.sources[chunkname] = true
  local env = context.environment
  local unknown, assigned, fields = globals.unknown(chunk, function(name)
    return rawget(env, name) ~= nil or context.assigned[name]
  end)
  -- A script that reads the command behind "--" is the one that sees to it.
  context.command_used = context.command_used or fields.command
  for name in pairs(assigned) do
    context.assigned[name] = true
  end
  for _, use in ipairs(unknown) do
    context.program:mistake(("%s:%d"):format(chunkname:sub(2), use.line), unknown_global(context, use.name, use.set))
  end
  return setfenv(chunk, env)
end

--- `require` of a script: the library, or modules in Lua beside the script or on LUA_PATH.
local function new_require(context, library)
  local loaded = { konductor = library }
  local function search(name)
    local path = name:gsub("%.", "/")
    local patterns = {}
    if context.dir then
      patterns = { context.dir .. "/?.lua", context.dir .. "/?/init.lua" }
    end
    for pattern in (context.environ.LUA_PATH or ""):gmatch "[^;]+" do
      patterns[#patterns + 1] = pattern
    end
    local tried = {}
    for _, pattern in ipairs(patterns) do
      local file = pattern:gsub("%?", (path:gsub("%%", "%%%%")))
      local source = context.read_file(file)
      if source then
        return source, file
      end
      tried[#tried + 1] = file
    end
    return nil, tried
  end
  return function(name)
    if type(name) ~= "string" then
      error(("require expects the name of a module, not a %s"):format(type(name)), 2)
    end
    local module = loaded[name]
    if module ~= nil then
      return module
    elseif rawget(context.environment, name) and type(context.environment[name]) == "table" then
      return context.environment[name]
    end
    local source, file = search(name)
    if not source then
      error(('there is no module "%s"; looked for %s'):format(name,
        #file > 0 and table.concat(file, ", ") or "nothing, because the script is no file"), 2)
    end
    local chunk, mistake = compile(context, source, "@" .. file)
    if not chunk then
      error(mistake, 0)
    end
    loaded[name] = true
    local value = chunk(name)
    if value ~= nil then
      loaded[name] = value
    end
    return loaded[name]
  end
end

-- Code that a script makes from text gets the script's environment.
local function add_loaders(context, env)
  local loaders = {}
  function loaders.loadstring(source, chunkname)
    if type(source) == "string" and source:sub(1, 1) == "\27" then
      return nil, "this is bytecode; a script is text"
    end
    local chunk, mistake = loadstring(source, chunkname)
    if not chunk then
      return nil, mistake
    end
    return setfenv(chunk, env)
  end
  function loaders.loadfile(path)
    local source, _, detail = context.read_file(path)
    if not source then
      return nil, detail
    end
    return compile(context, source, "@" .. path)
  end
  function loaders.dofile(path)
    local chunk, mistake = loaders.loadfile(path)
    if not chunk then
      error(mistake, 2)
    end
    return chunk()
  end
  loaders.load = loaders.loadstring
  for name, loader in pairs(loaders) do
    rawset(env, name, loader)
  end
end

local function is_own(context, source)
  return source and context.sources[source]
end

--- Place of the innermost call that the script itself made: "FILE:LINE".
---@param context konductor.ScriptContext
---@return string
function M.where(context)
  local level = 2
  local info = debug.getinfo(level, "Sl")
  while info do
    if is_own(context, info.source) and info.currentline > 0 then
      return ("%s:%d"):format(info.source:sub(2), info.currentline)
    end
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  return context.name
end

local function flush(context)
  for _, line in ipairs(context.said) do
    context.world.log(unpack(line, 1, 3))
  end
  context.said = {}
end

--- Logs a line of the script. In the first run it is kept until it is clear that there is no
--- second one, which would say it again.
---@param context konductor.ScriptContext
---@param level string
---@param line string
---@param fields? table
function M.say(context, level, line, fields)
  context.said[#context.said + 1] = { level, line, fields }
  if context.phase == "real" then
    flush(context)
  end
end

--- Every waiting call of the library asks first. True: do nothing, give a plausible answer.
---@param context konductor.ScriptContext
---@param what string   for the plan
---@return boolean
function M.holds_back(context, what)
  if context.phase == "real" then
    return false
  elseif context.phase == "load" and context.touched and not context.planning then
    if #context.program.mistakes > 0 then
      context.park()
    end
    context.phase = "real"
    flush(context)
    return false
  end
  context.phase = "look"
  local place = M.where(context)
  if context.visited[place] then
    context.park()
  end
  context.visited[place] = true
  context.program:step(what, place)
  return true
end

-- A message with its place; errors of the library bring theirs.
local function describe(failure)
  if type(failure) == "table" and failure.sentence then
    return failure
  end
  return { sentence = tostring(failure), trace = debug.traceback("", 2) }
end

--- One run of the chunk, in a task of its own. Gives the program when it came to its end or
--- was parked; else what it raised.
local function run_chunk(context, source)
  context.program = program.new(context)
  context.sources, context.visited, context.assigned, context.said = {}, {}, {}, {}
  context.touched = false
  local w = context.world
  local inbox = w.inbox()
  -- Abandoning the task is the one way out that no pcall of the script can catch.
  function context.park()
    inbox:post { type = "parked" }
    w.inbox():wait()
  end
  function context.stopped(signal)
    inbox:post { type = "stopped", signal = signal }
    w.inbox():wait()
  end
  local library = context.make(context)
  context.environment = new_environment(context, library)
  rawset(context.environment, "require", new_require(context, library))
  add_loaders(context, context.environment)
  local chunk, mistake = compile(context, source, context.chunkname)
  if not chunk then
    return { sentence = mistake }
  elseif #context.program.mistakes > 0 and context.phase == "real" then
    return nil
  end
  w.task(inbox, function()
    local ok, failure = xpcall(chunk, describe)
    if not ok then
      inbox:post { type = "raised", failure = failure }
    end
  end)
  while true do
    local event = inbox:wait()
    if not event or event.type == "parked" then
      return nil
    elseif event.type == "stopped" then
      context.stop_signal = event.signal
      return nil
    elseif event.type == "raised" then
      return event.failure
    elseif event.type == "done" then
      return nil
    end
  end
end

local function run_once(context, source)
  context.loading = true
  local failure = run_chunk(context, source)
  context.loading = false
  return failure
end

---@class konductor.Loaded
---@field program? konductor.Program  what the script declared
---@field mistakes? string[]          each "FILE:LINE: what"
---@field failure? table              what the script raised behind a waiting call
---@field signal? integer             the script was asked to stop while it waited

--- Loads and runs a script. *waits*
---@param context konductor.ScriptContext
---@param source string
---@return konductor.Loaded
function M.load(context, source)
  context.phase = "load"
  context.name = context.chunkname:sub(2)
  local failure = run_once(context, source)
  if failure and context.phase ~= "look" then
    if context.phase == "real" then
      return { failure = failure }
    end
    context.program:mistake(nil, failure.sentence)
  end
  local looked = context.phase == "look"
  if not looked then
    flush(context)
  end
  context.program:finish(looked or context.phase == "real" or context.touched, failure ~= nil)
  if #context.program.mistakes > 0 then
    return { mistakes = context.program.mistakes }
  end
  local refusal = context.preflight and not context.planning and context.phase ~= "real"
    and context.preflight(context.program)
  if refusal then
    return { failure = refusal }
  elseif looked and not context.planning then
    context.phase = "real"
    failure = run_once(context, source)
    if failure then
      return { failure = failure }
    end
    context.program:finish(true)
    if #context.program.mistakes > 0 then
      return { mistakes = context.program.mistakes }
    end
  end
  context.phase = "real"
  return { program = context.program, signal = context.stop_signal }
end

return M
